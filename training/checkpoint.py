"""All that a run needs to go on: written after every epoch, whole or not at all, and read without running it."""

import io
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..errors import JobError
from ..tables import put_bytes

__all__ = ["Checkpoint", "read_checkpoint", "write_checkpoint"]

_FORMAT = 1


@dataclass
class Checkpoint:
    """A run at the end of an epoch.

    There is no state of chance in it: every batch draws from a generator made of the seed, the epoch and the
    number of the batch.

    Parameters
    ----------
    config : str
        The resolved configuration, TOML.
    data_sha256 : str
        Of the labels, as of `labels.data_hash`.
    spec : dict
        Fields of `PatchSpec`: what the network sees.
    world : int
        Processes that train together.
    epoch : int
        Epochs finished.
    network, optimizer : dict
        Their `state_dict`.
    average : dict or None
        That of the weights' moving average; None where the run keeps none.
    plateau, scaler : dict
        Of the learning rate's plateau, and of the loss scale of fp16.
    best_epoch : int
        0 before the first validation.
    best_map : float
    stale : int
        Validations since the best one.
    history : list of dict
        One row an epoch.
    """

    config: str
    data_sha256: str
    spec: dict[str, Any]
    world: int
    epoch: int
    network: dict[str, Any] = field(repr=False)
    optimizer: dict[str, Any] = field(repr=False)
    average: dict[str, Any] | None = field(repr=False, default=None)
    plateau: dict[str, Any] = field(default_factory=dict)
    scaler: dict[str, Any] = field(default_factory=dict)
    best_epoch: int = 0
    best_map: float = -1.0
    stale: int = 0
    history: list[dict[str, Any]] = field(repr=False, default_factory=list)


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace a checkpoint in one step.

    Parameters
    ----------
    path : Path
    checkpoint : Checkpoint

    Raises
    ------
    TableError
        The file cannot be written.
    """
    data = io.BytesIO()
    torch.save({"format": _FORMAT, **vars(checkpoint)}, data)
    put_bytes(path, data.getvalue())


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; tensors and plain values only, nothing in it is run.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Checkpoint
        Its tensors are on the CPU.

    Raises
    ------
    JobError
        The file cannot be read, is damaged, or of another format (`run`).
    """
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
        found = values.pop("format")
        if found != _FORMAT:
            raise JobError("run", f"{path} is a checkpoint of format {found!r}, wanted {_FORMAT}")
        return Checkpoint(**values)
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, AttributeError, pickle.UnpicklingError) as error:
        if isinstance(error, JobError):
            raise
        raise JobError("run", f"{path} cannot be read: {error!s:.200}") from error
