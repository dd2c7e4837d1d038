"""The openvino engine: what it alone does."""

import subprocess
import sys

import numpy as np
import pytest

from osnet_encoder.engines import open_engine
from osnet_encoder.errors import EngineError
from osnet_encoder.patches import PatchSpec
from osnet_encoder.weights import load
from pictures import draw_patches

openvino = pytest.importorskip("openvino", reason="openvino is not installed")

# Features of the small network: weighed means of the colours of the whole patch.
MIX = np.random.default_rng(1).standard_normal((256, 3)).astype(np.float32)


def make_network(path, batch=1, size=(256, 128), notes=(), channels=3, outputs=1):
    """Write a network that pools a patch and mixes its colours, as OpenVINO's converter would."""
    ops = openvino.opset13
    source = ops.parameter([batch, channels, *size], np.float32, name="data")
    mean = ops.reduce_mean(source, np.array([2, 3]), False)
    mixed = ops.matmul(mean, np.resize(MIX, (256, channels)), False, True)
    results = [ops.result(mixed, name=f"out{at}") for at in range(outputs)]
    for at, result in enumerate(results):
        result.output(0).get_tensor().set_names({f"out{at}"})
    model = openvino.Model(results, [source], "foreign")
    for key, value in dict(notes).items():
        model.set_rt_info(value, ["conversion_parameters", key])
    openvino.save_model(model, path, compress_to_fp16=False)
    return load(path)


def means(patches, spec):
    pixels = patches[..., ::-1] if spec.color_order == "bgr" else patches
    return ((pixels / 255 - spec.mean) / spec.std).mean((1, 2)) @ MIX.T.astype(np.float64)


@pytest.mark.parametrize("batch", [1, 4, -1])
def test_a_file_of_any_batch_size_runs_with_imagenet_s_scaling(tmp_path, batch):
    opened = open_engine(make_network(tmp_path / "net.xml", batch), device="cpu")
    assert (opened.name, opened.variant, opened.feature_dim) == ("openvino", "net.xml", 256)
    assert opened.spec == PatchSpec()
    patches = draw_patches(6)
    for count in (1, 6):
        assert np.allclose(opened.run(patches[:count]), means(patches[:count], PatchSpec()), atol=1e-4)


def test_what_the_converter_noted_is_believed(tmp_path):
    notes = {"mean_values": "data[1,2,3]", "scale_values": "data[4,5,6]", "reverse_input_channels": "True"}
    opened = open_engine(make_network(tmp_path / "net.xml", notes=notes), device="cpu")
    pixels = PatchSpec(mean=(0, 0, 0), std=(1 / 255,) * 3, color_order="bgr")
    assert opened.spec == pixels
    patches = draw_patches(2)
    assert np.allclose(opened.run(patches), means(patches, pixels), rtol=1e-4, atol=0.01)


def test_the_size_is_read_from_the_file(tmp_path):
    weights = make_network(tmp_path / "net.xml", size=(112, 96))
    opened = open_engine(weights, device="cpu")
    assert (opened.spec.height, opened.spec.width) == (112, 96)
    with pytest.raises(EngineError, match="the network takes patches of height 112, asked for 256"):
        open_engine(weights, device="cpu", height=256)


def test_of_two_outputs_one_can_be_named(tmp_path):
    weights = make_network(tmp_path / "net.xml", outputs=2)
    assert open_engine(weights, device="cpu", network_output="out1").feature_dim == 256
    with pytest.raises(EngineError, match="cannot tell which output holds the features, name one: out0, out1"):
        open_engine(weights, device="cpu")
    with pytest.raises(EngineError, match="the network has no output 'x'; it has out0, out1"):
        open_engine(weights, device="cpu", network_output="x")


def test_a_network_that_takes_no_patches_is_refused(tmp_path):
    with pytest.raises(EngineError, match=r"the network's input is \[1,1,256,128\], wanted \(N, 3, H, W\)"):
        open_engine(make_network(tmp_path / "net.xml", channels=1), device="cpu")


def test_a_damaged_file_is_refused(tmp_path):
    weights = make_network(tmp_path / "net.xml")
    weights.path.write_text(weights.path.read_text()[:-200])
    with pytest.raises(EngineError, match="OpenVINO cannot open"):
        open_engine(weights, device="cpu")


def test_other_engines_do_not_read_its_files(tmp_path):
    weights = make_network(tmp_path / "net.xml")
    with pytest.raises(EngineError, match="the onnx engine does not read openvino files; use engine='openvino'"):
        open_engine(weights, "onnx", "cpu")


def test_precision_is_never_lowered_unasked():
    weights = load("untrained:osnet_x0_25")
    patches = draw_patches(4)
    exact = open_engine(weights, "onnx", "cpu").run(patches)
    opened = open_engine(weights, "openvino", "cpu")
    assert opened.precision == "fp32"
    assert np.max(np.abs(opened.run(patches) - exact) / exact.max(axis=1, keepdims=True)) <= 2e-5


def test_calls_of_any_size_give_the_same_features():
    weights = load("untrained:osnet_x0_25")
    opened = open_engine(weights, "openvino", "cpu", height=64, width=32)
    assert opened.batch_size == 8
    patches = draw_patches(19, 64, 32)
    together = opened.run(patches)  # two calls of the size that it is compiled for, and one of what is left
    apart = np.concatenate([opened.run(patches[at : at + 1]) for at in range(len(patches))])
    assert np.max(np.abs(together - apart) / apart.max(axis=1, keepdims=True)) <= 2e-5


def test_bf16_is_close_where_the_processor_has_it_and_an_error_elsewhere():
    weights = load("untrained:osnet_x0_25")
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(EngineError, match="this processor has no bf16 arithmetic"):
            open_engine(weights, device="cpu", precision="bf16")
        return
    patches = draw_patches(4)
    opened = open_engine(weights, device="cpu", precision="bf16")
    assert (opened.name, opened.precision) == ("openvino", "bf16")
    half, exact = opened.run(patches), open_engine(weights, "onnx", "cpu").run(patches)
    assert np.min(np.sum(half * exact, 1) / np.linalg.norm(half, axis=1) / np.linalg.norm(exact, axis=1)) > 0.999


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"precision": "fp16"}, "the openvino engine has no precision 'fp16'; it has fp32, bf16"),
        ({"device": "cuda"}, "the openvino engine finds no device 'cuda'; it finds cpu"),
    ],
)
def test_what_it_cannot_do_is_an_error(wrong, message):
    with pytest.raises(EngineError, match=message):
        open_engine(load("untrained:osnet_x0_25"), "openvino", **{"device": "cpu", **wrong})


def test_signals_are_heard_after_engines_came_and_went():
    code = (
        "import faulthandler, gc, os, signal\n"
        "from osnet_encoder.engines import open_engine\n"
        "from osnet_encoder.weights import load\n"
        "faulthandler.enable()\n"  # handlers run on a stack of their own from here on
        "signal.signal(signal.SIGUSR1, lambda *_: print('heard'))\n"
        "engines = [open_engine(load('untrained:osnet_x0_25'), 'openvino', 'cpu', 1) for _ in range(2)]\n"
        "while engines:\n"
        "    del engines[0]\n"
        "    gc.collect()\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr
