"""Work handed to threads and taken back in order, with only so much of it under way."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

__all__ = ["ordered_map"]


def ordered_map(function, items, workers, ahead):
    """Apply a function to items in threads; yield the results in the items' order.

    The items are drawn in the caller's thread, and only while fewer than `ahead` are under way: a slow
    consumer stops the drawing, so memory stays bounded.

    Parameters
    ----------
    function : callable
        Of one argument; called in `workers` threads at once.
    items : iterable
        May be without end.
    workers : int
    ahead : int
        Items drawn and not yet yielded, at most.

    Yields
    ------
    result : object
        Of `function`; what it raises is raised here, in its turn.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="osnet")
    pending: deque = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
