"""A column in memory, whatever holds it, as batches of cells."""

import numpy as np

__all__ = ["cut", "is_series", "open_column"]


def open_column(column):
    """Make a column of any kind sliceable into lists of cells.

    Parameters
    ----------
    column : Series, list, tuple, array, Arrow array or any iterable of cells
        Text that pandas keeps in Arrow's buffers is read there, in place.

    Returns
    -------
    length : int
    cells : callable
        `cells(start, stop)` is the list of those cells.

    Raises
    ------
    TypeError
        One cell, or one crop, where a column was wanted.
    """
    if isinstance(column, (str, bytes, memoryview)):
        raise TypeError("found one cell, wanted a column of them; for one crop, pass [cell]")
    if isinstance(column, np.ndarray) and column.dtype != object and column.ndim in (2, 3):
        raise TypeError(f"found one array {column.shape}, wanted a column of crops; for one crop, pass [array]")
    if hasattr(column, "ndim") and hasattr(column, "columns"):
        raise TypeError("found a DataFrame, wanted one of its columns")
    if (is_series(column) and column.dtype != object) or hasattr(column, "__arrow_array__"):
        import pyarrow

        column = pyarrow.array(column)
    if type(column).__module__.startswith("pyarrow"):
        return len(column), _arrow_cells(column)
    column = column if isinstance(column, (list, tuple)) else list(column)
    return len(column), lambda start, stop: column[start:stop]


def is_series(column):
    """Whether this is a pandas Series; asked without importing pandas."""
    return hasattr(column, "index") and hasattr(column, "array") and hasattr(column, "dtype")


def cut(length, size, workers):
    """Cut a column into batches: none above `size`, and small columns so that every worker has some.

    Parameters
    ----------
    length, size, workers : int

    Yields
    ------
    start, stop : int
    """
    size = max(1, min(size, -(-length // workers)))
    for start in range(0, length, size):
        yield start, min(start + size, length)


def _arrow_cells(column):
    from .tables import cells

    def read(start, stop):
        part = column.slice(start, stop - start)
        chunks = part.chunks if hasattr(part, "chunks") else [part]
        return [cell for chunk in chunks for cell in cells(chunk)]

    return read
