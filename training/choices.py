"""What is to happen to each crop of a batch in training: how strong it may be, and what was drawn.

Chance stands here alone: `augment.py` does what was drawn, and could be asked to do it again.
"""

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

__all__ = ["Augmentation", "Choices", "draw_choices"]

# Of a rectangle: its part of the picture, and its height by its width.
_AREA = (0.02, 0.4)
_ASPECT = (0.3, 1 / 0.3)

# Rectangles drawn for a crop until one lies inside it; a crop that none fits goes without.
_TRIES = 10

# Of a blur: the Gaussian's standard deviation, in pixels.
_SIGMA = (0.1, 2.0)

# Of the strengths that are no probabilities.
_HIGHEST = {"pad": math.inf, "rotate": 180.0}


@dataclass(frozen=True)
class Augmentation:
    """How much may happen to a patch in training; nothing, unless it is said.

    Parameters
    ----------
    flip : float
        Probability of the mirror image.
    pad : int
        Pixels by which the patch is moved at most, each way; what comes in from outside is black.
    erase : float
        Probability that a rectangle is filled with the mean colour.
    random_patch : float
        Probability that a rectangle is filled with the same place of another crop of the batch.
    jitter : float
        Strength of changes to brightness, contrast and saturation, 0 to 1: each is multiplied by
        1 - jitter to 1 + jitter.
    blur : float
        Probability of a Gaussian blur, its standard deviation 0.1 to 2 pixels.
    grey : float
        Probability that the colours are lost.
    rotate : float
        Degrees by which the patch is turned at most, each way; what comes in from outside is black.

    Raises
    ------
    ValueError
        A strength is outside its range.

    Notes
    -----
    Source: Zhong et al., Random Erasing Data Augmentation, AAAI 2020, for rectangles (0.02 to 0.4 of the picture,
    0.3 to 1 / 0.3 times as high as wide); Luo et al., Bag of Tricks, CVPRW 2019, for the black margin; Yun et al.,
    CutMix, ICCV 2019, for rectangles of other crops; Chen et al., SimCLR, ICML 2020, for the blur.
    """

    flip: float = 0.0
    pad: int = 0
    erase: float = 0.0
    random_patch: float = 0.0
    jitter: float = 0.0
    blur: float = 0.0
    grey: float = 0.0
    rotate: float = 0.0

    def __post_init__(self):
        for name in (each.name for each in fields(self)):
            value, highest = getattr(self, name), _HIGHEST.get(name, 1.0)
            if not 0 <= value <= highest:
                raise ValueError(f"{name} must be from 0 to {highest:g}, found {value}")


@dataclass(frozen=True, eq=False)
class Choices:
    """What happens to each of N crops, in this order; None where it happens to none. All on the CPU.

    Parameters
    ----------
    flip : bool, (N,), optional
        Who is mirrored.
    shift : int64, (N, 2), optional
        Rows and columns: pixel (y, x) is taken from (y + rows, x + columns).
    patch : int64, (N, 4), optional
        Rectangles: first row, row behind the last, first column, column behind the last; all 0 for none.
    partner : int64, (N,), optional
        From whom that rectangle comes.
    angle : float64, (N,), optional
        Degrees, counter-clockwise.
    color : float64, (N, 3), optional
        Factors of brightness, contrast and saturation.
    sigma : float64, (N,), optional
        Of the blur, in pixels; 0 for none.
    erase : int64, (N, 4), optional
        Rectangles, as `patch`.
    """

    flip: Tensor | None = None
    shift: Tensor | None = None
    patch: Tensor | None = None
    partner: Tensor | None = None
    angle: Tensor | None = None
    color: Tensor | None = None
    sigma: Tensor | None = None
    erase: Tensor | None = None


def draw_choices(
    augmentation: Augmentation, count: int, height: int, width: int, generator: torch.Generator
) -> Choices:
    """Draw what happens to each crop of a batch.

    Parameters
    ----------
    augmentation : Augmentation
        What has strength 0 draws nothing.
    count, height, width : int
        Of the batch; pixels.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    Choices
    """

    def uniform(low: float, high: float, *more: int) -> Tensor:
        draws = torch.rand((count, *more), generator=generator, dtype=torch.float64)
        return low + (high - low) * draws

    def chosen(probability: float) -> Tensor:
        return uniform(0, 1) < probability

    def rectangles(probability: float) -> Tensor:
        area, aspect = uniform(*_AREA, _TRIES) * height * width, uniform(*_ASPECT, _TRIES)
        tall, wide = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
        fits = (tall < height) & (wide < width)
        first = fits.int().argmax(1, keepdim=True)
        tall, wide = tall.gather(1, first)[:, 0], wide.gather(1, first)[:, 0]
        top, left = (uniform(0, 1) * (height - tall + 1)).floor(), (uniform(0, 1) * (width - wide + 1)).floor()
        boxes = torch.stack([top, top + tall, left, left + wide], 1).long()
        return boxes * (chosen(probability) & fits.any(1))[:, None]

    a = augmentation
    drawn: dict[str, Tensor] = {}
    if a.flip:
        drawn["flip"] = chosen(a.flip)
    if a.pad:
        drawn["shift"] = uniform(-a.pad, a.pad + 1, 2).floor().long()
    if a.random_patch:
        drawn["patch"] = rectangles(a.random_patch)
        away = uniform(1, max(count, 2)).long()
        drawn["partner"] = (torch.arange(count) + away) % max(count, 1)
    if a.rotate:
        drawn["angle"] = uniform(-a.rotate, a.rotate)
    if a.jitter:
        drawn["color"] = uniform(1 - a.jitter, 1 + a.jitter, 3)
    if a.grey:
        color = drawn.setdefault("color", torch.ones(count, 3, dtype=torch.float64))
        color[:, 2] *= ~chosen(a.grey)
    if a.blur:
        drawn["sigma"] = uniform(*_SIGMA) * chosen(a.blur)
    if a.erase:
        drawn["erase"] = rectangles(a.erase)
    return Choices(**drawn)
