"""`encode_table`: from a table to its output, by parts that are kept whatever happens."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from ..errors import JobError
from ..tables import Survey
from .fingerprint import Input, read_input, take_fingerprint
from .finish import publish, tell_unchanged
from .folder import KNOWN, clear, discard
from .golden import check_engine
from .hold import hold
from .known import Known
from .layout import ERROR_COLUMN
from .making import make_parts
from .manifest import MANIFEST, Manifest, read_manifest, write_manifest
from .options import PART_ROWS, Options
from .place import look_at, recover
from .resume import settle
from .state import Job, open_job
from .summary import JobSummary
from .update import open_known

__all__ = ["encode_table"]


def encode_table(
    source,
    target,
    encoder,
    *,
    column=None,
    feature_column="feature_vector",
    keep_crops=False,
    feature_format=None,
    limit=None,
    on_error=None,
    error_column=ERROR_COLUMN,
    rejects=None,
    max_error_rate=None,
    part_rows=PART_ROWS,
    overwrite=False,
    fresh=False,
    update=False,
    key=None,
    progress=None,
):
    """Encode a column of a table on disk; memory follows the batch, not the table.

    The work is done in parts, kept in `TARGET.job`. A job that is cut short goes on from its finished parts when
    it is run again; its output is then the one it would have been. Until it is whole, nothing is at its place
    but what was there before.

    Parameters
    ----------
    source : str or path
        CSV (also .gz, .zst) or Parquet: a file, a folder or a glob.
    target : str or path
        CSV or Parquet, by its suffix; text with a slash at its end is a folder of Parquet files, one for each
        part, and `_SUCCESS` once all are there.
    encoder : OsNetEncoder
        Its `on_error` decides what a broken cell does, unless `on_error` says it here.
    column : str, optional
        Where the crops are; found by looking, if left out (crop strings only).
    feature_column : str
        Where the features go: in the crops' place, or at the end with `keep_crops`. May be the crop column's
        own name.
    keep_crops : bool
    feature_format : "zlib-hex", "json" or "list", optional
        If left out, `list` for Parquet and `zlib-hex` for CSV (which cannot hold lists).
    limit : int, optional
        Rows to take from the start.
    on_error : "null", "drop" or "raise", optional
        What a broken cell does: become a missing feature vector, take its row with it, or end the job.
    error_column : str or None
        The text column behind the features that says why a cell is broken; `{}` stands for the name of the
        feature column. None for no such column.
    rejects : str or path, optional
        A CSV of all broken cells: row, reason, detail, and how the cell begins.
    max_error_rate : float, optional
        Broken cells to those not missing, above which nothing is published. If left out 0.01, and never for
        fewer than 10 broken cells.
    part_rows : int
        Rows of a part.
    overwrite : bool
        Replace an output that is there, and that this very job did not make; keep those parts of a job with
        other options that these do not touch.
    fresh : bool
        Go on with nothing.
    update : bool
        Take the feature vectors of rows that the output has from there, and encode the others. Rows are told
        apart by `key`, or else by their crops, of which updates take note.
    key : str, optional
        With `update`: a column that has another text in every row, in the input and in the output.
    progress : callable, optional
        `progress(tally, rows)` is called after each batch: a `Tally` of the rows done, and how many there are.

    Returns
    -------
    JobSummary

    Raises
    ------
    TableError
        A file or a column is not there, or is damaged; or the output cannot be written.
    CropError
        A cell is broken, with `on_error="raise"`.
    EngineError
        The engine failed, or does not give the numbers that it gave before.
    JobError
        Another job is writing the same output (`locked`); there is an output that may not be replaced (`exists`),
        or one or a job that was begun otherwise (`changed`); features of other weights cannot be updated
        (`provenance`), or rows would be lost by it (`lost`); the input changed (`input_changed`); too many
        cells are broken (`rejects`), or all (`nothing_encoded`); files of the job are damaged (`damaged`).
    ValueError
        Arguments that contradict each other.
    """
    options = Options(
        column=column,
        feature_column=feature_column,
        keep_crops=keep_crops,
        feature_format=feature_format,
        limit=limit,
        on_error=on_error,
        error_column=error_column,
        rejects=rejects,
        max_error_rate=max_error_rate,
        part_rows=part_rows,
        overwrite=overwrite,
        fresh=fresh,
        update=update,
        key=key,
    )
    if encoder.on_error == "raise" and options.on_error in ("null", "drop"):
        raise ValueError(f"on_error={options.on_error!r} wants an encoder with on_error='null', found 'raise'")
    if update and key is None and encoder.cells == "path":
        raise ValueError("paths do not tell whether a crop is the same; update wants a key here")
    job = open_job(source, target, encoder, options, progress)
    with hold(job.target, job.folder):
        return _run(job)


def _run(job: Job) -> JobSummary:
    manifest = _manifest(job)
    if job.in_files:
        recover(job.staged, job.target, manifest)
    found, survey = _look(job)
    job.manifest = _settled(job, manifest, found)
    work = job.manifest.work
    if work is None:
        return tell_unchanged(job)
    if (job.folder / MANIFEST).exists():
        write_manifest(job.folder, job.manifest)  # before what it no longer names goes
    clear(job.folder, job.manifest)
    job.manifest = replace(job.manifest, golden=check_engine(job.encoder, job.manifest.golden))
    job.count_resumed(work.parts)
    try:
        known = _known(job, work.fingerprint.encoding["update"])
        if job.tally.rows < survey.rows:
            _make(job, found, survey, known)
        return publish(job, found, survey, known)
    finally:
        discard(job.folder / KNOWN)


def _make(job, found, survey, known):
    try:
        make_parts(job, found, survey, known)
    except BaseException:
        # a part, say, that was written and not recorded; which are recorded is for the disk to say
        clear(job.folder, read_manifest(job.folder))
        raise


def _look(job: Job) -> tuple[Input, Survey]:
    """Read the input twice at once: its bytes for the fingerprint, its rows for types and damage."""
    with ThreadPoolExecutor(1, thread_name_prefix="osnet-input") as pool:
        reading = pool.submit(read_input, job.table.files)
        survey = job.table.survey(limit=job.options.limit)
        return reading.result(), survey


def _settled(job: Job, manifest: Manifest, found: Input) -> Manifest:
    """What of earlier runs counts."""
    options = job.options
    there = look_at(job.target)
    base = None
    if options.update and there is not None and not _begins_notes(options, manifest):
        base = {"output": there.sha256, "key": options.key}
    fingerprint = take_fingerprint(
        found,
        job.encoder,
        job.layout,
        limit=options.limit,
        part_rows=options.part_rows,
        batch_size=job.encoder.batch_size,
        update=base,
    )
    return settle(
        manifest,
        there,
        fingerprint,
        job.target,
        job.folder,
        overwrite=options.overwrite,
        fresh=options.fresh,
        update=options.update,
    )


def _manifest(job):
    try:
        manifest = read_manifest(job.folder)
    except JobError:
        if not job.options.fresh:
            raise
        return Manifest()
    return replace(manifest, golden={}) if job.options.fresh else manifest


def _begins_notes(options, manifest):
    """Whether this is the first update that takes note of crops, and may replace what is there."""
    noted = manifest.published is not None and manifest.published.digests is not None
    return options.overwrite and options.key is None and not noted


def _known(job: Job, base: dict | None) -> Known | None:
    if base is not None:
        return open_known(
            job.target,
            job.manifest.published,
            job.folder,
            job.encoder,
            job.layout.feature_column,
            job.options.key,
        )
    if job.options.update and job.options.key is None:
        return Known.nothing(job.encoder.feature_dim)  # to take note of the crops
    return None
