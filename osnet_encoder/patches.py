"""Crops -> patches of the network's size.

`PatchSpec` is the one place that knows what a network wants to see: size, mean, std, colour order.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

__all__ = ["COLOR_ORDERS", "IMAGENET_MEAN", "IMAGENET_STD", "PatchSpec", "resize_into"]

COLOR_ORDERS = ("rgb", "bgr")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class PatchSpec:
    """What a network wants to see.

    Parameters
    ----------
    height, width : int
        Of a patch, in pixels; 256 x 128 for people, 112 x 112 for faces.
    mean, std : tuple of 3 floats
        In units of the full range: the network gets `(pixel / 255 - mean) / std`. In the network's own
        colour order.
    color_order : "rgb" or "bgr"
        The order of the network's input channels. A patch itself is RGB, always.

    Raises
    ------
    ValueError
        A size below 1, a std that is not above 0, a list of another length than 3, an unknown order.
    """

    height: int = 256
    width: int = 128
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    color_order: str = "rgb"

    def __post_init__(self):
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
            if len(getattr(self, name)) != 3 or not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name} must be 3 finite numbers, found {getattr(self, name)}")
        if min(self.std) <= 0:
            raise ValueError(f"std must be above 0, found {self.std}")
        if min(self.height, self.width) < 1:
            raise ValueError(f"patch size must be at least 1x1, found {self.height}x{self.width}")
        if self.color_order not in COLOR_ORDERS:
            raise ValueError(f"color order must be one of {COLOR_ORDERS}, found {self.color_order!r}")

    def scale_and_shift(self):
        """The same arithmetic on 0 to 255, as one multiplication and one addition a channel.

        Returns
        -------
        scale, shift : float32, (3,)
            In RGB order: `pixel * scale + shift` is what the network gets.
        """
        mean, std = np.array(self.mean), np.array(self.std)
        scale, shift = 1 / (255 * std), -mean / std
        flip = -1 if self.color_order == "bgr" else 1
        return scale[::flip].astype(np.float32), shift[::flip].astype(np.float32)


def resize_into(crop, patch, color_order="rgb"):
    """Resize a crop and write it into its place in a batch.

    Parameters
    ----------
    crop : uint8, (H, W, 3)
        Any size.
    patch : uint8, (height, width, 3)
        Written to: one patch of a preallocated batch, RGB.
    color_order : "rgb" or "bgr"
        How the crop is stored.

    Notes
    -----
    Source: Pillow's bilinear filter, which averages over an area where it shrinks; bit for bit what
    `Image.resize` gives, since other bilinear filters move the features more than half precision does.
    """
    height, width = patch.shape[:2]
    if crop.shape[:2] != (height, width):
        image = Image.fromarray(crop).resize((width, height), Image.Resampling.BILINEAR)
        crop = np.asarray(image)
    patch[:] = crop if color_order == "rgb" else crop[:, :, ::-1]
