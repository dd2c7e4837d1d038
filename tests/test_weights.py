"""What the user names -> the tensors of an OSNet, or an error that says why not."""

import dataclasses
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.numpy import save_file

from osnet_encoder.checkpoints import write_checkpoint
from osnet_encoder.errors import WeightsError
from osnet_encoder.osnet import build
from osnet_encoder.patches import PatchSpec
from osnet_encoder.untrained import formula_tensors
from osnet_encoder.variants import VARIANTS, tensor_shapes
from osnet_encoder.weight_files import file_sha256
from osnet_encoder.weights import NetworkFile, Weights, load, save

SMALL = "osnet_x0_25"
ZOO_NAMES = (
    "osnet_x1_0_imagenet, osnet_x1_0_market1501, osnet_x1_0_msmt17, "
    "osnet_ibn_x1_0_msmt17, osnet_ain_x1_0_msmt17, osnet_x0_25_msmt17"
)


@pytest.fixture
def small():
    """The tensors of a small network with a classifier of 5."""
    return formula_tensors(SMALL, num_classes=5)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w.safetensors"


def save_torch(tensors, path):
    torch.save({name: torch.tensor(tensor) for name, tensor in tensors.items()}, path)
    return path


def refusal(path, *tensors):
    """What the error says of such tensors, with the file called FILE."""
    if tensors:
        save_file(tensors[0], path)
    with pytest.raises(WeightsError) as caught:
        load(path)
    return str(caught.value).replace(str(path), "FILE")


def assert_fits(weights):
    """Slow truth: the network itself takes the tensors, every one of them."""
    wanted = tensor_shapes(weights.variant, weights.num_classes, weights.neck)
    assert list(weights.tensors) == list(wanted)
    for name, tensor in weights.tensors.items():
        assert tensor.shape == wanted[name]
        assert tensor.dtype == (np.int64 if name.endswith("num_batches_tracked") else np.float32)
        assert tensor.flags.c_contiguous
    state = {name: torch.from_numpy(tensor) for name, tensor in weights.tensors.items()}
    backbone = {name: tensor for name, tensor in state.items() if not name.startswith("neck.")}
    build(weights.variant, weights.num_classes).load_state_dict(backbone, strict=True)


# What fits


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_told_by_its_tensors_and_fits_the_network(tmp_path, variant):
    tensors = formula_tensors(variant, num_classes=3)
    misnamed = "osnet_ain_x1_0.pth" if variant == SMALL else f"{SMALL}.pth"
    weights = load(save_torch(tensors, tmp_path / misnamed))
    assert (weights.variant, weights.num_classes, weights.neck) == (variant, 3, False)
    assert all(np.array_equal(weights.tensors[name], tensor) for name, tensor in tensors.items())
    assert_fits(weights)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_state_dict_of_the_network_itself_loads(tmp_path, variant):
    network = build(variant, num_classes=2)
    torch.save(
        {"state_dict": network.state_dict(), "epoch": 1, "rank1": np.float32(0.5)}, tmp_path / "model.pth.tar-1"
    )
    weights = load(tmp_path / "model.pth.tar-1")
    assert weights.variant == variant
    assert_fits(weights)


def test_a_file_that_says_nothing_gets_the_usual_patches(path, small):
    save_file(small, path)
    weights = load(path)
    assert (weights.spec, weights.normalize, weights.metadata) == (PatchSpec(), False, {})
    assert (weights.source, weights.sha256) == (str(path), file_sha256(path))
    assert weights.feature_dim == 512


@pytest.mark.parametrize("num_classes", [0, 1, 751])
@pytest.mark.parametrize("neck", [False, True])
def test_classes_and_neck_are_told_by_the_tensors(path, num_classes, neck):
    save_file(formula_tensors(SMALL, num_classes, neck), path)
    weights = load(path)
    assert (weights.num_classes, weights.neck) == (num_classes, neck)
    assert_fits(weights)


def test_the_order_of_the_tensors_is_the_networks_own(tmp_path, small):
    shuffled = dict(sorted(small.items(), reverse=True))
    assert_fits(load(save_torch(shuffled, tmp_path / "w.pth")))


