"""A person's clothes and head as textures: what is drawn where, unrolled.

A texture is float32 (3, V, U), RGB planes, 0 to 1. Rows go from a part's start to its end; columns go once around
it, with the middle column in front and the first and last at the back, rising towards the person's left.
"""

from functools import lru_cache
from types import SimpleNamespace

import numpy as np
from PIL import Image

from .person import Garment, Person

__all__ = ["U", "V", "textures", "weave"]

V, U = 80, 128  # U is a power of two: columns wrap around by a mask
ROWS = ((np.arange(V, dtype=np.float32) + 0.5) / V)[:, None]
COLUMNS = ((np.arange(U, dtype=np.float32) + 0.5) / U)[None, :]
FRONT = np.abs(COLUMNS - 0.5)  # 0 in front, 0.5 at the back


@lru_cache(maxsize=64)  # 1.2 MB each
def textures(person: Person) -> SimpleNamespace:
    """Everything that a person's parts are covered with.

    Parameters
    ----------
    person : Person

    Returns
    -------
    textures : namespace of float32 (3, V, U) arrays, RGB, 0 to 1
        `top`, `sleeve`, `bottom`, `head`, `skin`, `hair`, `hat`, `shoe`, `bag`, `scarf`. Kept from call
        to call: read only.
    """
    return SimpleNamespace(
        top=_top(person),
        sleeve=_sleeve(person),
        bottom=_bottom(person),
        head=_head(person),
        skin=_plain(person.skin),
        hair=_plain(person.hair_color),
        hat=_plain(person.hat_color),
        shoe=_shoe(person),
        bag=_bag(person),
        scarf=_plain(person.scarf or person.top.second),
    )


