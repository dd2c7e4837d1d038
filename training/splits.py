"""Which crops are trained on and which are kept for validation: divided by identity, never by crop."""

from dataclasses import replace

import numpy as np

from ..errors import TableError
from .labels import Labels

__all__ = ["mark_split", "split_labels"]

# Set apart from whatever else is drawn from the same seed.
_SPLIT_DRAW = 3

# Fewer people on one side, and there is nobody to be told apart from.
_FEWEST = 2


def split_labels(labels: Labels, val_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide labels into what is trained on and what is not.

    Parameters
    ----------
    labels : Labels
    val_fraction : float
        Part of the identities for validation, from 0 (none) to below 1; at least two of them otherwise. No matter
        where the labels say themselves.
    seed : int
        At least 0; which identities are drawn follows from it.

    Returns
    -------
    train, val : int64, (M,) and (N - M,)
        Positions in the labels, rising.

    Raises
    ------
    TableError
        One side would have fewer than two people.
    ValueError
        `val_fraction` is not from 0 to below 1.

    Notes
    -----
    What a column `split` says goes before. Where there is none, but both `is_query` and `is_gallery`, the rows
    with either mark are for validation.
    """
    if not 0 <= val_fraction < 1:
        raise ValueError(f"val_fraction must be from 0 to below 1, found {val_fraction}")
    is_val = _said(labels)
    if is_val is None:
        is_val = _drawn(labels, val_fraction, seed)
    train, val = np.flatnonzero(~is_val), np.flatnonzero(is_val)
    wanted = {"training": train, "validation": val}
    if not len(val) and not val_fraction:
        del wanted["validation"]
    for use, rows in wanted.items():
        people = len(np.unique(labels.identities[rows]))
        if people < _FEWEST:
            raise TableError(f"the labels have {_people(people)} for {use}, wanted {_FEWEST} at least")
    return train, val


def mark_split(labels: Labels, val: np.ndarray) -> Labels:
    """Note down in the labels how they were divided.

    Parameters
    ----------
    labels : Labels
    val : int64, (M,)
        Positions of what is for validation, as of `split_labels`.

    Returns
    -------
    labels : Labels
        With `is_val` set.
    """
    is_val = np.zeros(len(labels), bool)
    is_val[val] = True
    return replace(labels, is_val=is_val)


def _said(labels):
    if labels.is_val is not None:
        return labels.is_val
    if labels.is_query is not None and labels.is_gallery is not None:
        return labels.is_query | labels.is_gallery
    return None


def _drawn(labels, val_fraction, seed):
    count = round(val_fraction * len(labels.names))
    if val_fraction:
        count = max(count, _FEWEST)
    order = np.random.default_rng([seed, _SPLIT_DRAW]).permutation(len(labels.names))
    return np.isin(labels.identities, order[:count])


def _people(count):
    return "1 identity" if count == 1 else f"{count} identities"