def test_an_old_file_without_counters_gets_zeros(path, small):
    old = {name: tensor for name, tensor in small.items() if not name.endswith("num_batches_tracked")}
    save_file(old, path)
    weights = load(path)
    assert weights.tensors["conv1.bn.num_batches_tracked"] == 0
    assert_fits(weights)


def test_parallel_training_and_half_precision_fit(tmp_path, small):
    state = {f"module.{name}": torch.tensor(tensor) for name, tensor in small.items()}
    halved = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    torch.save({"model_state_dict": halved}, tmp_path / "w.pt")
    weights = load(tmp_path / "w.pt")
    assert_fits(weights)
    expected = small["fc.0.weight"].astype(np.float16).astype(np.float32)
    assert np.array_equal(weights.tensors["fc.0.weight"], expected)


def test_tensors_do_not_flood_the_text_of_weights():
    assert len(repr(load(f"untrained:{SMALL}"))) < 500


# What does not fit


def test_all_that_does_not_fit_is_counted_and_the_first_are_named(path, small):
    for name in ("conv1.bn.weight", "conv2.0.conv1.conv.weight", "fc.0.bias", "fc.1.weight"):
        del small[name]
    small["extra"] = np.zeros(1, np.float32)
    small["conv5.conv.weight"] = np.zeros((2, 2), np.float32)
    small["fc.1.bias"] = np.zeros(512, np.int64)
    assert refusal(path, small) == (
        "FILE does not fit osnet_x0_25: "
        "4 missing ('conv1.bn.weight', 'conv2.0.conv1.conv.weight', 'fc.0.bias', ...); "
        "1 unexpected ('extra'); "
        "2 of another shape or type ('conv5.conv.weight': float32 (2, 2), wanted float32 (128, 128, 1, 1), "
        "'fc.1.bias': int64 (512,), wanted float32 (512,))"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classifier.bias": None}, "1 missing ('classifier.bias')"),
        ({"classifier.weight": None}, "1 unexpected ('classifier.bias')"),
        (
            {"classifier.bias": np.zeros(4, np.float32)},
            "1 of another shape or type ('classifier.bias': float32 (4,), wanted float32 (5,))",
        ),
        (
            {"classifier.weight": np.zeros((5, 256), np.float32)},
            "1 of another shape or type ('classifier.weight': float32 (5, 256), wanted float32 (5, 512))",
        ),
        (
            {"classifier.weight": np.zeros((0, 512), np.float32)},
            "2 unexpected ('classifier.weight', 'classifier.bias')",
        ),
        ({"classifier.weight": np.zeros((), np.float32)}, "2 unexpected ('classifier.weight', 'classifier.bias')"),
        (
            {"neck.weight": np.zeros(512, np.float32)},
            "3 missing ('neck.bias', 'neck.running_mean', 'neck.running_var')",
        ),
    ],
)
def test_half_a_classifier_or_neck_is_none(tmp_path, small, change, message):
    changed = {**small, **change}
    path = save_torch({name: changed[name] for name in changed if changed[name] is not None}, tmp_path / "w.pth")
    assert refusal(path) == f"FILE does not fit osnet_x0_25: {message}"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(path, small, value):
    small["conv5.bn.running_var"][7] = value
    assert refusal(path, small) == "FILE: NaN or infinity in 1 of 567 tensors ('conv5.bn.running_var')"


def test_a_network_that_is_no_osnet_is_named_by_what_it_holds(path):
    tensors = {name: np.zeros(1, np.float32) for name in ("a", "b", "c", "d")}
    assert refusal(path, tensors) == "FILE holds no OSNet: no tensor 'conv1.conv.weight', found 'a', 'b', 'c'"


def test_an_osnet_of_unknown_width_is_refused(path, small):
    small["conv1.conv.weight"] = np.zeros((20, 3, 7, 7), np.float32)
    assert refusal(path, small) == (
        "FILE holds no known OSNet: its stem has shape (20, 3, 7, 7), which no variant of the plain family has"
    )


