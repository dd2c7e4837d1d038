"""A folder of part files as an output: whole once it has `_SUCCESS`, and never old and new ones together.

One rename replaces a file; a folder has no such moment. So `_SUCCESS` goes before anything else does, and comes
after everything else. What a run has begun to put into the folder and could not end, the next one ends, from the
manifest and what is left of the staged files.
"""

import json
import re
from pathlib import Path

from ..errors import JobError
from ..tables import open_table, put_bytes, put_in_place, sync_folder
from ..tables.faults import read_errors, write_errors
from .fingerprint import file_sha256

__all__ = [
    "SUCCESS",
    "check_no_strangers",
    "check_success",
    "end_filling",
    "fill",
    "part_file",
    "sha256_of_files",
    "write_success",
]

# Readers pass over names that begin like this.
SUCCESS = "_SUCCESS"

_OURS = re.compile(rf"part-\d{{5,}}\.parquet|{SUCCESS}")


def part_file(number: int, count: int) -> str:
    """Name a part file, such that names are in the order of the parts.

    Parameters
    ----------
    number : int
        Of the part, from 0.
    count : int
        How many parts there are.

    Returns
    -------
    name : str
    """
    return f"part-{number:0{max(5, len(str(count - 1)))}}.parquet"


def check_no_strangers(folder: Path) -> None:
    """Refuse a folder that holds what no job of this package has put there.

    Parameters
    ----------
    folder : Path
        There or not.

    Raises
    ------
    JobError
        It does (`exists`): such files are neither replaced nor deleted.
    """
    strangers = [path.name for path in _visible(folder) if path.is_dir() or not _OURS.fullmatch(path.name)]
    if strangers:
        more = f" and {len(strangers) - 1:,} more" if len(strangers) > 1 else ""
        raise JobError(
            "exists",
            f"{folder} holds {strangers[0]!r}{more}, which no job has put there and none deletes; move it away, "
            "or name another folder",
        )


def sha256_of_files(folder: Path) -> dict[str, str]:
    """Take the sha256 of every file of a folder.

    Parameters
    ----------
    folder : Path
        There or not.

    Returns
    -------
    files : dict of str to str
        Name -> sha256, sorted; without those whose name begins with a dot, which are the system's.

    Raises
    ------
    TableError
        A file cannot be read.
    """
    return {path.name: file_sha256(path) for path in _visible(folder)}


def write_success(staged: Path) -> None:
    """Add the list of its files to a staged folder, as `_SUCCESS`: how many rows they have, and their sha256.

    Parameters
    ----------
    staged : Path

    Raises
    ------
    TableError
        A file cannot be read, or the list not be written.
    """
    told = {"rows": open_table(staged).survey().rows, "sha256": sha256_of_files(staged)}
    put_bytes(staged / SUCCESS, f"{json.dumps(told, indent=1)}\n".encode())


def check_success(folder: Path) -> None:
    """Hold a folder against its own list of its files.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    JobError
        There is no such list, or there are other files (`unverified`).
    TableError
        A file cannot be read.
    """
    path = folder / SUCCESS
    if not path.is_file():
        raise JobError("unverified", f"{folder} has no {SUCCESS}, so that it is not finished")
    with read_errors(path):
        data = path.read_bytes()
    try:
        told = {**json.loads(data)["sha256"]}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise JobError("unverified", f"{path} is damaged: {error}") from error
    found = sha256_of_files(folder)
    del found[SUCCESS]
    for name in sorted(told.keys() | found.keys()):
        if told.get(name) != found.get(name):
            what = "is gone" if name not in found else "is not in it" if name not in told else "is another file"
            raise JobError("unverified", f"{folder} is not what its {SUCCESS} says: {name} {what}")


def fill(staged: Path, folder: Path) -> None:
    """Exchange the files of a folder for staged ones.

    Parameters
    ----------
    staged : Path
        With `_SUCCESS`. What has not been moved stays there on an error, for `end_filling`.
    folder : Path
        There or not.

    Raises
    ------
    JobError
        The folder holds what no job has put there (`exists`).
    TableError
        It cannot be written to.
    """
    check_no_strangers(folder)
    with write_errors(folder):
        (folder / SUCCESS).unlink(missing_ok=True)
    _exchange(staged, folder, [path for path in _visible(folder) if _OURS.fullmatch(path.name)])


def end_filling(staged: Path, folder: Path, wanted: dict[str, str], before: dict[str, str]) -> None:
    """End what `fill` has begun, if it has, and if all is there that it takes.

    Parameters
    ----------
    staged, folder : Path
        There or not.
    wanted, before : dict of str to str
        Name -> sha256: the files that were to come, and those of the job that were there.

    Raises
    ------
    TableError
        A file cannot be read, or the folder not be written to.
    """
    there = sha256_of_files(folder)
    new = {name: sha256 for name, sha256 in there.items() if wanted.get(name) == sha256}
    old = there.items() - new.items()
    whole = {**new, **sha256_of_files(staged)} == wanted
    if SUCCESS not in there and whole and old <= before.items():
        _exchange(staged, folder, [folder / name for name, _ in old])


def _exchange(staged, folder, old):
    with write_errors(folder):
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)
        sync_folder(folder)
        for path in old:
            path.unlink()
        sync_folder(folder)
    for path in sorted(_visible(staged), key=lambda path: path.name == SUCCESS):
        put_in_place(path, folder / path.name)


def _visible(folder):
    if not folder.is_dir():
        return []
    with read_errors(folder):
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
