"""What changes while a run goes on, and how it gets into a checkpoint and out again."""

from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import torch

from ..patches import PatchSpec
from .averaging import ExponentialAverage
from .checkpoint import Checkpoint
from .config import TrainConfig
from .network import ReidNetwork
from .optimise import make_optimizer
from .schedule import Plateau

__all__ = ["TrainingState"]


class TrainingState:
    """A network on its device, and all that training it remembers from one step to the next.

    Parameters
    ----------
    network : ReidNetwork
        Moved to the device.
    config : TrainConfig
        Resolved.
    device : torch.device

    Attributes
    ----------
    network, device
        As given.
    optimizer : Optimizer
    average : ExponentialAverage or None
    scaler : GradScaler
        Does nothing but in fp16.
    plateau : Plateau
    epoch : int
        Epochs finished.
    best_epoch, best_map, stale
        As of `Checkpoint`.
    history : list of dict
    """

    def __init__(self, network: ReidNetwork, config: TrainConfig, device: torch.device):
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        self.network = network.to(device)
        self.network.to(memory_format=layout)  # type: ignore[call-overload]  # torch's stubs lack it
        self.device = device
        self.optimizer = make_optimizer(self.network, config)
        self.average = ExponentialAverage(self.network, config.ema) if config.ema else None
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
        self.plateau = Plateau()
        self.epoch = 0
        self.best_epoch, self.best_map, self.stale = 0, -1.0, 0
        self.history: list[dict[str, Any]] = []

    def averaged(self):
        """Let the network have the averaged weights for a while, where an average is kept.

        Returns
        -------
        context manager
        """
        return nullcontext() if self.average is None else self.average.applied(self.network)

    def judge(self, score: float) -> bool:
        """Take the mAP of an epoch in.

        Parameters
        ----------
        score : float
            NaN where no query could be answered, which is never the best.

        Returns
        -------
        bool
            Whether it is the best so far.
        """
        if score > self.best_map:
            self.best_epoch, self.best_map, self.stale = self.epoch, score, 0
            return True
        self.stale += 1
        return False

    def checkpoint(self, config: str, data_sha256: str, spec: PatchSpec, world: int) -> Checkpoint:
        """Put everything into a checkpoint.

        Parameters
        ----------
        config, data_sha256 : str
            As of `Checkpoint`.
        spec : PatchSpec
        world : int

        Returns
        -------
        Checkpoint
            Of the very tensors, not copies.
        """
        return Checkpoint(
            config=config,
            data_sha256=data_sha256,
            spec=asdict(spec),
            world=world,
            epoch=self.epoch,
            network=dict(self.network.state_dict()),
            optimizer=self.optimizer.state_dict(),
            average=None if self.average is None else self.average.state_dict(),
            plateau=asdict(self.plateau),
            scaler=self.scaler.state_dict(),
            best_epoch=self.best_epoch,
            best_map=self.best_map,
            stale=self.stale,
            history=self.history,
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Become what a checkpoint holds.

        Parameters
        ----------
        checkpoint : Checkpoint
            Of a run of the same configuration and the same classes.
        """
        self.network.load_state_dict(checkpoint.network)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        if self.average is not None and checkpoint.average is not None:
            self.average.load_state_dict(checkpoint.average)
        self.plateau = Plateau(**checkpoint.plateau)
        self.scaler.load_state_dict(checkpoint.scaler)
        self.epoch = checkpoint.epoch
        self.best_epoch, self.best_map, self.stale = (
            checkpoint.best_epoch, checkpoint.best_map, checkpoint.stale
        )  # fmt: skip
        self.history = checkpoint.history
