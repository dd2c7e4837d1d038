"""Files of weights: told apart, hashed, read, written, and refused."""

import gzip
import hashlib
import io
import json
import os
import re
import struct
import tarfile
from collections import OrderedDict

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper, numpy_helper

from osnet_encoder.checkpoints import read_checkpoint, write_checkpoint
from osnet_encoder.errors import WeightsError
from osnet_encoder.weight_files import file_kind, file_sha256, files_beside

TENSORS = OrderedDict(a=torch.tensor([1.0, -2.5, 3.0]), b=torch.tensor(7))


class Calls:
    """Pickles as a call: of anything, with any arguments, and with a state to be set afterwards."""

    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


def torch_bytes(content, legacy=False):
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def safetensors_bytes(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tar_bytes():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.pth"))
    return buffer.getvalue()


@pytest.fixture
def write(tmp_path):
    def write(content, name="w.pth"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else torch_bytes(content))
        return path

    return write


def refusal(path, read=read_checkpoint):
    """What the error says, with the file called FILE."""
    with pytest.raises(WeightsError) as caught:
        read(path)
    return str(caught.value).replace(str(path), "FILE")


def assert_read(path, metadata=None):
    tensors, found = read_checkpoint(path)
    assert list(tensors) == ["a", "b"]
    assert (tensors["a"].dtype, tensors["b"].dtype) == (np.float32, np.int64)
    assert tensors["a"].tolist() == [1.0, -2.5, 3.0]
    assert (tensors["b"].shape, int(tensors["b"])) == ((), 7)
    assert found == (metadata or {})


# What is read


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("key", [None, "state_dict", "model_state_dict", "model"])
def test_tensors_are_found_bare_and_in_every_usual_container(write, key, legacy):
    content = {key: TENSORS, "epoch": 60, "optimizer": {"state": {0: torch.ones(2)}}} if key else TENSORS
    assert_read(write(torch_bytes(content, legacy)))


def test_what_is_no_tensor_is_left_out_beside_bare_tensors(write):
    assert_read(write({**TENSORS, "epoch": 3, "classes": ["x", "y"]}))


def test_tensors_beside_a_container_are_not_the_networks(write):
    assert_read(write({"state_dict": TENSORS, "random_state": torch.ones(5)}))


def test_a_container_that_is_only_a_name_is_not_searched(write):
    assert_read(write({"state_dict": TENSORS, "model": "osnet_x1_0"}))


def test_the_prefix_of_data_parallel_training_is_dropped(write):
    assert_read(write({"state_dict": {f"module.{name}": tensor for name, tensor in TENSORS.items()}}))


def test_a_prefix_that_only_some_names_have_stays(write):
    tensors, _ = read_checkpoint(write({"module.a": torch.ones(1), "b": torch.ones(1)}))
    assert list(tensors) == ["module.a", "b"]


def test_a_parameter_is_read_as_its_numbers(write):
    assert_read(write({**TENSORS, "a": torch.nn.Parameter(TENSORS["a"])}))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_exactly(write, dtype):
    assert_read(write({**TENSORS, "a": TENSORS["a"].to(dtype)}))


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("rank1", [np.float32(0.942), np.float64(0.942), np.int64(1)], ids=lambda x: x.dtype.name)
def test_a_numpy_scalar_beside_the_tensors_is_no_obstacle(write, rank1, legacy):
    assert_read(write(torch_bytes({"state_dict": TENSORS, "epoch": 60, "rank1": rank1}, legacy)))


def test_a_numpy_scalar_as_numpy_1_wrote_it_is_no_obstacle(write):
    content = torch_bytes({"state_dict": TENSORS, "rank1": np.float32(0.942)}, legacy=True)
    assert b"numpy._core.multiarray" in content
    assert_read(write(content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")))


def test_reading_leaves_what_torch_allows_as_it_was(write):
    before = set(torch.serialization.get_safe_globals())
    read_checkpoint(write({"state_dict": TENSORS, "rank1": np.float32(0.5)}))
    assert set(torch.serialization.get_safe_globals()) == before


def test_safetensors_are_read_in_every_type_that_is_exact(write):
    header = {
        "f32": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "f16": {"dtype": "F16", "shape": [2, 1], "data_offsets": [8, 12]},
        "bf16": {"dtype": "BF16", "shape": [1, 2], "data_offsets": [12, 16]},
        "i64": {"dtype": "I64", "shape": [], "data_offsets": [16, 24]},
        "__metadata__": {"format": "pt"},
    }
    data = struct.pack("<2f2e", 1.5, -2.0, 0.5, 3.0) + b"\x80\x3f\x20\xc0" + struct.pack("<q", -9)
    tensors, metadata = read_checkpoint(write(safetensors_bytes(header, data)))
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {
        "f32": [1.5, -2.0], "f16": [[0.5], [3.0]], "bf16": [[1.0, -2.5]], "i64": -9,
    }  # fmt: skip
    assert {tensor.dtype.name for tensor in tensors.values()} == {"float32", "int64"}
    assert metadata == {}
    torch.from_numpy(tensors["f32"])  # warns, and so fails, where an array cannot be written to


@given(
    tensors=st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda name: name != "__metadata__"),
        hnp.arrays(st.sampled_from([np.float32, np.int64]), hnp.array_shapes(min_dims=0, max_side=4)),
        min_size=1,
        max_size=4,
    ),
    metadata=st.dictionaries(
        st.text(max_size=5), st.none() | st.booleans() | st.integers() | st.text(), max_size=3
    ),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_reads_back_as_it_was(tmp_path, tensors, metadata):
    path = tmp_path / "w.safetensors"
    write_checkpoint(path, tensors, metadata)
    found, found_metadata = read_checkpoint(path)
    parallel = all(name.startswith("module.") for name in tensors)
    assert found.keys() == {name.removeprefix("module.") if parallel else name for name in tensors}
    assert found_metadata == metadata
    for name, tensor in tensors.items():
        same = found[name.removeprefix("module.") if parallel else name]
        assert (same.dtype, same.shape, same.tobytes()) == (tensor.dtype, tensor.shape, tensor.tobytes())
    assert list(tmp_path.iterdir()) == [path]


def test_a_view_in_another_order_is_written_as_it_reads(tmp_path):
    tensor = np.arange(6, dtype=np.float32).reshape(2, 3).T
    write_checkpoint(tmp_path / "w.safetensors", {"a": tensor}, {})
    assert read_checkpoint(tmp_path / "w.safetensors")[0]["a"].tolist() == tensor.tolist()


def test_a_header_whose_length_looks_like_a_pickle_is_no_pickle(tmp_path):
    for length in range(100):  # some of which make the first byte 0x80
        write_checkpoint(tmp_path / "w", {"a": np.zeros(1, np.float32)}, {"": "x" * length})
        assert file_kind(tmp_path / "w") == "safetensors"


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "taken" / "inside").mkdir(parents=True)
    tensors = {"a": np.zeros(1, np.float32)}
    message = f"cannot write {tmp_path / 'taken'}: Is a directory"
    with pytest.raises(WeightsError, match=f"^{re.escape(message)}$"):
        write_checkpoint(tmp_path / "taken", tensors, {})
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    (tmp_path / "file").touch()
    for folder, reason in (("no", "No such file or directory"), ("file", "Not a directory")):
        message = f"cannot write {tmp_path / folder / 'w'}: {reason}"
        with pytest.raises(WeightsError, match=f"^{re.escape(message)}$"):
            write_checkpoint(tmp_path / folder / "w", tensors, {})


# What is told apart


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (torch_bytes(TENSORS), "pickle"),
        (torch_bytes(TENSORS, legacy=True), "pickle"),
        (safetensors_bytes({"a": {}}), "safetensors"),
        (b'<?xml version="1.0"?>\n<net name="x" version="11">', "openvino"),
        (b'\xef\xbb\xbf <net name="x">', "openvino"),
        (helper.make_model(helper.make_graph([], "g", [], [])).SerializeToString(), "onnx"),
    ],
)
def test_a_format_is_told_by_content_and_not_by_name(write, content, kind):
    assert file_kind(write(content, "misnamed.tar-7")) == kind


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "FILE is empty"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
            "FILE is a Git LFS pointer, not the file itself: `git lfs pull` fetches that",
        ),
        (
            b"\n<!DOCTYPE html>\n<html><head><title>Sign in</title>",
            "FILE looks like a web page: download the file itself, not the page about it",
        ),
        (
            b"<html><body><nets></nets>",
            "FILE looks like a web page: download the file itself, not the page about it",
        ),
        (gzip.compress(b"weights"), "FILE is an archive: unpack it first"),
        (tar_bytes(), "FILE is an archive: unpack it first"),
        (
            b"weights = 1",
            "FILE is of no known format: it begins with b'weights ', "
            "wanted a torch checkpoint, safetensors, ONNX, or the .xml of OpenVINO",
        ),
    ],
    ids=["empty", "lfs", "page", "page-with-net", "gzip", "tar", "text"],
)
def test_a_file_that_is_no_checkpoint_is_told_what_it_is(write, content, message):
    assert refusal(write(content), file_kind) == message


