"""Parts: finished slices of a job, each a file that is proved by its sha256.

A part holds what was learned about its crops and no more: feature vectors, and why a cell is broken. The table's
other columns are read again when the output is written, so that parts are small, and are the same whatever the
output looks like. They are streams of Arrow, one record batch each.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..errors import JobError
from ..tables import features_array, put_bytes

__all__ = ["Outcome", "Part", "Piece", "cut", "load", "read_outcomes", "store"]


@dataclass(frozen=True)
class Piece:
    """Rows of the table that are encoded in one go: a batch, or what of it lies in one part.

    Parameters
    ----------
    part : int
        Which part it belongs to.
    first_row : int
        In the table.
    rows : pyarrow.RecordBatch
    """

    part: int
    first_row: int
    rows: pa.RecordBatch


@dataclass(frozen=True)
class Outcome:
    """What became of the crops of some rows.

    Parameters
    ----------
    features : float32, (N, D)
        Undefined where there is none.
    absent : bool, (N,)
        There is no feature vector: the cell is missing, or broken.
    reason, detail, excerpt : pyarrow.Array of string, N
        Why a cell is broken, and how it begins; null for all others.
    digest : pyarrow.Array of 16 bytes, N
        What tells a crop from others, null throughout unless asked for.
    """

    features: np.ndarray
    absent: np.ndarray
    reason: pa.Array
    detail: pa.Array
    excerpt: pa.Array
    digest: pa.Array

    def errors(self) -> pa.Array:
        """The text of the error column: `reason: detail`, null where there is no error."""
        texts = zip(self.reason.to_pylist(), self.detail.to_pylist(), strict=True)
        return pa.array(
            [None if reason is None else f"{reason}: {detail}" for reason, detail in texts], pa.string()
        )

    def slice(self, start: int, stop: int) -> "Outcome":
        """Some of the rows, nothing copied."""
        arrays = (self.reason, self.detail, self.excerpt, self.digest)
        return Outcome(
            self.features[start:stop], self.absent[start:stop], *(array[start:stop] for array in arrays)
        )


@dataclass(frozen=True)
class Part:
    """A finished part, as the manifest records it.

    Parameters
    ----------
    number, first_row, rows : int
    encoded, missing, broken : int
        Rows of each fate.
    reasons : dict of str to int
        How many cells are broken for which reason.
    reused : int
        Of those encoded: taken from the output that is updated.
    name, sha256 : str
        The file, and of all its bytes.
    bytes : int
    """

    number: int
    first_row: int
    rows: int
    encoded: int
    missing: int
    broken: int
    name: str
    sha256: str
    bytes: int
    reused: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


def cut(batches: Iterable[pa.RecordBatch], part_rows: int) -> Iterator[Piece]:
    """Cut a table's batches into parts; where, depends on the batches alone.

    Parameters
    ----------
    batches : iterable of pyarrow.RecordBatch
        From the table's beginning.
    part_rows : int
        Rows of every part but the last.

    Yields
    ------
    piece : Piece
        None empty, none in two parts.
    """
    row = 0
    for batch in batches:
        while batch.num_rows:
            piece = batch.slice(0, part_rows - row % part_rows)
            yield Piece(row // part_rows, row, piece)
            row += piece.num_rows
            batch = batch.slice(piece.num_rows)


def store(folder: Path, number: int, first_row: int, outcomes: list[Outcome], reused: int) -> Part:
    """Put a part on the disk; it is there whole, or not at all.

    Parameters
    ----------
    folder : Path
    number, first_row : int
    outcomes : list of Outcome
        At least one, in the order of the rows.
    reused : int
        Feature vectors among them that were not encoded by this job.

    Returns
    -------
    part : Part

    Raises
    ------
    TableError
        It cannot be written.
    """
    columns = [
        features_array(
            np.concatenate([outcome.features for outcome in outcomes]),
            np.concatenate([outcome.absent for outcome in outcomes]),
        )
    ]
    texts = ("reason", "detail", "excerpt", "digest")
    columns += [pa.concat_arrays([getattr(outcome, name) for outcome in outcomes]) for name in texts]
    batch = pa.RecordBatch.from_arrays(columns, ["features", *texts])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    data = sink.getvalue()
    name = f"part-{number:05}.arrows"
    put_bytes(folder / name, data)
    broken = len(batch) - batch.column("reason").null_count
    missing = batch.column("features").null_count - broken
    counts = batch.column("reason").drop_null().value_counts().to_pylist()
    return Part(
        number=number,
        first_row=first_row,
        rows=len(batch),
        encoded=len(batch) - missing - broken,
        missing=missing,
        broken=broken,
        reused=reused,
        reasons={count["values"]: count["counts"] for count in counts},
        name=name,
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=data.size,
    )


def load(folder: Path, part: Part) -> Outcome | None:
    """Read a part, if it is the one that was recorded.

    Parameters
    ----------
    folder : Path
    part : Part

    Returns
    -------
    outcome : Outcome or None
        None where the file is gone, or is not the one that was recorded.
    """
    try:
        data = (folder / part.name).read_bytes()
    except OSError:
        return None
    if hashlib.sha256(data).hexdigest() != part.sha256:
        return None
    with pa.ipc.open_stream(data) as stream:
        batch = stream.read_next_batch()
    column = batch.column("features")
    features = column.values.to_numpy().reshape(len(batch), column.type.list_size)
    absent = column.is_null().to_numpy(zero_copy_only=False)
    return Outcome(features, absent, *(batch.column(name) for name in ("reason", "detail", "excerpt", "digest")))


def read_outcomes(folder: Path, parts: list[Part]) -> Iterator[tuple[Part, Outcome]]:
    """Read parts one after the other, proving each.

    Parameters
    ----------
    folder : Path
    parts : list of Part
        In the order of their rows.

    Yields
    ------
    part : Part
    outcome : Outcome

    Raises
    ------
    JobError
        A part is gone or damaged (`damaged`).
    """
    for part in parts:
        outcome = load(folder, part)
        if outcome is None:
            raise JobError("damaged", f"{folder / part.name} is gone or damaged; run again to make it anew")
        yield part, outcome