UNDER_THE_SAME_NAME = "a different network under the same name"


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("conv2.0.gate.norm1.weight", f"an OSNet with LayerNorm in its gates, {UNDER_THE_SAME_NAME}"),
        ("conv1.0.conv.weight", f"an OSNet whose stem is built otherwise, {UNDER_THE_SAME_NAME}"),
        (
            "backbone.conv1.conv.weight",
            "a network of FastReID, whose OSNet is a different one under the same name",
        ),
        (
            "model.conv1.conv.weight",
            "a network that its trainer wrapped: there, write the tensors of the inner network alone",
        ),
        ("base.conv1.weight", "a ResNet of the strong baseline for re-identification"),
        ("layer1.0.conv1.weight", "a ResNet"),
        ("features.denseblock1.denselayer1.norm1.weight", "a DenseNet"),
        ("features.18.0.weight", "a MobileNet or VGG"),
        ("patch_embed.proj.weight", "a vision transformer"),
        ("bottleneck.weight", "a network with a bottleneck head of its own"),
    ],
)
def test_another_family_is_called_by_its_name(path, small, name, family):
    tensor = np.zeros(1, np.float32)
    alone = refusal(path, {name: tensor})
    assert alone == f"FILE holds no OSNet: no tensor 'conv1.conv.weight', found {name!r}; it looks like {family}"
    beside = refusal(path, {**small, name: tensor})
    assert beside == f"FILE does not fit osnet_x0_25: 1 unexpected ({name!r}); it looks like {family}"


# Metadata and saving

SPEC = PatchSpec(112, 96, mean=(0.5, 0.25, 0), std=(1, 2, 0.125), color_order="bgr")


@pytest.mark.parametrize("neck", [False, True])
def test_what_is_saved_loads_as_it_was(path, neck):
    tensors = formula_tensors("osnet_ain_x0_25", neck=neck)
    save(path, tensors, spec=SPEC, normalize=True, metadata={"epochs": 60})
    weights = load(path)
    assert (weights.variant, weights.neck, weights.spec, weights.normalize) == (
        "osnet_ain_x0_25",
        neck,
        SPEC,
        True,
    )
    assert weights.metadata == {
        "format": 1,
        "variant": "osnet_ain_x0_25",
        "patch": {
            "height": 112, "width": 96, "mean": [0.5, 0.25, 0], "std": [1, 2, 0.125], "color_order": "bgr",
        },
        "normalize": True,
        "features": "neck" if neck else "fc",
        "epochs": 60,
    }  # fmt: skip
    assert all(np.array_equal(weights.tensors[name], tensor) for name, tensor in tensors.items())


def test_saving_twice_gives_the_same_bytes(tmp_path, small):
    for name in "ab":
        save(tmp_path / name, small, spec=SPEC, normalize=False, metadata={"z": 1, "y": 2})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_weights_can_be_saved_at_half_the_size(path, small):
    save(path, small, spec=PatchSpec(), normalize=False, half=True)
    whole = path.with_name("whole.safetensors")
    save(whole, small, spec=PatchSpec(), normalize=False)
    assert path.stat().st_size < 0.6 * whole.stat().st_size
    for name, tensor in load(path).tensors.items():
        rounded = small[name].astype(np.float16) if small[name].dtype == np.float32 else small[name]
        assert tensor.dtype == small[name].dtype
        assert np.array_equal(tensor, rounded.astype(tensor.dtype))


def test_numbers_that_half_precision_has_not_are_refused(path, small):
    small["conv1.bn.running_var"] = np.full_like(small["conv1.bn.running_var"], 1e5)
    with pytest.raises(
        WeightsError, match=r": 'conv1.bn.running_var' holds numbers past float16's range, in 1 tensor"
    ):
        save(path, small, spec=PatchSpec(), normalize=False, half=True)
    assert not path.exists()


def test_the_package_has_weights_of_some_variants_only():
    with pytest.raises(
        WeightsError, match="^no built-in weights of 'osnet_x1_0'; there are those of osnet_x0_25$"
    ):
        load("builtin:osnet_x1_0")


