"""How well features tell people apart: everything that is measured, in one answer."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import partial

import numpy as np

from .evaluation_notes import on_cameras, on_measures, on_pairs, on_queries, on_rows
from .labels import CAMERA_COLUMN
from .matches import factorise, is_no_camera
from .metrics import retrieval, single_shot
from .reranking import reranked
from .verification import EXACT_ROWS, FARS, equal_error_rate, pair_scores, rates_at, roc, tar_at_far

__all__ = ["PROTOCOLS", "Evaluation", "evaluate_features"]

PROTOCOLS = ("market", "single-shot")


@dataclass(frozen=True)
class Evaluation:
    """What was measured. Fractions are from 0 to 1 and not rounded; what cannot be measured is NaN.

    Parameters
    ----------
    rank1, rank5, rank10, rank20 : float
        CMC: the fraction of queries with a match among the first so many.
    mAP, mINP : float
        As of `metrics.Retrieval`.
    eer, eer_threshold : float
        Equal error rate over pairs of crops, and the cosine at which it is.
    tar_at_far : dict of float to float
        By false accept rate: the true accept rate that it allows.
    threshold_at_far : dict of float to float
        By false accept rate: the cosine from which on pairs are accepted.
    queries, queries_skipped : int
        Those that count, and those with nothing to find.
    gallery : int
        Crops in the gallery.
    rows, rows_without_features : int
        Rows looked at; those of them that have no feature vector, and are left out.
    identities, cameras : int
        Of the rows that are queries or gallery; 0 cameras where none is known or heeded.
    genuine_pairs, impostor_pairs : int
        Of one person, and of two.
    protocol : "market" or "single-shot"
    reranked : bool
    at_thresholds : dict of str to dict
        By name of a threshold found elsewhere: `threshold`, and `far` and `tar` here.
    notes : tuple of str
        What a reader should know about the figures.
    cmc : float64, (RANKS,)
        As of `metrics.Retrieval`.
    roc : float64, (P, 2)
        As of `verification.roc`.
    """

    rank1: float
    rank5: float
    rank10: float
    rank20: float
    mAP: float
    mINP: float
    eer: float
    eer_threshold: float
    tar_at_far: dict[float, float]
    threshold_at_far: dict[float, float]
    queries: int
    queries_skipped: int
    gallery: int
    rows: int
    rows_without_features: int
    identities: int
    cameras: int
    genuine_pairs: int
    impostor_pairs: int
    protocol: str
    reranked: bool
    at_thresholds: dict[str, dict[str, float]]
    notes: tuple[str, ...]
    cmc: np.ndarray = field(repr=False)
    roc: np.ndarray = field(repr=False)

    def as_dict(self) -> dict:
        """dict, fit for JSON: everything but the two curves, None for NaN, false accept rates as text."""
        drawn = ("cmc", "roc")
        return {one.name: _fit_for_json(getattr(self, one.name)) for one in fields(self) if one.name not in drawn}

    def in_words(self) -> str:
        """str: some lines for people to read."""
        is_unknown = math.isnan(self.eer)
        ranks = {1: self.rank1, 5: self.rank5, 10: self.rank10, 20: self.rank20}
        lines = [
            f"rows       {self.rows:,}, {self.rows_without_features:,} without features; "
            f"{self.identities:,} identities, {self.cameras:,} cameras",
            f"queries    {self.queries:,}, {self.queries_skipped:,} skipped; gallery {self.gallery:,}",
            f"CMC        {', '.join(f'{_percent(rate)} at {rank}' for rank, rate in ranks.items())}",
            f"mAP        {_percent(self.mAP)}, mINP {_percent(self.mINP)}",
            f"EER        {_percent(self.eer)}{'' if is_unknown else f' at cosine {self.eer_threshold:.4f}'}; "
            f"{self.genuine_pairs:,} genuine pairs, {self.impostor_pairs:,} impostor",
        ]
        for far, tar in () if is_unknown else self.tar_at_far.items():
            cosine = self.threshold_at_far[far]
            lines.append(f"TAR        {_percent(tar)} at FAR {far:g}, from cosine {cosine:.4f} on")
        for name, rates in self.at_thresholds.items():
            found = f"TAR {_percent(rates['tar'])}, FAR {_percent(rates['far'])}"
            lines.append(f"threshold  {found} from cosine {rates['threshold']:.4f} on: {name}")
        return "\n".join([*lines, *(f"note       {note}" for note in self.notes)])


def evaluate_features(
    features,
    identities,
    cameras=None,
    *,
    is_query=None,
    is_gallery=None,
    protocol: str = "market",
    rerank: bool = False,
    other_cameras: bool = False,
    exact_rows: int = EXACT_ROWS,
    seed: int = 0,
    thresholds: Mapping[str, float] | None = None,
    row_numbers=None,
    camera_name: str = CAMERA_COLUMN,
) -> Evaluation:
    """Measure how well features tell people apart.

    Parameters
    ----------
    features : float32, (N, D)
        Of any length; rows of NaN, which have no feature vector, are left out and counted.
    identities : column of N numbers or texts
    cameras : column of N numbers or texts, optional
        One that is not known (None, NaN, empty, below 0) is no other's equal. Left out, no match is dropped for
        its camera.
    is_query, is_gallery : bool, (N,), optional
        Which rows are looked for, and which are searched; all where left out. A row never finds itself.
    protocol : "market" or "single-shot"
        `metrics.retrieval` or `metrics.single_shot`.
    rerank : bool
        Rank by `reranking.reranked` instead of by cosine.
    other_cameras : bool
        EER and TAR@FAR of pairs from two cameras only.
    exact_rows : int
        Up to so many rows they are exact; above, from a histogram.
    seed : int
        Of the single shots.
    thresholds : mapping of str to float, optional
        Cosines found elsewhere, by name, to be tried here.
    row_numbers : int64, (N,), optional
        What the rows are called in notes and errors; 0 to N - 1 if left out.
    camera_name : str
        What `cameras` are called there.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        Lengths that do not agree, a feature vector with numbers that are not finite, an identity that is missing,
        an unknown protocol, or too many rows for re-ranking.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}, found {protocol!r}")
    features = np.asarray(features, np.float32)
    rows = len(features)
    row_numbers = np.arange(rows) if row_numbers is None else np.asarray(row_numbers)
    present = _present(features, row_numbers)
    people = _codes("identities", identities, rows)
    if (people < 0).any():
        raise ValueError(f"row {row_numbers[people.argmin()]} has no identity")
    places = _codes("cameras", [None] * rows if cameras is None else cameras, rows, is_absent=is_no_camera)
    query = present & _mask("is_query", is_query, rows)
    gallery = present & _mask("is_gallery", is_gallery, rows)

    used = np.flatnonzero(query | gallery)
    features, people, places = features[used], people[used], places[used]
    queries, crops = np.flatnonzero(query[used]), np.flatnonzero(gallery[used])
    measure = retrieval if protocol == "market" else partial(single_shot, seed=seed)
    found = measure(
        _some(features, queries),
        _some(features, crops),
        people[queries],
        people[crops],
        places[queries],
        places[crops],
        query_rows=queries,
        gallery_rows=crops,
        similarity=reranked(features, queries, crops) if rerank else None,
    )
    scores = pair_scores(features, people, places, other_cameras=other_cameras, exact_rows=exact_rows)
    eer, eer_threshold = equal_error_rate(scores)
    at_far = {far: tar_at_far(scores, far) for far in FARS}
    notes = (
        *on_rows(row_numbers[~present]),
        *on_queries(found, places, camera_name),
        *on_cameras(places, camera_name, is_heeded=cameras is not None),
        *on_pairs(scores, FARS),
        *on_measures(rerank, protocol),
    )
    return Evaluation(
        **{f"rank{rank}": float(found.cmc[rank - 1]) for rank in (1, 5, 10, 20)},
        mAP=found.mAP,
        mINP=found.mINP,
        eer=eer,
        eer_threshold=eer_threshold,
        tar_at_far={far: tar for far, (tar, _) in at_far.items()},
        threshold_at_far={far: threshold for far, (_, threshold) in at_far.items()},
        queries=found.queries,
        queries_skipped=found.skipped,
        gallery=len(crops),
        rows=rows,
        rows_without_features=int((~present).sum()),
        identities=len(np.unique(people)),
        cameras=len(np.unique(places[places >= 0])),
        genuine_pairs=scores.genuine.pairs,
        impostor_pairs=scores.impostor.pairs,
        protocol=protocol,
        reranked=rerank,
        at_thresholds={name: _tried(scores, threshold) for name, threshold in (thresholds or {}).items()},
        notes=notes,
        cmc=found.cmc,
        roc=roc(scores),
    )


