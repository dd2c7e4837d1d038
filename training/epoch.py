"""One epoch: every batch once through the network and back."""

import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_

from ..errors import JobError
from ..patches import PatchSpec
from .batches import draw_batches, prepare_batches
from .config import TrainConfig
from .distributed import Ranks
from .objective import batch_cost
from .optimise import freeze, set_rates
from .patch_store import PatchStore
from .people import People
from .schedule import learning_rate, margin_share
from .state import TrainingState

__all__ = ["Progress", "train_epoch"]

# (epoch, epochs, batch, batches, mean loss), all counted from 1.
Progress = Callable[[int, int, int, int, float], None]

_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}

# Batches between two looks at the loss: on a GPU, to look is to wait.
_LOOK = 20


def train_epoch(
    state: TrainingState,
    people: People,
    patches: PatchStore,
    spec: PatchSpec,
    config: TrainConfig,
    ranks: Ranks,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Train for an epoch; `state.epoch` says which, and is not moved on.

    Parameters
    ----------
    state : TrainingState
    people : People
    patches : PatchStore
    spec : PatchSpec
    config : TrainConfig
        Resolved.
    ranks : Ranks
    progress : callable, optional
        Called by the leading process.

    Returns
    -------
    row : dict of str to float
        `images`, of all processes; `loss`, `classification` and `metric`, means over this process's batches; `lr`
        and `backbone_lr` of the last step; `seconds`.

    Raises
    ------
    JobError
        The loss is no longer finite (`diverged`).
    """
    started = time.perf_counter()
    batches = draw_batches(people, config, state.epoch, ranks.rank, ranks.world)
    freeze(state.network, state.epoch < config.freeze_epochs)
    state.network.train()
    network = _shared(state.network, ranks)
    sums, images = torch.zeros(3, device=state.device), 0
    ready = prepare_batches(batches, people, patches, spec, config, state.epoch, ranks.rank)
    for number, (x, identities) in enumerate(ready):
        progress_made = state.epoch + number / len(batches)
        set_rates(state.optimizer, learning_rate(config, progress_made) * state.plateau.factor)
        x, identities = (one.to(state.device, non_blocking=True) for one in (x, identities))
        with _arithmetic(config, state.device):
            features, necked = network(x)
        share = margin_share(config, progress_made)
        cost = batch_cost(config, features, necked, state.network.classifier.weight, identities, share)
        _step(state, cost.total, config)
        sums += torch.stack(cost).detach()
        images += len(x)
        done = number + 1
        if done % _LOOK == 0 or done == len(batches):
            loss = float(sums[0]) / done
            if not loss - loss == 0:  # neither NaN nor infinite
                raise JobError(
                    "diverged",
                    f"the loss is {loss} by batch {done} of epoch {state.epoch + 1}; a lower lr may help",
                )
            if progress is not None and ranks.leads:
                progress(state.epoch + 1, config.epochs, done, len(batches), loss)
    total, classification, metric = (sums / len(batches)).tolist()
    backbone, head = (group["lr"] for group in state.optimizer.param_groups)
    return {
        "images": images * ranks.world,
        "loss": total,
        "classification": classification,
        "metric": metric,
        "lr": head,
        "backbone_lr": backbone,
        "seconds": time.perf_counter() - started,
    }


def _shared(network, ranks):
    """The network, whose gradients are the means over all processes where there are several."""
    if ranks.world == 1:
        return network
    return DistributedDataParallel(network)


def _arithmetic(config, device):
    if config.precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=_HALF[config.precision])


def _step(state, loss, config):
    state.optimizer.zero_grad(set_to_none=True)
    state.scaler.scale(loss).backward()
    if config.clip:
        state.scaler.unscale_(state.optimizer)
        clip_grad_norm_(state.network.parameters(), config.clip)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    if state.average is not None:
        state.average.update(state.network)
