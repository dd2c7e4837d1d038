"""`OUTPUT.job`, the folder beside an output: what is in it, and what may go."""

import shutil
from contextlib import suppress
from pathlib import Path

from .hold import HOLDER
from .manifest import MANIFEST, Manifest
from .rejects import REJECTS

__all__ = ["KNOWN", "STAGED", "clear", "discard", "job_folder"]

# The whole output, before it is in its place: a file, with the output's own suffixes, or a folder.
STAGED = "staged"

# The feature vectors of the output that is updated, while they are needed.
KNOWN = "known.f32"

_OURS = ("part-*.arrows", "digests-*.bin", STAGED, f"{STAGED}.*", KNOWN, REJECTS, ".osnet-encoder-*.partial")


def job_folder(target: Path) -> Path:
    """Name the folder of an output.

    Parameters
    ----------
    target : Path

    Returns
    -------
    folder : Path
        `NAME.job` beside it.
    """
    return target.with_name(f"{target.name}.job")


def clear(folder: Path, manifest: Manifest) -> None:
    """Remove what a killed run left behind, and what is no longer needed.

    Parameters
    ----------
    folder : Path
    manifest : Manifest
        What it names stays; so does whatever this package does not write.
    """
    keep = {MANIFEST, HOLDER}
    if manifest.work is not None:
        keep |= {part.name for part in manifest.work.parts}
    if manifest.published is not None:
        keep |= {REJECTS, manifest.published.digests or REJECTS}
    for pattern in _OURS:
        for path in folder.glob(pattern):
            if path.name not in keep:
                discard(path)


def discard(path: Path) -> None:
    """Remove what is no longer needed, if it is there and can be; it is in nobody's way.

    Parameters
    ----------
    path : Path
        A file, or a folder and all that is in it.
    """
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
