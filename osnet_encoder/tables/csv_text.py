"""An Arrow column -> the text of its cells in a CSV file, without the quotes.

    type                        text                                                    quotes
    text                        as it is                                                yes
    whole numbers, decimals     1, 1.10                                                 no
    floats                      1.0, 1e-05, inf: the shortest that reads back as        no
                                the same number of this width; NaN is empty
    booleans                    True, False                                             no
    timestamps                  2024-01-31 12:00:00, the fraction where there is        yes
                                one, +01:00 where there is a time zone
    dates, times of day         2024-01-31, 12:00:00                                    yes
    durations                   0 days 01:00:00                                         yes
    lists, structs, maps        JSON; a map is a list of pairs                          yes
    only nulls                  empty                                                   yes
    binary, anything else       refused: CSV has no form for it

These are the forms that pandas writes, but for what it decides by looking at a whole column at once: it drops the
time of day where every row has midnight. A dictionary-encoded column is written as its values are, an extension
type as what it is stored as.
"""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as types

from ..errors import TableError

__all__ = ["check_type", "column_text", "is_bare", "is_text"]


def is_text(arrow_type: pa.DataType) -> bool:
    """Tell whether a column of this type is text already.

    Parameters
    ----------
    arrow_type : pyarrow.DataType

    Returns
    -------
    text : bool
    """
    kind = _plain_type(arrow_type)
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def is_bare(arrow_type: pa.DataType) -> bool:
    """Tell whether `csv.QUOTE_NONNUMERIC` leaves a column of this type without quotes.

    Parameters
    ----------
    arrow_type : pyarrow.DataType

    Returns
    -------
    bare : bool
        True of numbers, decimals and booleans.
    """
    kind = _plain_type(arrow_type)
    return any(
        is_one(kind) for is_one in (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean)
    )


def check_type(name: str, arrow_type: pa.DataType) -> None:
    """Refuse a column that a CSV file cannot hold.

    Parameters
    ----------
    name : str
        The column's, for the message.
    arrow_type : pyarrow.DataType

    Raises
    ------
    TableError
        If the type is binary, has binary within, or is one that this module does not know.
    """
    if not _has_form(arrow_type):
        raise TableError(f"column {name!r} is {arrow_type}: CSV has no form for it; write Parquet, or drop it")


def column_text(column: pa.Array) -> pa.Array:
    """Write a column's cells as text.

    Parameters
    ----------
    column : pyarrow.Array
        Of a type that `check_type` accepts.

    Returns
    -------
    text : pyarrow.LargeStringArray
        Null where the cell is null, and where a float is NaN.

    Raises
    ------
    TableError
        If the system does not know the time zone of a column.
    """
    return _text(column).cast(pa.large_string())


def _plain_type(arrow_type):
    while True:
        if isinstance(arrow_type, pa.BaseExtensionType):
            arrow_type = arrow_type.storage_type
        elif types.is_dictionary(arrow_type):
            arrow_type = arrow_type.value_type
        else:
            return arrow_type


def _has_form(arrow_type):
    kind = _plain_type(arrow_type)
    if types.is_nested(kind):
        return not types.is_union(kind) and all(_has_form(kind.field(i).type) for i in range(kind.num_fields))
    return is_text(kind) or is_bare(kind) or types.is_temporal(kind) or types.is_null(kind)


def _text(column):
    if isinstance(column, pa.ExtensionArray):
        return _text(column.storage)
    if types.is_dictionary(column.type):
        return _text(column.dictionary_decode())
    if types.is_floating(column.type):
        return _float_text(column)
    if types.is_boolean(column.type):
        return pc.if_else(column, "True", "False")
    if types.is_timestamp(column.type):
        return _timestamp_text(column)
    if types.is_time(column.type):
        return _without_empty_fraction(column.cast(pa.string()))
    if types.is_duration(column.type):
        # pandas' own, as Python's has no nanoseconds
        cells = zip(column.to_pandas(), column.is_valid().to_pylist(), strict=True)
        return pa.array([str(cell) if valid else None for cell, valid in cells], pa.string())
    if types.is_nested(column.type):
        return pa.array([None if cell is None else _json(cell) for cell in column.to_pylist()], pa.string())
    return column.cast(pa.large_string())


def _float_text(column):
    # Arrow's own text of a float has no ".0" and another idea of when to go over to exponents.
    values = column.to_numpy(zero_copy_only=False)
    return pa.array(values.astype(str), pa.string(), mask=np.isnan(values))


def _timestamp_text(column):
    try:
        text = column.cast(pa.string())
    except pa.ArrowInvalid as error:
        raise TableError(f"a column of {column.type} cannot be written as text: {error}") from error
    text = _without_empty_fraction(text)
    text = pc.replace_substring_regex(text, "Z$", "+00:00")
    return pc.replace_substring_regex(text, r"([+-]\d\d)(\d\d)$", r"\1:\2") if column.type.tz else text


def _without_empty_fraction(text):
    return pc.replace_substring_regex(text, r"\.0+(Z|[+-]\d+)?$", r"\1")


def _json(cell):
    return json.dumps(cell, ensure_ascii=False, default=str)
