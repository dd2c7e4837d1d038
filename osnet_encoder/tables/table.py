"""What every table that can be read offers, whatever its file."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from ..errors import TableError

__all__ = ["Progress", "Survey", "Table", "distinct_names"]

Progress = Callable[[int, int], None]
"""Called now and then with (bytes of the file read so far, bytes of the file)."""


@dataclass(frozen=True)
class Survey:
    """What is known of a table once all of it has been looked at.

    Attributes
    ----------
    rows : int
        Rows in the table, or the limit of the survey where that is smaller.
    typed_schema : pyarrow.Schema
        The types for an output that has types: the table's own for Parquet, the inferred ones for CSV.
    numeric : frozenset of str
        Text columns that hold numbers or booleans only, which a written CSV leaves without quotes.
        Empty for Parquet, where the types say so themselves.
    """

    rows: int
    typed_schema: pa.Schema
    numeric: frozenset[str]


class Table(Protocol):
    """A table that can be read, as often as wanted; nothing stays open between two readings.

    Attributes
    ----------
    kind : "csv" or "parquet"
    files : list of Path
        What it is read from, in this order.
    names : list of str
        The columns, no two of the same name.
    schema : pyarrow.Schema
        As read: every column of a CSV is text; Parquet has its own types and metadata.
    """

    kind: str
    files: list[Path]
    names: list[str]
    schema: pa.Schema

    def survey(self, progress: Progress | None = None, limit: int | None = None) -> Survey:
        """Look at the whole table, or its first `limit` rows; the answer is kept for the next call."""

    def batches(
        self, rows: int, limit: int | None = None, typed: bool = False, without: str | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Read in order, at most `rows` rows at a time and `limit` in all; `typed` casts a CSV's text.

        The column `without` is all null then: what nobody wants need not be unpacked.
        """


def distinct_names(names: list[str], path) -> list[str]:
    """Refuse a table in which two columns share a name.

    Parameters
    ----------
    names : list of str
    path : str or Path
        The table's, for the message.

    Returns
    -------
    names : list of str
        The same list.

    Raises
    ------
    TableError
        If a name occurs twice.
    """
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise TableError(f"{path} has more than one column named {', '.join(map(repr, twice))}")
    return names
