"""What a config leaves to the task and to the weights, filled in."""

from dataclasses import replace
from typing import Any

from .config import DEFAULT_ARCH, FROM_SCRATCH, TrainConfig

__all__ = ["AUGMENTATION", "PATCH_SIZES", "patch_size", "resolve"]

# Height and width, in pixels.
PATCH_SIZES = {"person": (256, 128), "face": (112, 112)}

# Faces come aligned: they move little, and to hide much of so small a patch is to hide the person.
AUGMENTATION: dict[str, dict[str, Any]] = {
    "person": {
        "flip": 0.5, "pad": 10, "erase": 0.0, "random_patch": 0.0,
        "jitter": 0.0, "blur": 0.0, "grey": 0.0, "rotate": 0.0,
    },
    "face": {
        "flip": 0.5, "pad": 6, "erase": 0.1, "random_patch": 0.0,
        "jitter": 0.2, "blur": 0.0, "grey": 0.0, "rotate": 10.0,
    },
}  # fmt: skip

# Warm-up where it is left out: so many epochs, but no larger a part of a short run.
_WARMUP_EPOCHS, _WARMUP_PART = 5.0, 1 / 12

# Learning rate of the head where it is left out. From scratch a network of batch-norms wants large steps: at a
# quarter of this, as many crops teach it half as much.
_LR, _LR_FROM_SCRATCH = 3.5e-4, 6e-3

# Loss where it is left out: of those that were tried, what found most of the people that were never trained on.
_LOSS, _LOSS_FROM_SCRATCH = "triplet", "softmax"

# Weight of the metric loss where it is left out, 1 for those not named. The gradient of circle is as steep as its
# scale, and would drown the classifier's; multi-similarity was tried at three weights, and learnt most at this.
_METRIC_WEIGHTS = {"circle": 0.03, "multi-similarity": 0.1}

# Scale of ArcFace where it is left out. A network that knows nothing yet finds nothing at the usual one.
_ARCFACE_SCALE, _ARCFACE_SCALE_FROM_SCRATCH = 64.0, 16.0

# Fine-tuning moves the backbone so many times more slowly than the head.
_BACKBONE_SLOWER = 10


def patch_size(config: TrainConfig) -> tuple[int, int]:
    """The size of a patch: as given, else that of the task.

    Parameters
    ----------
    config : TrainConfig

    Returns
    -------
    height, width : int
        In pixels.
    """
    height, width = PATCH_SIZES[config.task]
    return config.patch_height or height, config.patch_width or width


def resolve(config: TrainConfig, weights_arch: str | None = None) -> TrainConfig:
    """Fill in what is left to the task and to the weights.

    Parameters
    ----------
    config : TrainConfig
        Its `weights` say what the run starts from: None and `FROM_SCRATCH` mean that there are none.
    weights_arch : str, optional
        The variant of these weights; left out where the run starts from scratch.

    Returns
    -------
    config : TrainConfig
        Only `root`, `column`, `cache_dir` and `threads` may still be None: what they leave open, tables and
        machines decide.

    Raises
    ------
    ValueError
        There are no labels, the weights are of another architecture, or what is asked for needs weights.
    """
    if not config.labels:
        raise ValueError("labels must name at least one table, found none")
    weights = config.weights or FROM_SCRATCH
    from_scratch = weights == FROM_SCRATCH
    if from_scratch is not (weights_arch is None):
        raise ValueError(f"weights are {weights!r}, but their architecture is {weights_arch!r}")
    if config.arch and weights_arch and config.arch != weights_arch:
        raise ValueError(f"arch is {config.arch}, but the weights {weights} are of {weights_arch}")
    if from_scratch and config.freeze_epochs:
        raise ValueError(
            f"freeze_epochs is {config.freeze_epochs}, but there are no weights worth freezing: "
            "from scratch, the backbone must learn from the first epoch on"
        )
    height, width = patch_size(config)
    lr = config.lr or (_LR_FROM_SCRATCH if from_scratch else _LR)
    loss = config.loss or (_LOSS_FROM_SCRATCH if from_scratch else _LOSS)
    left = {
        "patch_height": height,
        "patch_width": width,
        "arch": weights_arch or DEFAULT_ARCH,
        "weights": weights,
        "lr": lr,
        "backbone_lr": lr if from_scratch else lr / _BACKBONE_SLOWER,
        "arcface_scale": _ARCFACE_SCALE_FROM_SCRATCH if from_scratch else _ARCFACE_SCALE,
        "loss": loss,
        "metric_weight": _METRIC_WEIGHTS.get(loss, 1.0),
        "warmup_epochs": min(_WARMUP_EPOCHS, config.epochs * _WARMUP_PART),
        **AUGMENTATION[config.task],
    }
    chosen: dict[str, Any] = {name: value for name, value in left.items() if getattr(config, name) is None}
    return replace(config, **chosen)
