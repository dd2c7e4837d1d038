"""The parts that are not there yet: encoded one after the other, each recorded once it is on the disk."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from time import perf_counter

from ..errors import CropError
from ..tables import Survey
from .encoding import encode_pieces
from .fingerprint import Input
from .known import Known
from .manifest import write_manifest
from .parts import Outcome, Piece, cut, store
from .state import Job

__all__ = ["make_parts"]

log = logging.getLogger(__name__)


def make_parts(job: Job, found: Input, survey: Survey, known: Known | None) -> None:
    """Encode what no earlier run has; the manifest grows by a part at a time.

    Parameters
    ----------
    job : Job
        Its manifest, tally and seconds are kept up.
    found : Input
    survey : Survey
    known : Known or None
        Feature vectors that need not be made.

    Raises
    ------
    TableError
        The table cannot be read on, or a part not be written.
    CropError
        A cell is broken, with `on_error="raise"`.
    EngineError
        The engine failed.
    JobError
        The input changed (`input_changed`).
    """
    assert job.manifest.work is not None
    done = {part.number for part in job.manifest.work.parts}
    pieces = (piece for piece in _pieces(job) if piece.part not in done)
    part_rows = job.options.part_rows
    held: list[Outcome] = []
    reused = 0
    for piece, outcome, encoded, taken in encode_pieces(pieces, job.encoder, job.layout.column, known):
        if job.layout.on_error == "raise":
            _raise_broken(piece, outcome)
        held.append(outcome)
        reused += taken
        job.tally.add(outcome)
        job.encoded_here += int((~encoded.absent).sum())
        for stage, spent in encoded.seconds.items():
            job.seconds[stage] += spent
        end = piece.first_row + piece.rows.num_rows
        if end % part_rows == 0 or end == survey.rows:
            _finish(job, found, piece.part, held, reused)
            held, reused = [], 0
        if job.progress is not None:
            job.progress(job.tally, survey.rows)


def _pieces(job: Job) -> Iterator[Piece]:
    part_rows = job.options.part_rows
    batches = job.table.batches(min(job.encoder.batch_size, part_rows), limit=job.options.limit)
    return cut(_timed(batches, job.seconds), part_rows)


def _timed(batches, seconds):
    while True:
        clock = perf_counter()
        batch = next(batches, None)
        seconds["read"] += perf_counter() - clock
        if batch is None:
            return
        yield batch


def _finish(job, found, number, held, reused):
    clock = perf_counter()
    part = store(job.folder, number, number * job.options.part_rows, held, reused)
    # only now is it certain that these were rows of the input that the fingerprint is of
    found.check_unchanged()
    work = job.manifest.work
    parts = sorted([*work.parts, part], key=lambda one: one.number)
    manifest = replace(job.manifest, work=replace(work, parts=parts))
    write_manifest(job.folder, manifest)
    job.manifest = manifest
    job.seconds["write"] += perf_counter() - clock
    log.debug("part %d: %d rows from row %d on", number, part.rows, part.first_row)


def _raise_broken(piece, outcome):
    """For an encoder that would let broken cells pass."""
    for at, reason in enumerate(outcome.reason.to_pylist()):
        if reason is not None:
            raise CropError(reason, outcome.detail[at].as_py(), piece.first_row + at)
