"""Let the C library keep freed memory: training asks for the same large blocks again and again."""

import ctypes
import sys

__all__ = ["keep_freed_memory"]

# glibc's malloc.h
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Tell glibc not to give blocks back to the system; for the whole process, and for good.

    Every block above some size is otherwise mapped anew each time, and each of its pages faulted in.

    Returns
    -------
    bool
        Whether it was told; False where the C library is another one.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 64 << 20))
    return all(mallopt(*setting) == 1 for setting in settings)
