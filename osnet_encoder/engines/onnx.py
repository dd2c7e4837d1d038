"""The onnx engine: ONNX Runtime, for OSNet's tensors and for ONNX files from elsewhere."""

import dataclasses
import json

import numpy as np
import onnxruntime

from ..errors import EngineError, WeightsError
from ..graph import INPUT, OUTPUT, build_graph, build_preprocessing
from ..metadata import METADATA_KEY, read_description
from ..patches import PatchSpec
from .batch_size import batch_in_cache
from .devices import absent_device, parse_device

__all__ = ["OnnxEngine"]

_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}

# What the output of features is usually called, in networks that have others beside it.
_FEATURE_NAMES = frozenset(("features", "feature", "feature_vector", "feat", "embedding", "embeddings"))


class OnnxEngine:
    """An ONNX Runtime session of one thread, into which several threads may call at once.

    Callers that share nothing but the weights leave no core idle between layers, which a session with a
    pool of its own does.

    Parameters
    ----------
    weights : Weights or NetworkFile
    device : "cpu", "cuda" or "cuda:N"
    threads : int
        How many callers the CPU has room for.
    precision : "fp32"
    spec_changes : dict
        Fields of `PatchSpec` that are to differ from what the weights say.
    output : str, optional
        Which output of a network from elsewhere holds the features, where it has several.

    Raises
    ------
    EngineError
        The device or the precision is not there, or the network does not take patches or does not give
        feature vectors.
    WeightsError
        What this project noted in the file is damaged.
    """

    name = "onnx"
    precision = "fp32"

    def __init__(self, weights, device, threads, precision, spec_changes, output=None):
        if precision != self.precision:
            raise EngineError(f"the onnx engine has no precision {precision!r}; it has fp32")
        self.device = device
        self.callers = threads if device == "cpu" else 1
        self.batch_size = 8 if device == "cpu" else 256
        if hasattr(weights, "tensors"):
            self.spec = dataclasses.replace(weights.spec, **spec_changes)
            self.variant = weights.variant
            if device == "cpu":
                self.batch_size = batch_in_cache(self.variant, self.spec)
            self.normalize = weights.normalize
            model = build_graph(weights.variant, weights.tensors, self.spec)
            self._network = _Session(model.SerializeToString(), device, OUTPUT)
        else:
            self._network = network = _Session(str(weights.path), device, output)
            self.variant, spec, self.normalize = weights.path.name, PatchSpec(), False
            if network.metadata is not None:
                self.variant, spec, self.normalize = read_description(weights.source, network.metadata)
            self.spec = network.fit(spec, spec_changes)
        self._prepare = None
        if self._network.dtype is not np.uint8:
            scaling = build_preprocessing(self.spec, self._network.dtype)
            self._prepare = _Session(scaling.SerializeToString(), device, OUTPUT)
        # A first run shows what no file says for certain: that it works, and how long a vector is.
        self.feature_dim = self.run(np.zeros((1, self.spec.height, self.spec.width, 3), np.uint8)).shape[1]

    def run(self, patches):
        """Turn patches into features; see `Engine.run`."""
        if self._prepare is not None:
            patches = self._prepare.run(patches)
        step = self._network.fixed_batch or len(patches)
        features = [
            self._network.run(_filled(patches[at : at + step], step)) for at in range(0, len(patches), step)
        ]
        stacked = features[0] if len(features) == 1 else np.concatenate(features)
        stacked = stacked[: len(patches)]
        if stacked.ndim > 2 and stacked[0].size == stacked.shape[1]:
            stacked = stacked.reshape(len(stacked), -1)  # (N, D, 1, 1), as pooling leaves it
        if stacked.ndim != 2:
            raise EngineError(f"output {self._network.output!r} has shape {stacked.shape}, wanted (N, D)")
        return stacked.astype(np.float32, copy=False)