def test_a_file_that_cannot_be_read_says_why(tmp_path):
    assert refusal(tmp_path / "no.pth", file_kind) == "cannot read FILE: No such file or directory"
    assert refusal(tmp_path / "no.pth", file_sha256) == "cannot read FILE: No such file or directory"


def test_a_graph_is_no_checkpoint(write):
    message = "FILE holds a graph (openvino), wanted tensors by name"
    assert refusal(write(b"<net name='x'>")) == message


def test_the_hash_of_several_files_is_that_of_one_after_the_other(write):
    first, second = write(b"ab", "1"), write(b"c", "2")
    assert file_sha256(first) == hashlib.sha256(b"ab").hexdigest()
    # Source: FIPS 180-2, the hash of "abc".
    assert file_sha256(first, second) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


# What is refused

ADVICE = "where it was made, write the tensors alone: torch.save(network.state_dict(), PATH)"


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_pickle_that_would_run_a_command_is_refused_by_name(tmp_path, write, monkeypatch, legacy):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    ran = tmp_path / "ran"
    path = write(torch_bytes({**TENSORS, "epoch": Calls(os.system, (f"touch {ran}",))}, legacy))
    message = f"FILE asks for the Python object {os.name}.system, and opening such a file can run code: not read; "
    assert refusal(path) == message + ADVICE
    assert not ran.exists()


