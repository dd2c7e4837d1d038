"""The openvino engine: OpenVINO on the CPU, for OSNet's tensors and for OpenVINO files from elsewhere."""

import dataclasses
import functools
import threading

import numpy as np
import openvino
from openvino.preprocess import PrePostProcessor

from ..errors import EngineError
from ..graph import build_graph
from ..patches import PatchSpec
from .batch_size import batch_in_cache
from .devices import absent_device

__all__ = ["OpenVinoEngine"]

_HINTS = {"fp32": "f32", "bf16": "bf16"}

# The key under which OpenVINO's converter notes in a file what it was asked to build into it.
_CONVERTED = "conversion_parameters"


class OpenVinoEngine:
    """A network compiled into as many single-threaded streams as there are threads.

    It is compiled for calls of `batch_size` patches, which run up to a quarter faster than those of a network
    that takes any number. What a call has left over goes to one that does, compiled when it is first wanted.

    Parameters
    ----------
    weights : Weights or NetworkFile
    device : "cpu"
    threads : int
        Streams, and callers at once.
    precision : "fp32" or "bf16"
        Said to OpenVINO either way: left alone, it lowers the precision by itself where the processor can.
    spec_changes : dict
        Fields of `PatchSpec` that are to differ from what the weights say.
    output : str, optional
        Which output of a network from elsewhere holds the features, where it has several.

    Raises
    ------
    EngineError
        The device or the precision is not there, or the network does not take patches or does not give
        feature vectors.
    """

    name = "openvino"

    def __init__(self, weights, device, threads, precision, spec_changes, output=None):
        if device != "cpu":
            raise absent_device(device, self.name, "cpu")
        if precision not in _HINTS:
            raise EngineError(f"the openvino engine has no precision {precision!r}; it has {', '.join(_HINTS)}")
        core = _open_core()
        if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise EngineError("this processor has no bf16 arithmetic; use precision='fp32'")
        self.device, self.precision, self.callers = device, precision, threads
        self.batch_size = 8
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
        }
        try:
            if hasattr(weights, "tensors"):
                self.variant, self.normalize = weights.variant, weights.normalize
                self.spec = dataclasses.replace(weights.spec, **spec_changes)
                self.batch_size = batch_in_cache(self.variant, self.spec)
                graph = build_graph(weights.variant, weights.tensors, self.spec)
                model = core.read_model(graph.SerializeToString())
                self._output = 0
            else:
                self.variant, self.normalize = weights.path.name, False
                model = core.read_model(weights.path)
                self._output = _choose_output(model, output)
                self.spec, model = _take_patches(model, spec_changes)
            self._any = _Compiled(core, model.clone(), settings)
            model.reshape([self.batch_size, self.spec.height, self.spec.width, 3])
            self._whole = _Compiled(core, model, settings)
            # A first run shows what no file says for certain: that it works, and how long a vector is.
            blank = np.zeros((self.batch_size, self.spec.height, self.spec.width, 3), np.uint8)
            self.feature_dim = self.run(blank).shape[1]
        except EngineError:
            raise
        except RuntimeError as error:
            raise EngineError(f"OpenVINO cannot open {weights.source}: {_first_line(error)}") from error

    def run(self, patches):
        """Turn patches into features; see `Engine.run`."""
        step = self.batch_size
        calls = [patches[start : start + step] for start in range(0, len(patches), step)]
        answers = [(self._whole if len(call) == step else self._any).run(call, self._output) for call in calls]
        return answers[0] if len(answers) == 1 else np.concatenate(answers)


class _Compiled:
    """A model that is compiled when it is first run, with a request for each thread that runs it."""

    def __init__(self, core, model, settings):
        self._core, self._model, self._settings = core, model, settings
        self._network = None
        self._compiling = threading.Lock()
        self._requests = threading.local()

    def run(self, patches, output):
        try:
            request = self._request()
            request.infer({0: patches}, share_inputs=True)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed on {patches.shape}: {_first_line(error)}") from error
        found = request.get_output_tensor(output).data
        if found.ndim < 2 or found[0].size != found.shape[1]:
            raise EngineError(f"output {output} has shape {found.shape}, wanted (N, D)")
        # A copy: the request writes its next answer into the same place.
        return found.reshape(len(found), -1).astype(np.float32)

    def _request(self):
        """This thread's own."""
        request = getattr(self._requests, "mine", None)
        if request is None:
            with self._compiling:
                if self._network is None:
                    self._network = self._core.compile_model(self._model, "CPU", self._settings)
            request = self._requests.mine = self._network.create_infer_request()
        return request


def _choose_output(model, name):
    """Number of the output that holds the features: the one asked for, or the only one."""
    names = [next(iter(sorted(output.names)), f"output {at}") for at, output in enumerate(model.outputs)]
    if name is not None:
        if name not in names:
            raise EngineError(f"the network has no output {name!r}; it has {', '.join(names)}")
        return names.index(name)
    if len(names) != 1:
        raise EngineError(f"cannot tell which output holds the features, name one: {', '.join(names)}")
    return 0


def _take_patches(model, changes):
    """The network with any batch size and with the scaling in front of it, and what its patches must be."""
    if len(model.inputs) != 1:
        raise EngineError(f"the network has {len(model.inputs)} inputs, wanted 1")
    shape = model.input(0).partial_shape
    if len(shape) != 4 or not (shape[1].is_static and shape[1].get_length() == 3):
        raise EngineError(f"the network's input is {shape}, wanted (N, 3, H, W)")
    spec = _noted_spec(model)
    for name, dimension in (("height", shape[2]), ("width", shape[3])):
        if dimension.is_static:
            found = dimension.get_length()
            if changes.get(name, found) != found:
                raise EngineError(f"the network takes patches of {name} {found}, asked for {changes[name]}")
            changes = {**changes, name: found}
    spec = dataclasses.replace(spec, **changes)
    model.reshape([-1, 3, spec.height, spec.width])
    scaling = PrePostProcessor(model)
    source = scaling.input(0)
    source.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    source.model().set_layout(openvino.Layout("NCHW"))
    steps = source.preprocess().convert_element_type(openvino.Type.f32)
    if spec.color_order == "bgr":
        steps.reverse_channels()
    steps.mean([255 * value for value in spec.mean]).scale([255 * value for value in spec.std])
    return spec, scaling.build()


def _noted_spec(model):
    """What the file says of its own scaling; ImageNet's, in RGB, where it says nothing."""

    def noted(key):
        path = [_CONVERTED, key]
        return model.get_rt_info(path).value if model.has_rt_info(path) else None

    spec = PatchSpec()
    if noted("mean_values") or noted("scale_values"):
        # Built into the network, which so takes pixels as they are, from 0 to 255.
        spec = dataclasses.replace(spec, mean=(0, 0, 0), std=(1 / 255, 1 / 255, 1 / 255))
    if str(noted("reverse_input_channels")) == "True":
        spec = dataclasses.replace(spec, color_order="bgr")
    return spec


def _first_line(error):
    return str(error).strip().splitlines()[-1][:300]


@functools.cache
def _open_core():
    """One core for the whole process, never given up.

    Its CPU plugin gives the thread that loads it a stack for signal handlers, and unmaps that stack again when it
    goes: with several cores, or one that goes in another thread, the next signal would find no stack and end the
    process.
    """
    return openvino.Core()
