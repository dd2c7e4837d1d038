"""Work handed to threads or processes and taken back in order, with only so much of it under way."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

__all__ = ["in_order", "ordered_map"]


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
    try:
        yield from in_order(pool, function, items, ahead)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def in_order(pool, function, items, ahead):
    """Apply a function to items in a pool; yield the results in the items' order.

    Parameters
    ----------
    pool : Executor
        Whoever made it shuts it down.
    function, items, ahead
        As of `ordered_map`.

    Yields
    ------
    result : object
        As of `ordered_map`.
    """
    pending: deque = deque()
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) >= ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()
