"""The weights that come with the package, as files beside this module; `builtin/README.md` says what they are."""

from pathlib import Path

__all__ = ["BUILT_IN", "DEFAULT_WEIGHTS", "PREFIX", "built_in_file"]

PREFIX = "builtin:"

# Variants that there are such weights of.
BUILT_IN = ("osnet_x0_25",)

# What is used where nothing is named.
DEFAULT_WEIGHTS = f"{PREFIX}{BUILT_IN[0]}"


def built_in_file(variant):
    """Where the weights of a variant are.

    Parameters
    ----------
    variant : str
        One of `BUILT_IN`.

    Returns
    -------
    path : Path
    """
    return Path(__file__).parent / "builtin" / f"{variant}.safetensors"
