"""A path -> the table that can be read from it, or the writer that writes to it."""

import glob
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import pyarrow as pa

from ..errors import TableError
from .csv_table import CsvTable
from .csv_text import check_type
from .csv_writer import CsvWriter
from .faults import read_errors, write_errors
from .kinds import KNOWN_SUFFIXES, csv_codec, file_kind, output_kind
from .parquet_table import ParquetTable, files_in_folder, files_of_pattern
from .parquet_writer import ParquetWriter
from .publish import check_target, published
from .table import Table

__all__ = ["Writer", "open_table", "open_writer"]


class Writer:
    """A table being written, as `open_writer` gives it.

    Parameters
    ----------
    path : str or Path
        Its name, for messages.
    schema : pyarrow.Schema
    file : CsvWriter or ParquetWriter
    """

    def __init__(self, path: str | Path, schema: pa.Schema, file: CsvWriter | ParquetWriter):
        self._path = path
        self._schema = schema
        self._file = file

    def write(self, batch: pa.RecordBatch) -> None:
        """Write rows after those written so far.

        Parameters
        ----------
        batch : pyarrow.RecordBatch

        Raises
        ------
        ValueError
            If its columns or their types are not the schema's.
        TableError
            If the file cannot be written: the disk is full, say.
        """
        if not batch.schema.equals(self._schema):
            raise ValueError(f"the batch has the columns {batch.schema}, wanted {self._schema}")
        with write_errors(self._path):
            self._file.write(batch)


def open_table(path: str | Path) -> Table:
    """Open a table for reading.

    Parameters
    ----------
    path : str or Path
        A CSV file (.csv, .csv.gz, .csv.zst), a Parquet file (.parquet, .pq), a folder of Parquet files, or a
        pattern that names Parquet files, such as `parts/*.parquet`. The suffix decides, capitals or not.

    Returns
    -------
    table : Table
        A `CsvTable` or a `ParquetTable`.

    Raises
    ------
    TableError
        If there is no such file, its type is unknown, or it is damaged where it begins or, for Parquet, ends.
    """
    place = Path(path)
    with read_errors(path):
        there = place.exists()
    if not there:
        if glob.has_magic(str(path)):
            return ParquetTable(files_of_pattern(str(path)))
        raise TableError(f"cannot read {path}: there is no such file")
    if place.is_dir():
        return ParquetTable(files_in_folder(place))
    kind = file_kind(place)
    if kind is None:
        raise TableError(f"cannot read {path}: wanted a file that ends in {', '.join(KNOWN_SUFFIXES)}")
    return CsvTable(place) if kind == "csv" else ParquetTable([place])


def open_writer(
    path: str | Path,
    schema: pa.Schema,
    numeric: frozenset[str] = frozenset(),
    metadata: dict[str, str] | None = None,
) -> AbstractContextManager[Writer]:
    """Open a table for writing; the file appears when the block has ended well.

    Parameters
    ----------
    path : str or Path
        Its suffix says what is written: .csv, .csv.gz, .csv.zst, .parquet or .pq. A file of this name is replaced.
    schema : pyarrow.Schema
        Of the batches to come.
    numeric : frozenset of str
        Text columns that a CSV leaves without quotes: `Survey.numeric`. No matter to Parquet.
    metadata : dict of str to str, optional
        Kept in a Parquet file beside the schema's own metadata. A CSV has no place for it.

    Returns
    -------
    writing : context manager
        Gives a `Writer`. On any exception within the block nothing is left behind, and a file of this name
        stays what it was. On the clean end the file is on the disk and in its place.

    Raises
    ------
    TableError
        At once, if the suffix is unknown, the folder is missing, `path` is a folder, or CSV has no form for a
        column; as the block begins and ends, if the file cannot be written.
    """
    kind = output_kind(path)
    target = check_target(path)
    if kind == "csv":
        for field in schema:
            check_type(field.name, field.type)
    return _writing(path, target, schema, numeric, metadata)


@contextmanager
def _writing(path, target, schema, numeric, metadata) -> Iterator[Writer]:
    with published(target) as partial:
        with write_errors(path):
            file = _new_file(path, partial, schema, numeric, metadata)
        try:
            yield Writer(path, schema, file)
        except BaseException:
            with suppress(OSError, pa.ArrowException):
                file.close()
            raise
        with write_errors(path):
            file.close()


def _new_file(path, partial, schema, numeric, metadata) -> CsvWriter | ParquetWriter:
    if output_kind(path) == "csv":
        return CsvWriter(partial, schema, csv_codec(path), numeric)
    return ParquetWriter(partial, schema, metadata)
