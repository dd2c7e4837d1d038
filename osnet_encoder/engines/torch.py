"""The torch engine: CPU, CUDA, MPS."""

import dataclasses
import threading

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from ..errors import EngineError
from ..osnet import ConvLayer, LightConv3x3, build
from ..variants import FEATURE_DIM, NECK
from .devices import absent_device, parse_device

__all__ = ["TorchEngine"]

_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TorchEngine:
    """OSNet as a torch module, in eval mode, batch-norms folded, channels last.

    Parameters
    ----------
    weights : Weights
    device : "cpu", "cuda", "cuda:N" or "mps"
    threads : int
        torch's own, which are the whole process's; used on the CPU alone.
    precision : "fp32", "bf16" or "fp16"
        Of the network; the scaling in front of it and the features behind it are float32.
    spec_changes : dict
        Fields of `PatchSpec` that are to differ from what the weights say.

    Raises
    ------
    EngineError
        The device is not there.
    """

    name = "torch"

    def __init__(self, weights, device, threads, precision, spec_changes):
        self.device, self.precision = _check_device(device), precision
        self.variant = weights.variant
        self.spec = dataclasses.replace(weights.spec, **spec_changes)
        self.feature_dim = FEATURE_DIM
        self.normalize = weights.normalize
        on_cuda = self.device.startswith("cuda")
        # On CUDA one caller's patches travel while another's are run; elsewhere torch fills the processors alone.
        self.callers = 2 if on_cuda else 1
        self.batch_size = 256 if on_cuda else 16
        if self.device == "cpu":
            torch.set_num_threads(threads)
        self._type = _TYPES[precision]
        network = _load(weights).to(self.device, self._type)
        self._network = network.to(memory_format=torch.channels_last)
        scale, shift = self.spec.scale_and_shift()
        self._scale = torch.from_numpy(scale).to(self.device).reshape(1, 3, 1, 1)
        self._shift = torch.from_numpy(shift).to(self.device).reshape(1, 3, 1, 1)
        self._lanes = threading.local()
        self._run = self._run_on_cuda if on_cuda else self._forward

    @torch.inference_mode()
    def run(self, patches):
        """Turn patches into features; see `Engine.run`."""
        # TF32 would cost a thousandth of a feature's size; fp32 means fp32.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return self._run(torch.from_numpy(patches)).cpu().numpy()

    def _forward(self, patches):
        x = patches.to(self.device, non_blocking=True).permute(0, 3, 1, 2)
        x = torch.addcmul(self._shift, x.float(), self._scale)
        if self.spec.color_order == "bgr":
            x = x.flip(1)
        return self._network(x.to(self._type, memory_format=torch.channels_last)).float()

    def _run_on_cuda(self, patches):
        """The same on this caller's own stream, by way of page-locked memory, which is copied by itself."""
        lane = self._lanes
        if not hasattr(lane, "stream"):
            lane.stream = torch.cuda.Stream(self.device)
            lane.pinned = torch.empty(0, dtype=torch.uint8)
        if lane.pinned.numel() < patches.numel():
            lane.pinned = torch.empty(patches.numel(), dtype=torch.uint8, pin_memory=True)
        pinned = lane.pinned[: patches.numel()].view(patches.shape).copy_(patches)
        with torch.cuda.stream(lane.stream):
            # `.cpu()` waits for this stream alone, so the page-locked memory is free again when it returns.
            return self._forward(pinned).cpu()


def _load(weights):
    """The network with its weights, in eval mode, and the BN-neck behind it where the weights have one."""
    network = build(weights.variant, weights.num_classes)
    tensors = {name: torch.tensor(array) for name, array in weights.tensors.items()}
    neck = {name: tensors.pop(name) for name in list(tensors) if name.startswith(f"{NECK}.")}
    network.load_state_dict(tensors, strict=True)
    parts: list[nn.Module] = [_folded(network.eval())]
    if neck:
        parts.append(nn.BatchNorm1d(FEATURE_DIM))
        parts[1].load_state_dict({name.removeprefix(f"{NECK}."): tensor for name, tensor in neck.items()})
    return nn.Sequential(*parts).eval()


def _folded(network):
    """The same network with each batch-norm folded into the layer in front of it."""
    for module in list(network.modules()):
        if isinstance(module, ConvLayer) and isinstance(module.bn, nn.BatchNorm2d):
            module.conv, module.bn = fuse_conv_bn_eval(module.conv, module.bn), None
        elif isinstance(module, LightConv3x3):
            module.conv2 = fuse_conv_bn_eval(module.conv2, module.bn)
            module.register_module("bn", nn.Identity())
    network.fc[0], network.fc[1] = fuse_linear_bn_eval(network.fc[0], network.fc[1]), nn.Identity()
    return network


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
