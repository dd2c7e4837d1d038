"""A CSV file as a table."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from ..errors import TableError
from .batches import regroup, without_cells
from .csv_reader import read_names, read_text
from .csv_types import ColumnKind, cast_text
from .kinds import csv_codec
from .table import Progress, Survey

__all__ = ["CsvTable"]


class CsvTable:
    """A CSV file, plain or compressed: commas, double quotes, a header, UTF-8.

    Line ends may be LF, CRLF or CR; a byte order mark is passed over. Quoted cells may hold line breaks and
    doubled quotes, and a row may have 256 MiB. Blank lines are no rows, as in pandas, in a table of one column
    too: there an empty cell is written `""`, by pandas and by this package. A line of spaces is not blank.

    Parameters
    ----------
    path : Path
        Its suffix says how it is compressed.

    Attributes
    ----------
    kind, files, names, schema
        See `Table`; every column is text.

    Raises
    ------
    TableError
        From here and from both methods: if the file cannot be read, is empty, is not in UTF-8, has a name
        twice, has a row with more or fewer cells than the header, a quote that is left open, text after a
        closing quote, or breaks off in its compressed form.
    """

    kind = "csv"

    def __init__(self, path: Path):
        self._path = path
        self.files = [path]
        self._codec = csv_codec(path)
        self._surveys: dict[int | None, Survey] = {}
        self.names = read_names(path, self._codec)
        self.schema = pa.schema([(name, pa.string()) for name in self.names])

    def survey(self, progress: Progress | None = None, limit: int | None = None) -> Survey:
        """Read the whole file once: count its rows, look for damage, learn its types.

        Parameters
        ----------
        progress : callable, optional
            Called with (bytes of the file read so far, bytes of the file).
        limit : int, optional
            Only the first `limit` rows are looked at.

        Returns
        -------
        survey : Survey
            Kept: a second call with the same limit reads nothing.
        """
        if limit not in self._surveys:
            self._surveys[limit] = self._read_survey(progress, limit)
        return self._surveys[limit]

    def _read_survey(self, progress, limit):
        kinds = [ColumnKind() for _ in self.names]
        rows = 0
        for batch in read_text(self._path, self._codec, progress):
            if limit is not None:
                batch = batch.slice(0, limit - rows)
            rows += batch.num_rows
            for kind, column in zip(kinds, batch.columns, strict=True):
                kind.learn(column)
            if rows == limit:
                break
        types = [kind.arrow_type() for kind in kinds]
        return Survey(
            rows=rows,
            typed_schema=pa.schema(list(zip(self.names, types, strict=True))),
            numeric=frozenset(
                name for name, found in zip(self.names, types, strict=True) if not pa.types.is_string(found)
            ),
        )

    def batches(
        self, rows: int, limit: int | None = None, typed: bool = False, without: str | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Read the file from its beginning.

        Parameters
        ----------
        rows : int
            Rows of every batch but the last; fewer only where cells are so large that it comes to 64 MiB before.
        limit : int, optional
            Rows in all.
        typed : bool
            Cast each column to its type in `survey(limit=limit).typed_schema`, in which an empty cell is null.
        without : str, optional
            A column whose cells are not wanted, and come as nulls.

        Returns
        -------
        batches : iterator of pyarrow.RecordBatch
        """
        text = read_text(self._path, self._codec)
        if without is not None:
            text = (without_cells(batch, without) for batch in text)
        batches = regroup(text, rows, limit)
        return self._typed(batches, self.survey(limit=limit).typed_schema) if typed else batches

    def _typed(self, batches, schema):
        for batch in batches:
            try:
                columns = [
                    cast_text(column, field.type) for column, field in zip(batch.columns, schema, strict=True)
                ]
            except pa.ArrowInvalid as error:
                raise TableError(f"{self._path} has changed since it was surveyed: {error}") from error
            yield pa.RecordBatch.from_arrays(columns, schema=schema)
