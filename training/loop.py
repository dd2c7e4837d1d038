"""train(): from labelled people to weights that tell people apart, read from top to bottom."""

import logging
import os
from collections.abc import Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, cast

import torch

from ..engines.devices import count_cpus
from ..errors import JobError
from ..patches import PatchSpec
from .batches import check_batches
from .checkpoint import read_checkpoint
from .config import RESUMABLE, TrainConfig, differences
from .config_files import from_toml
from .distributed import Ranks, joined
from .epoch import Progress, train_epoch
from .evaluation import Evaluation
from .events import events
from .malloc import keep_freed_memory
from .network import build_network, export_tensors
from .outcome import Outcome
from .patch_store import PatchStore
from .people import People, find_people, gather_patches
from .record import begin, keep_epoch
from .run_folder import RunFolder, new_run, open_run
from .run_plots import draw_run
from .start import find_start, name_weights
from .state import TrainingState
from .validation import validate

__all__ = ["resume_run", "train"]

log = logging.getLogger(__name__)

_IN_HISTORY = ("rank1", "rank5", "mAP", "mINP", "eer")


def train(config: TrainConfig, progress: Progress | None = None) -> Outcome | None:
    """Train a network, in a new folder.

    Parameters
    ----------
    config : TrainConfig
        What is left open is settled by the weights, the task and the machine; the run's `config.toml` has it all.
    progress : callable, optional
        Called now and then with epoch, epochs, batch, batches and the mean loss.

    Returns
    -------
    Outcome or None
        None in all but the leading process, where `torchrun` started several.

    Raises
    ------
    TableError
        The labels or the crops are wrong: each fault with its row. Or a file cannot be written.
    WeightsError
        The weights to begin with cannot be had.
    JobError
        The loss is no longer finite (`diverged`), or the run's folder cannot be made (`run`).
    ValueError
        Settings that contradict each other, or a device that is not there.
    """
    with joined(config.device) as (ranks, device):
        start = find_start(config)
        config, spec = start.config, start.spec
        _settle(config, ranks, device)
        people = find_people(config)
        check_batches(people, config, ranks.world)
        patches = gather_patches(people, config, spec, ranks)
        state = _new_state(config, people, device, start.tensors)
        run = RunFolder(ranks.tell(new_run(config.runs, config.name).path if ranks.leads else None))
        with _alone(run, ranks):
            log.info("run %s", run.path)
            if ranks.leads:
                begin(run, state, people, spec, config, ranks.world)
            return _go_on(run, state, people, patches, spec, config, ranks, progress)


def resume_run(
    path: str | os.PathLike[str], given: Mapping[str, Any] | None = None, progress: Progress | None = None
) -> Outcome | None:
    """Go on with a run from its last finished epoch; what comes out is what would have come out.

    Parameters
    ----------
    path : path
        The run's folder.
    given : mapping, optional
        Settings that are asked for: the run's own, or others among `config.RESUMABLE`.
    progress : callable, optional
        As of `train`.

    Returns
    -------
    Outcome or None
        As of `train`.

    Raises
    ------
    JobError
        There is no such run, or none that had begun (`run`); another process trains it (`locked`); the settings or
        the labels are not those that it was begun with (`changed`).
    TableError, ValueError
        As of `train`.
    """
    run = open_run(path)
    written = from_toml(run.config.read_text(encoding="utf-8"), run.config)
    with joined(written.device) as (ranks, device), _alone(run, ranks):
        checkpoint = read_checkpoint(run.checkpoint)
        asked = replace(written, **_named(given or {}, written))
        changed = differences(from_toml(checkpoint.config), asked, RESUMABLE)
        if checkpoint.world != ranks.world:
            changed.append(f"processes: {checkpoint.world} -> {ranks.world}")
        if changed:
            raise JobError("changed", f"{path} was begun with other settings: {'; '.join(changed)}")
        config, spec = asked, PatchSpec(**checkpoint.spec)
        _settle(config, ranks, device)
        people = find_people(config)
        if checkpoint.data_sha256 != people.sha256:
            raise JobError(
                "changed", f"{path} was begun with other labels: {', '.join(config.labels)} changed since"
            )
        check_batches(people, config, ranks.world)
        state = _new_state(config, people, device)
        state.restore(checkpoint)
        log.info("run %s goes on after epoch %d", run.path, state.epoch)
        patches = None if _is_done(state, config) else gather_patches(people, config, spec, ranks)
        return _go_on(run, state, people, patches, spec, config, ranks, progress)


