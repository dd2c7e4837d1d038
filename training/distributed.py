"""Several processes that train one network together, as `torchrun` starts them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

__all__ = ["Ranks", "joined"]


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is.

    Parameters
    ----------
    rank : int
        From 0.
    world : int
        How many there are.
    local : int
        Among those of this machine; chooses the GPU.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process is the one that validates and writes."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.world > 1:
            distributed.barrier()

    def tell(self, value):
        """Hand a value of the leading process to all.

        Parameters
        ----------
        value : object
            Small, and fit for pickle; only the leading process's counts.

        Returns
        -------
        object
        """
        if self.world == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]


@contextmanager
def joined(device: str) -> Iterator[tuple[Ranks, torch.device]]:
    """Join the other processes, if `torchrun` started several; leave them at the end.

    Parameters
    ----------
    device : str
        `cpu`, `mps`, `cuda`, `cuda:N` or `auto`: CUDA where there is one. Among several processes `cuda` and
        `auto` mean each its own.

    Yields
    ------
    ranks : Ranks
    device : torch.device
        Of this process.

    Raises
    ------
    ValueError
        There is no such device.
    """
    ranks = Ranks(*(int(os.environ.get(name, default)) for name, default in _ENVIRONMENT))
    found = _find_device(device, ranks)
    if ranks.world == 1:
        yield ranks, found
        return
    if found.type == "cuda":
        torch.cuda.set_device(found)
    distributed.init_process_group("nccl" if found.type == "cuda" else "gloo", timeout=_WAIT)
    try:
        yield ranks, found
    finally:
        distributed.destroy_process_group()


# While the first process decodes or validates, the others wait; one that died is noticed by torchrun.
_WAIT = timedelta(hours=12)

# As torchrun sets them.
_ENVIRONMENT = (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0))


def _find_device(name, ranks):
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"no device {name!r}; there are cpu, cuda, cuda:N, mps, and auto") from error
    if device.type == "cuda":
        there = torch.cuda.device_count()
        index = ranks.local if device.index is None else device.index
        if index >= there:
            raise ValueError(f"no device cuda:{index}; torch finds {there} CUDA devices")
        return torch.device("cuda", index)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ValueError("no device mps; torch does not find one")
    if device.type not in ("cpu", "mps"):
        raise ValueError(f"no device {name!r}; there are cpu, cuda, cuda:N, mps, and auto")
    return device
