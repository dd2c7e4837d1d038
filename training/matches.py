"""Who is whom: which crops of a gallery a query is to find, and which of them it may not see."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..missing import is_missing

__all__ = ["Matches", "factorise", "find_matches", "is_no_camera"]


@dataclass(frozen=True)
class Matches:
    """Queries and the crops of a gallery, by number.

    Parameters
    ----------
    query, gallery : int64, (Q,) and (G,)
        Who it is.
    query_cameras, gallery_cameras : int64, (Q,) and (G,)
        Below 0 where not known.
    query_rows, gallery_rows : int64, (Q,) and (G,)
        Which crop it is.
    members : list of int64 arrays
        By who it is: where the crops stand in the gallery, rising.
    """

    query: np.ndarray
    gallery: np.ndarray
    query_cameras: np.ndarray
    gallery_cameras: np.ndarray
    query_rows: np.ndarray
    gallery_rows: np.ndarray
    members: list[np.ndarray]

    def of(self, query: int) -> tuple[np.ndarray, np.ndarray, bool]:
        """Find the crops of a query's person in the gallery.

        Parameters
        ----------
        query : int
            From 0 to Q - 1.

        Returns
        -------
        kept : int64, (K,)
            Where those stand that the query is to find.
        dropped : int64, (L,)
            Where those stand that it may not see: itself, and those of its own camera.
        is_alone : bool
            Whether there are none but itself.
        """
        columns = self.members[self.query[query]]
        itself = self.gallery_rows[columns] == self.query_rows[query]
        camera = self.query_cameras[query]
        dropped = itself | (self.gallery_cameras[columns] == camera) if camera >= 0 else itself
        return columns[~dropped], columns[dropped], bool(itself.all())


def find_matches(
    query_identities,
    gallery_identities,
    query_cameras=None,
    gallery_cameras=None,
    query_rows=None,
    gallery_rows=None,
) -> Matches:
    """Number queries and gallery.

    Parameters
    ----------
    query_identities, gallery_identities, query_cameras, gallery_cameras, query_rows, gallery_rows
        As of `metrics.retrieval`.

    Returns
    -------
    Matches

    Raises
    ------
    ValueError
        Lengths that do not agree, an identity that is missing, cameras or rows on one side only, one row of two
        identities.
    """
    queries, crops = len(query_identities), len(gallery_identities)
    query, gallery = factorise(query_identities, gallery_identities)
    for name, codes in (("query", query), ("crop of the gallery", gallery)):
        if (codes < 0).any():
            raise ValueError(f"{name} {int(codes.argmin())} has no identity")
    cameras = _both("cameras", query_cameras, gallery_cameras, [None] * queries, [None] * crops)
    rows = _both("rows", query_rows, gallery_rows, range(queries), range(queries, queries + crops))
    for name, (one, other) in (("cameras", cameras), ("rows", rows)):
        if (len(one), len(other)) != (queries, crops):
            raise ValueError(
                f"{queries} queries with {len(one)} {name}, {crops} crops of the gallery with {len(other)}"
            )
    query_rows, gallery_rows = np.asarray(rows[0]), np.asarray(rows[1])
    both, one, other = np.intersect1d(query_rows, gallery_rows, return_indices=True)
    for row in both[query[one] != gallery[other]][:1]:
        raise ValueError(f"row {row} has one identity as a query, and another in the gallery")
    order = np.argsort(gallery, kind="stable")
    counts = np.bincount(gallery, minlength=1 + max(query.max(initial=-1), gallery.max(initial=-1)))
    members = np.split(order, np.cumsum(counts)[:-1])
    places, crop_places = factorise(*cameras, is_absent=is_no_camera)
    return Matches(query, gallery, places, crop_places, query_rows, gallery_rows, members)


def factorise(*columns, is_absent: Callable[[object], bool] = is_missing) -> list[np.ndarray]:
    """Number the values of some columns from 0 on, in the order in which they first occur.

    Parameters
    ----------
    *columns : arrays, Series or lists of numbers or texts
        Equal values get one number, whichever column they stand in.
    is_absent : callable
        Whether a value stands for none; None, NaN and empty do if left out.

    Returns
    -------
    codes : list of int64, (N,)
        One array a column; -1 where there is no value.
    """
    numbers: dict = {}

    def code(cell):
        return -1 if is_absent(cell) else numbers.setdefault(cell, len(numbers))

    lists = [column.tolist() if hasattr(column, "tolist") else list(column) for column in columns]
    return [np.fromiter(map(code, cells), np.int64, len(cells)) for cells in lists]


def is_no_camera(cell):
    """Whether a cell says that the camera is not known: it is missing, or a number below 0."""
    return is_missing(cell) or (isinstance(cell, (int, float)) and cell < 0)


def _both(name, query, gallery, default_query, default_gallery):
    if (query is None) is not (gallery is None):
        raise ValueError(
            f"{name} of {'the gallery' if query is None else 'the queries'} only, wanted both or none"
        )
    return (default_query, default_gallery) if query is None else (query, gallery)
