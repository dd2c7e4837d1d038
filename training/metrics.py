"""Retrieval: queries looked for in a gallery; arrays in, CMC, mAP and mINP out.

The rule is Market-1501's. Of the gallery, a query sees neither itself nor what its own camera has of its person.
The rest is ordered by falling similarity, ties in the gallery's order. A query with no match left is skipped.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from .matches import Matches, find_matches
from .similarity import Similarity, blocks, cosine

__all__ = ["RANKS", "Retrieval", "retrieval", "single_shot"]

RANKS = 50

# Up to so many crops of a person, counting what comes before each is faster than ordering the whole gallery.
_FEW = 256


@dataclass(frozen=True)
class Retrieval:
    """How well queries find their person in a gallery: fractions from 0 to 1, NaN where no query counts.

    Parameters
    ----------
    cmc : float64, (RANKS,)
        `cmc[k - 1]`: the fraction of queries that have a match among the first k.
    mAP : float
        Mean over queries of the mean, over their matches, of the precision at the match.
    mINP : float
        Mean over queries of (matches / rank of the last match).
    queries : int
        Those that count.
    without_match : int
        Queries skipped because the gallery has no crop of their person but the query itself.
    same_camera : int
        Queries skipped because all such crops are from the query's own camera.
    """

    cmc: np.ndarray
    mAP: float
    mINP: float
    queries: int
    without_match: int
    same_camera: int

    @property
    def skipped(self) -> int:
        """int: queries that do not count, for the one reason or the other."""
        return self.without_match + self.same_camera


def retrieval(
    query_features,
    gallery_features,
    query_identities,
    gallery_identities,
    query_cameras=None,
    gallery_cameras=None,
    *,
    query_rows=None,
    gallery_rows=None,
    similarity: Similarity | np.ndarray | None = None,
    block: int | None = None,
) -> Retrieval:
    """Look for every query in the gallery.

    Parameters
    ----------
    query_features, gallery_features : float32, (Q, D) and (G, D)
        Of any length; not looked at where `similarity` is given.
    query_identities, gallery_identities : columns of Q and of G numbers or texts
        Equal for crops of one person; none has a special meaning.
    query_cameras, gallery_cameras : columns of Q and of G numbers or texts, optional
        One that is not known (None, NaN, empty, below 0) is no other's equal. Left out, none is known.
    query_rows, gallery_rows : int64, (Q,) and (G,), optional
        A query and a crop of the gallery with the same number are the same crop. Left out, no two are.
    similarity : callable or float32, (Q, G), optional
        Of queries in blocks, or of all. Left out, the cosine of the features.
    block : int, optional
        Queries at a time; as many as make 16 MiB of similarities if left out.

    Returns
    -------
    Retrieval

    Raises
    ------
    ValueError
        Lengths that do not agree, features that are not finite, an identity that is missing.

    Notes
    -----
    Source: Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015 (the rule, CMC, mAP); Ye et
    al., Deep Learning for Person Re-identification: A Survey and Outlook, TPAMI 2021 (mINP).
    """
    people = (query_identities, gallery_identities, query_cameras, gallery_cameras, query_rows, gallery_rows)
    matches = find_matches(*people)
    tally = _Tally()
    for query, row in _each(matches, query_features, gallery_features, similarity, block):
        tally.add(row, *matches.of(query))
    return tally.result(tally.first)


def single_shot(
    query_features,
    gallery_features,
    query_identities,
    gallery_identities,
    query_cameras=None,
    gallery_cameras=None,
    *,
    query_rows=None,
    gallery_rows=None,
    similarity: Similarity | np.ndarray | None = None,
    block: int | None = None,
    repeats: int = 10,
    seed: int = 0,
) -> Retrieval:
    """Look for every query in galleries of one random crop a person, CUHK03's first protocol.

    Parameters
    ----------
    query_features, gallery_features, query_identities, gallery_identities, query_cameras, gallery_cameras
        As of `retrieval`.
    query_rows, gallery_rows, similarity, block
        As of `retrieval`.
    repeats : int
        Random galleries; the CMC is the mean over them.
    seed : int
        Of `numpy.random.default_rng`.

    Returns
    -------
    Retrieval
        With mAP and mINP of the whole gallery.

    Raises
    ------
    ValueError
        As of `retrieval`.

    Notes
    -----
    Each repeat draws a `permutation(G)`; a person's crop is the first of theirs in it that the query may see. All
    queries of a repeat see the same crops of everybody else, since only their own person's are kept from them.

    Source: Li et al., DeepReID: Deep Filter Pairing Neural Network for Person Re-identification, CVPR 2014.
    """
    people = (query_identities, gallery_identities, query_cameras, gallery_cameras, query_rows, gallery_rows)
    matches = find_matches(*people)
    generator = np.random.default_rng(seed)
    shots = [_Shot(generator.permutation(len(matches.gallery)), matches.gallery) for _ in range(repeats)]
    tally = _Tally()
    first: list[int] = []
    for query, row in _each(matches, query_features, gallery_features, similarity, block):
        kept, dropped, is_alone = matches.of(query)
        tally.add(row, kept, dropped, is_alone)
        if len(kept):
            first += [shot.rank(row, kept, matches.query[query]) for shot in shots]
    return tally.result(first)


@dataclass
class _Tally:
    """What became of the queries so far."""

    first: list[int] = field(default_factory=list)
    precisions: list[float] = field(default_factory=list)
    inverses: list[float] = field(default_factory=list)
    without_match: int = 0
    same_camera: int = 0

    def add(self, row, kept, dropped, is_alone):
        """Count a query in, by its similarities to the gallery and `Matches.of`."""
        if not len(kept):
            self.without_match += is_alone
            self.same_camera += not is_alone
            return
        places = np.sort(_places(row, kept))
        ranks = places + 1 - np.searchsorted(np.sort(_places(row, dropped)), places)
        self.first.append(int(ranks[0]))
        self.precisions.append(float(np.mean(np.arange(1, len(ranks) + 1) / ranks)))
        self.inverses.append(len(ranks) / int(ranks[-1]))

    def result(self, first):
        """The means; `first` has the ranks of first matches that the CMC is of."""
        counts = np.bincount(np.minimum(np.array(first, np.int64), RANKS + 1), minlength=RANKS + 2)
        return Retrieval(
            cmc=np.cumsum(counts[1:-1]) / (len(first) or np.nan),
            mAP=_mean(self.precisions),
            mINP=_mean(self.inverses),
            queries=len(self.first),
            without_match=self.without_match,
            same_camera=self.same_camera,
        )


class _Shot:
    """A gallery of one crop a person: the first in a random order of the whole gallery."""

    def __init__(self, order, identities):
        _, first = np.unique(identities[order], return_index=True)
        self.columns = np.sort(order[first])
        self.identities = identities[self.columns]
        self.place = np.empty_like(order)
        self.place[order] = np.arange(len(order))

    def rank(self, row, kept, identity):
        """From 1: where the query's person stands, by the first crop of theirs that it may see."""
        match = kept[self.place[kept].argmin()]
        others = self.columns[self.identities != identity]
        return 1 + _before(row[others], np.searchsorted(others, match), row[match])