def test_half_a_network_is_not_saved(path, small):
    del small["fc.0.bias"]
    message = f"{path} does not fit osnet_x0_25: 1 missing ('fc.0.bias')"
    with pytest.raises(WeightsError, match=f"^{re.escape(message)}$"):
        save(path, small, spec=SPEC, normalize=False)
    assert not path.exists()


def test_metadata_must_not_take_our_keys(path, small):
    with pytest.raises(ValueError, match="^metadata must not hold format, patch: written anyway$"):
        save(path, small, spec=SPEC, normalize=False, metadata={"patch": 1, "format": 2, "mine": 3})
    assert not path.exists()


PATCH = {"height": 256, "width": 128, "mean": [0, 0, 0], "std": [1, 1, 1], "color_order": "rgb"}
SOUND = {"format": 1, "variant": SMALL, "patch": PATCH, "normalize": False, "features": "fc"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "FILE: metadata of format 2, wanted 1"),
        ({"format": None}, "FILE: metadata of format None, wanted 1"),
        (
            {"variant": "osnet_x1_0"},
            "FILE: the metadata says variant 'osnet_x1_0', the tensors say 'osnet_x0_25'",
        ),
        ({"features": "neck"}, "FILE: the metadata says features 'neck', the tensors say 'fc'"),
        ({"normalize": 1}, "FILE: the metadata says normalize 1, wanted true or false"),
        ({"patch": None}, "FILE: the metadata says patch None, wanted a PatchSpec in whole pixels"),
        (
            {"patch": {"height": 2.5}},
            "FILE: the metadata says patch {'height': 2.5}, wanted a PatchSpec in whole pixels",
        ),
        (
            {"patch": {**PATCH, "std": [1, 0, 1]}},
            "FILE: the metadata says no patch that can be used: std must be above 0, found (1.0, 0.0, 1.0)",
        ),
    ],
)
def test_metadata_that_cannot_be_meant_is_refused(path, small, change, message):
    write_checkpoint(path, small, {**SOUND, **change})
    assert refusal(path) == message


@pytest.mark.parametrize(
    "change",
    [{"height": 2.0}, {"width": True}, {"mean": [0, "x", 0]}, {"mean": 0}, {"mean": [10**400, 0, 0]}, {"more": 1}],
)
def test_a_patch_of_other_types_is_refused(path, small, change):
    write_checkpoint(path, small, {**SOUND, "patch": {**PATCH, **change}})
    assert refusal(path).startswith(
        ("FILE: the metadata says patch {", "FILE: the metadata says no patch that can ")
    )


# Names


def test_untrained_weights_are_the_formula_and_warn_loudly(caplog):
    weights = load(f"untrained:{SMALL}")
    assert (weights.source, weights.variant, weights.num_classes) == (f"untrained:{SMALL}", SMALL, 0)
    assert_fits(weights)
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "weights by formula, not trained: the features tell nobody apart; for trying out only"
    ]


def test_the_hash_of_untrained_weights_is_the_same_everywhere():
    assert load(f"untrained:{SMALL}").sha256 == (
        "531d15fd31216acb26af942ed51a3641b84d10f25699a69b7d68758320eb2bcc"
    )


def test_an_untrained_variant_that_there_is_not_is_an_error():
    with pytest.raises(WeightsError) as caught:
        load("untrained:osnet")
    assert str(caught.value) == f"no OSNet variant 'osnet'; there are {', '.join(VARIANTS)}"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("osnet_x1_0_msmt71", " (did you mean 'osnet_x1_0_msmt17'?)"),
        ("untraind:osnet_x0_25", " (did you mean 'untrained:osnet_x0_25'?)"),
        ("resnet", ""),
        ("", ""),
        ("a\0b", ""),
    ],
)
def test_an_unknown_name_is_told_the_names_that_there_are(tmp_path, monkeypatch, name, meant):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError) as caught:
        load(name)
    assert str(caught.value) == (
        f"no weights {name!r}: no such file, and no name of the zoo{meant}; the zoo has {ZOO_NAMES}; "
        "the package has builtin:osnet_x0_25; untrained:osnet_x1_0 and its like are by formula, for trying out"
    )


