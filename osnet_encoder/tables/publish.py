"""A file appears under its name when it is whole, or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import TableError
from .faults import write_errors
from .kinds import names_folder

__all__ = ["check_folder", "check_target", "published", "put_bytes", "put_in_place", "sync_folder"]


def check_target(path: str | Path) -> Path:
    """Refuse a place that cannot be written to, before any work is done.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    target : Path
        The file to write; where `path` is a symbolic link, the file it points to.

    Raises
    ------
    TableError
        If the folder is not there or may not be written to, or if `path` is a folder itself.
    """
    target = Path(os.path.realpath(path))
    with write_errors(path):  # a name too long, a folder that may not be looked into
        is_folder = target.is_dir()
    if is_folder or names_folder(path):
        raise TableError(f"{path} is a folder, wanted the name of a file to write")
    _check_may_write(path, target.parent)
    return target


def check_folder(path: str | Path) -> Path:
    """Refuse a folder that cannot be filled, before any work is done; its own folder must be there.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    target : Path
        The folder to write, there already or not; where `path` is a symbolic link, the one it points to.

    Raises
    ------
    TableError
        If it or the folder it is in may not be written to, the latter is not there, or `path` is a file or the
        root of a file system: nothing can be renamed into it from beside it.
    """
    target = Path(os.path.realpath(path))
    with write_errors(path):
        there, is_folder = target.exists(), target.is_dir()
    if there and not is_folder:
        raise TableError(f"{path} is a file, wanted a folder or a new name")
    if os.path.ismount(target):
        raise TableError(f"cannot write {path}: it is the root of a file system, wanted a folder within it")
    _check_may_write(path, target.parent)
    if there:
        _check_may_write(path, target)
    return target


def _check_may_write(path, folder):
    if not folder.is_dir():
        raise TableError(f"cannot write {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise TableError(f"cannot write {path}: the folder {folder} may not be written to")


@contextmanager
def published(target: Path) -> Iterator[Path]:
    """Write beside a file, and rename over it once the block has ended well.

    Parameters
    ----------
    target : Path
        As `check_target` returned it. Left as it is if the block raises anything at all.

    Yields
    ------
    partial : Path
        A new hidden name in the same folder, to be written and closed within the block. Its bytes are on the
        disk before it is renamed, and the rename is before the block is left; on an error it is removed.

    Raises
    ------
    TableError
        If the finished file cannot be put in its place.
    """
    partial = target.with_name(f".osnet-encoder-{secrets.token_hex(4)}.partial")
    try:
        yield partial
        put_in_place(partial, target)
    finally:
        with suppress(OSError):  # not there once it is renamed
            partial.unlink()


def put_in_place(partial: Path, target: Path) -> None:
    """Rename a finished file over another, such that it is the one or the other whatever happens.

    Parameters
    ----------
    partial, target : Path
        In one file system. The bytes of `partial` are on the disk before it is renamed, and the rename is before
        this returns.

    Raises
    ------
    TableError
        If that cannot be done.
    """
    with write_errors(target):
        _sync(partial)
        partial.replace(target)
        sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """See to it that what was renamed, made or removed in a folder is so on the disk.

    Parameters
    ----------
    folder : Path
    """
    # On Windows a folder cannot be opened, nor need it be.
    if hasattr(os, "O_DIRECTORY"):  # pragma: no branch
        _sync(folder, os.O_DIRECTORY)


def put_bytes(target: Path, data) -> None:
    """Write a small file whole, or not at all.

    Parameters
    ----------
    target : Path
    data : bytes-like

    Raises
    ------
    TableError
        If it cannot be written; a file of this name is then as it was.
    """
    with published(target) as partial, write_errors(target):
        partial.write_bytes(data)


def _sync(path, flags=0):
    descriptor = os.open(path, os.O_RDONLY | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
