"""Encoded images -> pixels: the other kinds of cell, a file path or the bytes of an image file."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from .crops import LIMITS
from .errors import CropError

__all__ = ["FORMATS", "decode_image", "read_image"]

# Pillow knows many more formats, some with decoders that are seldom tested; crops come in these.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "PPM")

# The modes that turn into 8-bit RGB without a choice that would be a guess (16-bit grey, say, has no one scale).
_MODES = frozenset(("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"))


def decode_image(cell, limits=LIMITS):
    """Turn the bytes of an image file into pixels.

    Parameters
    ----------
    cell : bytes-like
        A JPEG, PNG, WebP, BMP or PGM/PPM file.
    limits : Limits

    Returns
    -------
    crop : uint8, (H, W, 3)
        RGB, 0 to 255; alpha is dropped, grey repeated. Rotation noted in EXIF is not applied.

    Raises
    ------
    CropError
        `not_text`, `too_large` or `bad_image`.
    """
    if not isinstance(cell, (bytes, bytearray, memoryview)):
        raise CropError("not_text", f"found {type(cell).__name__}, wanted the bytes of an image file")
    if len(cell) > limits.max_hex:
        raise CropError("too_large", f"{len(cell)} bytes, limit {limits.max_hex}")
    try:
        with Image.open(io.BytesIO(cell), formats=FORMATS) as image:
            return _pixels(image, limits)
    except CropError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise CropError("too_large", f"not decoded: {str(error)[:200]}") from error
    except UnidentifiedImageError as error:  # whose own text holds an address, another one in every run
        raise CropError("bad_image", f"not decoded: no {', '.join(FORMATS[:-1])} or {FORMATS[-1]}") from error
    # Pillow's decoders raise whatever the damage led them to.
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError) as error:
        raise CropError("bad_image", f"not decoded: {str(error)[:200]}") from error


def read_image(cell, root=None, limits=LIMITS):
    """Read the image file that a cell names.

    Parameters
    ----------
    cell : str or bytes-like
        A path, absolute or relative to `root`; bytes are UTF-8.
    root : str or path, optional
        The working folder if left out.
    limits : Limits

    Returns
    -------
    crop : uint8, (H, W, 3)
        RGB, as of `decode_image`.

    Raises
    ------
    CropError
        `not_text`, `missing_file`, `too_large` or `bad_image`.
    """
    if not isinstance(cell, (str, bytes, bytearray, memoryview)):
        raise CropError("not_text", f"found {type(cell).__name__}, wanted a path")
    name = cell if isinstance(cell, str) else str(cell, "utf-8", errors="surrogateescape")
    path = Path(root or ".") / name
    try:
        if not path.is_file():  # a pipe or a device would never end
            raise CropError("missing_file", f"no file {name!r} under {str(root or '.')!r}")
        if path.stat().st_size > limits.max_hex:
            raise CropError("too_large", f"{name!r} has {path.stat().st_size} bytes, limit {limits.max_hex}")
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, CropError):
            raise
        raise CropError("missing_file", f"cannot read {name[:200]!r}: {error}") from error
    return decode_image(data, limits)


def _pixels(image, limits):
    if image.width * image.height > limits.max_pixels:
        raise CropError("too_large", f"{image.width}x{image.height} pixels, limit {limits.max_pixels}")
    if image.mode not in _MODES:
        raise CropError("bad_image", f"pixels of mode {image.mode!r}, wanted 8 bits a channel")
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
