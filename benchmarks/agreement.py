"""Whether two ways of making features made the same features: a fast wrong answer is worth nothing."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np

__all__ = ["LOWERED_LIMIT", "SAME_LIMIT", "Agreement", "Disagreement", "compare", "worst"]

# fp32 on another engine: the order of additions differs, and nothing else.
SAME_LIMIT = 2e-5

# A lower precision moves the numbers; what counts is that the direction stays. Beyond this something is broken;
# what an honest bf16 costs is measured by `benchmarks.precision`.
LOWERED_LIMIT = 2e-3


class Disagreement(Exception):
    """What must be the same to the last bit is not: nothing that was timed beside it means anything."""


@dataclass(frozen=True)
class Agreement:
    """How far features are from the reference.

    Parameters
    ----------
    measure : "of the largest", "1 - cosine" or "of the loss"
        For fp32 the largest difference within a row over that row's largest value, for a lower precision one
        less the cosine; of the worst row. Of training, the difference over the loss.
    found, limit : float
        In that measure. Not finite where the shapes differ or a number is not finite.
    """

    measure: str
    found: float
    limit: float

    @property
    def holds(self) -> bool:
        """Whether the difference is within the limit; one that is not a number never is."""
        return self.found <= self.limit

    def as_dict(self) -> dict:
        """Give it as a dict, fit for JSON: `found` is None where it is not finite."""
        found = self.found if np.isfinite(self.found) else None
        return {**asdict(self), "found": found, "holds": self.holds}


def compare(features: np.ndarray, reference: np.ndarray, precision: str = "fp32") -> Agreement:
    """Compare features with the reference.

    Parameters
    ----------
    features, reference : float32, (N, D)
        The reference in fp32.
    precision : str
        Of `features`.

    Returns
    -------
    Agreement
    """
    measure, limit = ("of the largest", SAME_LIMIT) if precision == "fp32" else ("1 - cosine", LOWERED_LIMIT)
    if features.shape != reference.shape or not np.isfinite(features).all():
        return Agreement(measure, float("inf"), limit)
    ours, theirs = features.astype(np.float64), reference.astype(np.float64)
    if precision == "fp32":
        found = np.abs(ours - theirs).max(axis=1) / np.abs(theirs).max(axis=1)
    else:
        found = 1 - (ours * theirs).sum(axis=1) / (np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1))
    return Agreement(measure, float(found.max()), limit)


def worst(agreements: Iterable[Agreement]) -> Agreement:
    """Pick the one that is furthest off.

    Parameters
    ----------
    agreements : iterable of Agreement
        At least one, all in one measure.

    Returns
    -------
    Agreement
    """
    return max(agreements, key=lambda agreement: (not agreement.holds, agreement.found))
