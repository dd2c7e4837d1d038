"""k-reciprocal re-ranking: a ranking corrected by who is among whose nearest neighbours.

Whatever is kept follows the neighbours, some hundred numbers a row, and never the pairs of rows.

Source: Zhong et al., Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017.
"""

from dataclasses import dataclass

import numpy as np

from .similarity import Similarity, blocks, cosine, unit_features

__all__ = ["MAX_ROWS", "reranked"]

MAX_ROWS = 100_000


def reranked(
    features,
    query_rows=None,
    gallery_rows=None,
    *,
    k1: int = 20,
    k2: int = 6,
    weight: float = 0.3,
    max_rows: int = MAX_ROWS,
    block: int | None = None,
) -> Similarity:
    """Similarity after re-ranking, for `metrics.retrieval`.

    Parameters
    ----------
    features : float32, (N, D)
        Of queries and gallery together, each crop once; of any length.
    query_rows, gallery_rows : int64, (Q,) and (G,), optional
        Which of them are queries, and which are the gallery; a crop may be both. All of them if left out.
    k1 : int
        Neighbours among which k-reciprocal ones are looked for.
    k2 : int
        Neighbours, a crop itself counted in, over which its encoding is averaged.
    weight : float
        Of the plain distance, from 0 to 1, beside the Jaccard distance; the paper's lambda.
    max_rows : int
        More are refused.
    block : int, optional
        Rows at a time; as many as make 16 MiB of similarities if left out.

    Returns
    -------
    similarity : callable
        `similarity(start, stop)` -> float32, (stop - start, G): the re-ranked distance, from 0 to 1, less than 0.

    Raises
    ------
    ValueError
        More rows than `max_rows`, features that are not finite, k1 or k2 below 1, or a weight outside 0 to 1.

    Notes
    -----
    The plain distance of a row is the squared Euclidean one of unit vectors, divided by the row's largest. A crop
    is its own first neighbour; ties among others are in the order of rows.
    """
    for name, value, fits in (("k1", k1, k1 >= 1), ("k2", k2, k2 >= 1), ("weight", weight, 0 <= weight <= 1)):
        if not fits:
            raise ValueError(f"{name} is {value}, wanted {'0 to 1' if name == 'weight' else 'at least 1'}")
    rows = len(features)
    if rows > max_rows:
        raise ValueError(
            f"re-ranking is for {max_rows:,} rows at most, found {rows:,}: it would take up to "
            f"{_gigabytes(rows, k1, k2):.1f} GB, and a time that grows with the square of the rows"
        )
    features = unit_features(features)
    if not rows:
        return lambda start, stop: np.empty((0, 0), np.float32)
    everything = np.arange(rows)
    queries = everything if query_rows is None else np.asarray(query_rows)
    gallery = everything if gallery_rows is None else np.asarray(gallery_rows)
    neighbours, farthest = _neighbours(features, max(k1 + 1, k2), block)
    encoding = _encode(features, neighbours[:, : k1 + 1], farthest, round(k1 / 2) + 1)
    encoding = _averaged(encoding, neighbours[:, :k2])
    by_column = encoding.rows(gallery).turned(rows)
    plain = cosine(features[queries], features[gallery])

    def similarity(start, stop):
        rows = queries[start:stop]
        distance = _distance(plain(start, stop), farthest[rows])
        shared = np.empty_like(distance)
        for at, row in enumerate(rows):
            shared[at] = _shared(encoding.row(row), by_column, len(gallery))
        jaccard = 1 - shared / (2 - shared)
        return -(weight * distance + (1 - weight) * jaccard)

    return similarity


@dataclass(frozen=True)
class _Sparse:
    """A matrix of which each row has a few numbers: row i's are those from `starts[i]` to `starts[i + 1]`."""

    starts: np.ndarray
    columns: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, rows, columns, values, count):
        """From entries in the order of their rows."""
        starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=count))])
        return cls(starts, columns, values)

    def row(self, row):
        here = slice(self.starts[row], self.starts[row + 1])
        return self.columns[here], self.values[here]

    def places(self, rows):
        """Where the entries of some rows are, and which of these rows each belongs to."""
        lengths = self.starts[rows + 1] - self.starts[rows]
        which = np.repeat(np.arange(len(rows)), lengths)
        before = np.cumsum(lengths) - lengths
        return np.arange(len(which)) + (self.starts[rows] - before)[which], which

    def rows(self, rows):
        """Some of its rows, as a matrix."""
        places, which = self.places(rows)
        return _Sparse.of(which, self.columns[places], self.values[places], len(rows))

    def turned(self, columns):
        """The transposed matrix, of so many rows."""
        order = np.argsort(self.columns, kind="stable")
        rows = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        return _Sparse.of(self.columns[order], rows[order], self.values[order], columns)