def test_a_whole_network_is_refused_with_the_way_out(write):
    message = (
        "FILE asks for the Python object torch.nn.modules.linear.Linear, "
        f"and opening such a file can run code: not read; {ADVICE}"
    )
    assert refusal(write(torch.nn.Linear(2, 2))) == message


def test_a_numpy_scalar_of_a_damaged_type_crashes_nothing(write):
    # NumPy itself ends the process on this state, which is one item short.
    damaged = Calls(np.dtype, ("f4", False, True), (3, "<", None, None, -1, -1))
    assert_read(write({"state_dict": TENSORS, "rank1": damaged}))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_refused_with_the_way_out(write):
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), buffer)
    message = f"FILE is a TorchScript archive, wanted tensors by name; {ADVICE}"
    assert refusal(write(buffer.getvalue())) == message


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_cut_file_is_damaged(write, legacy):
    content = torch_bytes(TENSORS, legacy)
    for end in (10, len(content) - 3):
        assert refusal(write(content[:end])).startswith("FILE is damaged, or no torch checkpoint (")


def test_an_archive_of_arrays_is_no_checkpoint(write):
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(3))
    assert refusal(write(buffer.getvalue())) == "FILE is damaged, or no torch checkpoint (RuntimeError)"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "FILE holds a list, wanted a dict of tensors by name"),
        ({}, "FILE holds no tensors: found nothing, wanted tensors by name or a 'state_dict'"),
        (
            {"state_dict": {}, "epoch": 3},
            "FILE holds no tensors: found 'state_dict', 'epoch', wanted tensors by name or a 'state_dict'",
        ),
        (
            {"state_dict": TENSORS, "model": TENSORS},
            "FILE holds tensors under 'state_dict' and 'model': keep one of them",
        ),
        ({"state_dict": {**TENSORS, "c": 1.5}}, "FILE: 'c' is a float among tensors by name"),
        ({0: torch.ones(1)}, "FILE: 0 is a Tensor among tensors by name"),
    ],
)
def test_a_file_without_tensors_by_name_says_what_it_holds(write, content, message):
    assert refusal(write(content)) == message


