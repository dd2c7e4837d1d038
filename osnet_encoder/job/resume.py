"""What is to be done, told from what is there: begin, go on, or nothing at all."""

from dataclasses import replace
from pathlib import Path

from ..errors import JobError
from .fingerprint import Fingerprint
from .manifest import Made, Manifest, Published, Work
from .parts import load

__all__ = ["same_results", "settle"]


def same_results(one: Fingerprint, other: Fingerprint) -> bool:
    """Whether two jobs give the same output, an update and a job from the beginning counted as the same.

    Parameters
    ----------
    one, other : Fingerprint

    Returns
    -------
    same : bool
    """
    return not _differences(one, other)


def settle(
    manifest: Manifest,
    there: Made | None,
    fingerprint: Fingerprint,
    target: Path,
    folder: Path,
    *,
    overwrite: bool,
    fresh: bool,
    update: bool,
) -> Manifest:
    """Decide what of an earlier run counts.

    Parameters
    ----------
    manifest : Manifest
        As it was found.
    there : Made or None
        As `look_at` says.
    fingerprint : Fingerprint
        Of the job that is asked for.
    target, folder : Path
        The output, and its `OUTPUT.job`.
    overwrite, fresh, update : bool
        As of `encode_table`.

    Returns
    -------
    manifest : Manifest
        `published` where the file in the output's place is the one that was made; `work` None where that is just
        what is asked for, else with the parts that were proved.

    Raises
    ------
    JobError
        There is something that may not be replaced (`exists`), or that was made otherwise (`changed`).
    """
    work, published = manifest.work, _published(manifest, there)
    if published is not None and work is not None and published is work.staged:
        work = None
    ours = published is not None and same_results(published.fingerprint, fingerprint)
    if ours and not fresh:
        return Manifest(None, published, manifest.golden)
    if there is not None and not (ours or overwrite or update):
        _refuse(published, fingerprint, target)
    if fresh or (work is not None and not work.parts):  # nothing was finished, so there is nothing to protect
        work = None
    if work is not None:
        work = _usable(work, fingerprint, folder, overwrite)
    return Manifest(work or Work(fingerprint), published, manifest.golden)


def _published(manifest, there):
    """What was made, as far as it is what is there; killed between rename and note, a run left it as `staged`."""
    staged = None if manifest.work is None else manifest.work.staged
    for made in (staged, manifest.published):
        if made is not None and made.output == there:
            return made
    return None


def _refuse(published: Published | None, fingerprint: Fingerprint, target: Path):
    if published is None:
        raise JobError("exists", f"{target} exists and was not made by this job; --overwrite replaces it")
    differences = _differences(published.fingerprint, fingerprint)
    raise JobError("changed", f"{target} was made otherwise; --overwrite replaces it: {'; '.join(differences)}")


def _usable(work, fingerprint, folder, overwrite):
    differences = work.fingerprint.differences(fingerprint)
    if differences and not overwrite:
        raise JobError(
            "changed",
            f"an unfinished job in {folder} was begun otherwise; --overwrite keeps what of it still holds, "
            f"--fresh discards it: {'; '.join(differences)}",
        )
    if work.fingerprint.encoding != fingerprint.encoding:
        return None
    parts = [part for part in work.parts if load(folder, part) is not None]
    return replace(work, fingerprint=fingerprint, parts=parts, staged=None)


def _differences(one, other):
    without = [replace(each, encoding={**each.encoding, "update": None}) for each in (one, other)]
    return without[0].differences(without[1])
