"""How the learning rates rise and fall: plain functions of how far the run has come, with nothing to remember.

The plateau alone depends on what happened, and what it remembers is three numbers.
"""

import math
from dataclasses import dataclass

from .config import TrainConfig

__all__ = ["Plateau", "learning_rate", "margin_share"]

# What the warm-up begins with.
_COLD = 0.01

# Parts of a run, between which ArcFace's margin rises.
_MARGIN_FROM, _MARGIN_TO = 0.1, 0.6


def learning_rate(config: TrainConfig, progress: float) -> float:
    """Say what part of their learning rates the groups use at one step.

    Parameters
    ----------
    config : TrainConfig
        Resolved. With the schedule `plateau`, this is the warm-up alone; `Plateau.factor` is the other part.
    progress : float
        Epochs done, the running one's part counted in: the first step of a run is at 0.

    Returns
    -------
    factor : float
        0.01 at first, rising in a straight line to 1 where the warm-up ends. Then half a cosine that is 0 when
        all epochs are done; or `gamma` to the number of milestones passed; or 1.
    """
    warmup = config.warmup_epochs or 0.0
    if progress < warmup:
        return _COLD + (1 - _COLD) * progress / warmup
    if config.schedule == "cosine":
        if progress >= config.epochs:
            return 0.0
        return (1 + math.cos(math.pi * (progress - warmup) / (config.epochs - warmup))) / 2
    if config.schedule == "steps":
        return config.gamma ** sum(milestone <= progress for milestone in config.milestones)
    return 1.0


def margin_share(config: TrainConfig, progress: float) -> float:
    """Say what part of its margin ArcFace asks for at one step.

    Parameters
    ----------
    config : TrainConfig
    progress : float
        As of `learning_rate`.

    Returns
    -------
    share : float
        0 until a tenth of all epochs is done, rising in a straight line to 1 by six tenths: who is asked for the
        whole margin before anything is learnt learns nothing.
    """
    done = progress / config.epochs
    return min(max((done - _MARGIN_FROM) / (_MARGIN_TO - _MARGIN_FROM), 0.0), 1.0)


@dataclass(frozen=True)
class Plateau:
    """What the schedule `plateau` remembers; `dataclasses.asdict` makes it fit for a checkpoint.

    Parameters
    ----------
    factor : float
        What part of their learning rates the groups use.
    best : float
        The best mAP so far.
    waited : int
        Evaluations since then, or since the rates were lowered last.
    """

    factor: float = 1.0
    best: float = -1.0
    waited: int = 0

    def after(self, value: float, config: TrainConfig) -> "Plateau":
        """Take one more evaluation in.

        Parameters
        ----------
        value : float
            Its mAP; NaN is never better.
        config : TrainConfig
            Its `plateau_patience` and `gamma`.

        Returns
        -------
        Plateau
            With `gamma` times the factor once `plateau_patience` evaluations in a row were no better.
        """
        if value > self.best:
            return Plateau(self.factor, value, 0)
        if self.waited + 1 < config.plateau_patience:
            return Plateau(self.factor, self.best, self.waited + 1)
        return Plateau(self.factor * config.gamma, self.best, 0)