def _each(
    matches: Matches, query_features, gallery_features, similarity, block
) -> Iterator[tuple[int, np.ndarray]]:
    """Each query, and its similarities to the gallery."""
    shape = (len(matches.query), len(matches.gallery))
    if similarity is None:
        found = (len(query_features), len(gallery_features))
        similarity = cosine(query_features, gallery_features)
    elif not callable(similarity):
        found = np.shape(similarity)
        whole, similarity = similarity, lambda start, stop: whole[start:stop]
    else:
        found = shape
    if found != shape:
        raise ValueError(f"features of {found} queries and crops of the gallery, identities of {shape}")
    for start, stop in blocks(*shape, block):
        rows = similarity(start, stop)
        if np.isnan(rows).any():
            raise ValueError(f"similarities of queries {start} to {stop - 1} are not all numbers")
        yield from enumerate(rows, start)


def _places(row, columns):
    """Where some columns stand, from 0, once a row is ordered by falling similarity, ties by column."""
    if len(columns) <= _FEW:
        return np.array([_before(row, column, row[column]) for column in columns.tolist()], np.int64)
    places = np.empty(len(row), np.int64)
    places[np.argsort(-row, kind="stable")] = np.arange(len(row))
    return places[columns]


def _before(row, column, similarity):
    """How many come before a crop that stands, or would stand, at `column`."""
    return np.count_nonzero(row[:column] >= similarity) + np.count_nonzero(row[column:] > similarity)


def _mean(numbers):
    return float(np.mean(numbers)) if numbers else float("nan")
