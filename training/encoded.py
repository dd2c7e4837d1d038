"""Tables of encoded crops -> labels and features: what `osnet-encode` wrote, or what an encoder makes now."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import FeatureError, TableError
from ..features import decode_feature
from ..missing import is_missing
from ..reports import EncodeReport
from ..tables import Table, cells, open_table
from .label_cells import iter_cells
from .label_columns import MARKS, join_columns, read_texts
from .label_faults import raise_faults
from .labels import CAMERA_COLUMN, IDENTITY_COLUMN, Labels, Source, stamp_of

__all__ = ["FEATURE_COLUMN", "encode_labels", "read_encoded"]

FEATURE_COLUMN = "feature_vector"

_ROWS = 4096


def read_encoded(
    path: str | Path,
    *,
    feature_column: str = FEATURE_COLUMN,
    identity_column: str = IDENTITY_COLUMN,
    camera_column: str = CAMERA_COLUMN,
) -> tuple[Labels, np.ndarray]:
    """Read a table that has features and labels side by side.

    Parameters
    ----------
    path : str or Path
        CSV or Parquet, as of `tables.open_table`.
    feature_column : str
        Lists, feature strings or JSON.
    identity_column, camera_column : str
        As of `label_tables.read_labels`.

    Returns
    -------
    labels : Labels
        Of all rows; the features stand where the crops of other labels do.
    features : float32, (N, D)
        NaN rows where there is no feature vector.

    Raises
    ------
    TableError
        The table cannot be read or lacks a column, or rows are wrong: the first ten, with what is wrong with them.
    FeatureError
        A feature cell cannot be read, differs in length from those before it, or holds a number that is not
        finite; with its row.
    """
    table = open_table(path)
    if feature_column not in table.names:
        raise TableError(
            f"{path} has no column {feature_column!r}; it has {', '.join(table.names)}: name the one with the "
            "features, or weights to encode the crops with"
        )
    if camera_column not in table.names and camera_column != CAMERA_COLUMN:
        raise TableError(f"{path} has no column {camera_column!r}; it has {', '.join(table.names)}")
    if identity_column not in table.names:
        raise TableError(
            f"{path} has no column {identity_column!r} to say who is who; it has {', '.join(table.names)}"
        )
    wanted = {"identity": identity_column, "camera": camera_column, **{name: name for name in MARKS}}
    wanted = {ours: theirs for ours, theirs in wanted.items() if theirs in table.names}
    texts = read_texts(table, path, sorted(set(wanted.values())), feature_column)
    stamps = tuple(stamp_of(file) for file in table.files)
    source = Source(str(path), tuple(table.files), feature_column, "features", Path(), stamps)
    labels, faults = join_columns([source], [{ours: texts[theirs] for ours, theirs in wanted.items()}])
    raise_faults(labels, faults)
    return labels, _read_features(table, path, feature_column, len(labels))


def encode_labels(labels: Labels, encoder, progress: Callable[[EncodeReport, int], None] | None = None):
    """Encode the crops of labels.

    Parameters
    ----------
    labels : Labels
        Of sources of one kind of cell.
    encoder : OsNetEncoder
        For cells of that kind.
    progress : callable, optional
        Called after each batch with what has been done so far, and how many rows there are.

    Returns
    -------
    features : float32, (N, D)
        NaN rows where a crop is missing or, with an encoder that lets them pass, broken.
    report : EncodeReport
        Its rows are positions in the labels.

    Raises
    ------
    TableError
        A table is damaged, or has changed since its labels were read.
    CropError, EngineError
        As of `OsNetEncoder.encode`.
    """
    features = np.full((len(labels), encoder.feature_dim), np.nan, np.float32)
    report = EncodeReport()
    for encoded in encoder.encode_batches(_batched(iter_cells(labels), encoder.batch_size)):
        features[report.rows : report.rows + len(encoded.features)] = encoded.features
        report.add(encoded)
        if progress is not None:
            progress(report, len(labels))
    return features, report


def _batched(items, size):
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch


def _read_features(table: Table, path, column, rows):
    """float32, (N, D), NaN rows where there is none."""
    heavy = _heaviest(table, column)
    features = None
    first = 0
    for batch in table.batches(_ROWS, without=heavy):
        try:
            present, vectors = _vectors(batch.column(column), first)
            if features is None and len(vectors):
                features = np.full((rows, vectors.shape[1]), np.nan, np.float32)
            if features is not None and len(vectors):
                if vectors.shape[1] != features.shape[1]:
                    raise FeatureError(_other_length(first + int(present[0]), vectors.shape[1], features.shape[1]))
                for at in np.flatnonzero(~np.isfinite(vectors).all(axis=1))[:1]:
                    raise FeatureError(f"row {first + present[at]}: the numbers are not all finite")
                features[first + present] = vectors
        except FeatureError as error:
            raise FeatureError(f"{path}: {error}") from error
        first += len(batch)
    return np.full((rows, 0), np.nan, np.float32) if features is None else features


def _vectors(column, first):
    """Which rows of a batch have a feature vector, and these."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        present = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        lengths = pc.list_value_length(column).drop_null().to_numpy()
        _check_lengths(lengths, first + present)
        try:
            values = pc.cast(column.flatten(), pa.float32(), safe=False).to_numpy(zero_copy_only=False)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise FeatureError(f"the column of features is {kind}, wanted lists of numbers") from error
        return present, values.reshape(len(present), -1) if len(present) else np.empty((0, 0), np.float32)
    found = [(at, _vector(cell, first + at)) for at, cell in enumerate(cells(column)) if not is_missing(cell)]
    if not found:
        return np.empty(0, np.int64), np.empty((0, 0), np.float32)
    present = np.array([at for at, _ in found])
    _check_lengths(np.array([len(vector) for _, vector in found]), first + present)
    return present, np.stack([vector for _, vector in found])


def _vector(cell, row):
    try:
        return decode_feature(bytes(cell).decode("utf-8", "replace") if isinstance(cell, memoryview) else cell)
    except FeatureError as error:
        raise FeatureError(f"row {row}: {error}") from error


def _check_lengths(lengths, rows):
    if len(lengths) and not lengths[0]:
        raise FeatureError(f"row {rows[0]}: not a feature vector: it has no numbers")
    for at in np.flatnonzero(lengths != lengths[:1])[:1]:
        raise FeatureError(_other_length(rows[at], lengths[at], lengths[0]))


def _other_length(row, found, wanted):
    return f"row {row}: {found} numbers, where the rows before have {wanted}"


def _heaviest(table, wanted):
    """The largest column but the one that is wanted: of crops, maybe, that need not be unpacked."""
    batch = next(table.batches(1), None)
    others = [name for name in table.names if name != wanted]
    if batch is None or not others:
        return None
    return max(others, key=lambda name: batch.column(name).nbytes)