def of_type(found):
    return f"FILE: tensor 'a' is {found}, wanted float32 (or half precision) or int64"


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.zeros(2, dtype=torch.float64), of_type("float64")),
        (torch.zeros(2, dtype=torch.bool), of_type("bool")),
        (torch.zeros(2, dtype=torch.complex64), of_type("complex64")),
        (torch.zeros(2).to(torch.float8_e4m3fn), of_type("float8_e4m3fn")),
        (torch.zeros(2, device="meta"), "FILE: tensor 'a' is without numbers (meta), wanted a dense one"),
        (
            torch.zeros(1).expand(10**6, 10**6),
            "FILE: tensor 'a' is an expanded view, wanted a dense one",
        ),
        (
            torch.zeros(1, dtype=torch.bfloat16).expand(10**6, 10**6),
            "FILE: tensor 'a' is an expanded view, wanted a dense one",
        ),
    ],
    ids=["float64", "bool", "complex", "float8", "meta", "expanded", "expanded-half"],
)
def test_a_tensor_of_another_type_or_without_its_numbers_is_refused(write, tensor, message):
    assert refusal(write({"a": tensor})) == message


@pytest.mark.filterwarnings("ignore")  # torch warns of making these
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: torch.sparse_coo_tensor([[0]], [1.0], (2,)),
            "FILE: tensor 'a' is sparse_coo, wanted a dense one",
        ),
        (
            lambda: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
            "FILE: tensor 'a' is nested, wanted a dense one",
        ),
        (lambda: torch.quantize_per_tensor(torch.zeros(2), 0.1, 0, torch.quint8), of_type("quint8")),
    ],
    ids=["sparse", "nested", "quantised"],
)
def test_a_tensor_that_is_not_dense_is_refused(write, make, message):
    assert refusal(write({"a": make()})) == message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            safetensors_bytes({"a": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}}, bytes(8)),
            of_type("F64"),
        ),
        (safetensors_bytes({}), "FILE holds no tensors"),
        (
            safetensors_bytes(
                {
                    "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                    "__metadata__": {"osnet_encoder": "[1]"},
                },
                bytes(4),
            ),
            "FILE: the metadata 'osnet_encoder' is [1], wanted an object",
        ),
    ],
)
def test_safetensors_that_cannot_be_used_say_why(write, content, message):
    assert refusal(write(content)) == message


@pytest.mark.parametrize("text", ["{", "", "[" * 100_000], ids=["open", "empty", "deep"])
def test_metadata_that_is_no_json_is_refused(write, text):
    header = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "__metadata__": {"osnet_encoder": text}}
    message = refusal(write(safetensors_bytes(header, bytes(4))))
    assert message.startswith("FILE: the metadata 'osnet_encoder' is no JSON: ")


