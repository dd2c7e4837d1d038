"""Bytes of image files: anything but a CropError, and anything but pixels, is a finding."""

import io

import numpy as np
from PIL import Image

from osnet_encoder.crops import Limits
from osnet_encoder.errors import CropError
from osnet_encoder.images import FORMATS, decode_image

# A fuzzer would spend its time on pictures as large as are allowed.
LIMITS = Limits(max_pixels=100_000)


def seeds():
    """One picture in every format and in modes that are turned into RGB."""
    pixels = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    for name in FORMATS:
        for mode in ("RGB", "L", "1", "P", "RGBA", "CMYK"):
            buffer = io.BytesIO()
            try:
                Image.fromarray(pixels).convert(mode).save(buffer, name)
            except OSError:  # not every format has every mode
                continue
            yield buffer.getvalue()


def check(data):
    """Decode one file."""
    try:
        crop = decode_image(data, LIMITS)
    except CropError as error:
        assert error.reason in ("bad_image", "too_large")
        return
    assert crop.dtype == np.uint8
    assert crop.ndim == 3 and crop.shape[2] == 3 and crop.size
