"""Checkpoints <-> tensors by name, whatever network they are of. Nothing in a file is ever run.

Tensors are read from what `torch.save` writes (`.pth`, `.pt`, `.pth.tar-60`) and from safetensors, which needs no
torch. Which of these a file is, its first bytes say, not its name: see `weight_files`.

Notes
-----
Source: the safetensors format is documented by its project (huggingface/safetensors).
"""

import json
import os
import re
import struct
import threading
import warnings
from collections.abc import Mapping
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save as serialize

from .errors import WeightsError
from .metadata import METADATA_KEY
from .weight_files import file_kind

__all__ = ["read_checkpoint", "write_checkpoint"]

# Under which others put the tensors, beside an epoch, an optimizer and the like.
_CONTAINERS = ("state_dict", "model_state_dict", "model")

# Data parallel training writes it before every name.
_PARALLEL_PREFIX = "module."

# How the numbers of a tensor may be stored. Half precision is widened, which is exact.
_STORED_AS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8"}

# What torch names when it refuses an object: a function or class, or the type of something to be built.
_REFUSED = re.compile(r"(?:GLOBAL |but got <class '|unsupported class )(\w+(?:\.\w+)+)")


class _Nothing:
    """What a NumPy scalar beside the tensors (the best rank-1, say) is read as: takes anything, keeps nothing."""

    def __init__(self, *args):
        pass

    def __setstate__(self, state):
        pass


