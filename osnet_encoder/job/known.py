"""Feature vectors that are known already: those of the output that is to be updated."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..errors import FeatureError, JobError, TableError
from ..features import stack_features
from ..tables import cells, open_table, text_of
from .options import ROWS_AT_ONCE

__all__ = ["DIGEST_BYTES", "Known", "digest_of", "joined", "read_known"]

DIGEST_BYTES = 16

# The digest of a cell that is missing, in a file of digests.
_NO_CROP = bytes(DIGEST_BYTES)


def digest_of(cell) -> bytes:
    """What tells a crop from others: 16 bytes of the sha256 of its cell.

    Parameters
    ----------
    cell : memoryview, bytes or str

    Returns
    -------
    digest : bytes
    """
    data = cell.encode() if isinstance(cell, str) else cell
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]


@dataclass
class Known:
    """The feature vectors of an output, and which row has which.

    Parameters
    ----------
    features : float32, (N, D)
        Of the rows that have one; on the disk rather than in memory.
    rows : dict of str or bytes to int
        Key or digest of every row -> its place among them; -1 where the row has no feature vector.
    key : str or None
        The column whose text tells rows apart; None where it is the digest of the crop that does.
    """

    features: np.ndarray
    rows: dict
    key: str | None

    def __post_init__(self):
        self._seen: set = set()
        self._still_there: set = set()

    @classmethod
    def nothing(cls, dim: int) -> "Known":
        """None at all, told apart by their crops: what an update begins with."""
        return cls(np.empty((0, dim), np.float32), {}, None)

    @property
    def by_digest(self) -> bool:
        """Whether crops are told apart by what they hold."""
        return self.key is None

    def find(self, batch: pa.RecordBatch, digests: list | None) -> np.ndarray:
        """Look up rows.

        Parameters
        ----------
        batch : pyarrow.RecordBatch
            Rows of the input.
        digests : list of bytes or None, optional
            Of their crops, without a key.

        Returns
        -------
        places : int64, (N,)
            In `features`; -1 for rows that are not known.

        Raises
        ------
        TableError
            A key is missing, or the input has it twice.
        """
        if self.key is not None:
            names = _keys(batch, self.key, "the input", self._seen)
        else:
            names = digests or []
        return np.array([self.rows.get(name, -1) for name in names], np.int64)

    def meet(self, batch: pa.RecordBatch, digests: pa.Array) -> None:
        """Note which rows are in the new output too.

        Parameters
        ----------
        batch : pyarrow.RecordBatch
            Rows of the input.
        digests : pyarrow.Array of 16 bytes
            Of their crops, without a key.
        """
        names = digests.to_pylist() if self.key is None else _texts(batch, self.key, "the input")
        self._still_there.update(names)

    def check_none_is_lost(self) -> None:
        """Refuse an input that lacks rows of the output that it would replace.

        Raises
        ------
        JobError
            There are such rows (`lost`).
        """
        lost = len(self.rows.keys() - self._still_there)
        if lost:
            raise JobError(
                "lost",
                f"{lost:,} of {len(self.rows):,} {'crops' if self.key is None else 'keys'} in the output are not "
                "in the input, and would be gone from it; --overwrite lets them go",
            )


def read_known(
    output: Path, feature_column: str, dim: int, key: str | None, digests: Path | None, store: Path
) -> Known:
    """Read the feature vectors of an output.

    Parameters
    ----------
    output : Path
    feature_column : str
    dim : int
        D, what the network gives.
    key : str or None
        The column that tells its rows apart.
    digests : Path or None
        Without a key: the file that tells the crop of each of its rows.
    store : Path
        A file to be made, which holds the feature vectors while they are used.

    Returns
    -------
    known : Known

    Raises
    ------
    TableError
        The output cannot be read, lacks a column, or has a key twice.
    JobError
        Its feature vectors cannot be read (`damaged`).
    """
    table = open_table(output)
    for name in (feature_column, key):
        if name is not None and name not in table.names:
            raise TableError(f"no column {name!r} in {output}; it has {', '.join(table.names)}")
    names = None if digests is None else digests.read_bytes()
    count = table.survey().rows
    if names is not None and len(names) != count * DIGEST_BYTES:
        raise JobError("damaged", f"{digests} does not tell the crops of {output}; give a key, or start afresh")
    features = np.memmap(store, np.float32, "w+", shape=(max(count, 1), dim))
    rows: dict = {}
    seen: set = set()
    row = 0
    for batch in table.batches(ROWS_AT_ONCE):
        found = _stacked(batch.column(feature_column), row, output, dim)
        if key is not None:
            keys = _keys(batch, key, str(output), seen)
        else:
            assert names is not None
            starts = range(row * DIGEST_BYTES, (row + len(found)) * DIGEST_BYTES, DIGEST_BYTES)
            keys = [names[at : at + DIGEST_BYTES] for at in starts]
        for at, vector in enumerate(found):
            present = not np.isnan(vector[0])
            if keys[at] != _NO_CROP:
                rows[keys[at]] = row + at if present else -1
            if present:
                features[row + at] = vector
        row += len(found)
    return Known(features, rows, key)


def joined(digests: pa.Array) -> bytes:
    """Write digests one after the other.

    Parameters
    ----------
    digests : pyarrow.Array of 16 bytes
        Row by row; null where there is no crop.

    Returns
    -------
    digests : bytes
        16 a row, all of them zero where there is no crop.
    """
    return b"".join(cell or _NO_CROP for cell in digests.to_pylist())


def _stacked(column, row, output, dim):
    texts = [
        bytes(cell).decode("utf-8", "replace") if isinstance(cell, memoryview) else cell for cell in cells(column)
    ]
    try:
        found = stack_features(texts)
    except FeatureError as error:
        raise JobError("damaged", f"{output}, from row {row} on: {error}") from error
    if found.shape[1] not in (0, dim):
        raise JobError("provenance", f"{output} has feature vectors of {found.shape[1]} numbers, wanted {dim}")
    return found if found.shape[1] else np.full((len(texts), dim), np.nan, np.float32)


def _texts(batch, key, where):
    try:
        return text_of(batch.column(key)).to_pylist()
    except UnicodeDecodeError as error:
        raise TableError(f"the key column {key!r} of {where} holds text that is not UTF-8: {error}") from error


def _keys(batch, key, where, seen):
    keys = _texts(batch, key, where)
    for name in keys:
        if name is None or name == "":
            raise TableError(f"the key column {key!r} of {where} has an empty cell, wanted one key a row")
        if name in seen:
            raise TableError(f"the key column {key!r} of {where} has {name!r} twice, wanted one key a row")
        seen.add(name)
    return keys
