"""How much room there is, in memory and on a disk."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

__all__ = ["free_disk", "free_memory"]

_MEMINFO = Path("/proc/meminfo")

# Limit and use of a container's memory, in the two forms that Linux has for it.
_CONTAINER = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)


def free_memory() -> int | None:
    """Tell how much memory can be had without anything being swapped out.

    Returns
    -------
    bytes : int or None
        What the system calls available, no more than a container's limit leaves; None where nothing tells.
    """
    found = _available()
    for limit, used in _CONTAINER:
        with suppress(OSError, ValueError):  # the limit may be the word "max"
            left = max(0, int(limit.read_text()) - int(used.read_text()))
            found = left if found is None else min(found, left)
    return found


def free_disk(folder: Path) -> int:
    """Tell how much can be written into a folder.

    Parameters
    ----------
    folder : Path
        It need not exist yet.

    Returns
    -------
    bytes : int

    Raises
    ------
    OSError
        The disk cannot be asked.
    """
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _available():
    with suppress(OSError, ValueError, IndexError):
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with suppress(AttributeError, OSError, ValueError):  # not on every system, nor with every name
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None
