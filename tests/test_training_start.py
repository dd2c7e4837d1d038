"""What a network begins with, and what the device is."""

import ctypes
import platform
import sys

import numpy as np
import pytest
import torch

from osnet_encoder import PatchSpec, WeightsError
from osnet_encoder.built_in import BUILT_IN
from osnet_encoder.graph import build_graph
from osnet_encoder.training.config import TrainConfig
from osnet_encoder.training.distributed import Ranks, joined
from osnet_encoder.training.malloc import keep_freed_memory
from osnet_encoder.training.start import find_start, name_weights
from osnet_encoder.untrained import formula_tensors
from osnet_encoder.weights import save

SPEC = PatchSpec(64, 32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), color_order="bgr")


def labelled(**settings):
    return TrainConfig(labels=("labels.csv",), **settings)


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "some.safetensors"
    save(path, formula_tensors("osnet_x0_25"), spec=SPEC, normalize=False)
    return path


def test_from_scratch_everything_learns_at_the_head_s_rate(caplog):
    caplog.set_level("INFO", "osnet_encoder")
    start = find_start(labelled(arch="osnet_x0_5", weights="none", lr=0.01, patch_height=48))
    assert (start.tensors, start.config.backbone_lr, start.config.weights) == (None, 0.01, "none")
    assert start.spec == PatchSpec(48, 128)
    assert caplog.messages == ["osnet_x0_5 from scratch, all of it at learning rate 0.01"]


def test_weights_bring_their_architecture_and_what_they_want_to_see(weights, caplog):
    caplog.set_level("INFO", "osnet_encoder")
    start = find_start(labelled(weights=str(weights), lr=0.01))
    assert (start.config.arch, start.config.backbone_lr) == ("osnet_x0_25", 0.001)
    assert start.spec == PatchSpec(256, 128, mean=SPEC.mean, std=SPEC.std, color_order="bgr")
    assert all(
        np.array_equal(start.tensors[name], array) for name, array in formula_tensors("osnet_x0_25").items()
    )
    assert caplog.messages[-1] == f"osnet_x0_25 from {weights}, backbone at learning rate 0.001, head at 0.01"


def test_names_of_weights():
    assert name_weights("imagenet", None) == "osnet_x1_0_imagenet"
    assert name_weights("imagenet", "osnet_x0_25") == "osnet_x0_25_imagenet"
    assert name_weights("none", "osnet_x0_25") == "none"
    assert name_weights("some.pth", None) == "some.pth"
    assert name_weights(None, "osnet_ain_x0_5") == "none"
    assert [name_weights(None, arch) for arch in BUILT_IN] == [f"builtin:{arch}" for arch in BUILT_IN]


def test_weights_that_cannot_be_trained_are_refused(weights, tmp_path):
    with pytest.raises(WeightsError, match="no file 'gone.pth'"):
        find_start(labelled(weights="gone.pth"))
    with pytest.raises(ValueError, match=r"^arch is osnet_x1_0, but the weights \S+ are of osnet_x0_25$"):
        find_start(labelled(weights=str(weights), arch="osnet_x1_0"))
    graph = tmp_path / "some.onnx"
    graph.write_bytes(build_graph("osnet_x0_25", formula_tensors("osnet_x0_25"), SPEC).SerializeToString())
    wanted = r"^\S+some.onnx is a network in another program's format: to run, not to train$"
    with pytest.raises(WeightsError, match=wanted):
        find_start(labelled(weights=str(graph)))


# memory


def test_the_c_library_is_told_to_keep_memory_where_it_is_glibc(monkeypatch):
    assert keep_freed_memory() is (platform.libc_ver()[0] == "glibc")
    with monkeypatch.context() as patch:
        patch.setattr(ctypes, "CDLL", lambda name: object())
        assert not keep_freed_memory()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()


# which device, and which of how many processes


def test_one_process_leads_and_waits_for_nobody():
    with joined("cpu") as (ranks, device):
        assert (ranks, device) == (Ranks(0, 1, 0), torch.device("cpu"))
        assert ranks.leads
        ranks.wait()
        assert ranks.tell("word") == "word"


def test_auto_is_cuda_where_there_is_one():
    with joined("auto") as (_, device):
        assert device.type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpu", r"no device 'gpu'; there are cpu, cuda, cuda:N, mps, and auto"),
        ("meta", r"no device 'meta'; there are cpu, cuda, cuda:N, mps, and auto"),
        ("cuda:99", rf"no device cuda:99; torch finds {torch.cuda.device_count()} CUDA devices"),
    ],
)
def test_a_device_that_is_not_there_is_refused(name, message):
    with pytest.raises(ValueError, match=f"^{message}$"), joined(name):
        pass


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is one")
def test_mps_is_refused_where_torch_finds_none():
    with pytest.raises(ValueError, match=r"^no device mps; torch does not find one$"), joined("mps"):
        pass


@pytest.mark.parametrize(("name", "index"), [("cuda", 1), ("auto", 1), ("cuda:0", 0)])
def test_each_process_has_its_own_gpu_before_the_processes_meet(monkeypatch, name, index):
    for variable, value in (("RANK", 3), ("WORLD_SIZE", 4), ("LOCAL_RANK", 1)):
        monkeypatch.setenv(variable, str(value))
    done = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.set_device", lambda device: done.append(str(device)))
    monkeypatch.setattr("torch.distributed.init_process_group", lambda backend, **_: done.append(backend))
    monkeypatch.setattr("torch.distributed.destroy_process_group", lambda: done.append("left"))
    with joined(name) as (ranks, device):
        assert (ranks, device) == (Ranks(3, 4, 1), torch.device("cuda", index))
    assert done == [f"cuda:{index}", "nccl", "left"]
