"""Feature vectors -> cosine similarities, a block of rows at a time, so that memory follows the block."""

from collections.abc import Callable, Iterator

import numpy as np

from ..features import unit_length

__all__ = ["Similarity", "blocks", "cosine", "unit_features"]

Similarity = Callable[[int, int], np.ndarray]
"""`similarity(start, stop)` -> float32, (stop - start, G): those queries against the whole gallery."""

# Similarities held at a time: 16 MiB of float32.
_BLOCK_ENTRIES = 1 << 22


def cosine(query_features, gallery_features) -> Similarity:
    """Cosine similarity of queries and a gallery.

    Parameters
    ----------
    query_features, gallery_features : float32, (Q, D) and (G, D)
        Of any length; a vector of zeros has the similarity 0 to all.

    Returns
    -------
    similarity : callable
        Equal vectors of the gallery are equally similar to a query, to the bit, wherever they stand.

    Raises
    ------
    ValueError
        Features that are no matrix, not finite, or of different length.
    """
    query = unit_features(query_features)
    gallery = query if gallery_features is query_features else unit_features(gallery_features)
    if query.shape[1] != gallery.shape[1]:
        raise ValueError(f"queries have {query.shape[1]} numbers, the gallery has {gallery.shape[1]}")
    first, which = _distinct(gallery)
    if len(first) == len(gallery):
        return lambda start, stop: query[start:stop] @ gallery.T
    distinct = gallery[first]
    return lambda start, stop: (query[start:stop] @ distinct.T)[:, which]


def unit_features(features) -> np.ndarray:
    """Check features, and scale them to unit length.

    Parameters
    ----------
    features : array of numbers, (N, D)
        Of any length.

    Returns
    -------
    features : float32, (N, D)
        A new array; a vector of zeros stays as it is.

    Raises
    ------
    ValueError
        They are no matrix, or not finite.
    """
    features = np.asarray(features, np.float32)
    if features.ndim != 2:
        raise ValueError(f"features have the shape {features.shape}, wanted (N, D)")
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        raise ValueError(f"the features of row {int(finite.argmin())} are not finite")
    return unit_length(features)


def blocks(rows: int, width: int, block: int | None = None) -> Iterator[tuple[int, int]]:
    """Cut rows of similarities into blocks that are held at a time.

    Parameters
    ----------
    rows : int
    width : int
        Similarities in a row.
    block : int, optional
        Rows of a block; as many as make 16 MiB if left out.

    Yields
    ------
    start, stop : int

    Raises
    ------
    ValueError
        `block` is below 1.
    """
    if block is not None and block < 1:
        raise ValueError(f"block is {block}, wanted at least 1")
    size = block or max(1, _BLOCK_ENTRIES // max(1, width))
    for start in range(0, rows, size):
        yield start, min(start + size, rows)


def _distinct(features):
    """Which rows are the first of their kind, and for each row which of these it equals.

    A matrix product may add in another order in another column: which of equal crops is first would be by chance.
    """
    if not features.size:
        return np.arange(len(features)), np.arange(len(features))
    rows = np.ascontiguousarray(features + np.float32(0))  # no -0.0, which equals 0.0 in other bits
    _, first, which = np.unique(rows.view(f"V{rows[0].nbytes}").ravel(), return_index=True, return_inverse=True)
    return first, which
