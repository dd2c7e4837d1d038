"""Patches -> features, by every engine."""

import importlib.util
import threading

import numpy as np
import onnx
import pytest
import torch

from osnet_encoder.engines import count_cpus, open_engine
from osnet_encoder.engines.devices import count_cuda_devices, expand_devices, parse_device, parse_devices
from osnet_encoder.engines.several import SeveralEngines
from osnet_encoder.errors import EngineError
from osnet_encoder.graph import INPUT, OUTPUT, build_graph
from osnet_encoder.osnet import build
from osnet_encoder.patches import PatchSpec
from osnet_encoder.variants import VARIANTS
from osnet_encoder.weights import load
from pictures import draw_patches

has_openvino = importlib.util.find_spec("openvino") is not None

ENGINES = (
    "onnx",
    pytest.param("openvino", marks=pytest.mark.skipif(not has_openvino, reason="openvino is not installed")),
    "torch",
)
# Where the engines must agree, in units of a row's largest value.
TOLERANCE = 2e-5


def plain_features(variant, patches):
    """The plain recipe: torch, fp32, one patch at a time, the arithmetic as in the papers."""
    weights = load(f"untrained:{variant}")
    network = build(variant).eval()
    network.load_state_dict({name: torch.tensor(array) for name, array in weights.tensors.items()})
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (PatchSpec().mean, PatchSpec().std))
    with torch.inference_mode():
        rows = [network(((torch.tensor(p).permute(2, 0, 1) / 255 - mean) / std)[None]) for p in patches]
    return torch.cat(rows).numpy()


def assert_close(found, wanted, tolerance=TOLERANCE):
    assert found.dtype == np.float32
    assert found.shape == wanted.shape
    scale = np.abs(wanted).max(axis=1, keepdims=True)
    assert np.max(np.abs(found - wanted) / scale) <= tolerance
    assert (
        np.min(np.sum(found * wanted, 1) / np.linalg.norm(found, axis=1) / np.linalg.norm(wanted, axis=1))
        > 0.99999
    )


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_gives_the_features_of_the_plain_recipe(engine, variant):
    patches = draw_patches(3)
    opened = open_engine(load(f"untrained:{variant}"), engine, "cpu")
    assert_close(opened.run(patches), plain_features(variant, patches))


@pytest.mark.parametrize("engine", ENGINES)
def test_features_do_not_depend_on_batch_order_or_neighbours(engine):
    opened = open_engine(load("untrained:osnet_x0_25"), engine, "cpu")
    patches = draw_patches(9)
    together = opened.run(patches)
    assert_close(opened.run(patches[::-1].copy())[::-1], together, 1e-5)
    assert_close(np.concatenate([opened.run(patches[i : i + 1]) for i in range(9)]), together, 1e-5)
    assert_close(np.concatenate([opened.run(patches[:4]), opened.run(patches[4:])]), together, 1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_caller_s_patches_are_left_alone(engine):
    patches = draw_patches(2)
    before = patches.copy()
    open_engine(load("untrained:osnet_x0_25"), engine, "cpu").run(patches)
    assert np.array_equal(patches, before)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_network_that_wants_bgr_sees_the_channels_turned_round(engine):
    weights = load("untrained:osnet_x0_25")
    patches = draw_patches(2)
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    bgr = open_engine(weights, engine, "cpu", color_order="bgr", mean=mean, std=std)
    rgb = open_engine(weights, engine, "cpu", mean=mean, std=std)
    assert_close(bgr.run(patches), rgb.run(patches[:, :, :, ::-1].copy()))


@pytest.mark.parametrize("engine", ENGINES)
def test_patches_of_another_size_and_scale_are_taken(engine):
    opened = open_engine(load("untrained:osnet_x0_25"), engine, "cpu", height=112, width=112, mean=(0, 0, 0))
    assert opened.spec == PatchSpec(112, 112, mean=(0, 0, 0))
    assert opened.run(draw_patches(2, 112, 112)).shape == (2, 512)


def test_the_engines_take_a_bn_neck_along(tmp_path):
    from osnet_encoder.untrained import formula_tensors
    from osnet_encoder.weights import save

    tensors = formula_tensors("osnet_x0_25", neck=True)
    save(tmp_path / "necked.safetensors", tensors, spec=PatchSpec(), normalize=True)
    weights = load(tmp_path / "necked.safetensors")
    patches = draw_patches(2)
    plain = plain_features("osnet_x0_25", patches)
    gain, bias, mean, var = (tensors[f"neck.{part}"] for part in ("weight", "bias", "running_mean", "running_var"))
    wanted = (plain - mean) / np.sqrt(var + 1e-5) * gain + bias
    for engine in ("onnx", "torch", *(["openvino"] if has_openvino else [])):
        opened = open_engine(weights, engine, "cpu")
        assert opened.normalize
        assert_close(opened.run(patches), wanted)


@pytest.mark.parametrize(
    ("variant", "size", "batch"), [("osnet_x1_0", 128, 2), ("osnet_x0_25", 128, 8), ("osnet_x1_0", 512, 1)]
)
def test_the_onnx_engine_s_batch_fits_the_cache(variant, size, batch):
    assert open_engine(load(f"untrained:{variant}"), "onnx", "cpu", width=size).batch_size == batch


def test_auto_on_a_cpu_is_onnx():
    assert open_engine(load("untrained:osnet_x0_25"), device="cpu").name == "onnx"


@pytest.mark.skipif(count_cuda_devices() > 0, reason="a CUDA device is here")
@pytest.mark.parametrize(
    ("engine", "device", "message"),
    [
        ("torch", "cuda", "the torch engine finds no device 'cuda'; it finds cpu"),
        ("onnx", "cuda:1", "the onnx engine finds no device 'cuda:1'; it finds cpu"),
        ("auto", "cuda", "the torch engine finds no device 'cuda'; it finds cpu"),
        ("onnx", "mps", "the onnx engine finds no device 'mps'; it finds cpu"),
        ("torch", "cuda:0,cuda:1", "the torch engine finds no device 'cuda:0'; it finds cpu"),
        ("torch", "cpu:1", "there is one device 'cpu', asked for 'cpu:1'"),
    ],
)
def test_a_device_that_is_not_there_is_an_error(engine, device, message):
    with pytest.raises(EngineError) as caught:
        open_engine(load("untrained:osnet_x0_25"), engine, device)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"engine": "tpu"}, "no engine 'tpu'; there are auto, onnx, openvino, torch"),
        ({"device": "gpu"}, "no device 'gpu'; there are cpu, cuda, cuda:N, mps, and auto"),
        ({"precision": "fp8"}, "no precision 'fp8'; there are fp32, bf16, fp16"),
        ({"threads": 0}, "threads must be at least 1, found 0"),
    ],
)
def test_a_name_that_is_none_is_an_error(wrong, message):
    with pytest.raises(ValueError) as caught:
        open_engine(load("untrained:osnet_x0_25"), **wrong)
    assert str(caught.value) == message


