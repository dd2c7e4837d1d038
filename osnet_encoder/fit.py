"""Do these tensors make an OSNet, and which? Half a fit is no fit, and what does not fit is named."""

import re
from collections.abc import Mapping

import numpy as np

from .errors import WeightsError
from .variants import NECK, VARIANTS, tensor_shapes

__all__ = ["detect_variant", "fit_tensors"]

# Counters that a batch-norm keeps in training; files older than them lack them, and features do not need them.
_COUNTER = "num_batches_tracked"

# What tensors that do not fit may be from: a pattern that one of the names begins with.
_FAMILIES = (
    (r".*\bgate\.norm1\.", "an OSNet with LayerNorm in its gates, a different network under the same name"),
    (r"conv1\.0\.conv\.weight", "an OSNet whose stem is built otherwise, a different network under the same name"),
    (r"backbone\.", "a network of FastReID, whose OSNet is a different one under the same name"),
    (r"model\.", "a network that its trainer wrapped: there, write the tensors of the inner network alone"),
    (r"base\.", "a ResNet of the strong baseline for re-identification"),
    (r"layer1\.0\.conv1\.weight", "a ResNet"),
    (r"features\.denseblock1\.", "a DenseNet"),
    (r"features\.\d+\.", "a MobileNet or VGG"),
    (r"(patch_embed|cls_token|conv_proj|blocks\.0\.attn)", "a vision transformer"),
    (r"bottleneck\.", "a network with a bottleneck head of its own"),
)


def detect_variant(source: str, tensors: Mapping[str, np.ndarray]) -> tuple[str, int, bool]:
    """Tell which OSNet some tensors are of, from their names and shapes alone.

    Parameters
    ----------
    source : str
        What the user named, for messages.
    tensors : mapping of str to array, any shape

    Returns
    -------
    variant : str
        One of `variants.VARIANTS`.
    num_classes : int
        Outputs of the classifier; 0 where there is none.
    neck : bool
        Whether a BN-neck follows the feature vector.

    Raises
    ------
    WeightsError
        They are of no OSNet, or of none that is known.
    """
    stem = tensors.get("conv1.conv.weight")
    if stem is None:
        names = ", ".join(f"{name!r:.100}" for name in list(tensors)[:3])
        raise WeightsError(
            f"{source} holds no OSNet: no tensor 'conv1.conv.weight', found {names}{_family(tensors)}"
        )
    family = "plain" if "conv1.bn.running_mean" in tensors else "ibn"
    if "pool2.0.conv.weight" in tensors:
        family = "ain"
    classifier = tensors.get("classifier.weight")
    num_classes = len(classifier) if classifier is not None and classifier.ndim == 2 else 0
    neck = any(name.startswith(f"{NECK}.") for name in tensors)
    for variant in VARIANTS.values():
        if variant.family == family and stem.shape[:1] == variant.channels[:1]:
            return variant.name, num_classes, neck
    raise WeightsError(
        f"{source} holds no known OSNet: its stem has shape {stem.shape}, "
        f"which no variant of the {family} family has{_family(tensors)}"
    )


def fit_tensors(
    source: str, found: Mapping[str, np.ndarray], variant: str, num_classes: int, neck: bool
) -> dict[str, np.ndarray]:
    """Hold tensors against what a variant wants, each by name, shape and type.

    Parameters
    ----------
    source : str
        What the user named, for messages.
    found : mapping of str to array, any shape
    variant, num_classes, neck
        As of `detect_variant`.

    Returns
    -------
    tensors : dict of str to array
        As of `variants.tensor_shapes`, in that order: float32, int64 for `*.num_batches_tracked`; C order, finite.

    Raises
    ------
    WeightsError
        A tensor is missing, unexpected, of another shape or type, or not finite; says which, and what network
        they look like.
    """
    wanted = tensor_shapes(variant, num_classes, neck)
    types = {name: np.dtype(np.int64 if name.endswith(_COUNTER) else np.float32) for name in wanted}
    shared = [name for name in wanted if name in found]
    faults = {
        "missing": [repr(name) for name in wanted if name not in found and not name.endswith(_COUNTER)],
        "unexpected": [f"{name!r:.100}" for name in found if name not in wanted],
        "of another shape or type": [
            f"{name!r}: {found[name].dtype} {found[name].shape}, wanted {types[name]} {wanted[name]}"
            for name in shared
            if (found[name].shape, found[name].dtype) != (wanted[name], types[name])
        ],
    }
    if any(faults.values()):
        listed = "; ".join(f"{len(names)} {what} ({_first(names)})" for what, names in faults.items() if names)
        raise WeightsError(f"{source} does not fit {variant}: {listed}{_family(found)}")
    if rotten := [repr(name) for name in shared if not np.isfinite(found[name]).all()]:
        raise WeightsError(
            f"{source}: NaN or infinity in {len(rotten)} of {len(shared)} tensors ({_first(rotten)})"
        )
    return {name: np.asarray(found.get(name, np.zeros((), types[name])), order="C") for name in wanted}


def _first(names):
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _family(tensors):
    for pattern, what in _FAMILIES:
        if any(re.match(pattern, name) for name in tensors):
            return f"; it looks like {what}"
    return ""
