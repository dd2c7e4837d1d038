"""A batch job: a table in, the same table with a column of feature vectors out."""

import json
import logging
from collections import defaultdict, deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter

import pyarrow as pa
from filelock import FileLock, Timeout

from .crops import looks_like_crop_string
from .errors import JobError, TableError
from .features import FEATURE_FORMATS, to_cells
from .metadata import METADATA_KEY
from .missing import is_missing
from .reports import EncodeReport
from .tables import cells, features_array, open_table, open_writer, output_kind

__all__ = ["JobSummary", "choose_format", "encode_table", "find_crop_column"]

log = logging.getLogger(__name__)

# How many cells of a column are looked at before it is said to hold no crop strings.
_LOOKED_AT = 1000


@dataclass
class JobSummary:
    """What a job did.

    Parameters
    ----------
    output : str
    column, feature_column : str
        Where the crops were, and where the features are.
    rows, encoded, missing, broken : int
    reasons : dict of str to int
        How many cells are broken for which reason.
    crops_per_second : float
        Encoded crops by all seconds, reading and writing counted in, opening the engine not.
    seconds : dict of str to float
        `read` and `write` of the main thread, `decode` and `infer` summed over threads, `total` by the clock.
    made_by : dict
        As of `OsNetEncoder.describe`.
    """

    output: str
    column: str
    feature_column: str
    rows: int = 0
    encoded: int = 0
    missing: int = 0
    broken: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    crops_per_second: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    made_by: dict = field(default_factory=dict)

    def as_dict(self):
        """dict, fit for JSON."""
        return asdict(self)


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
    progress=None,
):
    """Encode a column of a table on disk; memory follows the batch, not the table.

    Parameters
    ----------
    source : str or path
        CSV (also .gz, .zst) or Parquet: a file, a folder or a glob.
    target : str or path
        CSV or Parquet, by its suffix; written beside and renamed when whole.
    encoder : OsNetEncoder
        Its `on_error` decides what a broken cell does.
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
    progress : callable, optional
        `progress(report, rows)` is called after each batch: an `EncodeReport`, and how many rows there are.

    Returns
    -------
    JobSummary

    Raises
    ------
    TableError
        A file or a column is not there, or is damaged.
    CropError
        A cell is broken, with `on_error="raise"`.
    EngineError
        The engine failed.
    JobError
        Another job is writing the same output (`locked`).
    ValueError
        Arguments that contradict each other.
    """
    started = perf_counter()
    table = open_table(source)
    feature_format = choose_format(feature_format, target)
    column = _check_column(table, column) if column else find_crop_column(table)
    layout = _Layout(table, column, feature_column, keep_crops)
    with _lock(Path(target)):
        survey = table.survey(limit=limit)
        typed = output_kind(target) == "parquet"
        schema = layout.output(survey.typed_schema if typed else table.schema, feature_format, encoder.feature_dim)
        numeric = survey.numeric - {column} if table.kind == "csv" else frozenset()
        metadata = {METADATA_KEY: json.dumps(encoder.describe(), sort_keys=True)}
        report = EncodeReport()
        seconds: dict[str, float] = defaultdict(float)
        with open_writer(target, schema, numeric=numeric, metadata=metadata) as writer:
            batches = _timed(table.batches(encoder.batch_size, limit=limit, typed=typed), seconds, "read")
            for batch, encoded in _encode(encoder, batches, column):
                report.add(encoded)
                clock = perf_counter()
                writer.write(layout.replace(batch, _feature_array(encoded, feature_format), schema))
                seconds["write"] += perf_counter() - clock
                if progress is not None:
                    progress(report, survey.rows)
    seconds |= report.seconds
    seconds["total"] = perf_counter() - started
    summary = JobSummary(
        output=str(target),
        column=column,
        feature_column=feature_column,
        rows=report.rows,
        encoded=report.encoded,
        missing=report.missing,
        broken=len(report.broken),
        reasons=report.reasons,
        crops_per_second=report.encoded / seconds["total"],
        seconds={stage: round(spent, 3) for stage, spent in seconds.items()},
        made_by=encoder.describe(),
    )
    log.info(
        "wrote %s: %d rows, %d encoded, %d missing, %d broken",
        target, summary.rows, summary.encoded, summary.missing, summary.broken,
    )  # fmt: skip
    return summary


