"""Crop strings <-> pixels: the text in a cell, bounded, checked, and never evaluated.

A crop string is the text of a Python dict (or the same as JSON)::

    {'width': 64, 'height': 128, 'colors': 3, 'image': '789c...'}

whose `image` is the zlib-compressed `uint8` pixels in C order, `(height, width, colors)`, as hex.

Notes
-----
Source: the column format of the first OSNet dataframe encoder, which this project keeps.
"""

import binascii
import re
import zlib
from dataclasses import dataclass

import numpy as np

from .crop_grammar import parse_crop_string
from .errors import CropError
from .inflate import inflate
from .missing import is_missing

__all__ = [
    "LIMITS",
    "REASONS",
    "Limits",
    "as_crop",
    "compress_bytes_image",
    "decode_crop",
    "encode_crop",
    "looks_like_crop_string",
    "uncompress_string_image",
]

REASONS = {
    "not_text": "the cell is neither text nor bytes",
    "not_a_dict": "the text is no dict of Python or JSON",
    "missing_key": "one of width, height, colors, image is missing",
    "repeated_key": "a key stands twice",
    "bad_size": "width or height is no whole number above 0",
    "bad_colors": "colors is not 1, 3 or 4",
    "too_large": "more hex, bytes or pixels than the limits allow",
    "bad_hex": "the image is no text of hex digits, two a byte",
    "bad_zlib": "the bytes are no zlib stream, or a damaged or cut one",
    "wrong_length": "the stream holds more or fewer bytes than width x height x colors",
    "trailing_data": "bytes follow the zlib stream",
    "bad_array": "an array that is no uint8 picture",
    "missing_file": "no file at the path in the cell",
    "bad_image": "a file or bytes that Pillow cannot decode to 8-bit pixels",
}


@dataclass(frozen=True)
class Limits:
    """How large one cell may be before it is called broken.

    Parameters
    ----------
    max_hex : int
        Hex digits of a crop string, and bytes of an encoded image.
    max_pixels : int
        Width times height.
    """

    max_hex: int = 32 * 2**20
    max_pixels: int = 16_000_000


LIMITS = Limits()

# Room for the keys, and for what else a detector writes beside them, on top of `max_hex`.
_ROOM_FOR_KEYS = 2**16

# The usual spelling, up to the first hex digit. Anything else goes to the grammar.
_B = rb"[ \t\r\n]*"
_INT = rb"(0|[1-9][0-9]{0,8})"
_USUAL = re.compile(
    rb"[ \t]*\{" + _B + rb"(['\"])width\1" + _B + b":" + _B + _INT + _B + b"," + _B
    + rb"\1height\1" + _B + b":" + _B + _INT + _B + b"," + _B
    + rb"\1colors\1" + _B + b":" + _B + _INT + _B + b"," + _B
    + rb"\1image\1" + _B + b":" + _B + rb"\1"
)  # fmt: skip


def decode_crop(cell, limits=LIMITS):
    """Turn a crop string into pixels.

    Parameters
    ----------
    cell : str or bytes-like
        A crop string; bytes are UTF-8. Not missing: see `is_missing`.
    limits : Limits

    Returns
    -------
    crop : uint8, (H, W, 3)
        In the colour order in which it was stored, 0 to 255; may be read-only. Grey is repeated to three
        channels, a fourth channel (alpha) is dropped.

    Raises
    ------
    CropError
        With one of `REASONS`.
    """
    text = _as_bytes(cell)
    if len(text) > limits.max_hex + _ROOM_FOR_KEYS:
        raise CropError("too_large", f"{len(text)} characters, limit {limits.max_hex + _ROOM_FOR_KEYS}")
    width, height, colors, packed = _read_usual(text, limits) or _read_any(text, limits)
    pixels = np.frombuffer(inflate(packed, width * height * colors), np.uint8)
    return _channels(pixels.reshape(height, width, colors))


def encode_crop(crop):
    """Turn pixels into a crop string, the inverse of `decode_crop`.

    Parameters
    ----------
    crop : uint8, (H, W, 3), (H, W, 4), (H, W, 1) or (H, W)

    Returns
    -------
    cell : str

    Raises
    ------
    ValueError
        The array has another dtype or shape.
    """
    crop = np.asarray(crop)
    _check_array(crop, ValueError)
    height, width, colors = (*crop.shape, 1)[:3]
    return compress_bytes_image(np.ascontiguousarray(crop).data, width, height, colors)


