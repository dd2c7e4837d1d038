"""What changes while a run goes on, in a checkpoint and out again."""

import io
import pickle

import numpy as np
import pytest
import torch

from osnet_encoder import JobError, PatchSpec, TableError
from osnet_encoder.training.checkpoint import read_checkpoint, write_checkpoint
from osnet_encoder.training.config import TrainConfig
from osnet_encoder.training.network import build_network
from osnet_encoder.training.presets import resolve
from osnet_encoder.training.schedule import Plateau
from osnet_encoder.training.state import TrainingState

CPU = torch.device("cpu")
SPEC = PatchSpec(32, 16)


def state_of(seed=0, **settings):
    config = resolve(TrainConfig(labels=("labels.csv",), arch="osnet_x0_25", weights="none", **settings))
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    return TrainingState(build_network("osnet_x0_25", 3), config, CPU)


def step(state):
    """One step from a loss that is the same every time."""
    x = torch.linspace(-1, 1, 4 * 3 * 32 * 16).view(4, 3, 32, 16)
    features, necked = state.network(x)
    (features.sum() + (necked @ state.network.classifier.weight.T).square().sum()).backward()
    state.optimizer.step()
    state.optimizer.zero_grad()
    if state.average is not None:
        state.average.update(state.network)


def numbers(state):
    """Everything in a state that is a tensor, by name."""
    kept = state.checkpoint("", "", SPEC, 1)
    found = {f"network.{name}": tensor.clone() for name, tensor in kept.network.items()}
    for number, slots in kept.optimizer["state"].items():
        found |= {f"optimizer.{number}.{name}": torch.as_tensor(value).clone() for name, value in slots.items()}
    if kept.average is not None:
        found |= {f"average.{name}": tensor.clone() for name, tensor in kept.average["tensors"].items()}
    return found


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("settings", [{"ema": 0.9, "amsgrad": True}, {"optimizer": "sgd", "channels_last": False}])
def test_a_state_that_was_kept_goes_on_to_the_bit(tmp_path, settings):
    state = state_of(**settings)
    step(state)
    state.epoch, state.best_epoch, state.best_map, state.stale = 7, 4, 0.5, 3
    state.plateau = Plateau(0.1, 0.5, 2)
    state.history.append({"epoch": 7, "loss": 1.5, "mAP": None})
    write_checkpoint(tmp_path / "checkpoint.pt", state.checkpoint("lr = 1.0", "ab", SPEC, 2))
    step(state)

    kept = read_checkpoint(tmp_path / "checkpoint.pt")
    assert (kept.config, kept.data_sha256, kept.world, PatchSpec(**kept.spec)) == ("lr = 1.0", "ab", 2, SPEC)
    other = state_of(seed=1, **settings)
    assert not equal(numbers(other), numbers(state))
    other.restore(kept)
    assert (other.epoch, other.best_epoch, other.best_map, other.stale) == (7, 4, 0.5, 3)
    assert (other.plateau, other.history) == (state.plateau, state.history)
    step(other)
    assert equal(numbers(other), numbers(state))


def test_the_averaged_weights_are_there_for_a_while_only():
    state = state_of(ema=0.9)
    step(state)
    before = {name: tensor.clone() for name, tensor in state.network.state_dict().items()}
    with state.averaged():
        assert not equal(before, state.network.state_dict())
    assert equal(before, state.network.state_dict())
    plain = state_of()
    with plain.averaged():
        assert plain.average is None


def test_the_best_map_counts_and_nan_never_does():
    state = state_of()
    judged = []
    for epoch, score in enumerate((float("nan"), 0.25, 0.25, 0.5, float("nan")), 1):
        state.epoch = epoch
        judged.append((state.judge(score), state.best_epoch, state.stale))
    assert judged == [(False, 0, 1), (True, 2, 0), (False, 2, 1), (True, 4, 0), (False, 4, 1)]


@pytest.mark.parametrize("damage", ["cut", "text", "pickle", "array", "format", "field"])
def test_a_checkpoint_that_is_none_is_an_error_and_nothing_in_it_is_run(tmp_path, damage):
    path = tmp_path / "checkpoint.pt"
    state = state_of()
    write_checkpoint(path, state.checkpoint("", "", SPEC, 1))
    values = torch.load(path, weights_only=True)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-1000])
    elif damage == "text":
        path.write_text("not a checkpoint")
    elif damage == "pickle":
        path.write_bytes(pickle.dumps(print, 2))
    elif damage == "array":
        torch.save(np.float64, path)
    else:
        values.update({"format": 2} if damage == "format" else {"more": 1})
        torch.save(values, path)
    with pytest.raises(JobError, match=r"checkpoint.pt (cannot be read: |is a checkpoint of format 2, wanted 1$)"):
        read_checkpoint(path)


def test_a_checkpoint_that_is_not_there_or_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(JobError, match=r"checkpoint.pt cannot be read: ") as caught:
        read_checkpoint(tmp_path / "checkpoint.pt")
    assert caught.value.reason == "run"
    with pytest.raises(TableError, match="cannot write"):
        write_checkpoint(tmp_path / "gone" / "checkpoint.pt", state_of().checkpoint("", "", SPEC, 1))


def test_a_checkpoint_is_replaced_whole(tmp_path):
    path = tmp_path / "checkpoint.pt"
    for epoch in (1, 2):
        state = state_of()
        state.epoch = epoch
        write_checkpoint(path, state.checkpoint("", "", SPEC, 1))
    assert read_checkpoint(path).epoch == 2
    assert [found.name for found in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert torch.load(io.BytesIO(path.read_bytes()), weights_only=True)["format"] == 1