def weave(garment: Garment, height: float = 0.4) -> np.ndarray:
    """Cover one part with a garment's pattern.

    Parameters
    ----------
    garment : Garment
    height : float
        Length of the part in body heights, so that a stripe is as wide on a coat as on a shirt.

    Returns
    -------
    texture : float32, (3, V, U)
        RGB, 0 to 1.
    """
    rng = np.random.default_rng(garment.seed)
    texture = _plain(garment.color)
    if garment.pattern in ("plain", "logo"):
        return texture
    down = ROWS * height
    mask: np.ndarray  # where the second colour is, or how much of it
    if garment.pattern == "two-tone":
        cut = rng.uniform(0.12, 0.3)
        mask = down < cut if rng.random() < 0.5 else down > cut
    elif garment.pattern == "stripes":
        period = 0.012 + 0.05 * garment.scale**2
        mask = down % period < period * rng.uniform(0.25, 0.6)
    elif garment.pattern == "vertical":
        count = round(26 - 16 * garment.scale)
        mask = count * COLUMNS % 1 < rng.uniform(0.15, 0.45)
    elif garment.pattern == "checks":
        period = 0.02 + 0.04 * garment.scale
        across, along = COLUMNS * round(0.6 / period) % 1 < 0.45, down % period < period * 0.45
        mask = np.add(across, along, dtype=np.float32) / 2
    elif garment.pattern == "plaid":  # broad bands and thin lines, each way
        period = 0.035 + 0.05 * garment.scale
        turns, falls = COLUMNS * round(0.6 / period) % 1, down / period % 1
        band, line = rng.uniform(0.3, 0.6), rng.uniform(0.06, 0.14)
        mask = 0.3 * (turns < band) + 0.3 * (falls < band)
        mask = mask + 0.4 * ((np.abs(turns - 0.8) < line) | (np.abs(falls - 0.8) < line))
    elif garment.pattern == "blotches":
        tall, wide = int(3 + 5 * (1 - garment.scale)), int(4 + 8 * (1 - garment.scale))
        small = Image.fromarray(np.tile(rng.normal(0, 1, (tall, wide)).astype(np.float32), (1, 3)))
        noise = np.asarray(small.resize((3 * U, V), Image.Resampling.BICUBIC))[:, U : 2 * U]
        mask = noise > rng.normal(0.2, 0.3)
    else:  # print: spots of one size, anywhere
        tall = int(2 + 5 * garment.scale)
        spots = rng.random((V // tall + 1, U // 8 * 2)) < rng.uniform(0.12, 0.4)
        mask = np.kron(spots, np.ones((tall, 4)))[:V]
    return texture + mask.astype(np.float32) * (_planes(garment.second) - texture)


def _plain(color):
    return np.full((3, V, U), _planes(color), np.float32)


def _planes(color):
    return np.array(color, np.float32).reshape(3, 1, 1)


def _put(texture, mask, color):
    np.copyto(texture, _planes(color), where=mask)


def _top(person):
    garment = person.top
    length = 0.86 - person.hem
    texture = weave(garment, length)
    rng = np.random.default_rng(garment.seed + 1)
    down = ROWS * length
    if garment.pattern == "logo":
        _logo(texture, rng, garment.second, down)
    neck = np.array(garment.color) * 0.75
    if person.opening > 0:
        inner = weave(person.inner, length)
        gap = person.opening * (0.6 + 0.6 * ROWS)
        texture = np.where(gap > FRONT, inner, texture)
        _put(texture, np.abs(FRONT - gap) < 0.008, neck)
    elif garment.kind in ("jacket", "coat", "hoodie", "shirt"):
        _put(texture, FRONT < 0.006, neck)
    cut = rng.uniform(0.02, 0.07) if garment.kind in ("t-shirt", "tank top", "dress", "long sleeve") else 0.03
    _put(texture, FRONT + down * 1.4 < cut + 0.04, person.skin)
    if garment.kind == "dress":
        _put(texture, np.abs(down - 0.26) < 0.008, garment.second)
    if person.bag.kind == "backpack":
        _put(texture, (np.abs(FRONT - 0.115) < 0.02) & (down < 0.24), np.array(person.bag.color) * 0.8)
    if person.bag.kind == "shoulder bag":
        # a strap lies in a slanted plane: high on one shoulder, low on the other hip
        height = 0.19 + 0.19 * person.bag.side * np.sin(2 * np.pi * (COLUMNS - 0.5))
        _put(texture, np.abs(down - height) < 0.012, np.array(person.bag.color) * 0.8)
    return texture


def _logo(texture, rng, color, down):
    """A print on the chest: a block, a disc, or lines that could be words."""
    middle, half = rng.uniform(0.12, 0.17), rng.uniform(0.025, 0.055)
    kind = rng.integers(3)
    rise, turn = (down - middle) / half, FRONT / (half * 1.9)
    if kind == 0:
        mask = (np.abs(rise) < 0.6) & (turn < 1)
    elif kind == 1:
        mask = rise**2 + turn**2 < 1
    else:
        mask = (np.abs(rise) < 0.8) & (turn < 1.2) & (rise * 1.5 % 1 < 0.55) & (COLUMNS * 57 % 1 < 0.8)
    _put(texture, mask, color)
    if rng.random() < 0.4:  # and the same on the back
        _put(texture, np.roll(np.broadcast_to(mask, (V, U)), U // 2, axis=1), color)


def _sleeve(person):
    garment = person.top
    if garment.pattern in ("stripes", "checks", "plaid", "print", "blotches", "vertical"):
        texture = weave(garment, 0.32)
    else:
        raglan = garment.pattern == "two-tone" and garment.seed % 2
        texture = _plain(garment.second if raglan else garment.color)
    if garment.kind in ("hoodie", "jacket") and garment.seed % 5 == 0:  # a stripe down the arm
        _put(texture, np.abs(COLUMNS - 0.25) < 0.04, garment.second)
    return texture


def _bottom(person):
    garment = person.bottom
    texture = weave(garment, 0.5)
    rng = np.random.default_rng(garment.seed)
    if garment.kind == "jeans" and rng.random() < 0.6:  # worn in front
        faded = np.exp(-((FRONT / 0.14) ** 2) - ((ROWS - 0.35) / 0.3) ** 2).astype(np.float32)
        texture += 0.16 * faded
    if garment.kind == "trousers" and rng.random() < 0.15:  # a stripe down the seam
        _put(texture, np.abs(FRONT - 0.25) < 0.03, garment.second)
    return texture


def _head(person):
    texture = _plain(person.skin)
    shade = np.array(person.skin)
    _put(texture, (np.abs(ROWS - 0.50) < 0.025) & (np.abs(FRONT - 0.07) < 0.025), shade * 0.55)  # eyes
    _put(
        texture,
        (np.abs(ROWS - 0.44) < 0.015) & (np.abs(FRONT - 0.07) < 0.045),
        0.5 * shade + 0.5 * np.array(person.hair_color),
    )
    _put(texture, (np.abs(ROWS - 0.64) < 0.02) & (FRONT < 0.02), shade * 0.8)  # nose
    _put(texture, (np.abs(ROWS - 0.78) < 0.02) & (FRONT < 0.05), shade * np.array([0.75, 0.5, 0.5]))
    if person.beard:
        _put(texture, (ROWS > 0.7) & (FRONT < 0.22) & (np.abs(ROWS - 0.78) > 0.02), person.hair_color)
    if person.glasses:
        _put(texture, (np.abs(ROWS - 0.50) < 0.045) & (FRONT < 0.12), shade * 0.45)
        _put(texture, (np.abs(ROWS - 0.50) < 0.03) & (np.abs(FRONT - 0.07) < 0.035), shade * 0.75)
        _put(texture, (np.abs(ROWS - 0.49) < 0.012) & (FRONT < 0.26), shade * 0.4)
    if person.mask:
        _put(texture, (ROWS > 0.58) & (FRONT < 0.17), (0.8, 0.85, 0.88))
    # the hairline: its height in front, at the ears, at the back
    front, ear, back = {
        "bald": (-1, -1, -1),
        "short": (0.24, 0.42, 0.72),
        "full": (0.32, 0.58, 0.86),
    }.get(person.hair, (0.28, 0.9, 1.2))
    line = np.interp(FRONT, [0.0, 0.11, 0.19, 0.27, 0.36, 0.5], [front, front + 0.03, ear, ear, back, back])
    if person.hair == "bob":
        line = np.interp(FRONT, [0.0, 0.1, 0.15, 0.5], [0.38, 0.38, 1.0, 1.2])
    _put(texture, line > ROWS, person.hair_color)
    if person.hat != "none":
        edge = 0.34 if person.hat == "beanie" else 0.3
        covered = (FRONT > 0.16) | (ROWS < 0.22) if person.hat == "hood" else edge > ROWS
        _put(texture, covered, person.hat_color)
    return texture


def _shoe(person):
    texture = _plain(person.shoes)
    if person.top.seed % 2:  # a pale sole
        _put(texture, FRONT > 0.3, (0.8, 0.8, 0.78))
    return texture


def _bag(person):
    texture = _plain(person.bag.color)
    trim = np.array(person.bag.color) * 0.6 + 0.05
    _put(texture, np.abs(ROWS - 0.45) < 0.03, trim)
    _put(texture, (np.abs(ROWS - 0.72) < 0.16) & (FRONT > 0.42), trim + 0.06)  # a pocket
    return texture
