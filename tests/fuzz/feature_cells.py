"""Feature cells: anything but a FeatureError, and anything but a vector of float32, is a finding."""

import struct
import zlib

import numpy as np

from osnet_encoder.errors import FeatureError
from osnet_encoder.features import decode_feature, stack_features

NUMBERS = struct.pack("<4f", 0, 0.5, 1e-20, -3e38)


def seeds():
    """Cells of every format; a first byte says what the rest is, as `check` has it."""
    texts = [
        "[0.0, 1e-20, -3]",
        "[NaN, Infinity, null, true]",
        "[[1], {}]",
        "[1e39]",
        zlib.compress(NUMBERS).hex(),
    ]
    yield from (b"\0" + text.encode() for text in texts)
    yield b"\1" + zlib.compress(NUMBERS)
    yield b"\2" + NUMBERS


def check(data):
    """Read one cell: text as it is, or (1) a stream of zlib's as hex, or (2) bytes compressed and as hex."""
    kind, rest = data[:1], data[1:]
    if kind == b"\1":
        cell = rest.hex()
    elif kind == b"\2":
        cell = zlib.compress(rest).hex()
    else:
        cell = rest.decode("utf-8", "surrogateescape")
    try:
        vector = decode_feature(cell)
    except FeatureError:
        return
    assert vector.dtype == np.float32
    assert vector.ndim == 1 and vector.size
    assert np.array_equal(stack_features([None, cell])[1], vector, equal_nan=True)
