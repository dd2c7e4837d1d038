"""A moving average of the weights, which is often better than the weights of any one step."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

__all__ = ["ExponentialAverage"]


class ExponentialAverage:
    """The exponential moving average of a network's numbers, those of its batch-norms counted in.

    Parameters
    ----------
    network : Module
        On its device. The average begins as a copy of it.
    decay : float
        Part of the average that is kept at each step, 0 to 1. In the first steps it is lower,
        `(1 + step) / (10 + step)`, so that what the network began with is soon forgotten.

    Notes
    -----
    Source: TensorFlow's ExponentialMovingAverage, for the first steps.
    """

    def __init__(self, network: nn.Module, decay: float):
        self._decay = decay
        self._updates = 0
        self._tensors = {name: tensor.detach().clone() for name, tensor in _floating(network).items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take one more step's numbers in.

        Parameters
        ----------
        network : Module
            The one that the average was made of.
        """
        self._updates += 1
        kept = min(self._decay, (1 + self._updates) / (10 + self._updates))
        found = _floating(network)
        # One call for all of them: on a GPU, one each would take longer than the arithmetic.
        torch._foreach_lerp_(list(self._tensors.values()), [found[name] for name in self._tensors], 1 - kept)

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """Let the network have the average's numbers, to be evaluated and saved; afterwards its own, to the bit.

        Parameters
        ----------
        network : Module
            The one that the average was made of.
        """
        found = _floating(network)
        own = {name: tensor.detach().clone() for name, tensor in found.items()}
        try:
            _copy(self._tensors, found)
            yield
        finally:
            _copy(own, found)

    def state_dict(self) -> dict[str, Any]:
        """Give what a checkpoint must hold.

        Returns
        -------
        state : dict
            `updates`, and `tensors` by name: the average's own, not copies.
        """
        return {"updates": self._updates, "tensors": dict(self._tensors)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint.

        Parameters
        ----------
        state : mapping
            As of `state_dict`.

        Raises
        ------
        KeyError
            A tensor is missing.
        """
        _copy({name: state["tensors"][name] for name in self._tensors}, self._tensors)
        self._updates = state["updates"]


def _floating(network):
    """Parameters and statistics by name; counters are left as they are."""
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}


@torch.no_grad()
def _copy(source, target):
    for name, tensor in target.items():
        tensor.copy_(source[name])
