"""Work handed to processes and taken back in order: for machines with more processors than one Python can use."""

import os
import signal
import threading
import time
from typing import Any

from .errors import EngineError
from .pipeline import in_order

__all__ = ["map_in_processes"]

# Seconds between two looks of a worker at whether it still has a parent.
_LOOK = 1.0

# What this process does with an item, where it is a worker.
_function: Any = None


def map_in_processes(make, items, processes, ahead):
    """Apply a function to items in processes, each with one of its own; yield the results in the items' order.

    The processes are new ones, not forks: they import this package, not the caller's script. They end with the
    generator, and with the process that started them, however that ends.

    Parameters
    ----------
    make : callable
        Without arguments, picklable; called once in each process. It returns the function.
    items : iterable
        Of what pickle can take; drawn as by `pipeline.ordered_map`.
    processes : int
    ahead : int
        Items drawn and not yet yielded, at most.

    Yields
    ------
    result : object
        Of the function; what it raises is raised here, in its turn.

    Raises
    ------
    EngineError
        A process died.
    """
    from joblib.externals.loky import ProcessPoolExecutor, process_executor

    pool = ProcessPoolExecutor(processes, initializer=_begin, initargs=(make, os.getpid()))
    try:
        yield from in_order(pool, _call, items, ahead)
    except process_executor.BrokenProcessPool as error:
        raise EngineError(
            f"a worker process died; the system's log may say why, and too little memory is usual: {error}"
        ) from error
    finally:
        pool.shutdown(wait=True, kill_workers=True)


def _begin(make, parent):
    """What each process does first."""
    global _function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent decides
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        _function = make()
    except Exception as error:  # raised for each item, as a broken pool would not say what it is
        _function = _raise(error)


def _end_with(parent):
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os._exit(1)


def _raise(error):
    def function(_):
        raise error

    return function


def _call(item):
    return _function(item)
