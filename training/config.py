"""TrainConfig: every setting of a training run, with its meaning, its default and its limits.

A field's metadata is what the command line is made from: `help`, `group`, and where they apply `choices`,
`at_least`, `above`, `at_most`, `below`. A config that exists is within its limits; what it leaves to the task and
to the weights, `presets.resolve` fills in.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass, field, fields
from functools import partial
from types import UnionType
from typing import Any, get_args, get_origin

from ..variants import VARIANTS

__all__ = [
    "DEFAULT_ARCH",
    "FROM_SCRATCH",
    "LOSSES",
    "PLAIN_LOSSES",
    "RESUMABLE",
    "TrainConfig",
    "check_value",
    "differences",
    "value_kind",
]

DEFAULT_ARCH = "osnet_x1_0"

# What `weights` says where there are none to start from.
FROM_SCRATCH = "none"

# Losses that look at every crop by itself, and take batches of any; the others compare crops with each other.
PLAIN_LOSSES = ("softmax", "arcface")
LOSSES = (*PLAIN_LOSSES, "triplet", "soft-triplet", "circle", "multi-similarity")

RESUMABLE = frozenset({"workers", "cache", "cache_dir", "runs", "name"})
"""Fields that change where and how fast a run goes on, and nothing of what it comes to."""

_KINDS: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_LISTS: dict[type, str] = {int: "a list of whole numbers", str: "a list of texts"}


def _option(group: str, default: Any, text: str, **limits: Any) -> Any:
    return field(default=default, metadata={"help": text, "group": group, **limits})


_data = partial(_option, "data")
_network = partial(_option, "network")
_loss = partial(_option, "loss")
_batches = partial(_option, "batches")
_optimiser = partial(_option, "optimiser")
_validation = partial(_option, "validation")
_machine = partial(_option, "machine")
_augmentation = partial(_option, "augmentation", None)
_run = partial(_option, "run")


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a training run.

    Parameters
    ----------
    labels, root, column, ...
        What each is, its metadata say: `dataclasses.fields(TrainConfig)`, or `osnet-train --help`. None stands
        for "left out" everywhere. Lists become tuples, whole numbers become floats where a float is wanted.

    Raises
    ------
    ValueError
        A value is of another type or outside its limits, or two of them contradict each other.
    """

    labels: tuple[str, ...] = _data((), "tables of labelled crops, CSV or Parquet")
    root: str | None = _data(None, "where relative image paths start; the folder of each table if left out")
    column: str | None = _data(None, "column of the crops; img_path, else the one that holds crop strings")
    identity_column: str = _data("person_id", "column that says which person")
    camera_column: str = _data("camera_id", "column that says which camera, where there is one")
    val_fraction: float = _data(
        0.1, "part of the identities kept for validation, where no column `split` says", at_least=0, below=1
    )
    task: str = _data("person", "what decides patch size and augmentation", choices=("person", "face"))
    patch_height: int | None = _data(None, "of a patch, in pixels; 256 for people, 112 for faces", at_least=16)
    patch_width: int | None = _data(None, "of a patch, in pixels; 128 for people, 112 for faces", at_least=16)
    color_order: str = _data("rgb", "how the crops are stored", choices=("rgb", "bgr"))
    cache: str = _data(
        "auto", "where decoded patches are kept between epochs", choices=("auto", "memory", "disk", "none")
    )
    cache_dir: str | None = _data(None, "folder of the patches kept on disk; the user's cache if left out")

    arch: str | None = _network(
        None, f"variant of OSNet; that of the weights, else {DEFAULT_ARCH}", choices=tuple(VARIANTS)
    )
    weights: str | None = _network(
        None,
        "file or name to start from, `imagenet`, or `none`; if left out, built-in ones of that variant, else none",
    )

    loss: str | None = _loss(
        None,
        "what is made small: softmax or arcface alone, or a metric loss beside softmax; "
        "triplet where there are weights, else softmax",
        choices=LOSSES,
    )
    metric_weight: float | None = _loss(
        None,
        "of the metric loss, beside the classifier's 1; if left out, 1, circle 0.03, multi-similarity 0.1",
        at_least=0,
    )
    margin: float = _loss(0.3, "of the triplet loss, in units of distance", at_least=0)
    circle_margin: float = _loss(0.25, "of the circle loss, in units of cosine", above=0, below=1)
    circle_scale: float = _loss(64.0, "of the circle loss", above=0)
    arcface_margin: float = _loss(
        0.5, "of ArcFace, in radians; it rises to this by six tenths of the epochs", at_least=0, below=math.pi
    )
    arcface_scale: float | None = _loss(None, "of ArcFace; 64 where there are weights, else 16", above=0)
    label_smoothing: float = _loss(0.1, "part of a label that is spread over all classes", at_least=0, below=1)

    epochs: int = _batches(60, "times that every crop is shown", at_least=1)
    batch_size: int = _batches(64, "crops a step", at_least=2)
    crops_per_identity: int = _batches(
        4, "crops of one identity in a batch; no matter to softmax and arcface", at_least=2
    )
    seed: int = _batches(0, "of everything that is drawn", at_least=0, at_most=2**32 - 1)

    optimizer: str = _optimiser("adam", "what takes the steps", choices=("adam", "adamw", "sgd"))
    amsgrad: bool = _optimiser(False, "keep Adam's largest second moment")
    lr: float | None = _optimiser(
        None, "learning rate of the head; 0.00035 where there are weights, else 0.006", above=0
    )
    backbone_lr: float | None = _optimiser(
        None, "learning rate of the backbone; a tenth of lr where there are weights, else lr", above=0
    )
    weight_decay: float = _optimiser(5e-4, "pull towards 0", at_least=0)
    momentum: float = _optimiser(0.9, "of sgd", at_least=0, below=1)
    clip: float = _optimiser(0.0, "longest gradient let through; 0 lets all through", at_least=0)
    warmup_epochs: float | None = _optimiser(
        None, "epochs in which the rates rise from 1 % to all; 5, or a twelfth of a shorter run", at_least=0
    )
    schedule: str = _optimiser(
        "cosine", "how the rates fall afterwards", choices=("cosine", "steps", "plateau", "constant")
    )
    milestones: tuple[int, ...] = _optimiser((), "epochs after which `steps` lowers the rates", at_least=1)
    gamma: float = _optimiser(0.1, "what `steps` and `plateau` multiply the rates by", above=0, below=1)
    plateau_patience: int = _optimiser(5, "evaluations without a better mAP that `plateau` waits", at_least=1)
    freeze_epochs: int = _optimiser(0, "first epochs in which only the head learns", at_least=0)
    ema: float = _optimiser(0.0, "decay of the average of the weights that is kept; 0 keeps none",
                            at_least=0, below=1)  # fmt: skip

    eval_every: int = _validation(1, "epochs between evaluations", at_least=1)
    patience: int = _validation(0, "evaluations without a better mAP that end the run; 0 never does", at_least=0)

    device: str = _machine("auto", "auto, cpu, mps or cuda:N")
    precision: str = _machine("fp32", "of the arithmetic; fp16 on GPUs only", choices=("fp32", "bf16", "fp16"))
    channels_last: bool = _machine(True, "lay pixels out channel by channel within each")
    threads: int | None = _machine(None, "processors to use; all that the process may if left out", at_least=1)
    workers: int = _machine(2, "threads that decode crops ahead of the network", at_least=1)

    flip: float | None = _augmentation("probability of a mirror image", at_least=0, at_most=1)
    pad: int | None = _augmentation("pixels by which a patch is moved at most, each way", at_least=0)
    erase: float | None = _augmentation("probability of an erased rectangle", at_least=0, at_most=1)
    random_patch: float | None = _augmentation(
        "probability of a rectangle pasted in from another crop", at_least=0, at_most=1
    )
    jitter: float | None = _augmentation("strength of changes to the colours", at_least=0, at_most=1)
    blur: float | None = _augmentation("probability of a blur", at_least=0, at_most=1)
    grey: float | None = _augmentation("probability of losing the colours", at_least=0, at_most=1)
    rotate: float | None = _augmentation("degrees by which a patch is turned at most", at_least=0, at_most=180)

    name: str = _run("osnet", "of the run's folder; -2, -3, ... are added where it is there already")
    runs: str = _run("runs/train", "folder of all runs")
    tensorboard: bool = _run(False, "write TensorBoard events into the run's folder")

    def __post_init__(self):
        for name in _FIELDS:
            object.__setattr__(self, name, check_value(name, getattr(self, name)))
        _check_together(self)


