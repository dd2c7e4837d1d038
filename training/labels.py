"""What is known of labelled crops: who is on them, which camera saw them, and where they lie.

`label_tables.read_labels` makes `Labels` from tables; `label_faults` judges them, `splits` divides them,
`label_cells` goes to the crops themselves.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..errors import TableError
from ..tables.faults import read_errors

__all__ = [
    "CAMERA_COLUMN",
    "IDENTITY_COLUMN",
    "IMAGE_COLUMN",
    "Labels",
    "Source",
    "data_hash",
    "select",
    "stamp_of",
    "to_table",
]

# The columns' usual names, and those that are written.
IMAGE_COLUMN, IDENTITY_COLUMN, CAMERA_COLUMN = "img_path", "person_id", "camera_id"


@dataclass(frozen=True, eq=False)
class Source:
    """One table of labelled crops.

    Parameters
    ----------
    name : str
        As the user named it.
    files : tuple of Path
        What it is read from.
    column : str
        Of the crops.
    cells : "path", "crop" or "image"
        What a cell of it holds: an image file's path, a crop string, an image file's bytes.
    root : Path
        Where relative paths start.
    stamps : tuple
        Of the files, as of `stamp_of` when the labels were read.
    """

    name: str
    files: tuple[Path, ...]
    column: str
    cells: str
    root: Path
    stamps: tuple

    @cached_property
    def sha256(self) -> str:
        """Of the files, one after the other; 64 lower-case hex digits."""
        digest = hashlib.sha256()
        for path in self.files:
            with read_errors(path), path.open("rb") as file:
                hashlib.file_digest(file, lambda: digest)
        self.check_unchanged()
        return digest.hexdigest()

    def check_unchanged(self) -> None:
        """Refuse a table that is not as it was when its labels were read.

        Raises
        ------
        TableError
            A file has another size or time of change, or is gone: its rows may be other ones now.
        """
        for path, stamp in zip(self.files, self.stamps, strict=True):
            with read_errors(path):
                found = stamp_of(path)
            if found != stamp:
                raise TableError(f"{path} has changed since its labels were read")


@dataclass(frozen=True, eq=False)
class Labels:
    """Labelled crops: N rows of one table or of several, in the tables' order.

    Parameters
    ----------
    sources : tuple of Source
    source : int64, (N,)
        Which of them each row is from.
    row : int64, (N,)
        Which row of it, counted from 0.
    names : tuple of (int, str)
        Of each identity: its source, and what stands there. People of two sources are two people.
    identities : int64, (N,)
        Positions in `names`, every one of which occurs.
    camera_names : tuple of (int, str)
        Of each camera, likewise; an empty text, if there is one, has no rows.
    cameras : int64, (N,)
        Positions in `camera_names`. Below 0, and another number in each row, where the camera is not known: no two
        such rows are said to be of one camera.
    paths : pyarrow.LargeStringArray, N cells
        The path of each image, as it stands in the table; null where the source holds the crops themselves.
    is_val : bool, (N,), or None
        What the column `split` says; None where there is none.
    is_query, is_gallery : bool, (N,), or None
        Likewise.
    """

    sources: tuple[Source, ...]
    source: np.ndarray
    row: np.ndarray
    names: tuple[tuple[int, str], ...]
    identities: np.ndarray
    camera_names: tuple[tuple[int, str], ...]
    cameras: np.ndarray
    paths: pa.Array
    is_val: np.ndarray | None = None
    is_query: np.ndarray | None = None
    is_gallery: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.identities)

    def where(self, position: int) -> str:
        """Say which row of which table stands at a position, as messages do."""
        return f"{self.sources[self.source[position]].name}, row {self.row[position]}"


def select(labels: Labels, rows: np.ndarray) -> Labels:
    """Take some of the rows.

    Parameters
    ----------
    labels : Labels
    rows : bool, (N,), or int64, (M,)
        A mask, or positions that rise.

    Returns
    -------
    labels : Labels
        Of M rows. Identities are numbered anew from 0, in their old order, so that they can serve as classes.

    Raises
    ------
    ValueError
        The positions do not rise.
    """
    rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
    if (np.diff(rows) <= 0).any():
        raise ValueError("rows must rise: labels keep the order of their tables")
    kept, identities = np.unique(labels.identities[rows], return_inverse=True)

    def among(mark):
        return None if mark is None else mark[rows]

    return replace(
        labels,
        source=labels.source[rows],
        row=labels.row[rows],
        names=tuple(labels.names[identity] for identity in kept.tolist()),
        identities=identities,
        cameras=labels.cameras[rows],
        paths=labels.paths.take(pa.array(rows)),
        is_val=among(labels.is_val),
        is_query=among(labels.is_query),
        is_gallery=among(labels.is_gallery),
    )


def data_hash(labels: Labels) -> str:
    """Tell labels from others: from other rows, other tables, other marks.

    Parameters
    ----------
    labels : Labels

    Returns
    -------
    sha256 : str
        Of the tables' bytes, and of everything that was taken from them; 64 lower-case hex digits. Where the
        tables lie and what they are called is no matter, nor are the bytes of image files that paths name.

    Raises
    ------
    TableError
        A table cannot be read, or has changed.
    """
    head = {
        "sources": [[source.cells, source.column, source.sha256] for source in labels.sources],
        "names": labels.names,
        "cameras": labels.camera_names,
    }
    digest = hashlib.sha256(json.dumps(head).encode())
    for numbers in (labels.source, labels.row, labels.identities, labels.cameras):
        digest.update(np.ascontiguousarray(numbers, "<i8").tobytes())
    for mark in (labels.is_val, labels.is_query, labels.is_gallery):
        digest.update(b"-" if mark is None else np.packbits(mark).tobytes())
    return digest.hexdigest()


def to_table(labels: Labels) -> pa.Table:
    """Write labels down as a table.

    Parameters
    ----------
    labels : Labels

    Returns
    -------
    table : pyarrow.Table
        `source`, `row`, `img_path` (null where the table holds the crop itself), `person_id`, `camera_id` (null
        where it is not known), and `split`, `is_query`, `is_gallery` where there are such marks.
    """
    known = labels.cameras >= 0
    cameras = pa.array(np.where(known, labels.cameras, 0), mask=~known)
    columns = {
        "source": _texts([source.name for source in labels.sources]).take(pa.array(labels.source)),
        "row": pa.array(labels.row),
        IMAGE_COLUMN: labels.paths.cast(pa.string()),
        IDENTITY_COLUMN: _texts([text for _, text in labels.names]).take(pa.array(labels.identities)),
        CAMERA_COLUMN: _texts([text for _, text in labels.camera_names] or [None]).take(cameras),
    }
    if labels.is_val is not None:
        columns["split"] = _texts(["train", "val"]).take(pa.array(labels.is_val.astype(np.int64)))
    for name in ("is_query", "is_gallery"):
        if getattr(labels, name) is not None:
            columns[name] = pa.array(getattr(labels, name))
    return pa.table(columns)


def stamp_of(path: Path) -> tuple[int, int]:
    """What changes when a file does: its size, and the time of its last change.

    Parameters
    ----------
    path : Path

    Returns
    -------
    bytes, nanoseconds : int

    Raises
    ------
    OSError
        It cannot be looked at.
    """
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _texts(texts):
    return pa.array(texts, pa.string())
