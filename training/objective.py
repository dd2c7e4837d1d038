"""What one batch costs: the classifier's loss, and the metric loss that the recipe sets beside it."""

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor

from .config import PLAIN_LOSSES, TrainConfig
from .losses import (
    arcface_logits,
    batch_hard_triplet_loss,
    circle_loss,
    cross_entropy_loss,
    multi_similarity_loss,
    unit_length,
)

__all__ = ["BatchCost", "batch_cost"]

# What stands beside cross-entropy, by the name that `TrainConfig.loss` has for it. All compare features by their
# direction alone: behind the neck their length means nothing to the classifier, and triplets would shrink it to 0,
# where the loss is the margin and nothing is learnt any more.
_METRIC: dict[str, Callable[[Tensor, Tensor, TrainConfig], Tensor]] = {
    "triplet": lambda features, identities, config: batch_hard_triplet_loss(
        unit_length(features), identities, config.margin
    ),
    "soft-triplet": lambda features, identities, config: batch_hard_triplet_loss(
        unit_length(features), identities, None
    ),
    "circle": lambda features, identities, config: circle_loss(
        features, identities, config.circle_margin, config.circle_scale
    ),
    "multi-similarity": lambda features, identities, config: multi_similarity_loss(features, identities),
}


class BatchCost(NamedTuple):
    """What one batch costs.

    Attributes
    ----------
    total : float32, ()
        What is made small: `classification + metric_weight * metric`.
    classification : float32, ()
        Cross-entropy.
    metric : float32, ()
        The metric loss, unweighted; 0 where the recipe has none.
    """

    total: Tensor
    classification: Tensor
    metric: Tensor


def batch_cost(
    config: TrainConfig,
    features: Tensor,
    necked: Tensor,
    weight: Tensor,
    identities: Tensor,
    margin_share: float = 1.0,
) -> BatchCost:
    """Say what one batch costs.

    Parameters
    ----------
    config : TrainConfig
        Resolved: its `loss`, and the settings of that loss.
    features, necked : float32, (N, D)
        As `network.ReidNetwork` gives them.
    weight : float32, (classes, D)
        Of its classifier.
    identities : int64, (N,)
        0 to `classes` - 1.
    margin_share : float
        What part of its margin ArcFace asks for, 0 to 1.

    Returns
    -------
    BatchCost
        ArcFace's cross-entropy is without label smoothing: at its scale, smoothing would undo the margin.
    """
    if config.loss == "arcface":
        margin, scale = margin_share * config.arcface_margin, cast(float, config.arcface_scale)
        logits = arcface_logits(necked, weight, identities, margin, scale)
        classification = cross_entropy_loss(logits, identities)
    else:
        # In float32 under autocast too, so that few bits do not blur neighbouring identities.
        with torch.autocast(necked.device.type, enabled=False):
            logits = necked.float() @ weight.T
        classification = cross_entropy_loss(logits, identities, config.label_smoothing)
    if config.loss in PLAIN_LOSSES:
        return BatchCost(classification, classification, torch.zeros_like(classification))
    metric = _METRIC[cast(str, config.loss)](features, identities, config)
    return BatchCost(classification + cast(float, config.metric_weight) * metric, classification, metric)