def compress_bytes_image(cropped_image, image_width, image_height, colors):
    """Turn raw pixels into a crop string, under the original's name and argument names.

    Parameters
    ----------
    cropped_image : bytes-like
        `image_height * image_width * colors` bytes in C order.
    image_width, image_height : int
        In pixels.
    colors : int
        1, 3 or 4.

    Returns
    -------
    cell : str

    Raises
    ------
    ValueError
        The bytes are not as many as the sizes say.
    """
    width, height, colors = int(image_width), int(image_height), int(colors)
    found = memoryview(cropped_image).nbytes
    if min(width, height) < 1 or colors not in (1, 3, 4) or found != width * height * colors:
        raise ValueError(f"{found} bytes do not make {width}x{height} pixels of {colors} colors")
    image = zlib.compress(cropped_image).hex()
    return str({"width": width, "height": height, "colors": colors, "image": image})


def uncompress_string_image(compresed_cropped_image):
    """Turn a cell into pixels, under the original's name and (so spelled) argument name.

    Parameters
    ----------
    compresed_cropped_image : str, bytes or any missing value

    Returns
    -------
    crop : uint8, (H, W, 3), or None
        None where the cell is missing.

    Raises
    ------
    CropError
        The cell is broken.
    """
    return None if is_missing(compresed_cropped_image) else decode_crop(compresed_cropped_image)


def as_crop(array):
    """Check an array that is said to hold a crop, and give it three channels.

    Parameters
    ----------
    array : uint8, (H, W, 3), (H, W, 4), (H, W, 1) or (H, W)

    Returns
    -------
    crop : uint8, (H, W, 3)

    Raises
    ------
    CropError
        `bad_array`.
    """
    _check_array(array, lambda detail: CropError("bad_array", detail))
    return _channels(array if array.ndim == 3 else array[:, :, None])


def looks_like_crop_string(cell):
    """Whether a cell opens like a crop string; a guess at columns, not a check.

    Parameters
    ----------
    cell : str or bytes-like

    Returns
    -------
    bool
    """
    start = bytes(cell[:4096]) if not isinstance(cell, str) else cell[:4096].encode(errors="replace")
    return start.lstrip().startswith(b"{") and b"width" in start and b"height" in start


def _as_bytes(cell):
    if isinstance(cell, str):
        try:
            return cell.encode()
        except UnicodeEncodeError as error:
            raise CropError("not_a_dict", "the text cannot be written as UTF-8") from error
    if isinstance(cell, (bytes, bytearray, memoryview)):
        return cell
    raise CropError("not_text", f"found {type(cell).__name__}, wanted a crop string")


def _read_usual(text, limits):
    """Width, height, colors and packed pixels, or None where the grammar must look more closely."""
    match = _USUAL.match(text)
    if match is None or bytes(text[-2:]) != match[1] + b"}":
        return None
    width, height, colors = int(match[2]), int(match[3]), int(match[4])
    _check_size(width, height, colors, limits)
    try:
        return width, height, colors, binascii.unhexlify(memoryview(text)[match.end() : -2])
    except ValueError:
        return None  # not hex, or other keys follow


def _read_any(text, limits):
    try:
        values = parse_crop_string(str(text, "utf-8"))
    except UnicodeDecodeError as error:
        raise CropError("not_a_dict", "the bytes are not UTF-8") from error
    width, height, colors = values["width"], values["height"], values["colors"]
    _check_size(width, height, colors, limits)
    image = values["image"]
    if image is None:
        raise CropError("bad_hex", "image is not text")
    try:
        return width, height, colors, binascii.unhexlify(image)
    except ValueError as error:
        raise CropError("bad_hex", f"image is no hex, {str(error).lower()}") from error


def _check_size(width, height, colors, limits):
    if width is None or height is None or width < 1 or height < 1:
        raise CropError("bad_size", "width and height must be whole numbers above 0")
    if colors not in (1, 3, 4):
        raise CropError("bad_colors", "colors must be 1, 3 or 4")
    if width * height > limits.max_pixels:
        raise CropError("too_large", f"{width}x{height} pixels, limit {limits.max_pixels}")


def _channels(pixels):
    colors = pixels.shape[2]
    if colors == 3:
        return pixels
    return np.repeat(pixels, 3, axis=2) if colors == 1 else np.ascontiguousarray(pixels[:, :, :3])


def _check_array(array, error):
    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if array.dtype != np.uint8 or not fits or array.size == 0:
        raise error(f"found {array.dtype} {array.shape}, wanted uint8 (H, W, 3)")
