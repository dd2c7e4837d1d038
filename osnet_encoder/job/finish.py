"""All parts are there: judge them, put the output in its place, and tell."""

import json
import logging
from dataclasses import replace
from time import perf_counter

from ..errors import JobError
from ..metadata import METADATA_KEY
from ..tables import Survey, put_bytes
from .fingerprint import Input
from .folder import clear, discard
from .known import Known
from .manifest import Published, Work, write_manifest
from .place import put_output_in_place, seal
from .publishing import stage
from .rejects import REJECTS, copy_rejects, judge, raise_first, write_rejects
from .state import Job
from .summary import JobSummary

__all__ = ["publish", "tell_unchanged"]

log = logging.getLogger(__name__)


def publish(job: Job, found: Input, survey: Survey, known: Known | None) -> JobSummary:
    """Make the output of the parts; in its place is the old one or the whole new one.

    Parameters
    ----------
    job : Job
        With all its parts.
    found : Input
    survey : Survey
    known : Known or None

    Returns
    -------
    summary : JobSummary

    Raises
    ------
    TableError
        The table cannot be read, or the output not written.
    CropError
        A cell is broken, with `on_error="raise"`.
    JobError
        Too many cells are broken (`rejects`, `nothing_encoded`), rows would be lost (`lost`), the input changed
        (`input_changed`), a part is damaged (`damaged`), or the folder holds what no job made (`exists`).
    """
    clock = perf_counter()
    work = job.manifest.work
    assert work is not None
    if job.tally.rows != survey.rows:
        raise JobError("input_changed", f"{job.tally.rows:,} rows were encoded of {survey.rows:,} in the input")
    broken = write_rejects(job.folder, work.parts)
    if job.rejects is not None:
        copy_rejects(job.folder, job.rejects)
    if job.layout.on_error == "raise":
        raise_first(job.folder, work.parts)
    judge(job.tally, job.options.max_error_rate, job.rejects or job.folder / REJECTS)
    try:
        published = _staged(job, work, found, survey, known, broken)
        # From here on a run that finds this note, and that output in its place, has nothing left to do.
        write_manifest(job.folder, replace(job.manifest, work=replace(work, staged=published)))
    except BaseException:
        discard(job.staged)
        raise
    put_output_in_place(job.staged, job.target)
    job.manifest = replace(job.manifest, work=None, published=published)
    write_manifest(job.folder, job.manifest)
    clear(job.folder, job.manifest)
    job.seconds["write"] += perf_counter() - clock
    summary = replace(job.summary(), parts=len(work.parts), reused=sum(part.reused for part in work.parts))
    log.info(
        "wrote %s: %d rows, %d encoded, %d missing, %d broken",
        job.name, summary.rows, summary.encoded, summary.missing, summary.broken,
    )  # fmt: skip
    return summary


def tell_unchanged(job: Job) -> JobSummary:
    """Do nothing, and say so.

    Parameters
    ----------
    job : Job
        Whose output is there.

    Returns
    -------
    summary : JobSummary

    Raises
    ------
    TableError
        The rejects cannot be written where they are wanted.
    """
    write_manifest(job.folder, job.manifest)
    clear(job.folder, job.manifest)
    if job.rejects is not None:
        copy_rejects(job.folder, job.rejects)
    summary = replace(job.summary(), state="unchanged")
    log.info("nothing to do: %s is what this job makes of this input", job.name)
    return replace(summary, resumed=summary.rows)


def _staged(
    job: Job, work: Work, found: Input, survey: Survey, known: Known | None, broken: list[int]
) -> Published:
    """Write the whole output beside its place; what is to be said of it."""
    made_by = job.encoder.describe()
    metadata = {METADATA_KEY: json.dumps(made_by, sort_keys=True)}
    digests = stage(job, work.parts, survey, metadata, known)
    found.check_unchanged()
    if known is not None and not job.options.overwrite:
        known.check_none_is_lost()
    output = seal(job.staged)
    noted = None
    if known is not None and known.by_digest:
        noted = f"digests-{output.sha256[:16]}.bin"
        put_bytes(job.folder / noted, digests)
    return Published(
        fingerprint=work.fingerprint,
        output=output,
        made_by=made_by,
        rows=job.tally.rows,
        encoded=job.tally.encoded,
        missing=job.tally.missing,
        broken=job.tally.broken,
        reasons=dict(job.tally.reasons.most_common()),
        dropped=broken if job.layout.on_error == "drop" else [],
        digests=noted,
    )
