"""The folder of a run: its name, the files in it, and one process at a time."""

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import JobError
from ..tables import put_bytes

__all__ = ["RunFolder", "new_run", "open_run"]


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps what it is and what it found. Files in it are written whole or not at all.

    Parameters
    ----------
    path : Path
    """

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration, TOML."""
        return self.path / "config.toml"

    @property
    def labels(self) -> Path:
        """What was trained and validated on, Parquet."""
        return self.path / "labels.parquet"

    @property
    def history(self) -> Path:
        """One row an epoch, CSV."""
        return self.path / "history.csv"

    @property
    def metrics(self) -> Path:
        """What the best epoch reached, JSON."""
        return self.path / "metrics.json"

    @property
    def curves(self) -> Path:
        """Its CMC and its ROC, JSON."""
        return self.path / "curves.json"

    @property
    def plots(self) -> Path:
        """A folder of PNG files."""
        return self.path / "plots"

    @property
    def events(self) -> Path:
        """A folder for TensorBoard."""
        return self.path / "events"

    @property
    def checkpoint(self) -> Path:
        """All that is needed to go on."""
        return self.path / "weights" / "checkpoint.pt"

    @property
    def best(self) -> Path:
        """Weights of the epoch with the highest validation mAP."""
        return self.path / "weights" / "best.safetensors"

    @property
    def last(self) -> Path:
        """Weights of the latest epoch."""
        return self.path / "weights" / "last.safetensors"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the run against a second process; the system frees it with this one, however that ends.

        Raises
        ------
        JobError
            Another process holds it (`locked`), or it cannot be held (`run`).
        """
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise JobError("locked", f"another process is training in {self.path}") from error
        except OSError as error:
            raise JobError("run", f"cannot write into {self.path}: {error.strerror}") from error
        try:
            yield
        finally:
            lock.release()

    def write_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the table of epochs anew.

        Parameters
        ----------
        rows : sequence of mapping
            All of the same keys; None is written as an empty cell.

        Raises
        ------
        TableError
            The file cannot be written.
        """
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        put_bytes(self.history, text.getvalue().encode())

    def read_history(self) -> list[dict[str, str]]:
        """Read the table of epochs.

        Returns
        -------
        rows : list of dict
            As the file has them: text, and empty text for None.
        """
        with self.history.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def write_json(self, path: Path, found: Mapping[str, Any]) -> None:
        """Write what was measured.

        Parameters
        ----------
        path : Path
            `metrics` or `curves`.
        found : mapping
            Fit for JSON; numbers are finite or None.

        Raises
        ------
        TableError
            The file cannot be written.
        """
        put_bytes(path, (json.dumps(dict(found), indent=2, allow_nan=False) + "\n").encode())


def new_run(runs: str | os.PathLike[str], name: str) -> RunFolder:
    """Make the folder of a new run: `name`, or `name-2`, `name-3`, ... where that is taken.

    Parameters
    ----------
    runs : path
        Made if it is not there.
    name : str

    Returns
    -------
    RunFolder

    Raises
    ------
    JobError
        The folder cannot be made (`run`).
    """
    try:
        Path(runs).mkdir(parents=True, exist_ok=True)
        names = (name if number == 1 else f"{name}-{number}" for number in count(1))
        path = next(path for path in (Path(runs, name) for name in names) if _made(path))
        (path / "weights").mkdir()
    except OSError as error:
        raise JobError("run", f"cannot make a folder for the run in {runs}: {error.strerror}") from error
    return RunFolder(path)


def open_run(path: str | os.PathLike[str]) -> RunFolder:
    """Find the folder of a run that is to go on.

    Parameters
    ----------
    path : path

    Returns
    -------
    RunFolder

    Raises
    ------
    JobError
        It is no folder of a run, or none that had begun (`run`).
    """
    run = RunFolder(Path(path))
    if not run.config.is_file():
        raise JobError("run", f"{path} is no run of osnet-train: there is no {run.config.name} in it")
    if not run.checkpoint.is_file():
        raise JobError("run", f"{path} cannot be resumed: it was stopped before its first epoch; start it anew")
    return run


def _made(path):
    """Whether the folder is ours: another run may take the same name at the same time."""
    try:
        path.mkdir()
    except FileExistsError:
        return False
    return True
