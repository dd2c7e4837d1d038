"""What stands behind the people: one wide picture for each camera, of which every crop shows a window."""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

__all__ = ["SCENE_SIZE", "scene"]

SCENE_SIZE = (720, 288)  # width, height; a person is about 200 high in it
GROUNDS = (
    (118, 118, 116),
    (150, 148, 142),
    (96, 98, 102),
    (162, 154, 140),
    (128, 108, 98),
    (98, 108, 82),
    (182, 182, 180),
)
WALLS = (
    (176, 174, 168),
    (132, 128, 122),
    (196, 186, 164),
    (112, 88, 76),
    (92, 104, 112),
    (70, 84, 62),
    (214, 214, 212),
    (60, 60, 64),
)
SIGNS = (
    (176, 40, 44),
    (40, 80, 150),
    (226, 220, 210),
    (230, 190, 60),
    (46, 108, 70),
    (30, 30, 34),
    (128, 130, 134),
)


@lru_cache(maxsize=64)
def scene(seed: int, horizon: float) -> Image.Image:
    """Draw the surroundings of one camera.

    Parameters
    ----------
    seed : int
    horizon : float
        Where the ground begins, from 0 (nothing but ground) to 1 (nothing but wall).

    Returns
    -------
    scene : PIL.Image.Image
        RGB, `SCENE_SIZE`. Kept from call to call: read only.
    """
    rng = np.random.default_rng(seed)
    width, height = SCENE_SIZE
    line = int(horizon * height)
    ground, wall = _vary(rng, GROUNDS[rng.integers(len(GROUNDS))]), _vary(rng, WALLS[rng.integers(len(WALLS))])
    picture = Image.new("RGB", SCENE_SIZE, ground)
    pen = ImageDraw.Draw(picture)
    _draw_ground(pen, rng, ground, line)
    if line > 8:
        pen.rectangle((0, 0, width, line), fill=wall)
        _draw_wall(pen, rng, wall, line)
        pen.line((0, line, width, line), fill=_times(wall, 0.5), width=int(rng.integers(1, 5)))
    _draw_things(pen, rng, line)
    picture = picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.2, 0.7))))
    return _roughen(picture, rng)


def _vary(rng, color):
    return tuple(
        int(value)
        for value in np.clip(np.array(color) * np.exp(rng.normal(-0.05, 0.18)) + rng.normal(0, 4, 3), 0, 255)
    )


def _times(color, factor):
    return tuple(int(min(255, value * factor)) for value in color)


def _draw_ground(pen, rng, ground, line):
    width, height = SCENE_SIZE
    kind = rng.integers(4)
    if kind == 0:  # tiles, closer together further off
        step = int(rng.integers(14, 50))
        for x in range(-width, 2 * width, step):
            pen.line((x, line, x + (x - width / 2) * 0.6, height), fill=_times(ground, 0.72))
        y = float(line)
        while y < height:
            pen.line((0, y, width, y), fill=_times(ground, 0.72))
            y += step * (0.25 + 0.6 * (y - line) / (height - line + 1))
    elif kind == 1:  # painted lines
        for _ in range(int(rng.integers(2, 6))):
            x, slant, wide = rng.integers(width), rng.normal(0, 120), rng.integers(3, 14)
            pen.line((x, line, x + slant, height), fill=_times(ground, 1.5), width=int(wide))
    for _ in range(int(rng.integers(2, 9))):  # patches of sun and shade
        x, y = rng.integers(width), rng.integers(line, height)
        corners = [(x + rng.normal(0, 70), y + rng.normal(0, 22)) for _ in range(4)]
        pen.polygon(corners, fill=_times(ground, rng.uniform(0.55, 1.4)))


