"""`verify_table`: an output read again from end to end, and held against its input."""

from ..errors import JobError
from ..tables import output_kind
from .comparison import Comparison, Verified
from .fingerprint import read_input
from .folder import job_folder
from .layout import ERROR_COLUMN
from .manifest import Published, read_manifest
from .options import Options
from .part_files import check_success
from .place import find_place, look_at
from .state import open_job
from .update import check_provenance

__all__ = ["SAMPLE", "verify_table"]

# Rows of the input that are encoded again, unless told otherwise.
SAMPLE = 64


def verify_table(
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
    sample=SAMPLE,
) -> Verified:
    """Read an output again, and hold it against its input.

    Looked at are: the sha256 of output and input, where the manifest is there, else those that a folder's
    `_SUCCESS` lists; the checksums of a Parquet file's pages; that there are as many rows as there should be;
    every cell of every column that was copied; that every feature vector can be read, and stands where there is a
    crop; and those of a sample of rows, encoded again.

    Parameters
    ----------
    source, target : str or path
        The input and the output.
    encoder : OsNetEncoder
        With `on_error="null"`.
    column, feature_column, keep_crops, feature_format, limit, on_error, error_column
        As of `encode_table`; what the manifest says counts, where it is there.
    sample : int
        Rows to encode again, evenly spread, the first and the last among them.

    Returns
    -------
    Verified

    Raises
    ------
    JobError
        Something is not as it should be (`unverified`), or the features were made by other weights or another
        preprocessing (`provenance`).
    TableError
        A file cannot be read, or is damaged.
    EngineError
        The engine failed.
    ValueError
        Arguments that contradict each other.
    """
    if sample < 1:
        raise ValueError(f"sample must be at least 1, found {sample}")
    options = Options(
        column=column,
        feature_column=feature_column,
        keep_crops=keep_crops,
        feature_format=feature_format,
        limit=limit,
        on_error=on_error,
        error_column=error_column,
    )
    if encoder.on_error == "raise":
        raise ValueError("verify wants an encoder with on_error='null', found 'raise'")
    published = read_manifest(job_folder(find_place(target))).published
    if published is not None:
        options = _as_published(published)
    job = open_job(source, target, encoder, options)
    if published is not None:
        _check_files(job, published)
    elif job.in_files:
        check_success(job.target)
    if published is not None or output_kind(target) == "parquet":
        check_provenance(job.target, published, encoder)
    if job.layout.on_error == "drop" and published is None:
        raise JobError("unverified", f"{target} has no manifest, which alone tells the rows that were left out")
    dropped = set() if published is None else set(published.dropped)
    return Comparison(job, dropped, sample, proved=published is not None or job.in_files).run()


def _as_published(published: Published) -> Options:
    told = published.fingerprint.output
    return Options(
        column=published.fingerprint.encoding["column"],
        limit=published.fingerprint.encoding["limit"],
        **told,
    )


def _check_files(job, published):
    there = look_at(job.target)
    if there != published.output:
        found = "nothing" if there is None else f"{there.bytes:,} bytes of sha256 {there.sha256[:12]}"
        raise JobError(
            "unverified",
            f"{job.name} is not what was made: found {found}, wanted {published.output.bytes:,} bytes of sha256 "
            f"{published.output.sha256[:12]}",
        )
    if read_input(job.table.files).contents != published.fingerprint.encoding["input"]:
        raise JobError("unverified", f"{job.name} was made of another input than this one")
