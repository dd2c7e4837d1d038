"""ONNX files from elsewhere, and our own: made here, run by the onnx engine."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from osnet_encoder.engines import open_engine
from osnet_encoder.errors import EngineError, WeightsError
from osnet_encoder.graph import build_graph
from osnet_encoder.metadata import METADATA_KEY, describe_network
from osnet_encoder.patches import PatchSpec
from osnet_encoder.weights import load
from pictures import draw_patches

DIM = 256
# Features of the small network: each is one weighed mean of the colours of the whole patch.
MIX = np.random.default_rng(1).standard_normal((DIM, 3)).astype(np.float32)


def make_network(
    path,
    batch="N",
    size=(256, 128),
    name="input.1",
    outputs=("out",),
    dtype=np.float32,
    channels=3,
    pooled=False,
    external=False,
):
    """Write a network that pools a patch and mixes its colours; the first output is the features."""  # fmt: skip
    elem = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    mix = numpy_helper.from_array(np.resize(MIX, (DIM, channels)).astype(dtype)[:, :, None, None], "mix")
    logits = numpy_helper.from_array(np.ones((DIM, 7), dtype), "head")
    shape = [batch, DIM, 1, 1] if pooled else [batch, DIM]
    nodes = [
        helper.make_node("GlobalAveragePool", [name], ["mean"]),
        helper.make_node("Conv", ["mean", "mix"], [outputs[0] if pooled else "mixed"]),
    ]
    if not pooled:
        nodes.append(helper.make_node("Flatten", ["mixed"], [outputs[0]]))
    declared = [helper.make_tensor_value_info(outputs[0], elem, shape)]
    if len(outputs) > 1:
        nodes.append(helper.make_node("MatMul", [outputs[0], "head"], [outputs[1]]))
        declared.append(helper.make_tensor_value_info(outputs[1], elem, [batch, 7]))
    source = helper.make_tensor_value_info(name, elem, [batch, channels, *size])
    graph = helper.make_graph(nodes, "foreign", [source], declared, [mix, logits])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    onnx.save(model, path, save_as_external_data=external, location="weights.bin", size_threshold=0)
    return load(path)


def wanted(patches, spec=None):
    spec = spec or PatchSpec()
    pixels = patches[..., ::-1] if spec.color_order == "bgr" else patches
    scaled = (pixels / 255 - spec.mean) / spec.std
    return scaled.mean((1, 2)) @ MIX.T.astype(np.float64)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"batch": 1},
        {"batch": 4},
        {"batch": "batch_size", "size": ("h", "w")},
        {"name": "images", "outputs": ("feat",)},
        {"external": True},
        {"pooled": True},
        {"outputs": ("embeddings", "logits")},
        {"dtype": np.float16},
    ],
    ids=lambda changes: "-".join(f"{name}={value}" for name, value in changes.items()) or "plain",
)
def test_a_foreign_network_runs_with_imagenet_s_preprocessing(tmp_path, changes):
    opened = open_engine(make_network(tmp_path / "net.onnx", **changes))
    assert (opened.name, opened.variant, opened.feature_dim) == ("onnx", "net.onnx", DIM)
    assert opened.spec == PatchSpec()
    assert not opened.normalize
    patches = draw_patches(6)
    tolerance = 0.02 if changes.get("dtype") is np.float16 else 5e-5
    for count in (1, 6):
        features = opened.run(patches[:count])
        assert features.dtype == np.float32
        assert np.allclose(features, wanted(patches[:count]), atol=tolerance)


def test_preprocessing_can_be_set_and_the_log_says_what_it_is(tmp_path, caplog):
    weights = make_network(tmp_path / "net.onnx")
    changes = {"mean": (0.5, 0.4, 0.3), "std": (0.1, 0.2, 0.3), "color_order": "bgr"}
    with caplog.at_level("INFO"):
        opened = open_engine(weights, **changes)
    patches = draw_patches(2)
    assert np.allclose(opened.run(patches), wanted(patches, PatchSpec(**changes)), atol=5e-5)
    assert "network colour order bgr, mean (0.5, 0.4, 0.3), std (0.1, 0.2, 0.3)" in caplog.text


def test_the_size_is_read_from_the_file(tmp_path):
    opened = open_engine(make_network(tmp_path / "net.onnx", size=(112, 96)))
    assert (opened.spec.height, opened.spec.width) == (112, 96)
    with pytest.raises(EngineError, match="the network takes patches of height 112, asked for 256"):
        open_engine(make_network(tmp_path / "net.onnx", size=(112, 96)), height=256)


def test_of_two_outputs_one_can_be_named(tmp_path):
    weights = make_network(tmp_path / "net.onnx", outputs=("a", "b"))
    assert open_engine(weights, network_output="b").feature_dim == 7
    with pytest.raises(EngineError) as caught:
        open_engine(weights)
    assert str(caught.value) == ("cannot tell which output holds the features, name one: a ['N', 256], b ['N', 7]")
    with pytest.raises(EngineError, match=r"the network has no output 'c'; it has a \['N', 256\], b \['N', 7\]"):
        open_engine(weights, network_output="c")


def test_a_network_that_takes_no_patches_is_refused(tmp_path):
    with pytest.raises(
        EngineError, match=r"input 'x' is tensor\(float\) \['N', 1, 256, 128\], wanted float \(N, 3, H, W\)"
    ):
        open_engine(make_network(tmp_path / "net.onnx", name="x", channels=1))


def test_a_network_without_feature_vectors_is_refused(tmp_path):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "foreign",
        [value("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [value("y", TensorProto.FLOAT, ["N", 3, 8, 8])],
    )
    onnx.save(
        helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)]), tmp_path / "net.onnx"
    )
    with pytest.raises(EngineError, match=r"output 'y' has shape \(1, 3, 8, 8\), wanted \(N, D\)"):
        open_engine(load(tmp_path / "net.onnx"))


def test_a_network_with_two_inputs_is_refused(tmp_path):
    value = helper.make_tensor_value_info
    inputs = [value(name, TensorProto.FLOAT, ["N", 3, 8, 8]) for name in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "y"], ["z"])],
        "foreign",
        inputs,
        [value("z", TensorProto.FLOAT, ["N", 3, 8, 8])],
    )
    onnx.save(
        helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)]), tmp_path / "net.onnx"
    )
    with pytest.raises(EngineError, match=r"the network has 2 inputs \['x', 'y'\], wanted 1"):
        open_engine(load(tmp_path / "net.onnx"))


def test_a_file_that_is_no_network_is_refused(tmp_path):
    weights = make_network(tmp_path / "net.onnx", external=True)
    (tmp_path / "weights.bin").write_bytes(b"short")
    with pytest.raises(EngineError, match=r"ONNX Runtime cannot open .*net\.onnx"):
        open_engine(weights)


def test_the_torch_engine_refuses_a_graph(tmp_path):
    with pytest.raises(EngineError, match="the torch engine does not read onnx files; use engine='onnx'"):
        open_engine(make_network(tmp_path / "net.onnx"), "torch")


def test_our_own_graph_runs_from_its_file_and_knows_itself(tmp_path):
    tensors = load("untrained:osnet_x0_25")
    spec = PatchSpec(64, 32, mean=(0, 0, 0), color_order="bgr")
    metadata = describe_network("osnet_x0_25", spec, normalize=True, neck=False)
    onnx.save(build_graph(tensors.variant, tensors.tensors, spec, metadata), tmp_path / "ours.onnx")
    opened = open_engine(load(tmp_path / "ours.onnx"))
    assert (opened.variant, opened.normalize, opened.spec) == ("osnet_x0_25", True, spec)
    changes = {"height": 64, "width": 32, "mean": (0, 0, 0), "color_order": "bgr"}
    patches = draw_patches(3, 64, 32)
    assert np.allclose(opened.run(patches), open_engine(tensors, "onnx", **changes).run(patches), atol=1e-6)
    with pytest.raises(EngineError, match="this ONNX file scales its patches itself"):
        open_engine(load(tmp_path / "ours.onnx"), mean=(0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("noted", "message"),
    [
        ("no JSON", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "metadata of format None, wanted 1"),
        ('{"format": 1}', "says normalize None"),
    ],
)
def test_a_damaged_note_in_our_own_graph_is_refused(tmp_path, noted, message):
    weights = load("untrained:osnet_x0_25")
    model = build_graph(weights.variant, weights.tensors, weights.spec)
    helper.set_model_props(model, {METADATA_KEY: noted})
    onnx.save(model, tmp_path / "ours.onnx")
    with pytest.raises(WeightsError, match=message):
        open_engine(load(tmp_path / "ours.onnx"))
