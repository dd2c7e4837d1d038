"""Crop strings: anything but a CropError, and any crop that Python and JSON would not have read, is a finding."""

import ast
import json
import re
import zlib

import numpy as np

from osnet_encoder.crops import REASONS, decode_crop, encode_crop
from osnet_encoder.errors import CropError

PIXELS = np.arange(4 * 3 * 3, dtype=np.uint8).reshape(4, 3, 3)
CELL = encode_crop(PIXELS)
NUMPY = re.compile(r"np\.(?:u?int|float)(?:8|16|32|64)\(([^()]*)\)")


def seeds():
    """Cells of every spelling; a first byte says what the rest is, as `check` has it."""
    cells = [
        CELL,
        CELL.replace("'", '"'),
        CELL.replace("'width': 3, ", "").replace("}", ", 'width': 3, 'box': [1, (2.5e-3,), None]}"),
        CELL.replace("3", "np.int64(3)", 1),
        '{"a": [{"b": true}, "\\u0041\\n"], ' + CELL.replace("'", '"')[1:],
        "{'width': 99999999999999999999, 'height': -1, 'colors': 3.0, 'image': None}",
    ]
    yield from (b"\0" + cell.encode() for cell in cells)
    yield b"\1" + bytes([3, 4, 3]) + zlib.compress(PIXELS.tobytes())


def check(data):
    """Decode one cell: bytes and text as they are, or (1 first) a stream of zlib's in an otherwise sound cell."""
    cell = data[1:]
    if data[:1] == b"\1":
        width, height, colors = (*data[1:4], 1, 1, 1)[:3]
        image = data[4:].hex()
        cell = str({"width": width, "height": height, "colors": colors, "image": image}).encode()
    found = decoded(cell)
    try:
        text = cell.decode()
    except UnicodeDecodeError:
        assert found is None
        return
    again = decoded(text)
    assert (found is None) is (again is None)
    if again is None:
        return
    assert found.dtype == np.uint8 and found.shape[2] == 3
    assert np.array_equal(found, again)
    values = meaning(NUMPY.sub(r"\1", text))
    pixels = zlib.decompress(bytes.fromhex(values["image"]))
    stored = np.frombuffer(pixels, np.uint8).reshape(values["height"], values["width"], values["colors"])
    assert np.array_equal(found, np.broadcast_to(stored[:, :, :3], found.shape))


def decoded(cell):
    try:
        return decode_crop(cell)
    except CropError as error:
        assert error.reason in REASONS
        return None


def meaning(text):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return json.loads(text)
