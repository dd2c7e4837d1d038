"""Weights by formula: the same numbers on every machine, for trying things out and for tests.

Untrained weights tell people apart hardly better than chance. They exist so that a first run needs no
download, and so that tests exercise every tensor with values that are neither 0 nor 1.
"""

import zlib

import numpy as np

from .variants import tensor_shapes

__all__ = ["formula_tensors"]


def formula_tensors(variant, num_classes=0, neck=False):
    """Fill every tensor of a variant from its name, by integer arithmetic alone.

    Parameters
    ----------
    variant : str
        One of `variants.VARIANTS`.
    num_classes : int
        Outputs of the classifier; 0 for none.
    neck : bool
        Whether a BN-neck follows the feature vector.

    Returns
    -------
    tensors : dict of str to array
        As of `variants.tensor_shapes`. The spread of a kernel falls with the number of its inputs, so that
        the signal keeps its size through the network.

    Raises
    ------
    ValueError
        There is no such variant.
    """
    shapes = tensor_shapes(variant, num_classes, neck)
    return {name: _fill(name, shape) for name, shape in shapes.items()}


def _fill(name, shape):
    if name.endswith("num_batches_tracked"):
        return np.array(1000, np.int64)
    noise = _noise(name, int(np.prod(shape))).reshape(shape)
    if len(shape) > 1:
        fan_in = int(np.prod(shape[1:]))
        return np.float32(np.sqrt(3 / fan_in)) * noise
    if name.endswith("running_var"):
        return 1 + np.float32(0.5) * noise
    if name.endswith("weight"):
        return 1 + np.float32(0.25) * noise
    return np.float32(0.1) * noise


def _noise(name, count):
    """float32, (count,): even over -1 to 1, in steps that float32 holds exactly.

    Notes
    -----
    Source: the output function of SplitMix64 (Steele, Lea and Flood, 2014).
    """
    start = np.uint64(zlib.crc32(name.encode())) << np.uint64(32)
    x = (np.arange(1, count + 1, dtype=np.uint64) + start) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return ((x >> np.uint64(41)).astype(np.int64) - 2**22).astype(np.float32) / np.float32(2**22)
