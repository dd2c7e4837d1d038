"""Rows -> a CSV or Parquet file, one at a time; the file appears under its name when it is whole."""

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from osnet_encoder.errors import TableError
from osnet_encoder.tables.publish import check_target, published

__all__ = ["open_rows"]

ROWS_IN_A_BATCH = 64  # crop strings are some 50 KB each


@contextmanager
def open_rows(path: str | Path, columns: dict[str, str]) -> Iterator[Callable[[Sequence], None]]:
    """Write a table row by row, with no more than a batch of rows in memory.

    Parameters
    ----------
    path : str or Path
        Ends in `.csv` or `.parquet`.
    columns : dict
        Name -> pyarrow's name of a type: "string", "int64" or "timestamp[ms]". CSV only keeps the names.

    Yields
    ------
    write : function
        Takes one row, a value for each column; None is a missing cell.

    Raises
    ------
    TableError
        The suffix is another, or the file cannot be written there.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise TableError(f"cannot tell the format of {path}, wanted a name that ends in .csv or .parquet")
    rows = _csv_rows if suffix == ".csv" else _parquet_rows
    with published(check_target(path)) as partial, rows(partial, columns) as write:
        yield write


@contextmanager
def _csv_rows(path, columns):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(columns)
        yield lambda row: writer.writerow([_text_of_time(cell) for cell in row])


def _text_of_time(cell):
    """Times in one format, milliseconds always there, as pandas needs it to read the column; all else as it is."""
    return cell.isoformat(" ", "milliseconds") if isinstance(cell, datetime) else cell


@contextmanager
def _parquet_rows(path, columns):
    import pyarrow as pa
    from pyarrow import parquet

    types = {"string": pa.string(), "int64": pa.int64(), "timestamp[ms]": pa.timestamp("ms")}
    schema = pa.schema([(name, types[kind]) for name, kind in columns.items()])
    waiting: list[Sequence] = []

    def write(row):
        waiting.append(row)
        if len(waiting) == ROWS_IN_A_BATCH:
            flush()

    def flush():
        arrays = [
            pa.array(cells, field.type) for cells, field in zip(zip(*waiting, strict=True), schema, strict=True)
        ]
        writer.write_batch(pa.record_batch(arrays, schema=schema))
        waiting.clear()

    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        yield write
        if waiting:
            flush()
