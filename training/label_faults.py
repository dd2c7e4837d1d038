"""What is wrong with labels, each fault with its row; and what is not wrong, but worth saying."""

import os
from collections.abc import Iterable

import numpy as np

from ..errors import TableError
from .label_cells import Progress, decode_cells
from .labels import Labels

__all__ = ["check_labels", "find_faults", "raise_faults", "warn_labels"]

# So many are written out.
_FIRST_FAULTS = 10
_FIRST_NAMES = 3


def check_labels(
    labels: Labels, deep: bool = False, *, threads: int | None = None, progress: Progress | None = None
) -> list[str]:
    """Refuse labels that are wrong, and list what is odd about the others.

    Parameters
    ----------
    labels : Labels
    deep : bool
        Whether to decode every crop, which takes as long as it takes; otherwise it is enough that image files are
        there.
    threads, progress
        As of `label_cells.decode_cells`.

    Returns
    -------
    warnings : list of str
        As of `warn_labels`.

    Raises
    ------
    TableError
        Something is wrong; the first faults with their rows, and how many more there are.
    """
    faults = find_faults(labels)
    if deep:
        broken = decode_cells(labels, lambda position, crop: None, threads=threads, progress=progress)
        known = {position for position, _ in faults}
        faults += [fault for fault in broken if fault[0] not in known]
    raise_faults(labels, faults)
    return warn_labels(labels)


def find_faults(labels: Labels, doubtful: Iterable[int] = ()) -> list[tuple[int, str]]:
    """Look for what is wrong with labels, without opening an image.

    Parameters
    ----------
    labels : Labels
    doubtful : iterable of int
        Positions known to be wrong, whose identity and side mean nothing.

    Returns
    -------
    faults : list of (int, str)
        Position in the labels, and what is wrong there: an image file that is not there or stands in an earlier
        row, an identity on both sides of the split.
    """
    sure = np.ones(len(labels), bool)
    sure[list(doubtful)] = False
    return [*_absent_or_repeated(labels), *_on_both_sides(labels, sure)]


def raise_faults(labels: Labels, faults: Iterable[tuple[int, str]]) -> None:
    """Raise if anything is wrong.

    Parameters
    ----------
    labels : Labels
    faults : iterable of (int, str)
        Position in the labels, and what is wrong there; in any order.

    Raises
    ------
    TableError
        There are faults: the first ten, each with its table and row, and how many more.
    """
    faults = sorted(faults)
    lines = [f"{labels.where(position)}: {text}" for position, text in faults[:_FIRST_FAULTS]]
    if len(faults) == 1:
        raise TableError(lines[0])
    if len(faults) > _FIRST_FAULTS:
        lines.append(f"and {len(faults) - _FIRST_FAULTS:,} more")
    if faults:
        raise TableError("\n  ".join([f"{len(faults):,} faults in the labels:", *lines]))


def warn_labels(labels: Labels) -> list[str]:
    """List what is odd about labels: nothing to stop for, but it may explain poor figures.

    Parameters
    ----------
    labels : Labels

    Returns
    -------
    warnings : list of str
        A line for each table and oddity: identities with one crop, cameras that are unknown, the same
        everywhere, or the only one to have seen somebody.
    """
    warnings = []
    for number, source in enumerate(labels.sources):
        mine = labels.source == number
        if mine.any():
            warnings += [f"{source.name}: {text}" for text in _oddities(labels, mine)]
    return warnings


def _absent_or_repeated(labels):
    faults = []
    first: dict[str, int] = {}
    roots = [str(source.root) for source in labels.sources]
    for position, (number, path) in enumerate(zip(labels.source.tolist(), labels.paths.to_pylist(), strict=True)):
        if not path:  # the crop is in the table itself, or missing, which is told by whoever read the table
            continue
        root = roots[number]
        place = os.path.normpath(os.path.join(root, path))  # noqa: PTH118 (a million times)
        if place in first:
            faults.append((position, _again(labels, first[place], position)))
            continue
        first[place] = position
        if not os.path.isfile(place):  # noqa: PTH113 (likewise)
            faults.append((position, f"no file {path!r} under {root!r}"))
    return faults


def _again(labels, earlier, position):
    text = f"the image of {labels.where(earlier)} again"
    if labels.identities[earlier] == labels.identities[position]:
        return text
    return f"{text}, there as {_name(labels, earlier)!r} and here as {_name(labels, position)!r}"


def _on_both_sides(labels, sure):
    if labels.is_val is None:
        return []
    first = []
    for side in (labels.is_val, ~labels.is_val):
        rows = np.flatnonzero(side & sure)
        people, at = np.unique(labels.identities[rows], return_index=True)
        first.append((people, rows[at]))
    (val_people, val_rows), (train_people, train_rows) = first
    _, in_val, in_train = np.intersect1d(val_people, train_people, assume_unique=True, return_indices=True)
    return [
        (val, f"{_name(labels, val)!r} is for validation here, and for training in row {labels.row[train]}")
        for val, train in zip(val_rows[in_val].tolist(), train_rows[in_train].tolist(), strict=True)
    ]


def _name(labels, position):
    return labels.names[labels.identities[position]][1]


def _oddities(labels, mine):
    """What is odd about one source, whose rows are given by a mask."""
    identities, cameras = labels.identities[mine], labels.cameras[mine]
    people, first, crops = np.unique(identities, return_index=True, return_counts=True)
    single = people[crops == 1]
    if len(single):
        yield (
            f"{len(single):,} of {len(people):,} identities have one crop only, with nothing to be told alike: "
            f"{_listed(labels, single)}"
        )
    unknown = np.count_nonzero(cameras < 0)
    if unknown == len(cameras):
        yield "no cameras; every crop is looked for among all others"
        return
    if unknown:
        yield f"{unknown:,} of {len(cameras):,} rows have no camera"
    if len(np.unique(cameras)) == 1:
        yield "one camera saw all crops: nobody can be looked for in another camera"
        return
    seen = cameras != cameras[first][np.searchsorted(people, identities)]
    alone = np.setdiff1d(people[crops > 1], identities[seen])
    if len(alone):
        yield (
            f"{len(alone):,} of {len(people):,} identities were seen by one camera only: {_listed(labels, alone)}"
        )


def _listed(labels, identities):
    texts = [repr(labels.names[identity][1]) for identity in identities[:_FIRST_NAMES].tolist()]
    return ", ".join(texts) + (", ..." if len(identities) > _FIRST_NAMES else "")