def _draw_wall(pen, rng, wall, line):
    width = SCENE_SIZE[0]
    kind = rng.integers(5)
    if kind == 0:  # bricks or cladding
        step = int(rng.integers(5, 16))
        for y in range(0, line, step):
            pen.line((0, y, width, y), fill=_times(wall, 0.68))
    elif kind == 1:  # panels
        for x in range(0, width, int(rng.integers(5, 70))):
            pen.line((x, 0, x, line), fill=_times(wall, 0.5), width=int(rng.integers(1, 3)))
    elif kind == 2:  # windows and doors
        step = int(rng.integers(40, 110))
        for x in range(int(rng.integers(step)), width, step):
            glass = _times(wall, rng.uniform(0.35, 1.4))
            top, bottom = line * rng.uniform(0, 0.3), line * rng.uniform(0.6, 1)
            pen.rectangle(
                (x, top, x + step * rng.uniform(0.4, 0.85), bottom), fill=glass, outline=_times(wall, 0.6)
            )
    elif kind == 3:  # leaves
        for _ in range(260):
            x, y, r = rng.integers(width), rng.uniform(0, line), rng.uniform(3, 12)
            leaf = np.array((60, 84, 46)) * rng.uniform(0.4, 1.5)
            pen.ellipse((x - r, y - r, x + r, y + r), fill=_times(leaf, 1))
    else:  # a railing
        rail = _times(wall, rng.choice([0.35, 1.35]))
        for x in range(0, width, int(rng.integers(8, 26))):
            pen.line((x, line * 0.5, x, line), fill=rail, width=2)
        for share in (0.5, 0.75):
            pen.line((0, line * share, width, line * share), fill=rail, width=3)


def _draw_things(pen, rng, line):
    """Signs, posts, boxes and cars: what a colour histogram should not trust."""
    width, height = SCENE_SIZE
    for _ in range(int(rng.integers(8, 26))):
        color = _vary(rng, SIGNS[rng.integers(len(SIGNS))])
        x, kind = int(rng.integers(width)), rng.random()
        if kind < 0.35 and line > 30:  # a sign on the wall
            y, w, h = rng.uniform(0, line * 0.7), rng.uniform(10, 60), rng.uniform(8, 40)
            pen.rectangle((x, y, x + w, y + h), fill=color, outline=_times(color, 0.6))
        elif kind < 0.55:  # a post
            wide = int(rng.integers(2, 12))
            pen.rectangle((x, 0, x + wide, line + rng.uniform(5, 60)), fill=_times(color, 0.8))
        elif kind < 0.8:  # a box, bin or bench
            y, w, h = rng.uniform(line, height), rng.uniform(12, 60), rng.uniform(10, 55)
            pen.rectangle((x, y - h, x + w, y), fill=color)
            pen.rectangle((x, y - h, x + w, y - 0.8 * h), fill=_times(color, 1.25))
        elif kind < 0.87:  # a car
            y, w = rng.uniform(line + 4, line + 50), rng.uniform(90, 170)
            pen.rounded_rectangle((x, y - 0.22 * w, x + w, y), radius=8, fill=color)
            pen.rounded_rectangle(
                (x + 0.2 * w, y - 0.36 * w, x + 0.8 * w, y - 0.2 * w), radius=8, fill=(50, 56, 62)
            )
            for part in (0.2, 0.8):
                pen.ellipse(
                    (x + (part - 0.055) * w, y - 0.055 * w, x + (part + 0.055) * w, y + 0.055 * w),
                    fill=(22, 22, 24),
                )
        else:  # somebody far off
            y, h = rng.uniform(line, line + 40), rng.uniform(50, 110)
            pen.rounded_rectangle((x, y - h * 0.85, x + h * 0.26, y - h * 0.4), radius=5, fill=color)
            pen.rectangle((x + h * 0.04, y - h * 0.42, x + h * 0.22, y), fill=(46, 48, 58))
            pen.ellipse((x + h * 0.06, y - h, x + h * 0.2, y - h * 0.84), fill=(150, 112, 92))


def _roughen(picture, rng):
    """Grain and slow changes of light."""
    width, height = SCENE_SIZE
    pixels = np.asarray(picture, np.float32)
    slow = Image.fromarray(rng.normal(0, 1, (5, 11)).astype(np.float32)).resize(
        SCENE_SIZE, Image.Resampling.BICUBIC
    )
    coarse = Image.fromarray(rng.normal(0, 1, (height // 2, width // 2)).astype(np.float32)).resize(SCENE_SIZE)
    fine = rng.normal(0, 1, (height, width)).astype(np.float32)
    strength = rng.uniform(0.04, 0.3)  # from smooth plaster to granite and leaves
    factor = 1 + 0.13 * np.asarray(slow) + strength * (0.8 * np.asarray(coarse) + 0.5 * fine)
    return Image.fromarray(np.clip(pixels * np.maximum(factor, 0.1)[..., None], 0, 255).astype(np.uint8))
