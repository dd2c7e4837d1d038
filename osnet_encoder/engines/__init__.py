"""Patches -> features: one small file an engine, all behind one protocol."""

import logging
from typing import Protocol

from ..errors import EngineError
from ..patches import PatchSpec
from .devices import count_cpus, count_cuda_devices, parse_device

__all__ = ["ENGINES", "PRECISIONS", "Engine", "count_cpus", "open_engine"]

ENGINES = ("auto", "onnx", "torch")
PRECISIONS = ("fp32",)

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
    engine : "auto", "onnx" or "torch"
        Auto is torch on CUDA and onnx elsewhere.
    device : "auto", "cpu", "cuda", "cuda:N" or "mps"
        Auto is CUDA where the driver and torch both offer it, else the CPU.
    threads : int, optional
        Processors to use on the CPU; all that this process may use if left out.
    precision : "fp32"
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
        The engine or the device is not there, or the network does not fit.
    ValueError
        A name that is no engine, device or precision.
    """
    if engine not in ENGINES:
        raise ValueError(f"no engine {engine!r}; there are {', '.join(ENGINES)}")
    if precision not in PRECISIONS:
        raise ValueError(f"no precision {precision!r}; there is {', '.join(PRECISIONS)}")
    if threads is not None and threads < 1:
        raise ValueError(f"threads must be at least 1, found {threads}")
    if device != "auto":
        parse_device(device)
    threads = threads or count_cpus()
    has_tensors = hasattr(weights, "tensors")
    engine, device = _resolve(engine, device, has_tensors)
    if engine == "torch":
        if not has_tensors:
            raise EngineError(
                f"the torch engine runs OSNet's tensors, not a {weights.format} file; use engine='onnx'"
            )
        if network_output:
            raise ValueError("network_output is for networks from elsewhere; OSNet has one output")
        from .torch import TorchEngine

        opened: Engine = TorchEngine(weights, device, threads, spec)
    else:
        from .onnx import OnnxEngine

        opened = OnnxEngine(weights, device, threads, spec, network_output)
    log.info(
        "engine %s on %s, %s, %s from %s, patches %dx%d, network colour order %s, mean %s, std %s, "
        "features of %d, %d threads",
        opened.name, opened.device, precision, opened.variant, weights.source, opened.spec.height,
        opened.spec.width, opened.spec.color_order, opened.spec.mean, opened.spec.std, opened.feature_dim, threads,
    )  # fmt: skip
    return opened


def _resolve(engine, device, has_tensors):
    """What "auto" means here; what was asked for by name stays as it is."""
    if device == "auto":
        device = "cpu"
        if engine in ("auto", "torch") and has_tensors and count_cuda_devices() > 0:
            import torch

            device = "cuda" if torch.cuda.is_available() else "cpu"
    if engine == "auto":
        engine = "onnx" if device == "cpu" or not has_tensors else "torch"
    return engine, device
