"""The batches of an epoch: drawn, gathered and augmented ahead of the network, each by a chance of its own."""

from collections.abc import Iterator
from dataclasses import fields

import numpy as np
import torch

from ..errors import TableError
from ..patches import PatchSpec
from ..pipeline import ordered_map
from .augment import augment
from .choices import Augmentation
from .config import PLAIN_LOSSES, TrainConfig
from .patch_store import PatchStore
from .people import People
from .sampler import pk_batches, plain_batches

__all__ = ["check_batches", "draw_batches", "prepare_batches"]

# Set apart from whatever else is drawn from the same seed.
_AUGMENT_DRAW = 4


def check_batches(people: People, config: TrainConfig, world: int) -> None:
    """Refuse batches that cannot be shared out among processes.

    Parameters
    ----------
    people : People
    config : TrainConfig
    world : int
        Processes that train together.

    Raises
    ------
    ValueError
        A process's part of a batch is not whole, not made of whole identities, or too small to compare anything.
    TableError
        There are fewer than two crops for each process.
    """
    alike = 1 if config.loss in PLAIN_LOSSES else config.crops_per_identity
    share, rest = divmod(config.batch_size, world)
    if rest or share % alike or share < 2 * alike:
        each = f"{world} processes" if alike == 1 else f"{world} processes x crops_per_identity ({alike})"
        raise ValueError(
            f"batch_size must be a multiple of {each}, twice that at least, found {config.batch_size}"
        )
    if len(people.train) < 2 * world:
        raise TableError(
            f"{len(people.train)} crops to train on, wanted two at least for each of {world} processes"
        )


def draw_batches(people: People, config: TrainConfig, epoch: int, rank: int, world: int) -> list[np.ndarray]:
    """Draw which crops stand together in an epoch.

    Parameters
    ----------
    people : People
    config : TrainConfig
        Its `batch_size` is that of all processes together.
    epoch : int
        From 0.
    rank, world : int
        Which of how many processes asks.

    Returns
    -------
    batches : list of int64, (B,)
        Positions in `people.train_labels`.
    """
    size = config.batch_size // world
    identities = people.train_labels.identities
    if config.loss in PLAIN_LOSSES:
        return plain_batches(len(identities), size, config.seed, epoch, rank, world)
    return pk_batches(identities, size, config.crops_per_identity, config.seed, epoch, rank, world)


def prepare_batches(
    batches: list[np.ndarray],
    people: People,
    patches: PatchStore,
    spec: PatchSpec,
    config: TrainConfig,
    epoch: int,
    rank: int,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Gather and augment batches in threads, in their order, a few ahead of the caller.

    Parameters
    ----------
    batches : list of int64, (B,)
        As of `draw_batches`.
    people : People
    patches : PatchStore
    spec : PatchSpec
    config : TrainConfig
        Resolved.
    epoch, rank : int
        What is drawn follows from these, the seed, and the batch's number.

    Yields
    ------
    x : float32, (B, 3, H, W)
        On the CPU; pinned where there is CUDA.
    identities : int64, (B,)
    """
    augmentation = Augmentation(**{one.name: getattr(config, one.name) for one in fields(Augmentation)})
    identities = torch.from_numpy(people.train_labels.identities)
    pinned = torch.cuda.is_available()

    def prepare(numbered):
        number, rows = numbered
        seed = np.random.SeedSequence([config.seed, _AUGMENT_DRAW, epoch, number, rank]).generate_state(2)
        generator = torch.Generator().manual_seed(int(seed[0]) << 32 | int(seed[1]))
        gathered = torch.from_numpy(patches.take(people.train[rows]))
        x = augment(gathered, spec, augmentation, generator, config.channels_last)
        return (x.pin_memory() if pinned else x), identities[torch.from_numpy(rows)]

    return ordered_map(prepare, enumerate(batches), config.workers, 2 * config.workers)
