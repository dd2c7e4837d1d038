"""Pictures for the tests: smooth, as real ones are, and the same every time."""

import numpy as np
from PIL import Image

__all__ = ["draw_crop", "draw_patches"]


def draw_crop(number, height=40, width=20):
    """uint8, (height, width, 3): a few soft blobs of colour, other ones for each number."""
    blobs = np.random.default_rng(number).integers(0, 256, (6, 3, 3), np.uint8)
    return np.asarray(Image.fromarray(blobs).resize((width, height), Image.Resampling.BICUBIC))


def draw_patches(count, height=256, width=128):
    """uint8, (count, height, width, 3)."""
    return np.stack([draw_crop(number, height, width) for number in range(count)])
