"""What takes the steps: the optimiser, with one rate for the backbone and one for the head."""

from typing import Any

import torch

from .config import TrainConfig
from .network import ReidNetwork

__all__ = ["freeze", "make_optimizer", "parameter_groups", "set_rates"]


def parameter_groups(network: ReidNetwork, config: TrainConfig) -> list[dict[str, Any]]:
    """Divide what is trained into backbone and head.

    Parameters
    ----------
    network : ReidNetwork
    config : TrainConfig
        Resolved: its `lr`, `backbone_lr` and `weight_decay`.

    Returns
    -------
    groups : list of dict
        For a torch optimiser: `backbone`, then `head`, each with its `name`, `params` and rates. Weights decay in
        both, norms and biases too, as in the recipes that others' figures are from; the neck's bias is in neither.
        `initial_lr` is what `set_rates` multiplies.
    """
    head = [network.neck.weight, *network.classifier.parameters()]
    divided = {
        "backbone": (list(network.backbone.parameters()), config.backbone_lr),
        "head": (head, config.lr),
    }
    return [
        {"name": name, "params": params, "lr": lr, "initial_lr": lr, "weight_decay": config.weight_decay}
        for name, (params, lr) in divided.items()
    ]


def make_optimizer(network: ReidNetwork, config: TrainConfig) -> torch.optim.Optimizer:
    """Make the optimiser of a run.

    Parameters
    ----------
    network : ReidNetwork
        On its device. What is frozen is in the optimiser too, and steps over it while it has no gradient.
    config : TrainConfig
        Resolved.

    Returns
    -------
    Optimizer
        Adam, whose weight decay is part of the gradient; AdamW, whose is not; SGD with momentum.
    """
    groups = parameter_groups(network, config)
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=config.momentum)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
    # All tensors in one call: hundreds of small ones, one by one, are a good part of a step on small patches.
    return kind(groups, amsgrad=config.amsgrad, fused=True)


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set the rates of the next step.

    Parameters
    ----------
    optimizer : Optimizer
        As of `make_optimizer`.
    factor : float
        Part of each group's own rate, as of `schedule.learning_rate`.
    """
    for group in optimizer.param_groups:
        group["lr"] = factor * group["initial_lr"]


def freeze(network: ReidNetwork, frozen: bool) -> None:
    """Keep the backbone as it is, or let it learn.

    Parameters
    ----------
    network : ReidNetwork
    frozen : bool
        While it is, the backbone has no gradients, and its batch-norms stay in eval mode, whatever
        `network.train()` says. Gradients that it has are dropped, or the optimiser would go on using them.
    """
    network.frozen = frozen
    network.backbone.requires_grad_(not frozen)
    if frozen:
        network.backbone.zero_grad(set_to_none=True)
    network.train(network.training)
