"""`OUTPUT.job`, the folder beside an output: what is in it, and what may go."""

from contextlib import suppress
from pathlib import Path

from .hold import HOLDER
from .manifest import MANIFEST, Manifest
from .publishing import STAGED
from .rejects import REJECTS

__all__ = ["KNOWN", "clear", "job_folder"]

# The feature vectors of the output that is updated, while they are needed.
KNOWN = "known.f32"

_OURS = ("part-*.arrows", "digests-*.bin", f"{STAGED}.*", KNOWN, REJECTS, ".osnet-encoder-*.partial")


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
                with suppress(OSError):  # in nobody's way
                    path.unlink()
