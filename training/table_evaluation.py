"""A table -> its evaluation: which of its rows are asked for, and where their features come from."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..encoder import OsNetEncoder
from ..errors import TableError
from ..reports import EncodeReport
from ..tables import open_table
from .encoded import FEATURE_COLUMN, encode_labels, read_encoded
from .evaluation import Evaluation, evaluate_features
from .label_columns import read_texts
from .label_tables import read_labels
from .labels import CAMERA_COLUMN, IDENTITY_COLUMN, Labels, select

__all__ = ["Asked", "Condition", "ask", "evaluate_table"]

Condition = tuple[str, str]
"""A column, and the text that stands in it."""

# So many broken crops are named in a note; the rest is counted.
_NAMED = 3


@dataclass(frozen=True)
class Asked:
    """Which rows of a table are to be evaluated.

    Parameters
    ----------
    labels : Labels
        Of these rows.
    rows : int64, (M,)
        Their positions among the rows of the table.
    notes : tuple of str
        What a reader of the figures should know about the choice.
    """

    labels: Labels
    rows: np.ndarray
    notes: tuple[str, ...]


def evaluate_table(
    path: str | Path,
    *,
    weights: str | Path | None = None,
    encoder_options: Mapping[str, Any] | None = None,
    root: str | Path | None = None,
    column: str | None = None,
    feature_column: str = FEATURE_COLUMN,
    identity_column: str = IDENTITY_COLUMN,
    camera_column: str | None = CAMERA_COLUMN,
    only: Iterable[Condition] = (),
    query: Iterable[Condition] = (),
    gallery: Iterable[Condition] = (),
    progress: Callable[[EncodeReport, int], None] | None = None,
    **measures,
) -> Evaluation:
    """Measure how well the feature vectors of a table tell its people apart.

    Parameters
    ----------
    path : str or Path
        CSV or Parquet, as of `tables.open_table`.
    weights : str or Path, optional
        What to encode the table's crops with, as of `OsNetEncoder`. Left out, the table is an encoded one.
    encoder_options : mapping of str to value, optional
        What else `OsNetEncoder` is told: `device`, `color_order`, ... Of cells that are broken it hears nothing,
        unless `on_error` says so: they are left out, and a note counts them.
    root, column
        As of `label_tables.read_labels`; heeded where crops are to be encoded.
    feature_column : str
        Heeded where the table is an encoded one.
    identity_column : str
    camera_column : str or None
        None: cameras are not heeded. It may be absent only under its usual name.
    only, query, gallery
        As of `ask`.
    progress
        As of `encoded.encode_labels`.
    **measures
        As of `evaluation.evaluate_features`: `protocol`, `rerank`, ...

    Returns
    -------
    Evaluation
        Its notes name rows of the table.

    Raises
    ------
    TableError
        The table cannot be read or lacks a column, rows are wrong, or none is asked for or has a feature vector.
    FeatureError
        A feature cell cannot be read; with its row.
    WeightsError, EngineError
        As of `OsNetEncoder`.
    ValueError
        As of `evaluate_features` and `OsNetEncoder`.
    """
    names = {"identity_column": identity_column, "camera_column": camera_column or CAMERA_COLUMN}
    if weights is None:
        everything, features = read_encoded(path, feature_column=feature_column, **names)
        asked = ask(everything, only, query, gallery)
        labels, features, notes = asked.labels, features[asked.rows], asked.notes
    else:
        asked = ask(read_labels(path, root=root, column=column, **names), only, query, gallery)
        labels = asked.labels
        options = {"on_error": "null", **(encoder_options or {}), "cells": labels.sources[0].cells}
        features, report = encode_labels(labels, OsNetEncoder(weights, **options), progress)
        notes = (*asked.notes, *_on_broken(labels, report))
    if np.isnan(features).all():
        raise TableError("; ".join((f"no row to evaluate in {path} has a feature vector", *notes)))
    cameras = None if camera_column is None or (labels.cameras < 0).all() else labels.cameras
    found = evaluate_features(
        features,
        labels.identities,
        cameras,
        is_query=labels.is_query,
        is_gallery=labels.is_gallery,
        row_numbers=labels.row,
        camera_name=names["camera_column"],
        **measures,
    )
    return replace(found, notes=(*notes, *found.notes))


def ask(
    labels: Labels,
    only: Iterable[Condition] = (),
    query: Iterable[Condition] = (),
    gallery: Iterable[Condition] = (),
) -> Asked:
    """Choose the rows to evaluate.

    Parameters
    ----------
    labels : Labels
        Of one source.
    only : iterable of (column, text)
        The rows of which one of these is true; if there are none, those that `split` does not mark as trained on.
    query, gallery : iterable of (column, text)
        Likewise which of the rows are queries, and which are the gallery; if there are none, what `is_query` and
        `is_gallery` say.

    Returns
    -------
    asked : Asked

    Raises
    ------
    TableError
        The table has no such column, or no such row.
    """
    notes = []
    rows = np.ones(len(labels), bool)
    name = labels.sources[0].name
    if only := list(only):
        rows = _among(labels, only, rows)
    elif labels.is_val is not None and not labels.is_val.all():
        rows = labels.is_val
        if not rows.any():
            raise TableError(f"the column 'split' of {name} marks all rows as trained on; name those to evaluate")
        notes.append(f"{(~rows).sum():,} rows are left out: the column 'split' marks them as trained on")
    marks = {
        side: _among(labels, conditions, rows)[rows]
        for side, conditions in (("is_query", list(query)), ("is_gallery", list(gallery)))
        if conditions
    }
    return Asked(replace(select(labels, rows), **marks), np.flatnonzero(rows), tuple(notes))


def _among(labels, conditions, rows):
    """bool, (N,): whether one of the conditions is true of a row, and it is one of these."""
    source = labels.sources[0]
    table = open_table(source.name)
    columns = sorted({column for column, _ in conditions})
    for column in columns:
        if column not in table.names:
            raise TableError(f"{source.name} has no column {column!r}; it has {', '.join(table.names)}")
    without = None if source.column in columns else source.column
    texts = read_texts(table, source.name, columns, without)
    found = np.zeros(len(labels), bool)
    for column, text in conditions:
        here = pc.equal(texts[column], text).to_numpy(zero_copy_only=False) & rows
        if not here.any():
            seen = texts[column].filter(pa.array(rows)).unique().to_pylist()
            more = ", ..." if len(seen) > 10 else ""
            raise TableError(
                f"no row to evaluate in {source.name} has {text!r} in the column {column!r}; there are "
                f"{', '.join(map(repr, seen[:10]))}{more}"
            )
        found |= here
    return found


def _on_broken(labels, report):
    """What to say of crops that could not be decoded."""
    broken = sorted(report.broken.items())
    if broken:
        named = "; ".join(f"row {labels.row[at]}: {error.reason}: {error.detail}" for at, error in broken[:_NAMED])
        more = f"; and {len(broken) - _NAMED:,} more" if len(broken) > _NAMED else ""
        yield f"{len(broken):,} crops are broken: {named}{more}"