_FIELDS = {one.name: one for one in fields(TrainConfig)}


def value_kind(name: str) -> tuple[type, bool, bool]:
    """Tell what a field holds.

    Parameters
    ----------
    name : str
        Of a field of `TrainConfig`.

    Returns
    -------
    kind : type
        bool, int, float or str: of its value, or of the values in its list.
    is_list : bool
    may_be_none : bool
    """
    kind: Any = _FIELDS[name].type
    may_be_none = isinstance(kind, UnionType)
    if may_be_none:
        kind = get_args(kind)[0]
    is_list = get_origin(kind) is tuple
    return (get_args(kind)[0] if is_list else kind), is_list, may_be_none


def check_value(name: str, value: Any) -> Any:
    """Hold one value against its field.

    Parameters
    ----------
    name : str
        Of a field of `TrainConfig`.
    value : object

    Returns
    -------
    value : bool, int, float, str, tuple of these, or None
        Of the field's own type.

    Raises
    ------
    ValueError
        It is of another type, or outside the field's limits.
    """
    kind, is_list, may_be_none = value_kind(name)
    if value is None and may_be_none:
        return None
    if is_list:
        if not isinstance(value, (list, tuple)) or not all(_is_a(kind, item) for item in value):
            raise ValueError(f"{name} must be {_LISTS[kind]}, found {value!r:.200}")
        return tuple(_within(name, item) for item in value)
    if not _is_a(kind, value):
        raise ValueError(f"{name} must be {_KINDS[kind]}, found {value!r:.200}")
    return _within(name, kind(value))