@pytest.mark.parametrize(
    "content",
    [
        safetensors_bytes({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(4)),
        safetensors_bytes({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, bytes(4)),
        safetensors_bytes({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(8)),
        safetensors_bytes(
            {name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for name in ("a", "b")}, bytes(4)
        ),
        struct.pack("<Q", 10_000) + b"{}",
    ],
    ids=["cut", "shape", "trailing", "overlap", "header"],
)
def test_damaged_safetensors_are_refused(write, content):
    assert refusal(write(content)).startswith("FILE is damaged (safetensors: ")


@pytest.mark.parametrize(
    "shape", [[1] * 70, [0, 2**63], [0, 2**62, 2**62]], ids=["axes", "longest axis", "product of axes"]
)
def test_a_shape_that_numpy_has_not_is_refused(write, shape):
    numbers = bytes(0 if 0 in shape else 4)
    stored = {"dtype": "F32", "shape": shape, "data_offsets": [0, len(numbers)]}
    message = refusal(write(safetensors_bytes({"a": stored}, numbers)))
    assert message.startswith("FILE: tensor 'a' has a shape that NumPy has not: ")


SOUND = {
    "zip": torch_bytes({"state_dict": TENSORS, "rank1": np.float32(0.5)}),
    "legacy": torch_bytes({"state_dict": TENSORS, "rank1": np.float32(0.5)}, legacy=True),
    "safetensors": safetensors_bytes(
        {
            "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
            "__metadata__": {"osnet_encoder": '{"format": 1}'},
        },
        bytes(8),
    ),
}


@pytest.mark.parametrize("kind", SOUND)
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_bytes_never_raise_anything_but_our_error(write, kind, data):
    content = bytearray(SOUND[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        cut = data.draw(st.integers(0, 4))
        content[at : at + cut] = data.draw(st.binary(max_size=4))
    try:
        tensors, metadata = read_checkpoint(write(bytes(content)))
    except WeightsError:
        return
    assert all(isinstance(tensor, np.ndarray) for tensor in tensors.values())
    assert isinstance(metadata, dict)


# What lies beside a graph


def external(name, location, tensor="w"):
    """A tensor whose numbers lie in another file."""
    proto = numpy_helper.from_array(np.zeros(1, np.float32), tensor)
    onnx.external_data_helper.set_external_data(proto, location)
    proto.ClearField("raw_data")
    return proto


def graph_bytes(*initialisers, constants=()):
    nodes = [helper.make_node("Constant", [], [f"c{i}"], value=value) for i, value in enumerate(constants)]
    inner = helper.make_graph(nodes, "inner", [], [])
    outer = helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    graph = helper.make_graph([outer], "g", [helper.make_tensor_value_info("x", TensorProto.BOOL, [])], [])
    graph.initializer.extend(initialisers)
    return helper.make_model(graph).SerializeToString()


def test_a_graph_that_holds_its_numbers_has_nothing_beside_it(write):
    path = write(graph_bytes(numpy_helper.from_array(np.zeros(2, np.float32), "w")), "net.onnx")
    assert files_beside(path, "onnx") == []


def test_the_numbers_of_a_graph_are_found_wherever_in_it_they_are_named(tmp_path, write):
    (tmp_path / "data").mkdir()
    first, second = write(b"1", "data/z.bin"), write(b"2", "a.bin")
    content = graph_bytes(
        external("w", "data/z.bin"), external("v", "data/z.bin"), constants=[external("c", "a.bin")]
    )
    assert files_beside(write(content, "net.onnx"), "onnx") == [second, first]


@pytest.mark.parametrize("location", ["../w.bin", "data/../../w.bin", "/etc/hostname"])
def test_numbers_outside_the_folder_of_their_graph_are_not_read(write, location):
    message = refusal(write(graph_bytes(external("w", location))), lambda path: files_beside(path, "onnx"))
    assert message == f"FILE has its numbers in {location!r}, outside its own folder: not read"


@pytest.mark.parametrize("location", ["w.bin", "w\0", "w" * 5000], ids=["missing", "nul", "long"])
def test_numbers_that_are_not_there_are_missed(write, location):
    message = refusal(write(graph_bytes(external("w", location))), lambda path: files_beside(path, "onnx"))
    assert message == f"no file {location!r:.200} beside FILE, whose numbers it holds"


def test_a_network_of_openvino_needs_its_numbers_beside_it(write):
    path = write(b"<net name='x'>", "net.xml")
    message = refusal(path, lambda path: files_beside(path, "openvino"))
    assert message == "no file 'net.bin' beside FILE, whose numbers it holds"
    beside = write(b"numbers", "net.bin")
    assert files_beside(path, "openvino") == [beside]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x08\x07\xff", "FILE is damaged (ONNX: Error parsing message"),
        (b"\x08\x07", "FILE is damaged (ONNX: there is no graph in it)"),
    ],
)
def test_a_damaged_graph_is_refused(write, content, message):
    assert refusal(write(content), lambda path: files_beside(path, "onnx")).startswith(message)
