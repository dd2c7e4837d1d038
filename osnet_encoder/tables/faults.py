"""What the system and pyarrow say when a file fails them, said in our words."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from ..errors import TableError

__all__ = ["read_errors", "write_errors"]


@contextmanager
def read_errors(path: str | Path) -> Iterator[None]:
    """Turn errors of the system and of pyarrow into a TableError, while a file is read.

    Parameters
    ----------
    path : str or Path
        The file's name, for the message.

    Raises
    ------
    TableError
        If the block raises an OSError (the file is not there, say) or an error of pyarrow's (it is damaged).
    """
    try:
        yield
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:  # the last for names of columns
        raise TableError(f"cannot read {path}: {_reason(error)}") from error


@contextmanager
def write_errors(path: str | Path) -> Iterator[None]:
    """Turn errors of the system and of pyarrow into a TableError, while a file is written.

    Parameters
    ----------
    path : str or Path
        The file's name, for the message.

    Raises
    ------
    TableError
        If the block raises an OSError (the disk is full, say) or an error of pyarrow's.
    """
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise TableError(f"cannot write {path}: {_reason(error)}") from error


def _reason(error):
    """Short, and without the names of files, which pyarrow likes to repeat."""
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else str(error)[:300]
