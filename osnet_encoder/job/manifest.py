"""The manifest: what a job has finished, kept in `OUTPUT.job/manifest.json` and replaced whole at every step."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..errors import JobError
from ..tables import put_bytes
from .fingerprint import Fingerprint
from .parts import Part

__all__ = ["MANIFEST", "Made", "Manifest", "Published", "Work", "read_manifest", "write_manifest"]

MANIFEST = "manifest.json"

# A manifest of another number may mean what is not known here.
_FORMAT = 1


@dataclass(frozen=True)
class Made:
    """An output that was made: enough to know it again.

    Parameters
    ----------
    sha256 : str
        Of a folder, of what `sha256sum *` prints in there.
    bytes : int
    files : dict of str to str
        Of a folder, the sha256 of each of its files.
    """

    sha256: str
    bytes: int
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Work:
    """A job that is under way.

    Parameters
    ----------
    fingerprint : Fingerprint
    parts : list of Part
        Those finished, by their number.
    staged : Published or None
        What will be said of the output, noted right before it takes its place.
    """

    fingerprint: Fingerprint
    parts: list[Part] = field(default_factory=list)
    staged: "Published | None" = None


@dataclass(frozen=True)
class Published:
    """A job that is done.

    Parameters
    ----------
    fingerprint : Fingerprint
    output : Made
    made_by : dict
        As of `OsNetEncoder.describe`.
    rows, encoded, missing, broken : int
        Of the input.
    reasons : dict of str to int
    dropped : list of int
        Rows of the input that are not in the output.
    digests : str or None
        The file that tells the crop of each row of the output; there after `update` without a key.
    """

    fingerprint: Fingerprint
    output: Made
    made_by: dict
    rows: int
    encoded: int
    missing: int
    broken: int
    reasons: dict[str, int]
    dropped: list[int] = field(default_factory=list)
    digests: str | None = None


@dataclass(frozen=True)
class Manifest:
    """All that is known of an output.

    Parameters
    ----------
    work : Work or None
    published : Published or None
    golden : dict of str to str
        Network and engine -> its answer to the built-in patch, a feature string.
    """

    work: Work | None = None
    published: Published | None = None
    golden: dict[str, str] = field(default_factory=dict)


def read_manifest(folder: Path) -> Manifest:
    """Read what is known of an output.

    Parameters
    ----------
    folder : Path
        `OUTPUT.job`.

    Returns
    -------
    manifest : Manifest
        An empty one where there is none.

    Raises
    ------
    JobError
        It is damaged, or of another format (`damaged`).
    """
    path = folder / MANIFEST
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["format"] != _FORMAT:
            raise ValueError(f"format {told['format']!r}, wanted {_FORMAT}")
        if told.pop("sha256") != _sha256(told):
            raise ValueError("it is not what was written")
        work, published = told["work"], told["published"]
        return Manifest(
            work=None if work is None else _work(work),
            published=None if published is None else _published(published),
            golden=dict(told["golden"]),
        )
    except FileNotFoundError:
        return Manifest()
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = str(error)[:200]
        raise JobError("damaged", f"cannot read {path}: {reason}; --fresh starts without it") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest, on the disk by the time this returns.

    Parameters
    ----------
    folder : Path
    manifest : Manifest

    Raises
    ------
    TableError
        It cannot be written; the old one is still there.
    """
    told = {"format": _FORMAT, **asdict(manifest)}
    put_bytes(folder / MANIFEST, json.dumps({**told, "sha256": _sha256(told)}, indent=1).encode())


def _sha256(told):
    """Of all that is told, so that a manifest that somebody edited is not taken for one."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _work(told):
    staged = told["staged"]
    return Work(
        fingerprint=Fingerprint(**told["fingerprint"]),
        parts=[Part(**part) for part in told["parts"]],
        staged=None if staged is None else _published(staged),
    )


def _published(told):
    return Published(
        **{
            **told,
            "fingerprint": Fingerprint(**told["fingerprint"]),
            "output": Made(**told["output"]),
        }
    )