def test_devices_are_counted_without_torch():
    assert count_cpus() >= 1
    assert count_cuda_devices() >= 0
    assert parse_device("cuda:3") == ("cuda", 3)


def test_a_graph_is_valid_onnx_with_one_gate_a_block_and_no_batch_norm():
    weights = load("untrained:osnet_ain_x0_25")
    model = build_graph(weights.variant, weights.tensors, weights.spec, {"variant": "osnet_ain_x0_25"})
    onnx.checker.check_model(model, full_check=True)
    assert [i.name for i in model.graph.input] == [INPUT]
    assert [o.name for o in model.graph.output] == [OUTPUT]
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert sum("gate.fc1.weight" in tensor.name for tensor in model.graph.initializer) == 6


def test_opening_the_onnx_engine_logs_one_line(caplog):
    weights = load("untrained:osnet_x0_25")
    caplog.clear()
    with caplog.at_level("INFO", logger="osnet_encoder"):
        open_engine(weights, "onnx", "cpu", threads=2)
    (line,) = [record.message for record in caplog.records if record.name == "osnet_encoder.engines"]
    assert line.startswith("engine onnx on cpu, fp32, osnet_x0_25 from untrained:osnet_x0_25, patches 256x128, ")
    assert line.endswith("features of 512, 2 threads")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_close_and_said(precision):
    weights = load("untrained:osnet_x0_25")
    patches = draw_patches(3)
    exact = open_engine(weights, "torch", "cpu").run(patches)
    opened = open_engine(weights, "torch", "cpu", precision=precision)
    assert opened.precision == precision
    half = opened.run(patches)
    assert half.dtype == np.float32
    assert not np.array_equal(half, exact)
    assert np.min(np.sum(half * exact, 1) / np.linalg.norm(half, axis=1) / np.linalg.norm(exact, axis=1)) > 0.999


def test_the_onnx_engine_has_one_precision():
    with pytest.raises(EngineError, match="the onnx engine has no precision 'fp16'; it has fp32"):
        open_engine(load("untrained:osnet_x0_25"), "onnx", "cpu", precision="fp16")


class Slow:
    """An engine that says who is inside it; no network."""

    name = precision = variant = "slow"
    spec, feature_dim, normalize, batch_size = PatchSpec(), 1, False, 4

    def __init__(self, device, callers, gate):
        self.device, self.callers, self.gate, self.calls = device, callers, gate, 0

    def run(self, patches):
        self.calls += 1
        self.gate.wait(timeout=10)
        return np.zeros((len(patches), 1), np.float32)


def test_several_engines_share_the_batches_between_them():
    gate = threading.Barrier(4)
    engines = [Slow("cuda:0", 2, gate), Slow("cuda:1", 2, gate)]
    several = SeveralEngines(engines)
    assert (several.device, several.callers) == ("cuda:0,cuda:1", 4)
    callers = [threading.Thread(target=several.run, args=([0],)) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()  # the gate opens only when all four are inside
    assert [engine.calls for engine in engines] == [2, 2]


def test_several_devices_are_named_with_commas():
    assert parse_devices("cuda:0, cuda:1") == ["cuda:0", "cuda:1"]
    assert expand_devices("cuda:1") == ["cuda:1"]
    for wrong in ("cuda:0,cuda:0", "cpu,cuda:0", "cuda,cuda:1", "cpu,cpu"):
        with pytest.raises(ValueError, match="several devices are CUDA's, each named once"):
            parse_devices(wrong)