def _named(given, written):
    """What is asked for, the weights by name, as a run notes them."""
    if "weights" not in given:
        return given
    return {**given, "weights": name_weights(given["weights"], written.arch)}


def _alone(run, ranks):
    """The run held by the leading process, for all."""
    return run.held() if ranks.leads else nullcontext()


def _settle(config, ranks, device):
    """Make the process one that computes the same numbers from the same settings."""
    if config.precision == "fp16" and device.type != "cuda":
        raise ValueError(f"fp16 is for GPUs, found the device {device}; there, bf16 is the half precision")
    torch.manual_seed(config.seed)
    torch.set_num_threads(config.threads or max(1, count_cpus() // ranks.world))
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    keep_freed_memory()


def _new_state(config, people, device, tensors=None):
    return TrainingState(build_network(cast(str, config.arch), people.classes, tensors), config, device)


def _go_on(
    run: RunFolder,
    state: TrainingState,
    people: People,
    patches: PatchStore | None,
    spec: PatchSpec,
    config: TrainConfig,
    ranks: Ranks,
    progress: Progress | None,
) -> Outcome | None:
    """Train epoch after epoch until all are done, or validation gets no better."""
    with events(run.events, config.tensorboard and ranks.leads, state.epoch) as tell, _told_how_to_go_on(run):
        while patches is not None and not _is_done(state, config):
            row = train_epoch(state, people, patches, spec, config, ranks, progress)
            state.epoch += 1
            if ranks.leads:
                with state.averaged():
                    evaluation = _evaluate(state, people, patches, spec, config)
                    tensors = export_tensors(state.network)
                is_best = _judge(state, people, config, row, evaluation)
                keep_epoch(run, state, people, spec, config, ranks.world, tensors, evaluation, is_best)
                tell(state.history[-1])
            state.plateau, state.stale = ranks.tell((state.plateau, state.stale))
    if not ranks.leads:
        return None
    draw_run(run)
    return Outcome.of(run, state)


@contextmanager
def _told_how_to_go_on(run):
    try:
        yield
    except KeyboardInterrupt:
        log.warning("interrupted; osnet-train --resume %s goes on after its last finished epoch", run.path)
        raise


def _is_done(state, config):
    return state.epoch >= config.epochs or 0 < config.patience <= state.stale


def _evaluate(state, people, patches, spec, config):
    """What an epoch is worth, where it is due and there are people to try it on."""
    due = state.epoch % config.eval_every == 0 or state.epoch == config.epochs
    if not due or not len(people.val):
        return None
    return validate(state.network, patches, people.val, people.val_labels, spec, state.device)


def _judge(state: TrainingState, people: People, config: TrainConfig, row, evaluation: Evaluation | None) -> bool:
    """Take an epoch into the state; whether it is the best so far."""
    if evaluation is not None:
        state.plateau = state.plateau.after(evaluation.mAP, config)
        is_best = state.judge(evaluation.mAP)
    else:
        is_best = not len(people.val)  # nothing to judge by: the latest
    measured = {} if evaluation is None else evaluation.as_dict()
    row = {"epoch": state.epoch, **row, **{name: measured.get(name) for name in _IN_HISTORY}}
    state.history.append(row)
    found = "" if not measured else f", rank-1 {row['rank1']:.4f}, mAP {row['mAP']:.4f}"
    log.info(
        "epoch %d of %d: loss %.4f, %.0f images/s%s%s",
        state.epoch, config.epochs, row["loss"], row["images"] / row["seconds"], found,
        " (best)" if is_best and measured else "",
    )  # fmt: skip
    return is_best