def _present(features, row_numbers):
    """bool, (N,): whether a row has a feature vector; one with some numbers that are not finite is a fault."""
    if features.ndim != 2:
        raise ValueError(f"features have the shape {features.shape}, wanted (N, D)")
    if len(row_numbers) != len(features):
        raise ValueError(f"features of {len(features)} rows, row_numbers of {len(row_numbers)}")
    present = ~np.isnan(features).all(axis=1)
    broken = present & ~np.isfinite(features).all(axis=1)
    if broken.any():
        raise ValueError(f"row {row_numbers[broken.argmax()]}: the feature vector has numbers that are not finite")
    return present


def _codes(name, column, rows, **options):
    (codes,) = factorise(column, **options)
    if len(codes) != rows:
        raise ValueError(f"features of {rows} rows, {name} of {len(codes)}")
    return codes


def _mask(name, mask, rows):
    if mask is None:
        return np.ones(rows, bool)
    mask = np.asarray(mask)
    if mask.dtype != bool or mask.shape != (rows,):
        raise ValueError(f"{name} is {mask.dtype} {mask.shape}, wanted bool ({rows},)")
    return mask


def _some(features, rows):
    """Some rows, or the very same array where they are all."""
    return features if len(rows) == len(features) else features[rows]


def _tried(scores, threshold):
    far, tar = rates_at(scores, threshold)
    return {"threshold": threshold, "far": far, "tar": tar}


def _fit_for_json(value):
    if isinstance(value, dict):
        return {str(key): _fit_for_json(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return list(value)
    return None if isinstance(value, float) and math.isnan(value) else value


def _percent(fraction):
    return "unknown" if math.isnan(fraction) else f"{100 * fraction:.2f}%"