def differences(old: TrainConfig, new: TrainConfig, apart_from: Collection[str] = ()) -> list[str]:
    """Say what is not as it was.

    Parameters
    ----------
    old, new : TrainConfig
    apart_from : collection of str
        Fields that may differ: `RESUMABLE`, say.

    Returns
    -------
    differences : list of str
        `name: old -> new`, in the fields' order; none where both are the same.
    """
    return [
        f"{name}: {_brief(getattr(old, name))} -> {_brief(getattr(new, name))}"
        for name in _FIELDS
        if name not in apart_from and getattr(old, name) != getattr(new, name)
    ]


def _is_a(kind, value):
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _within(name, value):
    """The value, if it is inside its field's limits."""
    limits = _FIELDS[name].metadata
    if isinstance(value, str) and not value:
        raise ValueError(f"{name} must not be empty")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be finite, found {value}")
    if "choices" in limits and value not in limits["choices"]:
        raise ValueError(f"{name} must be one of {', '.join(limits['choices'])}, found {value!r}")
    bounds = {
        "at least": ("at_least", lambda bound: value >= bound),
        "above": ("above", lambda bound: value > bound),
        "at most": ("at_most", lambda bound: value <= bound),
        "below": ("below", lambda bound: value < bound),
    }
    for words, (key, holds) in bounds.items():
        if key in limits and not holds(limits[key]):
            raise ValueError(f"{name} must be {words} {limits[key]:,}, found {value}")
    return value


def _check_together(config):
    """Refuse values that contradict each other."""
    crops = config.crops_per_identity
    if config.loss not in (None, *PLAIN_LOSSES) and (config.batch_size % crops or config.batch_size < 2 * crops):
        raise ValueError(
            f"batch_size must be a multiple of crops_per_identity ({crops}), twice that at least, "
            f"found {config.batch_size}"
        )
    if config.schedule != "steps" and config.milestones:
        raise ValueError(f"milestones are for the schedule steps, found {config.schedule}")
    if config.schedule == "steps" and not config.milestones:
        raise ValueError("the schedule steps needs milestones, found none")
    if list(config.milestones) != sorted(set(config.milestones)):
        raise ValueError(f"milestones must rise, found {_brief(config.milestones)}")
    for name in ("warmup_epochs", "freeze_epochs"):
        if (getattr(config, name) or 0) > config.epochs:
            raise ValueError(f"{name} must be at most epochs ({config.epochs}), found {getattr(config, name)}")
    if config.milestones and config.milestones[-1] >= config.epochs:
        raise ValueError(f"milestones must be below epochs ({config.epochs}), found {config.milestones[-1]}")
    if config.amsgrad and config.optimizer == "sgd":
        raise ValueError("amsgrad is for adam and adamw, found sgd")
    if config.precision == "fp16" and config.device == "cpu":
        raise ValueError("fp16 is for GPUs, found the device cpu; there, bf16 is the half precision")
    if config.cache_dir is not None and config.cache in ("memory", "none"):
        raise ValueError(f"cache_dir is for patches kept on disk, found the cache {config.cache}")
    if config.name in (".", "..") or set(config.name) & set("/\\\0"):
        raise ValueError(f"name must be that of a folder, without its path, found {config.name!r}")


def _brief(value):
    return ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
