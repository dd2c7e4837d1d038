"""What training makes small: cross-entropy, and the metric losses that stand beside it.

All of them compute in float32 whatever autocast says (float64 stays float64), look at one batch, and are 0 with
gradient 0 where the batch has nothing to compare: no crop, one identity, or one crop of each.
"""

import functools
import math
from collections.abc import Callable
from typing import ParamSpec

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "arcface_logits",
    "batch_hard_triplet_loss",
    "circle_loss",
    "cross_entropy_loss",
    "multi_similarity_loss",
    "unit_length",
]

P = ParamSpec("P")

# Vectors shorter than this are not brought to unit length: their gradient would be as long as they are short.
_SHORTEST = 1e-6

# sin² of the smallest angle whose sine has a gradient in `arcface_logits`: cosines in float32 tell none smaller.
_SMALLEST_SIN2 = 1e-6

# In place of a logit that does not count: its exponential is 0, and unlike infinity it has a gradient.
_NEVER = -1e9


def _in_float32(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Run a function of tensors in float32 at least, outside of autocast."""

    @functools.wraps(function)
    def run(*arguments: P.args, **settings: P.kwargs) -> Tensor:
        given = (*arguments, *settings.values())
        device = next(value.device for value in given if isinstance(value, Tensor))
        with torch.autocast(device.type, enabled=False):
            return function(*map(_widen, arguments), **{name: _widen(value) for name, value in settings.items()})

    return run


def _widen(value):
    half = isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if half else value


@_in_float32
def cross_entropy_loss(logits: Tensor, identities: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Make the right identity the likeliest.

    Parameters
    ----------
    logits : float, (N, classes)
    identities : int64, (N,)
        0 to `classes` - 1.
    label_smoothing : float
        Part of each label that is spread evenly over all classes, 0 to 1.

    Returns
    -------
    loss : float32, ()
        Mean over the crops.

    Notes
    -----
    Source: Szegedy et al., Rethinking the Inception Architecture for Computer Vision, CVPR 2016, for smoothing.
    """
    if not len(logits):
        return logits.sum()
    return F.cross_entropy(logits, identities, label_smoothing=label_smoothing)


@_in_float32
def batch_hard_triplet_loss(features: Tensor, identities: Tensor, margin: float | None = 0.3) -> Tensor:
    """Push the hardest negative further off than the hardest positive, by `margin`.

    Parameters
    ----------
    features : float, (N, D)
        Of any length; Euclidean distances are taken between them.
    identities : int64, (N,)
    margin : float or None
        In units of distance. None for the soft margin, `log(1 + exp(d_positive - d_negative))`, which never rests.

    Returns
    -------
    loss : float32, ()
        Mean over the anchors that have a positive, other than themselves, and a negative; 0 if none has.

    Notes
    -----
    Source: Hermans, Beyer and Leibe, In Defense of the Triplet Loss for Person Re-Identification, 2017.
    """
    if not len(features):
        return features.sum()
    positive, negative = _pairs(identities)
    # Not by way of a matrix product, which leaves equal crops some distance apart and their gradient to chance.
    distances = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    furthest = distances.masked_fill(~positive, -torch.inf).max(1).values
    nearest = distances.masked_fill(~negative, torch.inf).min(1).values
    violation = furthest - nearest
    return _mean(F.softplus(violation) if margin is None else F.relu(violation + margin), positive, negative)


@_in_float32
def circle_loss(features: Tensor, identities: Tensor, margin: float = 0.25, scale: float = 64.0) -> Tensor:
    """Pull each similarity to its end, the harder the further it is from there.

    Parameters
    ----------
    features : float, (N, D)
        Of any length; cosines are taken between them.
    identities : int64, (N,)
    margin : float
        In units of cosine: positives are wanted above `1 - margin`, negatives below `margin`.
    scale : float

    Returns
    -------
    loss : float32, ()
        Mean over the anchors that have a positive, other than themselves, and a negative; 0 if none has.

    Notes
    -----
    Source: Sun et al., Circle Loss: A Unified Perspective of Pair Similarity Optimization, CVPR 2020.
    """
    positive, negative = _pairs(identities)
    cosines = _cosines(features)
    weight_positive = F.relu(1 + margin - cosines.detach())
    weight_negative = F.relu(cosines.detach() + margin)
    logits_positive = -scale * weight_positive * (cosines - (1 - margin))
    logits_negative = scale * weight_negative * (cosines - margin)
    each = _log_sum_exp(logits_positive, positive) + _log_sum_exp(logits_negative, negative)
    return _mean(F.softplus(each), positive, negative)


@_in_float32
def multi_similarity_loss(
    features: Tensor,
    identities: Tensor,
    alpha: float = 2.0,
    beta: float = 50.0,
    base: float = 0.5,
    margin: float = 0.1,
) -> Tensor:
    """Weigh each pair by its own similarity and by those of the pairs around it.

    Parameters
    ----------
    features : float, (N, D)
        Of any length; cosines are taken between them.
    identities : int64, (N,)
    alpha, beta : float
        How steeply positives and negatives are weighed.
    base : float
        The cosine that is to lie between positives and negatives.
    margin : float
        A negative counts if it is more alike than the least alike positive, less this margin; a positive if it is
        less alike than the most alike negative, plus this margin.

    Returns
    -------
    loss : float32, ()
        Mean over the anchors that have a positive, other than themselves, and a negative; 0 if none has.

    Notes
    -----
    Source: Wang et al., Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning, CVPR 2019.
    """
    if not len(features):
        return features.sum()
    positive, negative = _pairs(identities)
    cosines = _cosines(features)
    least = cosines.detach().masked_fill(~positive, torch.inf).amin(1, keepdim=True)
    most = cosines.detach().masked_fill(~negative, -torch.inf).amax(1, keepdim=True)
    from_positives = _log_sum_exp(-alpha * (cosines - base), positive & (cosines < most + margin))
    from_negatives = _log_sum_exp(beta * (cosines - base), negative & (cosines > least - margin))
    each = F.softplus(from_positives) / alpha + F.softplus(from_negatives) / beta
    return _mean(each, positive, negative)


@_in_float32
def arcface_logits(
    features: Tensor, weight: Tensor, identities: Tensor, margin: float = 0.5, scale: float = 64.0
) -> Tensor:
    """Logits for cross-entropy in which the right identity must be ahead by an angle.

    Parameters
    ----------
    features : float, (N, D)
        Of any length.
    weight : float, (classes, D)
        The classifier's; its rows count by their direction alone.
    identities : int64, (N,)
        0 to `classes` - 1.
    margin : float
        In radians.
    scale : float

    Returns
    -------
    logits : float32, (N, classes)
        `scale * cos(t)`, but `scale * cos(t + margin)` for the right identity; where t + margin would be past pi,
        `scale * (cos(t) - margin * sin(margin))`, so that it keeps falling.

    Notes
    -----
    Source: Deng et al., ArcFace: Additive Angular Margin Loss for Deep Face Recognition, CVPR 2019.
    """
    cosines = unit_length(features) @ unit_length(weight).T
    right = cosines.gather(1, identities[:, None])
    cos, sin = math.cos(margin), math.sin(margin)
    sines = ((1 - right) * (1 + right)).clamp(min=_SMALLEST_SIN2).sqrt()
    behind = torch.where(right > -cos, right * cos - sines * sin, right - margin * sin)
    return scale * cosines.scatter(1, identities[:, None], behind)


def unit_length(vectors: Tensor) -> Tensor:
    """Scale vectors to unit length.

    Parameters
    ----------
    vectors : float, (N, D)
        Those shorter than 1e-6 are scaled as if they were that long.

    Returns
    -------
    vectors : float, (N, D)
    """
    return F.normalize(vectors, eps=_SHORTEST)


def _pairs(identities):
    """bool, (N, N), twice: who is a positive for whom, themselves left out; and who a negative."""
    same = identities[:, None] == identities
    return same & ~torch.eye(len(identities), dtype=torch.bool, device=same.device), ~same


def _cosines(features):
    unit = unit_length(features)
    return unit @ unit.T


def _log_sum_exp(logits, counted):
    """Along each row, over what counts; far below 0 where nothing does."""
    return logits.masked_fill(~counted, _NEVER).logsumexp(1)


def _mean(each, positive, negative):
    """Over the anchors that have both, without asking the device how many these are."""
    anchors = positive.any(1) & negative.any(1)
    return torch.where(anchors, each, 0).sum() / anchors.sum().clamp(min=1)
