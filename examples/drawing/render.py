"""Parts in body space -> pixels: look at them from somewhere, then paint them from far to near.

Every part is a tube, so a pixel's place along and across it says which point of its texture it shows and how
squarely that point faces the light. No polygons and no supersampling: a tube's edge fades over one pixel.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from .body import Part
from .fabric import U, V

__all__ = ["Light", "Outline", "View", "outline", "paint", "project"]

SAMPLES = 48  # of a tube's half-width along its axis
SAMPLE_PLACES = (np.arange(SAMPLES) + 0.5) / SAMPLES
KNOTS = {count: np.linspace(0, 1, count) for count in range(2, 16)}
STEPS = 256  # across a tube, from one edge to the other
STEP_ACROSS = np.linspace(-1, 1, STEPS)
STEP_TOWARDS = np.sqrt(1 - STEP_ACROSS**2)
COLUMN_OF_STEP = np.round(np.arcsin(STEP_ACROSS) * (U / (2 * np.pi))).astype(np.intp)


@dataclass(frozen=True)
class View:
    """Where a person is seen from.

    Parameters
    ----------
    yaw : float
        Radians; 0 sees the face, pi the back, pi / 2 the person walking to the picture's right.
    pitch : float
        Radians that the camera looks down.
    distance : float
        In body heights; small is a strong perspective.
    """

    yaw: float
    pitch: float
    distance: float


@dataclass(frozen=True)
class Light:
    """`direction` towards the light (right, down, to the camera), unit length; `ambient` 0 (hard) to 1 (flat)."""

    direction: tuple[float, float, float]
    ambient: float


class Outline(NamedTuple):
    """A part, seen: places in body heights, x to the right and y down from the middle of the person."""

    nearness: float
    start: np.ndarray
    end: np.ndarray
    widths: np.ndarray
    caps: tuple[float, float]
    texture: np.ndarray
    facing: float


def project(parts: list[Part], view: View) -> list[Outline]:
    """See the parts in perspective.

    Returns
    -------
    outlines : list of Outline
        From far to near.
    """
    cos_yaw, sin_yaw = np.cos(view.yaw), np.sin(view.yaw)
    cos_pitch, sin_pitch = np.cos(view.pitch), np.sin(view.pitch)
    ends = np.array([(part.start, part.end) for part in parts]) - [0, 0.5, 0]
    right = ends[..., 0] * cos_yaw + ends[..., 2] * sin_yaw
    towards = ends[..., 2] * cos_yaw - ends[..., 0] * sin_yaw
    rise = ends[..., 1] * cos_pitch - towards * sin_pitch
    near = ends[..., 1] * sin_pitch + towards * cos_pitch
    scale = view.distance / (view.distance - near)
    flat = np.stack([right * scale, -rise * scale], axis=-1)
    zooms, nearnesses = scale.mean(axis=1).tolist(), towards.mean(axis=1).tolist()
    outlines = []
    for part, (start, end), zoom, nearness in zip(parts, flat, zooms, nearnesses, strict=True):
        # a turned ellipse stays one: this is its half-width, and the texture's column that faces the camera
        cos_turn, sin_turn = math.cos(view.yaw + part.turn), math.sin(view.yaw + part.turn)
        widths = np.hypot(part.front * cos_turn, part.side * sin_turn)
        middle = len(part.front) // 2
        facing = math.atan2(part.side[middle] * sin_turn, part.front[middle] * cos_turn) / (2 * math.pi)
        caps = (part.caps[0] * zoom, part.caps[1] * zoom)
        outlines.append(Outline(nearness + part.lift, start, end, widths * zoom, caps, part.texture, 0.5 - facing))
    return sorted(outlines, key=lambda seen: seen.nearness)


def outline(outlines: list[Outline]) -> tuple[float, float, float, float]:
    """The box around everything seen: left, top, right, bottom, in body heights."""
    wide = np.array([seen.widths.max() for seen in outlines])
    caps = np.array([max(seen.caps) for seen in outlines])
    ends = np.array([(seen.start, seen.end) for seen in outlines])
    low, high = ends.min(axis=1), ends.max(axis=1)
    # most tubes stand upright: they are as wide as they are, but no longer than their caps
    left, right = (low[:, 0] - wide).min(), (high[:, 0] + wide).max()
    top, bottom = (low[:, 1] - caps).min(), (high[:, 1] + caps).max()
    return float(left), float(top), float(right), float(bottom)


def paint(
    canvas: np.ndarray,
    outlines: list[Outline],
    scale: float,
    middle: tuple[float, float],
    light: Light,
    rng: np.random.Generator,
) -> None:
    """Paint a person into a picture.

    Parameters
    ----------
    canvas : float32, (3, H, W)
        RGB, 0 to 1; changed in place.
    outlines : list of Outline
        From far to near.
    scale : float
        Pixels in one body height.
    middle : tuple of 2 floats
        Where the person's middle falls, pixels from the left and the top.
    light : Light
    rng : numpy.random.Generator
        Chooses how the cloth folds.
    """
    offsets = rng.integers(0, U, len(outlines)).tolist()
    for seen, offset in zip(outlines, offsets, strict=True):
        _paint_tube(canvas, seen, scale, middle, light, offset)


def _paint_tube(canvas, seen, scale, middle, light, offset):
    height, width = canvas.shape[1:]
    (x0, y0), (x1, y1) = seen.start * scale + middle, seen.end * scale + middle
    widest = seen.widths.max() * scale
    cap0, cap1 = (max(cap * scale, 0.5) for cap in seen.caps)
    length = max(np.hypot(x1 - x0, y1 - y0), 0.5)
    along_x, along_y = ((x1 - x0) / length, (y1 - y0) / length) if length > 0.5 else (0.0, 1.0)
    # how far the tube reaches from its axis to the sides and up and down
    out_x = widest * abs(along_y) + max(cap0, cap1) * abs(along_x) + 1
    out_y = widest * abs(along_x) + max(cap0, cap1) * abs(along_y) + 1
    left, right = max(0, int(min(x0, x1) - out_x)), min(width, int(max(x0, x1) + out_x) + 1)
    top, bottom = max(0, int(min(y0, y1) - out_y)), min(height, int(max(y0, y1) + out_y) + 1)
    if left >= right or top >= bottom:
        return
    xs = np.arange(left, right, dtype=np.float32) + np.float32(0.5 - x0)
    ys = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5 - y0)
    along = xs * np.float32(along_x) + ys * np.float32(along_y)
    across = xs * np.float32(along_y) - ys * np.float32(along_x)
    place = (along + np.float32(cap0)) * np.float32(SAMPLES / (length + cap0 + cap1)) + np.float32(1)
    half = _half_widths(seen.widths * scale, length, cap0, cap1).take(place.astype(np.intp), mode="clip")
    alpha = half - np.abs(across) + np.float32(0.5)
    np.minimum(np.maximum(alpha, 0, out=alpha), 1, out=alpha)

    across /= np.maximum(half, np.float32(0.5))
    to_right = light.direction[0] * along_y - light.direction[1] * along_x
    fold_row = (along * np.float32(220 / scale)).astype(np.intp) + offset
    color = _surface(seen, along * np.float32(V / length), across, fold_row, to_right, light)
    area = canvas[:, top:bottom, left:right]
    color -= area
    color *= alpha
    area += color


def _surface(seen, row, across, fold_row, to_right, light):
    """The lit colours of a tube: `across` it from -1 to 1, the texture's `row`, light from `to_right`."""
    step = (across * np.float32(STEPS // 2) + np.float32(STEPS // 2)).astype(np.intp)
    column = ((COLUMN_OF_STEP + round(seen.facing * U)) & (U - 1)).take(step, mode="clip")
    row = row.astype(np.intp)
    np.minimum(np.maximum(row, 0, out=row), V - 1, out=row)
    square = np.maximum(to_right * STEP_ACROSS + light.direction[2] * STEP_TOWARDS, 0)
    shade = (light.ambient + 1.15 * (1 - light.ambient) * square).astype(np.float32).take(step, mode="clip")
    shade *= FOLDS.take((fold_row & (U - 1)) * U + column, mode="clip")
    color = seen.texture.reshape(3, V * U).take(row * U + column, axis=1)
    color *= shade
    return color


def _half_widths(widths, length, cap0, cap1):
    """Half-widths in pixels, sampled from the tip of one cap to the tip of the other; below 0 outside."""
    along = SAMPLE_PLACES * (length + cap0 + cap1) - cap0
    knots = KNOTS[len(widths)]
    beyond = np.minimum(np.maximum(np.maximum(along / -cap0, (along - length) / cap1), 0), 1)
    table = np.full(SAMPLES + 2, -1, np.float32)
    table[1:-1] = np.interp(along / length, knots, widths) * np.sqrt(1 - beyond**2)
    return table


def _fold_map(size=U):
    """How much light the folds of cloth gain or lose: smooth noise, the same in every run."""
    rng = np.random.default_rng(0)
    total = np.zeros((size, size), np.float32)
    for rows, columns, strength in ((5, 6, 0.09), (16, 8, 0.09), (34, 14, 0.05)):
        tiles = np.tile(rng.normal(0, 1, (rows, columns)).astype(np.float32), (3, 3))  # no seam at the edges
        smooth = Image.fromarray(tiles).resize((3 * size, 3 * size), Image.Resampling.BICUBIC)
        total += strength * np.asarray(smooth)[size : 2 * size, size : 2 * size]
    return np.maximum(1 + total, 0.4)


FOLDS = _fold_map()
