"""Verification: are two crops the same person? Pairs of crops in; EER and TAR@FAR out, with their thresholds.

    scores = pair_scores(features, identities)   -> the cosines of all pairs of different rows
    equal_error_rate(scores)                     -> rate, threshold
    tar_at_far(scores, 0.01)                     -> rate, threshold
    rates_at(scores, 0.7)                        -> false accept rate, true accept rate
    roc(scores)                                  -> a curve of both

A pair is accepted where its cosine is at least the threshold; every threshold here is a cosine.
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .matches import factorise, is_no_camera
from .similarity import blocks, unit_features

__all__ = [
    "EXACT_ROWS",
    "FARS",
    "PairScores",
    "Scores",
    "equal_error_rate",
    "pair_scores",
    "rates_at",
    "roc",
    "tar_at_far",
]

EXACT_ROWS = 5_000
FARS = (0.1, 0.01, 0.001)

# Bins to 1 of cosine, 65,536 in all; a power of two, with which float32 finds the bin of a cosine exactly.
_BINS = 1 << 15


@dataclass(frozen=True)
class Scores:
    """Cosines of pairs, in order.

    Parameters
    ----------
    values : float32, (V,)
        Ascending.
    below : int64, (V + 1,), optional
        Pairs below each value, and pairs in all; where left out, every value is that of one pair.
    """

    values: np.ndarray
    below: np.ndarray | None = None

    @property
    def pairs(self) -> int:
        """int: how many pairs there are."""
        return len(self.values) if self.below is None else int(self.below[-1])

    def fraction_below(self, threshold: float) -> float:
        """float: the fraction of pairs whose cosine is below a threshold."""
        at = bisect_left(self.values, np.float64(threshold))
        return (at if self.below is None else int(self.below[at])) / self.pairs

    def fraction_from(self, threshold: float) -> float:
        """float: the fraction of pairs whose cosine is at least a threshold."""
        at = bisect_left(self.values, np.float64(threshold))
        return (self.pairs - (at if self.below is None else int(self.below[at]))) / self.pairs


@dataclass(frozen=True)
class PairScores:
    """Cosines of all pairs of crops.

    Parameters
    ----------
    genuine, impostor : Scores
        Of pairs of one person, and of two.
    is_exact : bool
        False where cosines are known by their bins only, 2**-15 wide; a bin goes by its lower end.
    """

    genuine: Scores
    impostor: Scores
    is_exact: bool

    @property
    def reason(self) -> str | None:
        """str or None: why there are no rates, if there are none."""
        if not self.genuine.pairs:
            return "no two crops are of one person"
        return None if self.impostor.pairs else "all crops are of one person"


def pair_scores(
    features,
    identities,
    cameras=None,
    *,
    other_cameras: bool = False,
    exact_rows: int = EXACT_ROWS,
    block: int | None = None,
) -> PairScores:
    """Compare every crop with every other.

    Parameters
    ----------
    features : float32, (N, D)
        Of any length.
    identities : column of N numbers or texts
    cameras : column of N numbers or texts, optional
        One that is not known (None, NaN, empty, below 0) is no other's equal.
    other_cameras : bool
        Only pairs from two cameras.
    exact_rows : int
        Up to so many rows all cosines are kept, 4 bytes a pair; above, a histogram.
    block : int, optional
        Rows at a time; as many as make 16 MiB of cosines if left out.

    Returns
    -------
    PairScores

    Raises
    ------
    ValueError
        Lengths that do not agree, features that are not finite, an identity that is missing, no cameras where they
        matter.
    """
    features = unit_features(features)
    rows = len(features)
    (people,) = factorise(identities)
    if len(people) != rows:
        raise ValueError(f"features of {rows} rows, identities of {len(people)}")
    if (people < 0).any():
        raise ValueError(f"row {int(people.argmin())} has no identity")
    places = _cameras(cameras, rows) if other_cameras else None
    collect = _Cosines if rows <= exact_rows else _Histogram
    genuine, impostor = collect(), collect()
    for start, stop in blocks(rows, rows, block):
        found = np.clip(features[start:stop] @ features[start:].T, -1, 1)
        wanted = np.arange(start, stop)[:, None] < np.arange(start, rows)
        if places is not None:
            wanted &= places[start:stop, None] != places[start:]
        same = people[start:stop, None] == people[start:]
        genuine.add(found[wanted & same])
        impostor.add(found[wanted & ~same])
    return PairScores(genuine.scores(), impostor.scores(), collect is _Cosines)


def equal_error_rate(scores: PairScores) -> tuple[float, float]:
    """Find where as many genuine pairs are refused as impostor pairs are accepted, in parts of each.

    Parameters
    ----------
    scores : PairScores

    Returns
    -------
    rate : float
        From 0 to 1: on the straight lines that join the rates at neighbouring cosines, where they cross.
    threshold : float
        The cosine there. Both are NaN where there are no pairs of the one kind or the other.
    """
    if scores.reason:
        return float("nan"), float("nan")

    def refused_less_accepted(threshold):
        return scores.genuine.fraction_below(threshold) - scores.impostor.fraction_from(threshold)

    above = _lowest(scores, lambda threshold: refused_less_accepted(threshold) >= 0)
    # At the lowest cosine of all nothing is refused and all is accepted: there always is one before the crossing.
    below = max(
        float(kind.values[at - 1])
        for kind in (scores.genuine, scores.impostor)
        if (at := bisect_left(kind.values, np.float64(above)))
    )
    short, over = -refused_less_accepted(below), refused_less_accepted(above)
    part = short / (short + over)
    refused = [scores.genuine.fraction_below(threshold) for threshold in (below, above)]
    return refused[0] + part * (refused[1] - refused[0]), below + part * (above - below)


def tar_at_far(scores: PairScores, far: float) -> tuple[float, float]:
    """Accept as much as a false accept rate allows.

    Parameters
    ----------
    scores : PairScores
    far : float
        From 0 to 1.

    Returns
    -------
    rate : float
        The largest true accept rate whose false accept rate is at most `far`.
    threshold : float
        The lowest cosine among the pairs' that gives it, or one above them all. Both are NaN where there are no
        pairs of the one kind or the other.
    """
    if scores.reason:
        return float("nan"), float("nan")
    threshold = _lowest(scores, lambda threshold: scores.impostor.fraction_from(threshold) <= far)
    return scores.genuine.fraction_from(threshold), threshold


def rates_at(scores: PairScores, threshold: float) -> tuple[float, float]:
    """What a threshold accepts, one found on other crops, say.

    Parameters
    ----------
    scores : PairScores
    threshold : float
        A cosine.

    Returns
    -------
    far, tar : float
        The fractions of impostor and of genuine pairs accepted; NaN where there are no such pairs.
    """
    kinds = (scores.impostor, scores.genuine)
    far, tar = (kind.fraction_from(threshold) if kind.pairs else float("nan") for kind in kinds)
    return far, tar


def roc(scores: PairScores, points: int = 200) -> np.ndarray:
    """The true accept rate over the false accept rate, as a curve to be drawn.

    Parameters
    ----------
    scores : PairScores
    points : int

    Returns
    -------
    curve : float64, (points, 2)
        False accept rates, even on a logarithmic scale from that of one pair to 1, and the `tar_at_far` of each;
        (0, 2) where there are no pairs of the one kind or the other.
    """
    if scores.reason:
        return np.empty((0, 2))
    fars = np.geomspace(1 / scores.impostor.pairs, 1, points)
    return np.array([(far, tar_at_far(scores, far)[0]) for far in fars])


class _Cosines:
    """All of them."""

    def __init__(self):
        self.parts = []

    def add(self, found):
        self.parts.append(found)

    def scores(self):
        values = np.concatenate([np.empty(0, np.float32), *self.parts])
        self.parts = []
        values.sort()
        return Scores(values)


class _Histogram:
    """How many there are in each bin; the last bin is that of 1 alone."""

    def __init__(self):
        self.counts = np.zeros(2 * _BINS + 1, np.int64)

    def add(self, found):
        bins = np.floor(found * np.float32(_BINS)).astype(np.intp) + _BINS
        self.counts += np.bincount(bins, minlength=len(self.counts))

    def scores(self):
        filled = np.flatnonzero(self.counts)
        values = ((filled - _BINS) / _BINS).astype(np.float32)
        return Scores(values, np.concatenate([[0], np.cumsum(self.counts[filled])]))


def _lowest(scores, holds: Callable[[float], bool]) -> float:
    """The lowest of the pairs' cosines from which on something holds; one above them all if it does for none."""
    kinds = (scores.genuine.values, scores.impostor.values)
    top = max(kind[-1] for kind in kinds)
    found = [float(np.nextafter(top, np.float32(2)) if scores.is_exact else top + np.float32(1 / _BINS))]
    for values in kinds:
        at = bisect_left(values, True, key=lambda value: holds(float(value)))
        found += [float(value) for value in values[at : at + 1]]
    return min(found)


def _cameras(cameras, rows):
    """Numbers for cameras; one that is missing has a number of its own."""
    if cameras is None:
        raise ValueError("only pairs from two cameras are asked for, and no cameras are given")
    (places,) = factorise(cameras, is_absent=is_no_camera)
    if len(places) != rows:
        raise ValueError(f"features of {rows} rows, cameras of {len(places)}")
    return np.where(places < 0, -1 - np.arange(rows), places)
