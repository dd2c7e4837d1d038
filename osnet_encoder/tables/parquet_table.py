"""Parquet files as a table: one file, a folder of them, or those that a pattern names."""

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import TableError
from .batches import regroup
from .faults import read_errors
from .kinds import file_kind
from .table import Progress, Survey, distinct_names

__all__ = ["ParquetTable", "files_in_folder", "files_of_pattern"]

# Bytes read at a time, by the files' own account, and rows at most: a dictionary-encoded column may unfold to far
# more than that account says.
_SLICE_BYTES = 8 << 20
_SLICE_ROWS = 1024


class ParquetTable:
    """One Parquet file or several of the same schema, read one after the other.

    Parameters
    ----------
    files : list of Path
        At least one, in the order to read them in.

    Attributes
    ----------
    kind, files, names, schema
        See `Table`; the metadata is the first file's.

    Raises
    ------
    TableError
        If a file cannot be read or is damaged, has a name twice, or has another schema than the first.
    """

    kind = "parquet"

    def __init__(self, files: list[Path]):
        self.files = files
        self._rows = 0
        schemas = []
        for path in files:
            with _opened(path) as file:
                schemas.append(file.schema_arrow)
                self._rows += file.metadata.num_rows
        self.schema: pa.Schema = schemas[0]
        self.names = distinct_names(self.schema.names, files[0])
        for path, schema in zip(files, schemas, strict=True):
            _check_same(self.schema, files[0], schema, path)

    def survey(self, progress: Progress | None = None, limit: int | None = None) -> Survey:
        """Tell what the files' own metadata says; nothing is read.

        Parameters
        ----------
        progress : callable, optional
            Never called.
        limit : int, optional
            Rows to count at most.

        Returns
        -------
        survey : Survey
        """
        rows = self._rows if limit is None else min(self._rows, limit)
        return Survey(rows=rows, typed_schema=self.schema, numeric=frozenset())

    def batches(
        self, rows: int, limit: int | None = None, typed: bool = False, without: str | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Read the files from the beginning.

        Parameters
        ----------
        rows : int
            Rows of every batch but the last; fewer only where cells are so large that it comes to 64 MiB before.
        limit : int, optional
            Rows in all.
        typed : bool
            No matter: the columns have their types.
        without : str, optional
            A column that is not read, and comes as nulls.

        Returns
        -------
        batches : iterator of pyarrow.RecordBatch
            Of `schema`. Reading on raises TableError where a file is damaged, which the checksums of its pages
            tell where it has them.
        """
        return regroup(self._read(rows, without), rows, limit)

    def _read(self, rows, without):
        wanted = [name for name in self.names if name != without]
        for path in self.files:
            with _opened(path) as file:
                found, told = 0, file.metadata.num_rows
                for batch in file.iter_batches(batch_size=_slice_rows(file.metadata, rows), columns=wanted):
                    found += batch.num_rows
                    read = dict(zip(batch.schema.names, batch.columns, strict=True))
                    columns = [
                        read[field.name] if field.name in read else pa.nulls(batch.num_rows, field.type)
                        for field in self.schema
                    ]
                    # the files' schemas agree, their metadata need not
                    yield pa.RecordBatch.from_arrays(columns, schema=self.schema)
            if found != told:  # what a file says of itself has no checksum
                raise TableError(f"{path} is damaged: the number of its rows is {found}, and it says {told}")


def files_in_folder(folder: Path) -> list[Path]:
    """List a folder's Parquet files.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    files : list of Path
        Sorted by name; without those whose name begins with `_` or `.`, which writers use for notes to themselves.

    Raises
    ------
    TableError
        If there is none, if the folder holds folders, whose rows would pass unseen, or if it cannot be read.
    """
    with read_errors(folder):
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith(("_", ".")))
    inner = [entry.name for entry in entries if entry.is_dir()]
    if inner:
        raise TableError(
            f"{folder} holds the folder {inner[0]!r}, wanted Parquet files only; name the files by a pattern "
            f"such as '{folder}/*/*.parquet'"
        )
    files = [entry for entry in entries if file_kind(entry) == "parquet"]
    if not files:
        raise TableError(f"{folder} holds no Parquet file (.parquet, .pq)")
    return files


def files_of_pattern(pattern: str) -> list[Path]:
    """List the Parquet files that a pattern names.

    Parameters
    ----------
    pattern : str
        With `*`, `?` or `[...]`; `**` stands for folders of any depth.

    Returns
    -------
    files : list of Path
        Sorted by path; without those whose name begins with `_` or `.`.

    Raises
    ------
    TableError
        If there is none, or if the pattern names other files too.
    """
    found = sorted(Path(name) for name in glob.glob(pattern, recursive=True))  # noqa: PTH207 (any root)
    files = [path for path in found if not path.name.startswith(("_", ".")) and not path.is_dir()]
    other = [path for path in files if file_kind(path) != "parquet"]
    if other:
        raise TableError(f"{pattern} names {other[0]}, wanted Parquet files only (.parquet, .pq)")
    if not files:
        raise TableError(f"{pattern} names no file")
    return files


@contextmanager
def _opened(path):
    with (
        read_errors(path),
        # small reads in turn: fetching a row group ahead takes seven times the memory
        pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20, page_checksum_verification=True) as file,
    ):
        yield file


def _check_same(schema, first, other, path):
    """Say which column of a later file is not as in the first."""
    if other.names != schema.names:
        missing = [name for name in schema.names if name not in other.names]
        extra = [name for name in other.names if name not in schema.names]
        found = f"no column {missing[0]!r}" if missing else f"a column {extra[0]!r}" if extra else "another order"
        raise TableError(f"the columns of {path} are not those of {first}: it has {found}")
    for field in schema:
        found = other.field(field.name).type
        if found != field.type:
            raise TableError(f"column {field.name!r} is {found} in {path} and {field.type} in {first}")


def _slice_rows(metadata, rows):
    """Rows to read at a time: a multiple of `rows` where it can be, so that batches need not be joined."""
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    row_bytes = max((group.total_byte_size // max(1, group.num_rows) for group in groups), default=0)
    most = min(_SLICE_ROWS, _SLICE_BYTES // max(1, row_bytes))
    return max(1, most // rows * rows or min(rows, most))
