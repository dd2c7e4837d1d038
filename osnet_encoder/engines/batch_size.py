"""How many patches a call on the CPU does best with."""

from ..variants import find_variant

__all__ = ["batch_in_cache"]

# Bytes, with some room: cores of servers and laptops have 1 to 2 MiB of their own, and share more.
_CACHE = 4 * 2**20

_MOST = 8


def batch_in_cache(variant, spec):
    """Choose so many that what one layer hands to the next stays in a core's own cache.

    Instance norms read it twice, so for the wide networks a batch of 8 is a tenth slower than one of 2; the
    thin ones gain from fewer calls.

    Parameters
    ----------
    variant : str
        One of `variants.VARIANTS`.
    spec : PatchSpec

    Returns
    -------
    int
        1 to 8.
    """
    stem, stage = find_variant(variant).channels[:2]
    pixels = spec.height * spec.width
    # bytes of float32 a patch, behind the stem or conv2
    largest = 4 * max(stem * pixels // 4, stage * pixels // 16)
    return min(max(_CACHE // largest, 1), _MOST)
