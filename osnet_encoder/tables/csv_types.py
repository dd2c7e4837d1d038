"""The type of a CSV column, learned from all its cells, and its text cast to that type.

The types are those that `pandas.read_csv(keep_default_na=False, na_values=[""], low_memory=False)` finds, except
where that would lose something:

    cells                                       here                        pandas
    0001, -007, 00.5 (a zero in front)          text                        numbers
    true, false and empty                       boolean, null               object
    whole numbers and empty, one past 2**53     int64, null                 float64, rounded
    whole numbers, one past 64 bits             text                        Python integers
    numbers past the largest float, 1e400       text                        infinite
    a number with a line break around it        text                        number

Only an empty cell is null: NA, nan and null are text.
"""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["ColumnKind", "cast_text"]

_BOOLEAN = "(?i)^(true|false)$"
_WHOLE = r"^[ \t]*[+-]?[0-9]+[ \t]*$"
_NUMBER = r"^[ \t]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t]*$|(?i)^[+-]?(inf|infinity)$"
_ZERO_IN_FRONT = r"^[ \t]*[+-]?0[0-9]"

_INT64_MAX = 2**63 - 1
_UINT64_MAX = 2**64 - 1
_BEYOND = 2**64
_FLOAT64_EXACT = 2**53


@dataclass
class ColumnKind:
    """What has been seen of a column so far.

    Attributes
    ----------
    text, fractions, wholes, booleans, empties : bool
        Whether a cell of the kind has occurred. Once `text` is true the rest is no longer kept up.
    low, high : int
        The range of the whole numbers and 0; past 64 bits it is only known to be past them.
    """

    text: bool = False
    fractions: bool = False
    wholes: bool = False
    booleans: bool = False
    empties: bool = False
    low: int = 0
    high: int = 0

    def learn(self, column: pa.StringArray) -> None:
        """Look at more of the column's cells.

        Parameters
        ----------
        column : pyarrow.StringArray
            Without nulls.
        """
        if self.text:
            return
        empty = pc.equal(column, "")
        if pc.any(empty).as_py():
            self.empties = True
            column = column.filter(pc.invert(empty))
        if len(column) == 0:
            return
        if _all_match(column, _BOOLEAN):
            self.booleans = True
        elif not _all_match(column, _NUMBER) or _any_matches(column, _ZERO_IN_FRONT):
            self.text = True
        elif _all_match(column, _WHOLE):
            self._learn_wholes(column)
        elif _overflows(column):
            self.text = True
        else:
            self.fractions = True

    def _learn_wholes(self, column):
        self.wholes = True
        numbers = _bare_number(column)
        for arrow_type in (pa.int64(), pa.uint64()):
            try:
                extremes = pc.min_max(pc.cast(numbers, arrow_type)).as_py()
            except pa.ArrowInvalid:
                continue
            self.low = min(self.low, extremes["min"])
            self.high = max(self.high, extremes["max"])
            return
        self.low, self.high = -_BEYOND, _BEYOND
        self.text = _overflows(column)

    def arrow_type(self) -> pa.DataType:
        """Name the one type that holds every cell seen.

        Returns
        -------
        type : pyarrow.DataType
            bool, int64, uint64, float64 or string. Without a single cell string, with empty ones only float64.
        """
        if self.text or (self.booleans and (self.wholes or self.fractions)):
            return pa.string()
        if self.booleans:
            return pa.bool_()
        if self.fractions:
            return pa.float64()
        if self.wholes:
            return self._whole_type()
        return pa.float64() if self.empties else pa.string()

    def _whole_type(self):
        if self.low >= -_INT64_MAX - 1 and self.high <= _INT64_MAX:
            exact = max(-self.low, self.high) <= _FLOAT64_EXACT
            return pa.float64() if self.empties and exact else pa.int64()
        if self.low >= 0 and self.high <= _UINT64_MAX and not self.empties:
            return pa.uint64()
        return pa.string()


def cast_text(column: pa.StringArray, arrow_type: pa.DataType) -> pa.Array:
    """Cast a CSV column to the type learned from it.

    Parameters
    ----------
    column : pyarrow.StringArray
        Without nulls.
    arrow_type : pyarrow.DataType
        As `ColumnKind.arrow_type` names it.

    Returns
    -------
    column : pyarrow.Array
        Null where the cell is empty.

    Raises
    ------
    pyarrow.ArrowInvalid
        If a cell does not hold such a value, so that the type was learned from other cells.
    """
    column = pc.if_else(pc.equal(column, ""), pa.scalar(None, column.type), column)
    if pa.types.is_string(arrow_type):
        return column
    if pa.types.is_boolean(arrow_type):
        return pc.cast(pc.ascii_lower(column), arrow_type)
    return pc.cast(_bare_number(column), arrow_type)


def _all_match(column, pattern):
    return pc.all(pc.match_substring_regex(column, pattern)).as_py()


def _any_matches(column, pattern):
    return pc.any(pc.match_substring_regex(column, pattern)).as_py()


def _overflows(column):
    infinite = pc.is_inf(pc.cast(_bare_number(column), pa.float64()))
    return pc.any(pc.and_not(infinite, pc.match_substring(column, "inf", ignore_case=True))).as_py()


def _bare_number(column):
    """Without what Python's `int` allows around a number and Arrow's parser does not."""
    return pc.ascii_ltrim(pc.ascii_trim(column, " \t"), "+")
