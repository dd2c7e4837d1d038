"""What is written down of a run: what it is when it begins, and what each epoch came to."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ..patches import PatchSpec
from ..tables import published, put_bytes
from ..weights import save
from .checkpoint import write_checkpoint
from .config import RESUMABLE, TrainConfig
from .config_files import to_toml
from .evaluation import Evaluation
from .labels import to_table
from .people import People
from .run_folder import RunFolder
from .state import TrainingState

__all__ = ["begin", "keep_epoch"]


def begin(
    run: RunFolder, state: TrainingState, people: People, spec: PatchSpec, config: TrainConfig, world: int
) -> None:
    """Write down what a run is; from here on it can be resumed.

    Parameters
    ----------
    run : RunFolder
    state : TrainingState
        Before the first epoch.
    people : People
    spec : PatchSpec
    config : TrainConfig
        Resolved.
    world : int
        Processes that train together.

    Raises
    ------
    TableError
        A file cannot be written.
    """
    put_bytes(run.config, to_toml(config).encode())
    with published(run.labels) as partial:
        pq.write_table(to_table(people.labels), partial)
    _keep_state(run, state, people, spec, config, world)


def keep_epoch(
    run: RunFolder,
    state: TrainingState,
    people: People,
    spec: PatchSpec,
    config: TrainConfig,
    world: int,
    tensors: Mapping[str, np.ndarray],
    evaluation: Evaluation | None,
    is_best: bool,
) -> None:
    """Write down what an epoch came to; the checkpoint last, since what is lost before it is made again.

    Parameters
    ----------
    run : RunFolder
    state : TrainingState
        After the epoch.
    people : People
    spec : PatchSpec
    config : TrainConfig
        Resolved.
    world : int
        Processes that train together.
    tensors : mapping of str to array
        As of `network.export_tensors`.
    evaluation : Evaluation or None
        Of these tensors.
    is_best : bool
        Whether they are the best so far.

    Raises
    ------
    TableError, WeightsError
        A file cannot be written.
    """
    measured = {} if evaluation is None else evaluation.as_dict()
    metadata = {
        "epoch": state.epoch,
        "classes": people.classes,
        "metrics": measured,
        "recipe": _recipe(config),
        "data_sha256": people.sha256,
    }
    save(run.last, tensors, spec=spec, normalize=True, metadata=metadata)
    if is_best:
        save(run.best, tensors, spec=spec, normalize=True, metadata=metadata)
        run.write_json(run.metrics, {"epoch": state.epoch, **measured})
    if is_best and evaluation is not None:
        run.write_json(run.curves, {"cmc": evaluation.cmc.tolist(), "roc": evaluation.roc.tolist()})
    run.write_history(state.history)
    _keep_state(run, state, people, spec, config, world)


def _keep_state(run, state, people, spec, config, world):
    write_checkpoint(run.checkpoint, state.checkpoint(to_toml(config), people.sha256, spec, world))


def _recipe(config) -> dict[str, Any]:
    """The settings that decide what comes out; of files only the names, since weights are handed on."""
    recipe = {name: value for name, value in asdict(config).items() if name not in RESUMABLE}
    del recipe["root"]
    return {
        **recipe,
        "labels": [Path(path).name for path in config.labels],
        "weights": Path(config.weights).name,
    }
