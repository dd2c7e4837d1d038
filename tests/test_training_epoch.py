"""One epoch of training, what it is worth, and what TensorBoard is told of it."""

import sys

import numpy as np
import pytest
import torch

from labelled import tiny, write_people
from osnet_encoder import JobError, OsNetEncoder, PatchSpec
from osnet_encoder.training.config import LOSSES
from osnet_encoder.training.distributed import Ranks
from osnet_encoder.training.epoch import train_epoch
from osnet_encoder.training.events import events
from osnet_encoder.training.network import build_network, export_tensors
from osnet_encoder.training.people import find_people, gather_patches
from osnet_encoder.training.presets import resolve
from osnet_encoder.training.state import TrainingState
from osnet_encoder.training.validation import encode_patches, validate
from osnet_encoder.weights import save

CPU = torch.device("cpu")
SPEC = PatchSpec(32, 16)
ALONE = Ranks()


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    return write_people(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def people(labels):
    return find_people(resolve(tiny(labels)))


@pytest.fixture(scope="module")
def patches(people, labels):
    return gather_patches(people, resolve(tiny(labels)), SPEC, ALONE)


@pytest.fixture
def run(labels, people, patches):
    """Make a state and train it for an epoch, with whatever settings; the state, and the row of its epoch."""

    def go(progress=None, prepare=None, weights_arch=None, **settings):
        weights = "none" if weights_arch is None else "some.pth"
        config = resolve(tiny(labels, weights=weights, **settings), weights_arch)
        torch.manual_seed(0)
        torch.set_num_threads(1)
        state = TrainingState(build_network("osnet_x0_25", people.classes), config, CPU)
        if prepare is not None:
            prepare(state)
        return state, train_epoch(state, people, patches, SPEC, config, ALONE, progress)

    return go


def tensors(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def test_an_epoch_tells_what_it_did(run):
    told = []
    state, row = run(lambda *values: told.append(values), loss="circle")
    assert list(row) == ["images", "loss", "classification", "metric", "lr", "backbone_lr", "seconds"]
    assert row["images"] == 24
    assert row["loss"] == pytest.approx(row["classification"] + 0.03 * row["metric"])
    assert row["classification"] == pytest.approx(np.log(6), rel=0.1)
    assert 0 < row["lr"] < 6e-3
    assert told == [(1, 2, 3, 3, pytest.approx(row["loss"]))]
    assert state.epoch == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_makes_every_number_move_and_stay_finite(run, loss):
    before = {}
    state, row = run(lambda *_: None, lambda state: before.update(tensors(state.network)), loss=loss)
    assert np.isfinite([row["loss"], row["classification"], row["metric"]]).all()
    assert (row["metric"] == 0) is (loss in ("softmax", "arcface"))
    after = tensors(state.network)
    assert all(tensor.isfinite().all() for tensor in after.values())
    still = {name for name in after if torch.equal(before[name], after[name])}
    assert still == {"neck.bias"}


def test_a_frozen_backbone_stays_to_the_bit(run):
    before = {}
    state, _ = run(None, lambda state: before.update(tensors(state.network)), "osnet_x0_25", freeze_epochs=1)
    after = tensors(state.network)
    moved = {name.partition(".")[0] for name in after if not torch.equal(before[name], after[name])}
    assert moved == {"neck", "classifier"}


def test_the_plateau_s_factor_lowers_the_rates(run):
    def lowered(state):
        state.plateau = type(state.plateau)(factor=0.1)

    _, row = run(schedule="plateau", warmup_epochs=0)
    _, low = run(prepare=lowered, schedule="plateau", warmup_epochs=0)
    assert (row["lr"], low["lr"]) == (6e-3, pytest.approx(6e-4))


def test_clipped_gradients_take_shorter_steps(run):
    def moved(**settings):
        before = {}
        state, _ = run(
            prepare=lambda state: before.update(tensors(state.network)),
            optimizer="sgd", lr=0.1, momentum=0.0, weight_decay=0.0, warmup_epochs=0, **settings,
        )  # fmt: skip
        after = dict(state.network.named_parameters())
        return sum(float((after[name] - before[name]).detach().square().sum()) for name in after) ** 0.5

    assert moved(clip=1e-4) <= 3 * 0.1 * 1e-4 * 1.001 < moved()


def test_half_precision_trains_numbers_that_stay_in_single(run):
    state, row = run(precision="bf16")
    assert np.isfinite(row["loss"])
    assert {parameter.dtype for parameter in state.network.parameters()} == {torch.float32}


def test_a_loss_that_is_not_finite_ends_the_run(run):
    def broken(state):
        with torch.no_grad():
            state.network.classifier.weight[0, 0] = float("nan")

    wanted = r"^the loss is nan by batch 3 of epoch 1; a lower lr may help$"
    with pytest.raises(JobError, match=wanted) as caught:
        run(prepare=broken)
    assert caught.value.reason == "diverged"


# what it is worth


def test_validation_encodes_as_the_encoder_does_with_the_same_weights(run, people, patches, tmp_path):
    state, _ = run()
    features = encode_patches(state.network, patches, people.val, SPEC, CPU)
    assert (features.shape, features.dtype) == ((8, 512), np.float32)
    path = tmp_path / "weights.safetensors"
    save(path, export_tensors(state.network), spec=SPEC, normalize=True)
    root = people.labels.sources[0].root
    paths = [str(root / path) for path in people.val_labels.paths.to_pylist()]
    encoder = OsNetEncoder(str(path), engine="torch", device="cpu", threads=1, cells="path")
    assert np.abs(encoder.encode(paths) - features).max() < 1e-5


def test_validation_looks_every_crop_up_among_those_of_other_cameras(run, people, patches):
    state, _ = run()
    found = validate(state.network, patches, people.val, people.val_labels, SPEC, CPU)
    assert (found.queries, found.queries_skipped, found.gallery) == (8, 0, 8)
    assert (found.identities, found.cameras) == (2, 2)
    assert not state.network.training


def test_features_that_are_not_finite_end_the_run(run, people, patches):
    state, _ = run()
    with torch.no_grad():
        state.network.neck.weight[0] = float("inf")
    with pytest.raises(JobError, match=r"^the features are no longer finite; a lower lr may help$") as caught:
        encode_patches(state.network, patches, people.val, SPEC, CPU)
    assert caught.value.reason == "diverged"


# TensorBoard

ROW = {
    "epoch": 3, "loss": 1.5, "classification": 1.0, "metric": 0.5, "lr": 0.1, "backbone_lr": 0.01,
    "rank1": 0.5, "mAP": 0.25, "mINP": None,
}  # fmt: skip


def test_events_that_nobody_wants_load_nothing(tmp_path):
    with events(tmp_path / "events", False, 0) as tell:
        tell(ROW)
    assert not (tmp_path / "events").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_events_are_what_tensorboard_reads(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with events(tmp_path / "events", True, 2) as tell:
        tell(ROW)
    found = EventAccumulator(str(tmp_path / "events"))
    found.Reload()
    values = {tag: [(one.step, one.value) for one in found.Scalars(tag)] for tag in found.Tags()["scalars"]}
    assert values["loss/total"] == [(3, 1.5)]
    assert values["validation/mAP"] == [(3, 0.25)]
    assert "validation/mINP" not in values


def test_events_without_tensorboard_are_an_error_that_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    wanted = r"^events want TensorBoard: pip install 'osnet-encoder\[train\]'$"
    with pytest.raises(ValueError, match=wanted), events(tmp_path, True, 0):
        pass