@pytest.mark.parametrize(
    "name", ["w.pth", "w.PT", "model.pth.tar-60", "w.safetensors", "net.onnx", "net.xml", "no/w"]
)
def test_a_name_that_looks_like_a_file_is_missed_as_one(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=f"^no file {re.escape(repr(name))}$"):
        load(name)


def test_a_folder_is_no_file(tmp_path):
    assert refusal(tmp_path) == "FILE is a folder, wanted a file of weights"


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe") == "FILE is no regular file, wanted a file of weights"


def test_a_name_that_is_too_long_is_our_error():
    with pytest.raises(WeightsError, match="^cannot read x{200}: File name too long$"):
        load("x" * 5000)


def test_a_file_comes_before_a_name_of_the_zoo(tmp_path, monkeypatch, small):
    monkeypatch.chdir(tmp_path)
    save_file(small, "osnet_x1_0_msmt17")
    assert load("osnet_x1_0_msmt17").variant == SMALL


# Whole networks


def save_network(path, **options):
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in "xy"]
    numbers = onnx.numpy_helper.from_array(np.ones((2, 2), np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "foreign", values[:1], values[1:], [numbers])
    onnx.save(helper.make_model(graph, ir_version=8), path, **options)
    return path


def test_a_graph_stays_a_file(tmp_path):
    path = save_network(tmp_path / "net.onnx")
    assert load(str(path)) == NetworkFile(str(path), file_sha256(path), path, "onnx")


def test_the_hash_of_a_graph_covers_the_numbers_beside_it(tmp_path):
    path = save_network(tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    before = load(path)
    assert before.sha256 == file_sha256(path, tmp_path / "net.data")
    (tmp_path / "net.data").write_bytes(bytes(16))
    assert load(path).sha256 != before.sha256
    (tmp_path / "net.data").unlink()
    assert refusal(path) == "no file 'net.data' beside FILE, whose numbers it holds"


def test_a_network_of_openvino_stays_a_file(tmp_path):
    path, numbers = tmp_path / "net.xml", tmp_path / "net.bin"
    path.write_text("<?xml version='1.0'?><net name='x'></net>")
    assert refusal(path) == "no file 'net.bin' beside FILE, whose numbers it holds"
    numbers.write_bytes(b"numbers")
    assert load(path) == NetworkFile(str(path), file_sha256(path, numbers), path, "openvino")


# What is said, and what is left alone


def test_loading_says_one_line(path, small, caplog):
    caplog.set_level(logging.DEBUG, "osnet_encoder")
    save_file(small, path)
    load(path)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", f"weights {path}: osnet_x0_25, 567 tensors, 5 classes, sha256 {file_sha256(path)}")
    ]


def test_no_torch_is_imported_but_for_pickled_files(tmp_path, small):
    save_file(small, tmp_path / "w.safetensors")
    save_network(tmp_path / "net.onnx")
    code = (
        "import sys\n"
        "from osnet_encoder.weights import load\n"
        "assert 'onnx' not in sys.modules and 'huggingface_hub' not in sys.modules\n"
        f"for name in ('w.safetensors', 'net.onnx', 'untrained:{SMALL}'):\n"
        "    load(name)\n"
        "assert 'torch' not in sys.modules\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)


def test_weights_are_frozen_and_compare_as_themselves():
    weights = load(f"untrained:{SMALL}")
    assert weights == weights
    assert weights != dataclasses.replace(weights)
    with pytest.raises(dataclasses.FrozenInstanceError):
        weights.variant = "osnet_x1_0"


@pytest.mark.skipif("OSNET_REAL_DATA" not in os.environ, reason="OSNET_REAL_DATA is not set")
def test_a_published_checkpoint_loads():
    path = Path(os.environ["OSNET_REAL_DATA"]) / "weights" / "osnet_x0_25_market1501.pth"
    weights = load(path)
    assert isinstance(weights, Weights)
    assert (weights.variant, weights.num_classes, len(weights.tensors)) == (SMALL, 751, 567)
    assert_fits(weights)
    published = torch.load(path, weights_only=True)
    assert all(np.array_equal(weights.tensors[name], tensor.numpy()) for name, tensor in published.items())
