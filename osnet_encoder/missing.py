"""Missing, which is not broken: a null or empty cell is an answer, not a fault."""

import numpy as np

__all__ = ["is_missing"]


def is_missing(cell):
    """Whether a cell is null (None, NaN, NaT, `pandas.NA`) or empty: missing, which is not broken."""
    if cell is None:
        return True
    if isinstance(cell, (str, bytes, memoryview)):
        return len(cell) == 0
    if isinstance(cell, np.ndarray):
        return False
    try:
        return bool(cell != cell)  # a null is what differs from itself
    except (TypeError, ValueError):
        return type(cell).__name__ == "NAType"
