"""Files of weights: anything but a WeightsError, and anything but tensors by name, is a finding."""

import io
import json
import struct
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import _utils, _weights_only_unpickler, serialization

from osnet_encoder.checkpoints import read_checkpoint
from osnet_encoder.errors import WeightsError
from osnet_encoder.weights import NetworkFile, load

TENSORS = {
    "module.conv1.conv.weight": torch.arange(6.0).reshape(3, 2),
    "module.conv1.bn.num_batches_tracked": torch.tensor(7),
    "module.fc.0.weight": torch.ones(2, dtype=torch.float16),
}
CONTENT = {"state_dict": TENSORS, "epoch": 60, "rank1": np.float32(0.5), "optimizer": {"lr": [1e-3, None, True]}}
WATCHED = (
    _weights_only_unpickler.Unpickler.load,
    serialization._load,
    serialization._legacy_load,
    _utils._rebuild_tensor,
    _utils._rebuild_tensor_v2,
)
FOLDER = tempfile.TemporaryDirectory()
PATH = Path(FOLDER.name, "weights")


def seeds():
    """A file of every format, whole; and those parts of two formats that a checksum or a length stands before."""
    for legacy in (False, True):
        for content in (CONTENT, dict(TENSORS)):
            yield b"\0" + saved(content, legacy)
    yield b"\0" + safetensors(HEADER) + bytes(24)
    yield b"\0" + graph()
    yield b"\0" + b"<?xml version='1.0'?><net name='a' version='11'></net>"
    with zipfile.ZipFile(io.BytesIO(saved(CONTENT, False))) as archive:
        yield b"\1" + archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
    yield b"\2" + HEADER


def check(data):
    """Load a file: bytes as they are, or (1) a pickle in a sound archive, or (2) a header of safetensors."""
    kind, rest = data[:1], data[1:]
    if kind == b"\1":
        rest = archived(rest)
    elif kind == b"\2":
        rest = safetensors(rest) + bytes(24)
    PATH.write_bytes(rest)
    with suppress(WeightsError):
        tensors, metadata = read_checkpoint(PATH)
        assert isinstance(metadata, dict)
        assert all(isinstance(name, str) for name in tensors)
        assert {tensor.dtype.type for tensor in tensors.values()} <= {np.float32, np.int64}
        # nobody makes much of little
        assert sum(tensor.nbytes for tensor in tensors.values()) <= 2 * len(rest)
    with suppress(WeightsError):
        assert isinstance(load(PATH), NetworkFile)  # none of these tensors make an OSNet


def saved(content, legacy):
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def archived(program):
    """A checkpoint as `torch.save` writes it, but for the pickle in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(CONTENT, False))) as sound, zipfile.ZipFile(buffer, "w") as archive:
        for name in sound.namelist():
            archive.writestr(name, program if name.endswith("data.pkl") else sound.read(name))
    return buffer.getvalue()


HEADER = json.dumps(
    {
        "a": {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]},
        "b": {"dtype": "BF16", "shape": [4], "data_offsets": [8, 16]},
        "c": {"dtype": "I64", "shape": [], "data_offsets": [16, 24]},
        "__metadata__": {"osnet_encoder": '{"format": 1, "variant": "osnet_x0_25", "patch": {"height": 32}}'},
    }
).encode()


def safetensors(header):
    return struct.pack("<Q", len(header)) + header


def graph():
    numbers = numpy_helper.from_array(np.ones((2, 3), np.float32), "w")
    beside = TensorProto(name="x", data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    beside.external_data.add(key="location", value="weights.data")
    nodes = [helper.make_node("Gemm", ["crops", "w"], ["features"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in ("crops", "features")]
    network = onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:], [numbers, beside])
    return helper.make_model(network).SerializeToString()