def find_crop_column(table):
    """Find the one column that holds crop strings.

    Parameters
    ----------
    table : as of `tables.open_table`

    Returns
    -------
    name : str

    Raises
    ------
    TableError
        None or several of its columns hold a crop string among their first 1,000 non-missing cells.
    """
    left = {
        name: _LOOKED_AT for name, field in zip(table.names, table.schema, strict=True) if _is_text(field.type)
    }
    found = set()
    for batch in table.batches(16):
        for name in list(left):
            present = [cell for cell in cells(batch.column(name)) if not is_missing(cell)][: left[name]]
            left[name] -= len(present)
            if any(looks_like_crop_string(cell) for cell in present):
                found.add(name)
            if name in found or not left[name]:
                del left[name]
        if not left:
            break
    if len(found) == 1:
        return found.pop()
    what = "no column holds" if not found else f"columns {', '.join(sorted(found))} all hold"
    raise TableError(f"{what} crop strings; name the one to encode, of {', '.join(table.names)}")


class _Layout:
    """Where the columns of the output come from."""

    def __init__(self, table, column, feature_column, keep_crops):
        self.column, self.feature_column, self.keep_crops = column, feature_column, keep_crops
        others = [name for name in table.names if keep_crops or name != column]
        if feature_column in others:
            hint = "; without keep_crops it may be the crop column itself" if feature_column == column else ""
            raise TableError(
                f"the table has a column {feature_column!r} already; name another for the features{hint}"
            )

    def output(self, schema, feature_format, dim):
        """The output's schema, features in the crops' place or at the end."""
        value = pa.list_(pa.float32(), dim) if feature_format == "list" else pa.string()
        features = pa.field(self.feature_column, value)
        at = schema.get_field_index(self.column)
        return schema.append(features) if self.keep_crops else schema.set(at, features)

    def replace(self, batch, features, schema):
        """One batch in that schema."""
        arrays = list(batch.columns)
        if self.keep_crops:
            arrays.append(features)
        else:
            arrays[batch.schema.get_field_index(self.column)] = features
        return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _encode(encoder, batches, column):
    """Yield each batch of rows beside what became of its crops."""
    under_way: deque = deque()

    def crops():
        for batch in batches:
            under_way.append(batch)
            yield cells(batch.column(column))

    for encoded in encoder.encode_batches(crops()):
        yield under_way.popleft(), encoded


def _feature_array(encoded, feature_format):
    if feature_format == "list":
        return features_array(encoded.features, encoded.absent)
    return pa.array(to_cells(encoded.features, encoded.absent, feature_format), pa.string())


def _timed(batches, seconds, stage):
    while True:
        clock = perf_counter()
        batch = next(batches, None)
        seconds[stage] += perf_counter() - clock
        if batch is None:
            return
        yield batch


def choose_format(feature_format, target):
    """Settle how feature vectors are written into a file.

    Parameters
    ----------
    feature_format : "zlib-hex", "json", "list" or None
    target : str or path

    Returns
    -------
    feature_format : str
        For None, `list` in Parquet and `zlib-hex` in CSV.

    Raises
    ------
    TableError
        The suffix is that of no known kind of file.
    ValueError
        The file cannot hold that format.
    """
    kind = output_kind(target)
    if feature_format is None:
        return "list" if kind == "parquet" else "zlib-hex"
    if feature_format not in FEATURE_FORMATS:
        raise ValueError(f"feature_format must be one of {', '.join(FEATURE_FORMATS)}, found {feature_format!r}")
    if feature_format == "list" and kind == "csv":
        raise ValueError("CSV cannot hold lists; choose zlib-hex or json, or write Parquet")
    return feature_format


def _check_column(table, column):
    if column not in table.names:
        raise TableError(f"no column {column!r} in the table; it has {', '.join(table.names)}")
    return column


def _is_text(kind):
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _lock(target):
    """Hold the output against a second job; the system frees it with the process, however that ends."""
    if not target.parent.is_dir():
        raise TableError(f"no folder {str(target.parent)!r} to write {target.name!r} into")
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        return lock.acquire(timeout=0)
    except Timeout as error:
        raise JobError("locked", f"another job is writing {str(target)!r} (lock {lock.lock_file!r})") from error
    except OSError as error:
        raise TableError(f"cannot write into {str(target.parent)!r}: {error}") from error
