"""What a job's results depend on: if all of it is the same, parts finished before can be gone on with."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from ..engines.devices import count_cpus
from ..errors import JobError
from ..pipeline import ordered_map
from ..tables.faults import read_errors
from .layout import Layout

__all__ = ["Fingerprint", "Input", "file_sha256", "read_input", "take_fingerprint"]

# Bytes of a large file that one processor looks at while others look at the next ones.
_BLOCK = 16 << 20

# Bytes of it in memory at once.
_PIECE = 1 << 18


@dataclass(frozen=True)
class Fingerprint:
    """What the results depend on.

    Parameters
    ----------
    encoding : dict of str to JSON
        What the parts depend on: the input, the column, the network, the cut into parts and batches.
    output : dict of str to JSON
        What only the output depends on: names, formats, what becomes of broken rows.
    """

    encoding: dict
    output: dict

    def differences(self, other: "Fingerprint") -> list[str]:
        """Say what is not as it was.

        Parameters
        ----------
        other : Fingerprint
            The one now.

        Returns
        -------
        differences : list of str
            `name: old -> new`, sorted; none where both are the same.
        """
        old, new = ({**one.encoding, **one.output} for one in (self, other))
        return [
            f"{name}: {_brief(old.get(name))} -> {_brief(new.get(name))}"
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]


@dataclass(frozen=True)
class Input:
    """The files of a table, as they were when the job began.

    Parameters
    ----------
    files : list of Path
    stamps : list of tuple
        What the system says of each: device, inode, size, time of the last change.
    contents : list of dict
        `bytes` and `sha256_of_blocks` of each: the sha256 of the sha256s of its blocks of 16 MiB, which every
        processor can have a part in.
    """

    files: list[Path]
    stamps: list[tuple]
    contents: list[dict]

    def check_unchanged(self) -> None:
        """Refuse to go on with a table that is being written to.

        Raises
        ------
        JobError
            A file is not the one it was when the job began (`input_changed`).
        """
        for path, stamp in zip(self.files, self.stamps, strict=True):
            if _stamp(path) != stamp:
                raise JobError(
                    "input_changed", f"{path} has changed while it was read; run again once nobody writes to it"
                )


def read_input(files: list[Path]) -> Input:
    """Look at the files of a table, all bytes of them.

    Parameters
    ----------
    files : list of Path

    Returns
    -------
    input : Input

    Raises
    ------
    TableError
        A file cannot be read.
    JobError
        A file changes meanwhile (`input_changed`).
    """
    stamps = [_stamp(path) for path in files]
    blocks = [(number, start) for number, stamp in enumerate(stamps) for start in range(0, stamp[2], _BLOCK)]
    together = [hashlib.sha256() for _ in files]
    workers = count_cpus()
    hashed = ordered_map(lambda block: _block_sha256(files[block[0]], block[1]), blocks, workers, 2 * workers)
    for (number, _), sha256 in zip(blocks, hashed, strict=True):
        together[number].update(sha256)
    contents = [
        {"bytes": stamp[2], "sha256_of_blocks": sha256.hexdigest()}
        for stamp, sha256 in zip(stamps, together, strict=True)
    ]
    found = Input(files, stamps, contents)
    found.check_unchanged()
    return found


def file_sha256(path: Path) -> str:
    """The sha256 of a file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    sha256 : str
        In hex.

    Raises
    ------
    TableError
        It cannot be read.
    """
    with read_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def take_fingerprint(found: Input, encoder, layout: Layout, **settings) -> Fingerprint:
    """Gather what the results depend on.

    Parameters
    ----------
    found : Input
    encoder : OsNetEncoder
    layout : Layout
    **settings
        The others that parts depend on: how many rows, the rows of a part and of a batch, what is updated.

    Returns
    -------
    fingerprint : Fingerprint
    """
    made_by = encoder.describe()
    # How a file is called and which version reads it are no options; results are compared by their contents.
    del made_by["weights"], made_by["version"]
    encoding = {
        "input": found.contents,
        "column": layout.column,
        "cells": encoder.cells,
        "limits": asdict(encoder.limits),
        "network_output": encoder.network_output,
        **made_by,
        **settings,
    }
    if encoder.cells == "path":
        encoding["root"] = os.path.realpath(encoder.root or ".")
    output = layout.as_dict()
    del output["column"]
    # through JSON, so that it equals one that was read back: lists for tuples
    return Fingerprint(**json.loads(json.dumps({"encoding": encoding, "output": output})))


def _block_sha256(path, start):
    with read_errors(path), path.open("rb") as file:
        file.seek(start)
        sha256, left = hashlib.sha256(), _BLOCK
        while left and (data := file.read(min(left, _PIECE))):
            sha256.update(data)
            left -= len(data)
    return sha256.digest()


def _stamp(path):
    with read_errors(path):
        status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _brief(value):
    """Short enough for a message."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return " + ".join(
            f"{item['bytes']:,} bytes of sha256 {item['sha256_of_blocks'][:12]}" for item in value[:3]
        )
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
