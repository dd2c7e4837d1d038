"""What a reader of an evaluation should know: rows left out, queries lost, figures that rest on little."""

from collections.abc import Iterator

import numpy as np

from .metrics import Retrieval
from .verification import PairScores

__all__ = ["on_cameras", "on_measures", "on_pairs", "on_queries", "on_rows"]

# So many rows are named; the rest is counted.
_NAMED = 10


def on_rows(without_features: np.ndarray) -> Iterator[str]:
    """Name rows that have no feature vector.

    Parameters
    ----------
    without_features : int64, (N,)
        Their numbers.

    Yields
    ------
    note : str
    """
    count = len(without_features)
    if count:
        named = ", ".join(map(str, without_features[:_NAMED].tolist()))
        more = f" and {count - _NAMED:,} more" if count > _NAMED else ""
        yield f"{count:,} rows have no feature vector and are left out: {named}{more}"


def on_queries(found: Retrieval, cameras: np.ndarray, camera_name: str) -> Iterator[str]:
    """Explain why queries were skipped.

    Parameters
    ----------
    found : Retrieval
    cameras : int64, (N,)
        Of queries and gallery; below 0 where not known.
    camera_name : str
        What they are called.

    Yields
    ------
    note : str
    """
    total = found.queries + found.skipped
    if not total:
        yield "there are no queries"
    if not found.skipped:
        return
    lost = f"{found.skipped:,} of {total:,} queries skipped" if found.queries else "all queries lost"
    alone = f"the gallery has no other crop of the person of {found.without_match:,}"
    if not found.same_camera:
        yield f"{lost}: {alone}"
        return
    if len(np.unique(cameras)) == 1:
        why = f"{camera_name} is constant, so that every match is dropped as from the query's own camera"
    else:
        why = f"all matches of {found.same_camera:,} are from the query's own camera"
    yield f"{lost}: {why}{f'; {alone}' if found.without_match else ''}"


def on_cameras(cameras: np.ndarray, camera_name: str, is_heeded: bool) -> Iterator[str]:
    """Say what is not known of cameras.

    Parameters
    ----------
    cameras : int64, (N,)
        Of queries and gallery; below 0 where not known.
    camera_name : str
        What they are called.
    is_heeded : bool
        Whether there are cameras at all.

    Yields
    ------
    note : str
    """
    unknown = int((cameras < 0).sum())
    if not is_heeded:
        yield "cameras are not heeded: a match may be from the query's own camera, and then is an easy one"
    elif unknown:
        yield f"{unknown:,} rows have no {camera_name}: they count as from a camera of their own"


def on_pairs(scores: PairScores, fars: tuple[float, ...]) -> Iterator[str]:
    """Say what EER and TAR@FAR rest on.

    Parameters
    ----------
    scores : PairScores
    fars : tuple of float
        The false accept rates that were asked for.

    Yields
    ------
    note : str
    """
    if scores.reason:
        yield f"no EER, no TAR@FAR: {scores.reason}"
        return
    if not scores.is_exact:
        yield "EER and TAR@FAR are from a histogram of cosines, with bins of 1/32768"
    few = [f"{far:g}" for far in fars if far * scores.impostor.pairs < 1]
    if few:
        yield (
            f"{scores.impostor.pairs:,} impostor pairs are too few for a FAR of {' or '.join(few)}: "
            "none of them is accepted there"
        )


def on_measures(rerank: bool, protocol: str) -> Iterator[str]:
    """Say which figures an option changes, and which not.

    Parameters
    ----------
    rerank : bool
    protocol : "market" or "single-shot"

    Yields
    ------
    note : str
    """
    if rerank:
        yield "CMC, mAP and mINP are after re-ranking; EER and TAR@FAR are of the cosines as they are"
    if protocol == "single-shot":
        yield "CMC is the mean over ten galleries of one random crop a person; mAP and mINP are of all crops"
