"""Finished parts and the table -> the whole output, staged beside its place."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import pyarrow as pa

from ..errors import JobError
from ..tables import Survey, open_writer, output_kind
from ..tables.faults import write_errors
from .known import Known, joined
from .options import ROWS_AT_ONCE
from .part_files import part_file
from .parts import Outcome, Part, cut, read_outcomes
from .state import Job

__all__ = ["stage"]


def stage(job: Job, parts: list[Part], survey: Survey, metadata: dict[str, str], known: Known | None) -> bytes:
    """Write the whole output where it is in nobody's way: one file, or a folder with a file for each part.

    Parameters
    ----------
    job : Job
    parts : list of Part
        All, in order.
    survey : Survey
    metadata : dict of str to str
        Kept in Parquet files.
    known : Known or None
        The rows of the output that this one is to replace.

    Returns
    -------
    digests : bytes
        What tells the crop of each of the output's rows, if `known` goes by crops.

    Raises
    ------
    TableError
        The table cannot be read, or the output not written.
    JobError
        A part is gone or damaged (`damaged`), or the table does not have the rows that were encoded
        (`input_changed`).
    """
    typed = output_kind(job.name) == "parquet"
    schema = job.layout.schema(survey.typed_schema if typed else job.table.schema, job.encoder.feature_dim)
    numeric = survey.numeric - {job.layout.column} if job.table.kind == "csv" else frozenset()

    def write(path: Path, batches: Iterable[pa.RecordBatch]) -> None:
        with open_writer(path, schema, numeric=numeric, metadata=metadata) as writer:
            for batch in batches:
                writer.write(batch)

    digests = bytearray()
    batches = _batches(job, parts, schema, typed, known, digests)
    if job.in_files:
        with write_errors(job.staged):
            job.staged.mkdir()
        for number, of_part in groupby(batches, key=itemgetter(0)):
            write(job.staged / part_file(number, len(parts)), (batch for _, batch in of_part))
        if not parts:
            write(job.staged / part_file(0, 1), [])
    else:
        write(job.staged, (batch for _, batch in batches))
    return bytes(digests)


def _batches(job, parts, schema, typed, known, digests) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The output's rows, each batch with the number of its part; the digests are added up."""
    for number, rows, outcome in _rows(job, parts, typed):
        yield number, job.layout.rows(rows, outcome, schema)
        if known is not None:
            known.meet(rows, outcome.digest)
            digests += joined(_kept(outcome, job.layout)) if known.by_digest else b""


def _rows(job, parts, typed) -> Iterator[tuple[int, pa.RecordBatch, Outcome]]:
    """The table's rows beside what became of their crops."""
    unwanted = None if job.layout.keep_crops else job.layout.column
    batches = job.table.batches(ROWS_AT_ONCE, limit=job.options.limit, typed=typed, without=unwanted)
    pieces = cut(batches, job.options.part_rows)
    for part, outcome in read_outcomes(job.folder, parts):
        end = 0
        while end < part.rows:
            piece = next(pieces, None)
            if piece is None:
                raise JobError("input_changed", "the input has fewer rows than were encoded")
            start, end = end, end + piece.rows.num_rows
            if end > part.rows:
                raise JobError("input_changed", "the input has more rows than were encoded")
            yield part.number, piece.rows, outcome.slice(start, end)
    if next(pieces, None) is not None:
        raise JobError("input_changed", "the input has more rows than were encoded")


def _kept(outcome, layout):
    if layout.on_error != "drop":
        return outcome.digest
    return outcome.digest.filter(outcome.reason.is_null())