# By these names torch finds the stand-ins. NumPy's own objects would be allowed for nothing, since the scalar is
# not used, and at a risk: `numpy.dtype.__setstate__` crashes on a damaged state. `numpy.core` is NumPy 1's name.
_STAND_INS: list[Any] = [
    type(name, (_Nothing,), {"__module__": module})
    for module, name in (
        ("numpy", "dtype"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy.core.multiarray", "scalar"),
    )
]

# A damaged file makes torch raise whatever the damage led it to.
_DAMAGE = (
    RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError, ArithmeticError,
    EOFError, MemoryError, OSError, UnpicklingError, struct.error,
)  # fmt: skip

# `safe_globals` and `catch_warnings` swap what all threads share: one thread's exit would undo another's.
_one_at_a_time = threading.Lock()


def read_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the tensors of a checkpoint, whatever network they are of.

    Parameters
    ----------
    path : Path
        What `torch.save` wrote, read with `weights_only=True` always, or safetensors. The tensors may stand
        bare, or under `state_dict`, `model_state_dict` or `model` with anything beside them.

    Returns
    -------
    tensors : dict of str to float32 or int64 array, any shape
        Half precision widened to float32. A leading `module.` is dropped where all names have it.
    metadata : dict
        Our own, from safetensors; empty if there is none.

    Raises
    ------
    WeightsError
        The file cannot be read, is damaged, wants to run code, or holds no tensors; two places hold tensors;
        a tensor is not dense, or of another type.
    """
    kind = file_kind(path)
    if kind == "pickle":
        tensors, metadata = _read_pickle(path), {}
    elif kind == "safetensors":
        tensors, metadata = _read_safetensors(path)
    else:
        raise WeightsError(f"{path} holds a graph ({kind}), wanted tensors by name")
    if all(name.startswith(_PARALLEL_PREFIX) for name in tensors):
        tensors = {name.removeprefix(_PARALLEL_PREFIX): tensor for name, tensor in tensors.items()}
    return tensors, metadata


def write_checkpoint(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> None:
    """Write a safetensors file that `read_checkpoint` reads; it appears whole or not at all.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    tensors : mapping of str to float32 or int64 array, any shape
    metadata : mapping
        Fit for JSON; ours, not another program's.

    Raises
    ------
    WeightsError
        The file cannot be written.
    """
    text = json.dumps(dict(metadata), sort_keys=True, allow_nan=False)
    dense = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    # Beside the target, since a rename is atomic within one filesystem only.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(serialize(dense, {METADATA_KEY: text}))
        unfinished.replace(path)
    except OSError as error:
        raise WeightsError(f"cannot write {path}: {error.strerror}") from error
    finally:
        with suppress(OSError):  # not there once renamed, nor where it could not be made
            unfinished.unlink()


def _read_safetensors(path):
    try:
        data = path.read_bytes()
        stored = deserialize(data)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged (safetensors: {error})") from error
    if not stored:
        raise WeightsError(f"{path} holds no tensors")
    tensors = {}
    for name, tensor in sorted(stored, key=itemgetter(0)):  # the library's own order changes from run to run
        if tensor["dtype"] not in _STORED_AS:
            _refuse_type(path, name, tensor["dtype"])
        numbers = np.frombuffer(tensor["data"], _STORED_AS[tensor["dtype"]])
        try:
            numbers = numbers.reshape(tensor["shape"])
        except ValueError as error:  # more axes, or beside an axis of 0 a longer one, than NumPy's arrays have
            raise WeightsError(f"{path}: tensor {name!r:.100} has a shape that NumPy has not: {error}") from error
        if tensor["dtype"] == "BF16":  # the upper half of a float32
            numbers = (numbers.astype(np.uint32) << np.uint32(16)).view(np.float32)
        # A copy, since what is read from bytes cannot be written to, which torch warns of.
        tensors[name] = numbers.astype(np.int64 if tensor["dtype"] == "I64" else np.float32)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return tensors, _parse_metadata(path, header.get("__metadata__") or {})


def _parse_metadata(path, header):
    if METADATA_KEY not in header:
        return {}
    try:
        metadata = json.loads(header[METADATA_KEY])
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: the metadata {METADATA_KEY!r} is no JSON: {error}") from error
    if not isinstance(metadata, dict):
        raise WeightsError(f"{path}: the metadata {METADATA_KEY!r} is {metadata!r:.100}, wanted an object")
    return metadata


def _read_pickle(path):
    import torch

    tensors = {}
    for name, tensor in _find_tensors(path, _load_pickle(path), torch.Tensor).items():
        if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16, torch.int64):
            _refuse_type(path, name, str(tensor.dtype).removeprefix("torch."))
        if layout := _why_not_dense(tensor, torch.strided):
            raise WeightsError(f"{path}: tensor {name!r:.100} is {layout}, wanted a dense one")
        if tensor.dtype in (torch.float16, torch.bfloat16):
            tensor = tensor.float()
        tensors[name] = tensor.detach().numpy()
    return tensors


def _load_pickle(path):
    import torch
    from torch.serialization import safe_globals

    try:
        with _one_at_a_time, safe_globals(_STAND_INS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on how the file was written, which its user cannot change
            return torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGE as error:
        # torch's own advice, to switch the safety off, is not passed on.
        refused = _REFUSED.search(str(error)) if isinstance(error, UnpicklingError) else None
        if refused:
            what = f"asks for the Python object {refused[1]}, and opening such a file can run code: not read"
        elif "TorchScript" in str(error):
            what = "is a TorchScript archive, wanted tensors by name"
        else:
            raise WeightsError(f"{path} is damaged, or no torch checkpoint ({type(error).__name__})") from error
        advice = "where it was made, write the tensors alone: torch.save(network.state_dict(), PATH)"
        raise WeightsError(f"{path} {what}; {advice}") from error


def _find_tensors(path, loaded, tensor_type):
    if not isinstance(loaded, dict):
        raise WeightsError(f"{path} holds a {type(loaded).__name__}, wanted a dict of tensors by name")

    def has_tensors(value):
        return isinstance(value, dict) and any(isinstance(inner, tensor_type) for inner in value.values())

    containers = [key for key in _CONTAINERS if has_tensors(loaded.get(key))]
    if len(containers) > 1:
        raise WeightsError(f"{path} holds tensors under {' and '.join(map(repr, containers))}: keep one of them")
    if containers:
        tensors = loaded[containers[0]]
    else:
        tensors = {name: value for name, value in loaded.items() if isinstance(value, tensor_type)}
    for name, value in tensors.items():
        if not isinstance(name, str) or not isinstance(value, tensor_type):
            raise WeightsError(f"{path}: {name!r:.100} is a {type(value).__name__} among tensors by name")
    if not tensors:
        keys = ", ".join(f"{key!r:.100}" for key in list(loaded)[:3]) or "nothing"
        raise WeightsError(f"{path} holds no tensors: found {keys}, wanted tensors by name or a 'state_dict'")
    return tensors


def _why_not_dense(tensor, strided):
    if tensor.is_nested:
        return "nested"
    if tensor.layout is not strided:
        return str(tensor.layout).removeprefix("torch.")
    if tensor.is_meta:
        return "without numbers (meta)"
    # A small file could otherwise stand for more numbers than memory holds.
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return "an expanded view"
    return ""


def _refuse_type(path, name, found):
    raise WeightsError(f"{path}: tensor {name!r:.100} is {found}, wanted float32 (or half precision) or int64")
