"""What clothes are chosen from: colours, kinds and patterns, weighted as they are in the street."""

from dataclasses import dataclass

import numpy as np

__all__ = ["BOTTOMS", "CLOTH_RGB", "MIXED", "PATTERNS", "PLAIN", "TOPS", "Wardrobe"]

# name: (weight as a top, weight as a bottom, red, green, blue)
CLOTH = {
    "black": (34, 38, 28, 28, 32),
    "charcoal": (12, 14, 62, 63, 68),
    "grey": (11, 8, 132, 132, 134),
    "white": (15, 2, 226, 226, 224),
    "navy": (10, 10, 34, 42, 78),
    "denim": (4, 18, 66, 88, 124),
    "faded denim": (2, 6, 124, 146, 174),
    "blue": (5, 1, 48, 92, 172),
    "sky": (4, 1, 150, 186, 216),
    "teal": (3, 1, 40, 138, 140),
    "red": (6, 1, 178, 36, 42),
    "maroon": (3, 2, 98, 30, 42),
    "pink": (4, 1, 222, 150, 168),
    "purple": (2, 1, 100, 64, 128),
    "green": (3, 1, 46, 112, 72),
    "olive": (3, 4, 92, 94, 62),
    "khaki": (4, 6, 166, 148, 116),
    "cream": (4, 2, 222, 208, 178),
    "brown": (3, 5, 98, 68, 50),
    "yellow": (2, 0, 218, 184, 66),
    "orange": (1, 0, 214, 112, 48),
}
CLOTH_RGB = np.array([entry[2:] for entry in CLOTH.values()]) / 255
CLOTH_RGB += 0.18 * (
    CLOTH_RGB.mean(axis=1, keepdims=True) - CLOTH_RGB
)  # cloth in daylight is duller than its name
TOP_WEIGHTS = np.array([entry[0] for entry in CLOTH.values()], float)
BOTTOM_WEIGHTS = np.array([entry[1] for entry in CLOTH.values()], float)

TOPS = {  # kind: (weight, sleeve as a share of the arm, height of the hem, room around the body)
    "t-shirt": (30, 0.30, 0.475, 0.007),
    "tank top": (4, 0.0, 0.485, 0.004),
    "shirt": (12, 1.0, 0.470, 0.007),
    "long sleeve": (12, 1.0, 0.480, 0.006),
    "hoodie": (12, 1.0, 0.465, 0.015),
    "jacket": (17, 1.0, 0.470, 0.014),
    "coat": (7, 1.0, 0.330, 0.017),
    "dress": (6, 0.25, 0.310, 0.006),
}
BOTTOMS = {"trousers": 34, "jeans": 30, "leggings": 10, "shorts": 17, "skirt": 9}
PATTERNS = {
    "plain": 40,
    "stripes": 12,
    "vertical": 4,
    "checks": 8,
    "plaid": 8,
    "logo": 14,
    "print": 7,
    "blotches": 5,
    "two-tone": 8,
}
# of people in plain clothes: darker, greyer, with fewer patterns
PLAIN_TOPS = {"black": 34, "charcoal": 16, "grey": 14, "white": 18, "navy": 10, "denim": 3, "khaki": 2, "cream": 2}
PLAIN_BOTTOMS = {"black": 42, "charcoal": 16, "navy": 12, "denim": 14, "grey": 5, "faded denim": 3, "khaki": 5}
PLAIN_RARE = 0.25  # what is left of the weight of every other colour
PLAIN_PATTERNS = {"plain": 64, "stripes": 5, "plaid": 6, "checks": 2, "logo": 16, "print": 2, "two-tone": 5}


@dataclass(frozen=True)
class Wardrobe:
    """What clothes are chosen from.

    Parameters
    ----------
    tops, bottoms : float64, (len(CLOTH),)
        Weights of colours.
    patterns, hats : dict of str to float
        Weights by name.
    hair : tuple of 6 floats
        Shares of `HAIR`.
    contrast : float
        Least difference of a pattern's colours, summed over red, green and blue.
    """

    tops: np.ndarray
    bottoms: np.ndarray
    patterns: dict[str, float]
    hats: dict[str, float]
    hair: tuple[float, ...]
    contrast: float


MIXED = Wardrobe(
    TOP_WEIGHTS,
    BOTTOM_WEIGHTS,
    PATTERNS,
    {"none": 80, "cap": 11, "beanie": 5, "hood": 12},
    (0.56, 0.18, 0.10, 0.05, 0.04, 0.07),
    0.5,
)
PLAIN = Wardrobe(
    np.array([PLAIN_TOPS.get(name, PLAIN_RARE * CLOTH[name][0]) for name in CLOTH], float),
    np.array([PLAIN_BOTTOMS.get(name, PLAIN_RARE * CLOTH[name][1]) for name in CLOTH], float),
    PLAIN_PATTERNS,
    {"none": 94, "cap": 4, "beanie": 1, "hood": 4},
    (0.72, 0.16, 0.05, 0.02, 0.01, 0.04),
    0.25,
)
