"""What the network begins with: weights that are there, or none."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ..built_in import BUILT_IN, PREFIX
from ..errors import WeightsError
from ..patches import PatchSpec
from ..weights import Weights, load
from .config import DEFAULT_ARCH, FROM_SCRATCH, TrainConfig
from .presets import resolve

__all__ = ["Start", "find_start", "name_weights"]

log = logging.getLogger(__name__)

# What `weights` says where the published ones of the variant, trained on ImageNet, are meant.
_IMAGENET = "imagenet"


@dataclass(frozen=True, eq=False)
class Start:
    """The whole configuration, and the tensors to begin with.

    Parameters
    ----------
    config : TrainConfig
        Resolved.
    tensors : mapping of str to array, or None
        As of `Weights.tensors`; None from scratch.
    spec : PatchSpec
        What the network is going to see: patches of the configured size, mean and std as the weights have them.
    """

    config: TrainConfig
    tensors: Mapping[str, np.ndarray] | None = field(repr=False)
    spec: PatchSpec


def find_start(config: TrainConfig) -> Start:
    """Settle what the network begins with, and with it whatever the configuration left open.

    Parameters
    ----------
    config : TrainConfig

    Returns
    -------
    Start

    Raises
    ------
    WeightsError
        The weights cannot be found, trusted or fitted, or cannot be trained.
    ValueError
        As of `config.resolve`.
    """
    config = replace(config, weights=name_weights(config.weights, config.arch))
    if config.weights == FROM_SCRATCH:
        config = resolve(config)
        log.info("%s from scratch, all of it at learning rate %g", config.arch, config.backbone_lr)
        return Start(config, None, _sized(PatchSpec(), config))
    found = load(str(config.weights))
    if not isinstance(found, Weights):
        raise WeightsError(f"{config.weights} is a network in another program's format: to run, not to train")
    config = resolve(config, found.variant)
    log.info(
        "%s from %s, backbone at learning rate %g, head at %g",
        config.arch, config.weights, config.backbone_lr, config.lr,
    )  # fmt: skip
    return Start(config, found.tensors, _sized(found.spec, config))


def name_weights(weights: str | None, arch: str | None) -> str:
    """Say by name which weights are meant.

    Parameters
    ----------
    weights, arch : str or None
        As of `TrainConfig`.

    Returns
    -------
    weights : str
        A file or a published name, or `FROM_SCRATCH`.
    """
    arch = arch or DEFAULT_ARCH
    if weights is None:
        return f"{PREFIX}{arch}" if arch in BUILT_IN else FROM_SCRATCH
    return f"{arch}_{_IMAGENET}" if weights == _IMAGENET else weights


def _sized(spec, config):
    return replace(spec, height=config.patch_height, width=config.patch_width)
