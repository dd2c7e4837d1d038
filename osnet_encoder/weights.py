"""Weights: find what the user named, read it safely, say which OSNet it is, and fit it tensor by tensor.

What may be named: a file (`.pth`, `.pt`, `.pth.tar-60`, `.safetensors`, `.onnx`, the `.xml` of OpenVINO), one of
`zoo.ZOO`, or `builtin:` or `untrained:` and a variant. Half a fit is no fit: what does not fit is an error that
says why.
"""

import difflib
import hashlib
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .built_in import BUILT_IN, PREFIX, built_in_file
from .checkpoints import read_checkpoint, write_checkpoint
from .errors import WeightsError
from .fit import detect_variant, fit_tensors
from .metadata import describe_network, read_description
from .patches import PatchSpec
from .untrained import formula_tensors
from .variants import FEATURE_DIM, VARIANTS
from .weight_files import file_kind, file_sha256, files_beside
from .zoo import ZOO, fetch

__all__ = ["UNTRAINED", "NetworkFile", "Weights", "load", "save"]

_log = logging.getLogger(__name__)

UNTRAINED = "untrained:"

_FILE_NAME = re.compile(r"[/\\]|\.(pth|pt|tar(-\d+)?|safetensors|onnx|xml)$", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Weights:
    """The tensors of an OSNet, all there and all of the right shape, and what a caller must know to use them.

    Parameters
    ----------
    source : str
        What the user named.
    sha256 : str
        Of the file; of the tensors themselves where there is no file.
    variant : str
        One of `variants.VARIANTS`, told by the tensors and never by the file's name.
    tensors : mapping of str to array
        As of `variants.tensor_shapes`: float32, but int64 for `*.num_batches_tracked`; C order, finite.
    num_classes : int
        Outputs of the classifier; 0 where there is none.
    neck : bool
        Whether a BN-neck follows the feature vector.
    spec : PatchSpec
        What the network wants to see; the usual one where the file does not say.
    normalize : bool
        Whether features are to be scaled to unit length; False where the file does not say.
    metadata : mapping
        Our own, as read from the file; empty if there is none.
    """

    source: str
    sha256: str
    variant: str
    tensors: Mapping[str, np.ndarray] = field(repr=False)
    num_classes: int = 0
    neck: bool = False
    spec: PatchSpec = field(default_factory=PatchSpec)
    normalize: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def feature_dim(self) -> int:
        """Length of a feature vector."""
        return FEATURE_DIM


@dataclass(frozen=True)
class NetworkFile:
    """A file that holds a whole network, graph and numbers; an engine reads it.

    Parameters
    ----------
    source : str
        What the user named.
    sha256 : str
        Of the file, followed by the files with its numbers, in the order of their names.
    path : Path
    format : "onnx" or "openvino"
    """

    source: str
    sha256: str
    path: Path
    format: str


def load(
    name: str | os.PathLike[str],
    *,
    offline: bool | None = None,
    cache_dir: str | Path | None = None,
) -> Weights | NetworkFile:
    """Load the weights that the user named.

    Parameters
    ----------
    name : str or path
        A file that exists; else `builtin:` or `untrained:` and a variant; else a name of the zoo.
    offline : bool, optional
        For a name of the zoo, as of `zoo.fetch`.
    cache_dir : path, optional
        For a name of the zoo, as of `zoo.fetch`.

    Returns
    -------
    Weights or NetworkFile
        The second for `.onnx` and OpenVINO files.

    Raises
    ------
    WeightsError
        There is no such file or name; the file cannot be fetched, read or trusted; it holds another network.
    """
    source = os.fspath(name)
    path = Path(source)
    if not source or not _is_there(path):  # an empty path is the working folder
        if source.startswith(UNTRAINED):
            return _untrained(source)
        if source.startswith(PREFIX):
            return _built_in(source)
        if source not in ZOO:
            raise WeightsError(_unknown(source))
        path = fetch(ZOO[source], offline=offline, cache_dir=cache_dir)
    kind = file_kind(path)
    if kind in ("onnx", "openvino"):
        return _network_file(source, path, kind)
    return _weights(source, path)


def save(
    path: str | os.PathLike[str],
    tensors: Mapping[str, np.ndarray],
    *,
    spec: PatchSpec,
    normalize: bool,
    metadata: Mapping[str, Any] | None = None,
    half: bool = False,
) -> None:
    """Write weights as safetensors, with all that `load` must know to use them; whole or not at all.

    Parameters
    ----------
    path : path
        Replaced if it exists.
    tensors : mapping of str to array
        All of an OSNet: float32, int64 for `*.num_batches_tracked`, as of `variants.tensor_shapes`.
    spec : PatchSpec
        What the network wants to see.
    normalize : bool
        Whether features are to be scaled to unit length.
    metadata : mapping, optional
        Whatever else is to be kept, fit for JSON.
    half : bool
        Round to float16, for a file of half the size; `load` widens it again.

    Raises
    ------
    WeightsError
        The tensors are not those of an OSNet, `half` has no room for one of them, or the file cannot be written.
    ValueError, TypeError
        `metadata` has a key that is written anyway, or is not fit for JSON.
    """
    path = Path(path)
    variant, num_classes, neck = detect_variant(str(path), tensors)
    fitted = fit_tensors(str(path), tensors, variant, num_classes, neck)
    ours = describe_network(variant, spec, normalize, neck)
    if taken := sorted(ours.keys() & (metadata or {}).keys()):
        raise ValueError(f"metadata must not hold {', '.join(taken)}: written anyway")
    write_checkpoint(path, _halved(path, fitted) if half else fitted, {**ours, **(metadata or {})})


def _halved(path, tensors):
    with np.errstate(over="ignore"):
        halved = {
            name: array.astype(np.float16) if array.dtype == np.float32 else array
            for name, array in tensors.items()
        }
    if past := [repr(name) for name, array in halved.items() if not np.isfinite(array).all()]:
        raise WeightsError(
            f"{path}: {', '.join(past[:3])} holds numbers past float16's range, in {len(past)} tensors"
        )
    return halved


def _is_there(path):
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last for a NUL in the name
        return False
    except OSError as error:
        raise WeightsError(f"cannot read {path!s:.200}: {error.strerror}") from error
    if not path.is_file():
        raise WeightsError(
            f"{path} is {'a folder' if path.is_dir() else 'no regular file'}, wanted a file of weights"
        )
    return True


def _unknown(source):
    if _FILE_NAME.search(source):
        return f"no file {source!r}"
    untrained = [UNTRAINED + variant for variant in VARIANTS]
    built_in = [PREFIX + variant for variant in BUILT_IN]
    close = difflib.get_close_matches(source, [*ZOO, *built_in, *untrained], n=1)
    meant = f" (did you mean {close[0]!r}?)" if close else ""
    return (
        f"no weights {source!r}: no such file, and no name of the zoo{meant}; the zoo has {', '.join(ZOO)}; "
        f"the package has {', '.join(built_in)}; {untrained[0]} and its like are by formula, for trying out"
    )


def _built_in(source):
    variant = source.removeprefix(PREFIX)
    if variant not in BUILT_IN:
        raise WeightsError(f"no built-in weights of {variant!r}; there are those of {', '.join(BUILT_IN)}")
    _log.info(
        "built-in weights, trained on drawn people; better ones for real people are those trained on photographs, "
        "such as osnet_x1_0_msmt17, or your own by osnet-train"
    )
    return _weights(source, built_in_file(variant))


def _untrained(source):
    variant = source.removeprefix(UNTRAINED)
    if variant not in VARIANTS:
        raise WeightsError(f"no OSNet variant {variant!r}; there are {', '.join(VARIANTS)}")
    _log.warning("weights by formula, not trained: the features tell nobody apart; for trying out only")
    tensors = formula_tensors(variant)
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(f"{name} {tensor.dtype} {tensor.shape}\n".encode())
        digest.update(tensor.tobytes())
    return _say(Weights(source, digest.hexdigest(), variant, tensors))


def _weights(source, path):
    sha256 = file_sha256(path)
    found, metadata = read_checkpoint(path)
    variant, num_classes, neck = detect_variant(source, found)
    tensors = fit_tensors(source, found, variant, num_classes, neck)
    spec, normalize = PatchSpec(), False
    if metadata:
        _, spec, normalize = read_description(source, metadata, variant, neck)
    return _say(Weights(source, sha256, variant, tensors, num_classes, neck, spec, normalize, metadata))


def _say(weights):
    _log.info(
        "weights %s: %s, %d tensors, %d classes, sha256 %s",
        weights.source, weights.variant, len(weights.tensors), weights.num_classes, weights.sha256,
    )  # fmt: skip
    return weights


def _network_file(source, path, kind):
    sha256 = file_sha256(path, *files_beside(path, kind))
    _log.info("weights %s: a network of format %s, sha256 %s", source, kind, sha256)
    return NetworkFile(source, sha256, path, kind)