class _Session:
    """One ONNX graph, opened, with one input and one output chosen."""

    def __init__(self, model, device, output):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(model, options, providers=_providers(device))
        except EngineError:
            raise
        except Exception as error:  # ONNX Runtime's exceptions share no other base
            where = "the graph" if isinstance(model, bytes) else model
            raise EngineError(f"ONNX Runtime cannot open {where}: {str(error)[:500]}") from error
        if device != "cpu" and "CUDAExecutionProvider" not in session.get_providers():
            raise absent_device(device, "onnx", "cpu")
        self._session = session
        self.source = _only_input(session)
        self.output = _choose_output(session, output)
        self.dtype = np.uint8 if self.source.type == "tensor(uint8)" else _FLOATS[self.source.type]
        batch = self.source.shape[0]
        self.fixed_batch = batch if isinstance(batch, int) and batch > 0 else None

    @property
    def metadata(self):
        """What this project noted in the file; None in files from elsewhere."""
        text = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if text is None:
            return None
        try:
            noted = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise WeightsError(f"the metadata {METADATA_KEY!r} of the network is no JSON: {error}") from error
        return noted if isinstance(noted, dict) else {}

    def fit(self, spec, changes):
        """The spec with the caller's changes and with the size that the network's input fixes."""
        height, width = self.source.shape[1:3] if self.dtype is np.uint8 else self.source.shape[2:4]
        for name, found in (("height", height), ("width", width)):
            if not isinstance(found, int):
                continue
            if changes.get(name, found) != found:
                raise EngineError(f"the network takes patches of {name} {found}, asked for {changes[name]}")
            changes = {**changes, name: found}
        if self.dtype is np.uint8 and set(changes) - {"height", "width"}:
            raise EngineError(
                "this ONNX file scales its patches itself; mean, std and colour order are fixed in it"
            )
        return dataclasses.replace(spec, **changes)

    def run(self, batch):
        try:
            return self._session.run([self.output], {self.source.name: batch})[0]
        except Exception as error:  # ONNX Runtime's exceptions share no other base
            raise EngineError(f"ONNX Runtime failed on {batch.dtype} {batch.shape}: {str(error)[:500]}") from error


def _providers(device):
    kind, index = parse_device(device)
    if kind == "cpu":
        return ["CPUExecutionProvider"]
    if kind != "cuda" or "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise absent_device(device, "onnx", "cpu")
    return [("CUDAExecutionProvider", {"device_id": index, "use_tf32": "0"})]


def _only_input(session):
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise EngineError(f"the network has {len(inputs)} inputs {[i.name for i in inputs]}, wanted 1")
    source = inputs[0]
    found = f"input {source.name!r} is {source.type} {source.shape}"
    if len(source.shape) != 4:
        raise EngineError(f"{found}, wanted float (N, 3, H, W)")
    if source.type == "tensor(uint8)":
        if source.name != INPUT or source.shape[3] != 3:
            raise EngineError(
                f"{found}, wanted float (N, 3, H, W), or the uint8 (N, H, W, 3) of this project's files"
            )
    elif source.type not in _FLOATS or (isinstance(source.shape[1], int) and source.shape[1] != 3):
        raise EngineError(f"{found}, wanted float (N, 3, H, W)")
    return source


def _choose_output(session, name):
    """The output that holds the features: the one asked for, the only one, or the only one so called."""
    outputs = {output.name: output for output in session.get_outputs()}
    listed = ", ".join(f"{output.name} {output.shape}" for output in outputs.values())
    if name is not None:
        if name not in outputs:
            raise EngineError(f"the network has no output {name!r}; it has {listed}")
        return name
    likely = [
        name for name, output in outputs.items() if output.type in _FLOATS and len(output.shape) in (0, 2, 4)
    ]
    if len(likely) > 1:
        likely = [name for name in likely if name.lower() in _FEATURE_NAMES]
    if len(likely) != 1:
        raise EngineError(f"cannot tell which output holds the features, name one: {listed}")
    return likely[0]


def _filled(batch, size):
    """A batch of a fixed size, its last patch repeated where there are too few."""
    if len(batch) == size:
        return batch
    return np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
