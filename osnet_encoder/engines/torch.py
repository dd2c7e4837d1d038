"""The torch engine: CPU, CUDA, MPS."""

import dataclasses

import torch

from ..errors import EngineError
from ..osnet import build
from ..variants import FEATURE_DIM, NECK
from .devices import absent_device, parse_device

__all__ = ["TorchEngine"]


class TorchEngine:
    """OSNet as a torch module, in eval mode, channels last.

    Parameters
    ----------
    weights : Weights
    device : "cpu", "cuda", "cuda:N" or "mps"
    threads : int
        torch's own, which are the whole process's; used on the CPU alone.
    spec_changes : dict
        Fields of `PatchSpec` that are to differ from what the weights say.

    Raises
    ------
    EngineError
        The device is not there.
    """

    name = "torch"
    precision = "fp32"
    callers = 1

    def __init__(self, weights, device, threads, spec_changes):
        self.device = _check_device(device)
        self.variant = weights.variant
        self.spec = dataclasses.replace(weights.spec, **spec_changes)
        self.feature_dim = FEATURE_DIM
        self.normalize = weights.normalize
        self.batch_size = 16 if self.device == "cpu" else 256
        if self.device == "cpu":
            torch.set_num_threads(threads)
        self._network = _load(weights).to(self.device, memory_format=torch.channels_last)
        scale, shift = self.spec.scale_and_shift()
        self._scale = torch.from_numpy(scale).to(self.device).reshape(1, 3, 1, 1)
        self._shift = torch.from_numpy(shift).to(self.device).reshape(1, 3, 1, 1)

    # TF32 would cost a thousandth of a feature's size; exact means exact.
    @torch.inference_mode()
    def run(self, patches):
        """Turn patches into features; see `Engine.run`."""
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            x = torch.from_numpy(patches).to(self.device).permute(0, 3, 1, 2)
            x = x.float() * self._scale + self._shift
            if self.spec.color_order == "bgr":
                x = x.flip(1)
            return self._network(x.contiguous(memory_format=torch.channels_last)).cpu().numpy()


def _load(weights):
    """The network with its weights, in eval mode, and the BN-neck behind it where the weights have one."""
    parts = [build(weights.variant, weights.num_classes)]
    tensors = {name: torch.tensor(array) for name, array in weights.tensors.items()}
    neck = {name: tensors.pop(name) for name in list(tensors) if name.startswith(f"{NECK}.")}
    parts[0].load_state_dict(tensors, strict=True)
    if neck:
        parts.append(torch.nn.BatchNorm1d(FEATURE_DIM))
        parts[1].load_state_dict({name.removeprefix(f"{NECK}."): tensor for name, tensor in neck.items()})
    return torch.nn.Sequential(*parts).eval()


def _check_device(device):
    kind, index = parse_device(device)
    if kind == "cuda" and index >= torch.cuda.device_count():
        found = "cpu" if not torch.cuda.is_available() else f"cpu and {torch.cuda.device_count()} CUDA devices"
        raise absent_device(device, "torch", found)
    if kind == "mps" and not torch.backends.mps.is_available():
        raise absent_device(device, "torch", "cpu")
    if kind == "cpu" and index:
        raise EngineError(f"there is one device 'cpu', asked for {device!r}")
    return device
