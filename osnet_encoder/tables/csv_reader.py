"""A CSV file -> its names and its rows, as text, piece by piece.

pyarrow parses; this module brings it whole rows in UTF-8 and says in our words what it finds wrong. Rows are
counted from 0 in every message, the header not among them, as `CropError.row` counts them.
"""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv

from ..errors import TableError
from .csv_rows import QuoteFault, first_row_end, last_row_end, whole_rows
from .faults import read_errors
from .table import Progress, distinct_names

__all__ = ["BLOCK_BYTES", "read_names", "read_text"]

# Small enough for the processor's cache: pyarrow parses a block of 16 MiB half as fast.
BLOCK_BYTES = 1 << 20

_UTF8_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_names(path: Path, codec: str | None) -> list[str]:
    """Read the header of a CSV file.

    Parameters
    ----------
    path : Path
    codec : "gzip", "zstd" or None
        How the file is compressed.

    Returns
    -------
    names : list of str
        As they stand there; one may be empty, as that of the index is when pandas writes one.

    Raises
    ------
    TableError
        If the file cannot be read, is empty, has no header, is not in UTF-8, or has a name twice.
    """
    with _opened(path, codec) as (_, stream):
        return _header(path, _pieces(path, stream))[0]


def read_text(
    path: Path, codec: str | None, progress: Progress | None = None, block_bytes: int = BLOCK_BYTES
) -> Iterator[pa.RecordBatch]:
    """Read the rows of a CSV file, every column as the text that stands there.

    Parameters
    ----------
    path : Path
    codec : "gzip", "zstd" or None
    progress : callable, optional
        Called after every block with (bytes of the file read so far, bytes of the file).
    block_bytes : int
        Bytes read at a time. A row may be longer, up to `csv_rows.MAX_ROW_BYTES`.

    Yields
    ------
    batch : pyarrow.RecordBatch
        Each column a string column without nulls; an empty cell is the empty text.

    Raises
    ------
    TableError
        If the file cannot be read or is damaged: see `CsvTable`.
    """
    with _opened(path, codec) as (file, stream):
        size = os.fstat(file.fileno()).st_size
        names, pieces = _header(path, _pieces(path, stream, block_bytes))
        row = 0
        try:
            for piece in pieces:
                table = _parsed(path, piece, names, row)
                row += table.num_rows
                yield from table.to_batches()
                if progress is not None:
                    progress(file.tell(), size)
        except QuoteFault as fault:
            raise TableError(f"{path} is damaged in row {row}: {fault}") from fault


@contextmanager
def _opened(path, codec):
    """The file as it lies on the disk, and what it unpacks to."""
    with read_errors(path):
        file = path.open("rb", buffering=0)
    with file:
        yield file, file if codec is None else pa.CompressedInputStream(file, codec)


def _pieces(path, stream, block_bytes=BLOCK_BYTES):
    """The file in pieces of whole rows, without the marks that Unicode may put in front."""
    blocks = _blocks(path, stream, block_bytes)
    first = next(blocks, b"")
    if not first:
        raise TableError(f"{path} is empty, wanted a header at least")
    if first.startswith(_UTF16_MARKS):
        raise TableError(f"{path} is UTF-16 text, wanted UTF-8")
    return whole_rows(itertools.chain([first.removeprefix(_UTF8_MARK)], blocks))


def _blocks(path, stream, block_bytes):
    while True:
        with read_errors(path):
            block = stream.read(block_bytes)
        if not block:
            return
        yield block


def _header(path, pieces):
    """The names, and the pieces with the rest of the rows."""
    try:
        first = next(filter(len, map(_without_blank_lines, pieces)), None)
    except QuoteFault as fault:
        raise TableError(f"{path} is damaged in its header: {fault}") from fault
    if first is None:
        raise TableError(f"{path} has no header: it holds nothing but line ends")
    end = first_row_end(first)
    header = bytes(first[:end])
    if b"\0" in header:
        raise TableError(f"the header of {path} holds zero bytes; is it UTF-16 text? wanted UTF-8")
    try:
        header.decode()
    except UnicodeDecodeError as error:
        raise TableError(f"the header of {path} is not UTF-8 text: {_offence(error)}") from error
    # pyarrow wants the header's line to end; in this thread, since one that just starts as the process ends
    # (with an error, say) aborts it
    header = _UTF8_MARK + header + b"\n"
    names = csv.read_csv(pa.py_buffer(header), csv.ReadOptions(use_threads=False)).column_names
    rest = [first[end:]] if end < len(first) else []
    return distinct_names(names, path), itertools.chain(rest, pieces)


def _without_blank_lines(piece):
    return piece[len(piece) - len(bytes(piece).lstrip(b"\r\n")) :]


def _parsed(path, piece, names, row):
    """Parse whole rows, the first of which is the file's row `row`."""
    ragged: list[csv.InvalidRow] = []
    try:
        return _parse(piece, names, ragged)
    except pa.ArrowInvalid as error:
        if ragged:
            bad = ragged[0]
            raise TableError(
                f"{path} is damaged in row {row + bad.number - 1}: it has {_cells(bad.actual_columns)} "
                f"where the header has {bad.expected_columns}"
            ) from error
        text = bytes(piece)
        try:
            text.decode()
        except UnicodeDecodeError as undecodable:
            end = last_row_end(piece[: undecodable.start])
            row += _parse(piece[:end], names, []).num_rows if end else 0
            raise TableError(f"row {row} of {path} is not UTF-8 text: {_offence(undecodable)}") from error
        # pyarrow may have other reasons; no text is known that gives it one
        raise TableError(f"cannot read {path} from row {row}: {str(error)[:200]}") from error


def _parse(piece, names, ragged):
    def refuse(row):
        ragged.append(row)
        return "error"

    if bytes(piece[: len(_UTF8_MARK)]) == _UTF8_MARK:  # the cell's own; pyarrow would take it for a file's
        piece = _UTF8_MARK + bytes(piece)
    return csv.read_csv(
        pa.py_buffer(piece),
        # one block, in this thread: only then are the numbers of bad rows known
        csv.ReadOptions(use_threads=False, block_size=len(piece) + 1, column_names=names),
        csv.ParseOptions(newlines_in_values=True, invalid_row_handler=refuse),
        csv.ConvertOptions(
            check_utf8=True,
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[],
            strings_can_be_null=False,
        ),
    )


def _offence(error):
    return f"byte 0x{error.object[error.start]:02x} ({error.reason})"


def _cells(count):
    return f"{count} cell" if count == 1 else f"{count} cells"
