"""Record batches -> a CSV file, quoted as `csv.QUOTE_NONNUMERIC` has it.

As pandas' `to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC)` does: names and text in quotes, numbers and booleans
bare, a null `""`, lines ended by LF. Text that is known to be numbers is bare too, each character as it was.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import TableError
from .csv_text import column_text, is_bare, is_text

__all__ = ["CsvWriter"]


class CsvWriter:
    """A CSV file being written.

    Parameters
    ----------
    path : Path
        A file that does not exist yet.
    schema : pyarrow.Schema
        Of the batches to come; each column passes `check_type`.
    codec : "gzip", "zstd" or None
        What to compress the file with.
    numeric : frozenset of str
        Text columns that hold numbers, booleans and empty cells only.
    """

    def __init__(
        self, path: Path, schema: pa.Schema, codec: str | None = None, numeric: frozenset[str] = frozenset()
    ):
        self._names = schema.names
        self._bare = [is_bare(field.type) or (is_text(field.type) and field.name in numeric) for field in schema]
        self._file = path.open("xb")
        try:
            self._stream = self._file if codec is None else pa.CompressedOutputStream(self._file, codec)
            header = ",".join('"{}"'.format(name.replace('"', '""')) for name in schema.names)
            self._stream.write(f"{header}\n".encode())
        except BaseException:
            self._file.close()
            raise

    def write(self, batch: pa.RecordBatch) -> None:
        """Write rows.

        Parameters
        ----------
        batch : pyarrow.RecordBatch
            Of the writer's schema.

        Raises
        ------
        TableError
            If a column holds text that is not UTF-8, as a Parquet file can.
        """
        if batch.num_rows:
            texts = [_utf8(name, column) for name, column in zip(self._names, batch.columns, strict=True)]
            self._stream.write(_rows(texts, self._bare))

    def close(self) -> None:
        """Write what is held back, and close the file."""
        with self._file:
            self._stream.close()


def _utf8(name, column):
    try:
        text = column_text(column)
        text.validate(full=True)
    except (UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise TableError(f"column {name!r} holds text that is not UTF-8: CSV has no form for it") from error
    return pc.fill_null(text, "")


def _rows(texts, bare):
    """The text of all rows at once: one join over the columns, of which pyarrow makes one buffer."""
    parts: list = []
    between = ""
    for text, is_number in zip(texts, bare, strict=True):
        if is_number:
            parts += [between, pc.if_else(pc.equal(text, ""), '""', text)]
            between = ","
        else:
            parts += [f'{between}"', _with_doubled_quotes(text)]
            between = '",'
    parts.append(between.removesuffix(",") + "\n")
    rows = pc.binary_join_element_wise(*map(_large, parts), _large(""))
    _, ends, text = rows.buffers()
    return text.slice(0, np.frombuffer(ends, np.int64)[len(rows)])


def _large(part):
    return pa.scalar(part, pa.large_string()) if isinstance(part, str) else part


def _with_doubled_quotes(text):
    if pc.any(pc.match_substring(text, '"')).as_py():
        return pc.replace_substring(text, '"', '""')
    return text
