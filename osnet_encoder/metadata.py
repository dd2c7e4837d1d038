"""What this project notes in the files that it writes: the key, and what networks say of themselves under it."""

from dataclasses import asdict

from .errors import WeightsError
from .patches import PatchSpec

__all__ = ["METADATA_KEY", "describe_network", "read_description"]

# Under which safetensors, ONNX and Parquet files keep our JSON.
METADATA_KEY = "osnet_encoder"

# A file of a later format is refused, since it may mean what is not known here.
_FORMAT = 1


def describe_network(variant, spec, normalize, neck):
    """Note what a caller must know to use a network.

    Parameters
    ----------
    variant : str
        One of `variants.VARIANTS`.
    spec : PatchSpec
    normalize : bool
        Whether features are to be scaled to unit length.
    neck : bool
        Whether the feature vector is taken behind the BN-neck.

    Returns
    -------
    description : dict
        Fit for JSON.
    """
    return {
        "format": _FORMAT,
        "variant": variant,
        "patch": asdict(spec),
        "normalize": normalize,
        "features": "neck" if neck else "fc",
    }


def read_description(source, description, variant=None, neck=None):
    """Read such a note back; what the network itself contradicts is refused.

    Parameters
    ----------
    source : str
        The file, for messages.
    description : dict
        As of `describe_network`.
    variant : str, optional
    neck : bool, optional
        As the tensors tell, where there are tensors to tell it.

    Returns
    -------
    variant : str
    spec : PatchSpec
    normalize : bool

    Raises
    ------
    WeightsError
        The note is of another format, lacks something, or contradicts the tensors.
    """
    if description.get("format") != _FORMAT:
        raise WeightsError(f"{source}: metadata of format {description.get('format')!r:.100}, wanted {_FORMAT}")
    told = {"variant": variant, "features": None if neck is None else "neck" if neck else "fc"}
    for key, tensors_say in told.items():
        if tensors_say is not None and description.get(key) != tensors_say:
            raise WeightsError(
                f"{source}: the metadata says {key} {description.get(key)!r:.100}, the tensors say {tensors_say!r}"
            )
    normalize, patch = description.get("normalize"), description.get("patch")
    if not isinstance(normalize, bool):
        raise WeightsError(f"{source}: the metadata says normalize {normalize!r:.100}, wanted true or false")
    whole = isinstance(patch, dict) and patch.keys() == asdict(PatchSpec()).keys()
    if not whole or any(type(patch[side]) is not int for side in ("height", "width")):
        raise WeightsError(f"{source}: the metadata says patch {patch!r:.200}, wanted a PatchSpec in whole pixels")
    try:
        return str(description.get("variant")), PatchSpec(**patch), normalize
    except (TypeError, ValueError, OverflowError) as error:
        raise WeightsError(f"{source}: the metadata says no patch that can be used: {error}") from error