def _neighbours(features, count, block):
    """int64, (N, count): the nearest rows of each, itself first; float32, (N,): the distance of the farthest."""
    rows = len(features)
    count = min(count, rows)
    neighbours, farthest = np.empty((rows, count), np.int64), np.empty(rows, np.float32)
    similarity = cosine(features, features)
    for start, stop in blocks(rows, rows, block):
        found = similarity(start, stop)
        farthest[start:stop] = np.maximum(0, 2 - 2 * found.min(axis=1))
        found[np.arange(stop - start), np.arange(start, stop)] = np.inf
        keys = np.partition(_keys(found), count - 1, axis=1)[:, :count]
        neighbours[start:stop] = np.sort(keys, axis=1) & 0xFFFFFFFF
    return neighbours, farthest


def _keys(similarity):
    """int64: numbers in the order of falling similarity, ties by column; the column is in the lower half."""
    bits = (similarity + np.float32(0)).view(np.int32)  # no -0.0
    rising = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # a float's bits rise with it, but fall where it is negative
    return (~rising).astype(np.int64) << 32 | np.arange(similarity.shape[1])


def _distance(similarity, farthest):
    """Squared distance of unit vectors, in units of each row's farthest; in place."""
    np.multiply(similarity, -2, out=similarity)
    np.maximum(np.add(similarity, 2, out=similarity), 0, out=similarity)
    return np.divide(similarity, np.where(farthest > 0, farthest, 1)[:, None], out=similarity)


def _encode(features, neighbours, farthest, half):
    """Each row by its k-reciprocal neighbours, and by theirs where these are mostly the same; weights sum to 1."""
    rows, count = neighbours.shape
    half = min(half, count)
    mutual, half_mutual = _mutual(neighbours), _mutual(neighbours[:, :half])
    pairs = []
    # what is compared in a block: its rows' neighbours with those of each of their neighbours
    for start, stop in blocks(rows, count * half * count):
        mine = np.where(mutual[start:stop], neighbours[start:stop], -1)
        theirs = np.where(half_mutual, neighbours[:, :half], -2)[neighbours[start:stop]]
        shared = (theirs[..., None] == mine[:, None, None, :]).any(axis=-1).sum(axis=-1)
        close = mutual[start:stop] & (3 * shared > 2 * (theirs >= 0).sum(axis=-1))
        added = np.where(close[..., None], theirs, -1).reshape(stop - start, -1)
        columns = np.concatenate([mine, added], axis=1)
        row, at = np.nonzero(columns >= 0)
        pairs.append(np.unique((start + row) * rows + columns[row, at]))
    row, column = np.divmod(np.concatenate([np.empty(0, np.int64), *pairs]), rows)
    values = np.empty(len(row), np.float32)
    for start, stop in blocks(len(row), features.shape[1]):
        here = slice(start, stop)
        found = np.einsum("nd,nd->n", features[row[here]], features[column[here]])
        values[here] = np.exp(-_distance(found[:, None], farthest[row[here]])[:, 0])
    return _Sparse.of(row, column, values / np.bincount(row, values, rows)[row].astype(np.float32), rows)


def _mutual(neighbours):
    """bool, (N, K): whether a row is among the K neighbours of its neighbour."""
    rows, count = neighbours.shape
    mutual = np.empty((rows, count), bool)
    for start, stop in blocks(rows, count * count):
        own = np.arange(start, stop)[:, None, None]
        mutual[start:stop] = (neighbours[neighbours[start:stop]] == own).any(axis=-1)
    return mutual


def _averaged(encoding, neighbours):
    """Each row's encoding as the mean of its neighbours'."""
    rows, count = neighbours.shape
    if count == 1:
        return encoding
    parts = []
    for start, stop in blocks(rows, 256 * count):
        places, which = encoding.places(neighbours[start:stop].ravel())
        keys = which // count * rows + encoding.columns[places]
        keys, same = np.unique(keys, return_inverse=True)
        values = np.bincount(same, encoding.values[places]) / count
        parts.append((start + keys // rows, keys % rows, values.astype(np.float32)))
    row, column, value = (np.concatenate(part) for part in zip(*parts, strict=True))
    return _Sparse.of(row, column, value, rows)


def _shared(row, by_column, gallery):
    """float64, (G,): what a row's weights have in common with those of each of the gallery, of 1."""
    columns, values = row
    places, which = by_column.places(columns)
    return np.bincount(by_column.columns[places], np.minimum(values[which], by_column.values[places]), gallery)


def _gigabytes(rows, k1, k2):
    """Of a row: its neighbours, and its averaged encoding twice, by row and by column; most is seldom reached."""
    return rows * (8 * (k1 + 1) + 2 * 12 * k1 * k2) / 1e9
