"""One job an output: a lock that the system frees with its process, and a note that says who holds it."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import JobError, TableError
from ..tables import put_bytes

__all__ = ["HOLDER", "hold"]

HOLDER = "holder.json"


@contextmanager
def hold(target: Path, folder: Path) -> Iterator[None]:
    """Hold an output against a second job.

    A lock file that a killed job left behind locks nothing: it is the system that locks, and it frees the lock
    with the process, however that ends.

    Parameters
    ----------
    target : Path
        The lock is `.NAME.lock` beside it.
    folder : Path
        `OUTPUT.job`, where the note stands; made here, and gone afterwards if nothing else is in it.

    Raises
    ------
    JobError
        Another job holds it (`locked`).
    TableError
        The lock cannot be made.
    """
    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise JobError("locked", f"another job is writing {str(target)!r}{_holder(folder)}") from error
    except OSError as error:
        raise TableError(f"cannot write into {str(target.parent)!r}: {error}") from error
    try:
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise TableError(f"cannot make the folder {str(folder)!r}: {error}") from error
        note = {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat()}
        put_bytes(folder / HOLDER, json.dumps(note).encode())
        yield
    finally:
        with suppress(OSError):  # it has other files, or was never made
            (folder / HOLDER).unlink(missing_ok=True)
            folder.rmdir()
        lock.release()


def _holder(folder):
    try:
        note = json.loads((folder / HOLDER).read_text(encoding="utf-8"))
        return f": process {note['pid']} on {note['host']}, since {note['since']}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
