"""The output's place, where a file stands or a folder of part files: what is there, and how another gets there."""

import hashlib
from contextlib import suppress
from pathlib import Path

from ..tables import check_folder, check_target, names_folder, put_in_place
from .fingerprint import file_sha256
from .manifest import Made, Manifest
from .part_files import check_no_strangers, end_filling, fill, sha256_of_files, write_success

__all__ = ["find_place", "look_at", "put_output_in_place", "recover", "seal"]


def find_place(target: str | Path) -> Path:
    """Find where an output goes, and whether it can.

    Parameters
    ----------
    target : str or Path
        As the user called it: with a slash at its end, a folder of part files.

    Returns
    -------
    place : Path

    Raises
    ------
    TableError
        It cannot be written there.
    """
    return check_folder(target) if names_folder(target) else check_target(target)


def look_at(place: Path) -> Made | None:
    """Look at the output's place.

    Parameters
    ----------
    place : Path

    Returns
    -------
    made : Made or None
        None where there is no file, or no file in the folder.

    Raises
    ------
    TableError
        It cannot be read.
    """
    if not place.is_dir():
        return Made(file_sha256(place), place.stat().st_size) if place.exists() else None
    files = sha256_of_files(place)
    lines = "".join(f"{sha256}  {name}\n" for name, sha256 in files.items())
    size = sum((place / name).stat().st_size for name in files)
    return Made(hashlib.sha256(lines.encode()).hexdigest(), size, files) if files else None


def seal(staged: Path) -> Made:
    """Say what a staged output is, which is then as it will be in its place.

    Parameters
    ----------
    staged : Path
        A file, or a folder that lacks nothing but `_SUCCESS`.

    Returns
    -------
    made : Made

    Raises
    ------
    TableError
        It cannot be read, or not be written to.
    """
    if staged.is_dir():
        write_success(staged)
    made = look_at(staged)
    assert made is not None
    return made


def put_output_in_place(staged: Path, place: Path) -> None:
    """Put a staged output into its place, on the disk by the time this returns.

    Parameters
    ----------
    staged, place : Path

    Raises
    ------
    TableError
        It cannot be written there.
    JobError
        The folder holds what no job has put there (`exists`).
    """
    if staged.is_dir():
        fill(staged, place)
        return
    try:
        put_in_place(staged, place)
    finally:
        with suppress(OSError):  # not there once it is renamed
            staged.unlink()


def recover(staged: Path, place: Path, manifest: Manifest) -> None:
    """See to it that a folder is not half an output, if a run was cut short while it put one there.

    Parameters
    ----------
    staged, place : Path
        What is left of the staged folder, and where the rest went.
    manifest : Manifest

    Raises
    ------
    JobError
        The folder holds what no job has put there (`exists`).
    TableError
        Something cannot be read, or not be written.
    """
    check_no_strangers(place)
    work, published = manifest.work, manifest.published
    if work is not None and work.staged is not None:
        end_filling(staged, place, work.staged.output.files, published.output.files if published else {})
