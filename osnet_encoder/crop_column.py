"""Which column of a table holds the crops."""

import pyarrow as pa

from .crops import looks_like_crop_string
from .errors import TableError
from .missing import is_missing
from .tables import Table, cells

__all__ = ["check_column", "find_crop_column"]

# How many cells of a column are looked at before it is said to hold no crop strings.
_LOOKED_AT = 1000


def check_column(table: Table, column: str) -> str:
    """Refuse a name that the table does not have.

    Parameters
    ----------
    table : as of `tables.open_table`
    column : str

    Returns
    -------
    column : str
        The same.

    Raises
    ------
    TableError
        The table has no column of that name.
    """
    if column not in table.names:
        raise TableError(f"no column {column!r} in the table; it has {', '.join(table.names)}")
    return column


def find_crop_column(table: Table) -> str:
    """Find the one column that holds crop strings.

    Parameters
    ----------
    table : as of `tables.open_table`

    Returns
    -------
    name : str

    Raises
    ------
    TableError
        None or several of its columns hold a crop string among their first 1,000 non-missing cells.
    """
    left = {
        name: _LOOKED_AT for name, field in zip(table.names, table.schema, strict=True) if _is_text(field.type)
    }
    found = set()
    for batch in table.batches(16):
        for name in list(left):
            present = [cell for cell in cells(batch.column(name)) if not is_missing(cell)][: left[name]]
            left[name] -= len(present)
            if any(looks_like_crop_string(cell) for cell in present):
                found.add(name)
            if name in found or not left[name]:
                del left[name]
        if not left:
            break
    if len(found) == 1:
        return found.pop()
    what = "no column holds" if not found else f"columns {', '.join(sorted(found))} all hold"
    raise TableError(f"{what} crop strings; name the one to encode, of {', '.join(table.names)}")


def _is_text(kind):
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
