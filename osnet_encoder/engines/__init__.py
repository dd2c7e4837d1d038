"""Patches -> features: one small file an engine, all behind one protocol."""

import importlib.util
import logging
from typing import Protocol

from ..errors import EngineError
from ..patches import PatchSpec
from .devices import count_cpus, count_cuda_devices, expand_devices, parse_devices
from .several import SeveralEngines

__all__ = ["ENGINES", "PRECISIONS", "Engine", "count_cpus", "open_engine"]

ENGINES = ("auto", "onnx", "openvino", "torch")
PRECISIONS = ("fp32", "bf16", "fp16")

log = logging.getLogger(__name__)


class Engine(Protocol):
    """Whatever runs the network.

    Attributes
    ----------
    name, device, precision : str
    variant : str
        As of `variants.VARIANTS`, or the name of the file for a network from elsewhere.
    spec : PatchSpec
        What the patches must be.
    feature_dim : int
        Length of a feature vector, D.
    normalize : bool
        Whether the weights say that feature vectors are to be scaled to unit length.
    callers : int
        How many threads may be inside `run` at once, with gain.
    batch_size : int
        How many patches a call does best with.
    """

    name: str
    device: str
    precision: str
    variant: str
    spec: PatchSpec
    feature_dim: int
    normalize: bool
    callers: int
    batch_size: int

    def run(self, patches):
        """Turn patches into features.

        Parameters
        ----------
        patches : uint8, (N, height, width, 3)
            RGB, N at least 1.

        Returns
        -------
        features : float32, (N, D)
        """
        ...


def open_engine(
    weights, engine="auto", device="auto", threads=None, precision="fp32", network_output=None, **spec
):
    """Open an engine for some weights.

    Parameters
    ----------
    weights : Weights or NetworkFile
        As of `weights.load`.
    engine : "auto", "onnx", "openvino" or "torch"
        Auto is torch on CUDA; on the CPU onnx, but openvino for half precision and for OpenVINO's own files.
    device : str
        `cpu`, `mps`, `cuda:N`, several with commas between, `cuda` for all there are, or `auto`: CUDA where the
        driver and torch both offer it, else the CPU.
    threads : int, optional
        Processors to use on the CPU; all that this process may use if left out.
    precision : "fp32", "bf16" or "fp16"
        Of the arithmetic; never lowered unasked. The openvino engine has bf16, torch has both halves.
    network_output : str, optional
        Which output of a network from elsewhere holds the features, where it has several.
    **spec
        Fields of `PatchSpec` that are to differ from what the weights say.

    Returns
    -------
    Engine

    Raises
    ------
    EngineError
        The engine, the device or the precision is not there, or the network does not fit.
    WeightsError
        What this project noted in an ONNX file is damaged.
    ValueError
        A name that is no engine, device or precision.
    """
    if engine not in ENGINES:
        raise ValueError(f"no engine {engine!r}; there are {', '.join(ENGINES)}")
    if precision not in PRECISIONS:
        raise ValueError(f"no precision {precision!r}; there are {', '.join(PRECISIONS)}")
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, found {threads}")
    if device != "auto":
        parse_devices(device)
    threads = threads or count_cpus()
    kind = getattr(weights, "format", "tensors")
    engine, device = _resolve(engine, device, kind, precision)
    if kind not in _READS[engine]:
        reader = next(name for name, kinds in _READS.items() if kind in kinds)
        raise EngineError(f"the {engine} engine does not read {kind} files; use engine={reader!r}")
    if kind == "tensors" and network_output:
        raise ValueError("network_output is for networks from elsewhere; OSNet has one output")
    devices = expand_devices(device)
    engines = [_open(engine, weights, one, threads, precision, spec, network_output) for one in devices]
    opened = engines[0] if len(engines) == 1 else SeveralEngines(engines)
    log.info(
        "engine %s on %s, %s, %s from %s, patches %dx%d, network colour order %s, mean %s, std %s, "
        "features of %d, %d threads",
        opened.name, opened.device, precision, opened.variant, weights.source, opened.spec.height,
        opened.spec.width, opened.spec.color_order, opened.spec.mean, opened.spec.std, opened.feature_dim, threads,
    )  # fmt: skip
    return opened


# What each engine runs: OSNet's tensors, or a file that holds a network.
_READS = {"onnx": ("tensors", "onnx"), "openvino": ("tensors", "openvino"), "torch": ("tensors",)}


def _open(engine, weights, device, threads, precision, spec, network_output) -> Engine:
    if engine == "torch":
        from .torch import TorchEngine

        return TorchEngine(weights, device, threads, precision, spec)
    if engine == "onnx":
        from .onnx import OnnxEngine

        return OnnxEngine(weights, device, threads, precision, spec, network_output)
    if importlib.util.find_spec("openvino") is None:
        raise EngineError('the openvino engine is not installed: pip install "osnet-encoder[openvino]"')
    from .openvino import OpenVinoEngine

    return OpenVinoEngine(weights, device, threads, precision, spec, network_output)


def _resolve(engine, device, kind, precision):
    """What "auto" means here; what was asked for by name stays as it is."""
    if device == "auto":
        device = "cpu"
        if engine in ("auto", "torch") and kind == "tensors" and count_cuda_devices() > 0:
            import torch

            device = "cuda" if torch.cuda.is_available() else "cpu"
    if engine == "auto":
        if kind != "tensors":
            engine = kind
        elif device != "cpu":
            engine = "torch"
        else:
            engine = "onnx" if precision == "fp32" else "openvino"
    return engine, device
