"""Tables of labelled crops -> labels: which column is what, and nothing guessed."""

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from ..crop_column import check_column, find_crop_column
from ..crops import looks_like_crop_string
from ..errors import TableError
from ..missing import is_missing
from ..tables import Table, cells, open_table
from ..tables.csv_text import is_text
from ..tables.faults import read_errors
from .label_columns import MARKS, join_columns, read_texts
from .label_faults import find_faults, raise_faults
from .labels import CAMERA_COLUMN, IDENTITY_COLUMN, IMAGE_COLUMN, Labels, Source, stamp_of

__all__ = ["CELLS", "read_labels"]

CELLS = ("path", "crop", "image")


def read_labels(
    sources: str | Path | Sequence[str | Path],
    *,
    root: str | Path | None = None,
    column: str | None = None,
    identity_column: str = IDENTITY_COLUMN,
    camera_column: str = CAMERA_COLUMN,
    cells: str | None = None,
) -> Labels:
    """Read tables of labelled crops; what is wrong with them is found before anything is made of them.

    Parameters
    ----------
    sources : path or list of paths
        CSV or Parquet, as of `tables.open_table`. People and cameras of two tables are never the same.
    root : path, optional
        Where relative image paths start; the folder of each table if left out.
    column : str, optional
        Of the crops, in every table; `img_path` if left out, and where there is none, the one that holds crop
        strings.
    identity_column : str
        Who it is, as text: `0001` is not `1`.
    camera_column : str
        Which camera, as text. It may be absent only under its usual name.
    cells : "path", "crop" or "image", optional
        What a cell of `column` holds; seen from its first cell if left out.

    Returns
    -------
    labels : Labels
        Of all rows. The crops themselves are not gathered; `label_cells` reads them.

    Raises
    ------
    TableError
        A table cannot be read or lacks a column, or rows are wrong: the first ten with what is wrong with them.
    ValueError
        `cells` is none of `CELLS`, or bytes of images are asked for without their column.

    Notes
    -----
    Three more columns are heeded. `split` says `train` or `val` (or validation, test, query, gallery: all of them
    mean that the row is not trained on). `is_query` and `is_gallery` say true or false, 1 or 0; an empty cell is
    false. Where neither is there, the words query and gallery in `split` say the same.
    """
    if cells not in (None, *CELLS):
        raise ValueError(f"cells must be one of {', '.join(CELLS)}, found {cells!r}")
    paths = [sources] if isinstance(sources, (str, Path)) else list(sources)
    if not paths:
        raise ValueError("no table of labels, wanted one at least")
    read = [_read(path, root, column, cells, identity_column, camera_column) for path in paths]
    _check_sources([source for source, _ in read], [texts for _, texts in read])
    labels, faults = join_columns([source for source, _ in read], [texts for _, texts in read])
    raise_faults(labels, [*faults, *find_faults(labels, doubtful=[row for row, _ in faults])])
    return labels


def _read(path, root, column, kind, identity_column, camera_column):
    """One table: what it is, and the text of its columns, under names of our own."""
    table = open_table(path)
    stamps = tuple(_stamp(file) for file in table.files)
    if identity_column not in table.names:
        raise TableError(
            f"{path} has no column {identity_column!r} to say who is who; it has {', '.join(table.names)}"
        )
    if camera_column not in table.names and camera_column != CAMERA_COLUMN:
        raise TableError(f"{path} has no column {camera_column!r}; it has {', '.join(table.names)}")
    column, kind = _crop_column(table, path, column, kind)
    wanted = {"identity": identity_column, "camera": camera_column, **{name: name for name in MARKS}}
    if kind == "path":
        wanted["path"] = column
    wanted = {ours: theirs for ours, theirs in wanted.items() if theirs in table.names}
    without = None if column in wanted.values() else column
    found = read_texts(table, path, sorted(set(wanted.values())), without)
    here = Path(path) if Path(path).is_dir() else Path(path).parent
    source = Source(str(path), tuple(table.files), column, kind, Path(root or here), stamps)
    source.check_unchanged()
    return source, {ours: found[theirs] for ours, theirs in wanted.items()}


def _stamp(file):
    with read_errors(file):
        return stamp_of(file)


def _crop_column(table: Table, path, column: str | None, kind: str | None) -> tuple[str, str]:
    """The column of the crops, and what its cells hold."""
    if column is None and kind == "image":
        raise ValueError("bytes of images are not found by looking: name their column")
    if column is None and IMAGE_COLUMN in table.names and kind != "crop":
        column, kind = IMAGE_COLUMN, "path"
    try:
        if column is None:
            return find_crop_column(table), "crop"
        check_column(table, column)
    except TableError as error:
        raise TableError(f"{path}: {error}") from error
    return column, kind or _kind_of(table, column, path)


def _kind_of(table, column, path):
    """What the cells of a column hold, by its type and its first cell."""
    kind = table.schema.field(column).type
    text = is_text(kind)
    if not text and not pa.types.is_binary(kind) and not pa.types.is_large_binary(kind):
        raise TableError(f"column {column!r} of {path} is {kind}, wanted paths, crop strings or images")
    for batch in table.batches(16):
        for cell in cells(batch.column(column)):
            if not is_missing(cell):
                return "crop" if looks_like_crop_string(cell) else "path" if text else "image"
    return "path" if text else "image"


def _check_sources(sources, texts):
    """Refuse tables that do not go together."""
    seen: dict[str, str] = {}
    for source, columns in zip(sources, texts, strict=True):
        if not len(columns["identity"]):
            raise TableError(f"{source.name} has no rows")
        for file in map(os.path.realpath, source.files):
            if file in seen:
                raise TableError(f"{file} is read twice, as {seen[file]} and as {source.name}")
            seen[file] = source.name
    for mark in MARKS:
        lacking = [source.name for source, columns in zip(sources, texts, strict=True) if mark not in columns]
        if 0 < len(lacking) < len(sources):
            raise TableError(f"{lacking[0]} has no column {mark!r}, which another table has; all or none must")
