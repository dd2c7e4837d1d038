"""One crop: a person in a scene, seen and stored by a camera."""

import numpy as np
from PIL import Image

from .body import parts
from .camera import Camera, develop
from .person import Person, random_person
from .pose import random_pose
from .render import Light, View, outline, paint, project
from .scene import SCENE_SIZE, scene

__all__ = ["draw_crop"]

BYSTANDER_BEHIND, BYSTANDER_BEFORE, THING_BEFORE, CUT_OFF = 0.2, 0.07, 0.12, 0.1


def draw_crop(person: Person, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Draw one crop of a person as a detector would cut it out.

    Parameters
    ----------
    person : Person
    camera : Camera
    rng : numpy.random.Generator
        Chooses pose, view, box, light, what stands around and the noise; nothing else is left to chance.

    Returns
    -------
    crop : uint8, (H, W, 3)
        RGB; H within the camera's `heights`, W mostly 0.25 to 0.7 of it.
    """
    outlines = project(parts(person, random_pose(rng)), _random_view(camera, rng))
    whole = outline(outlines)
    box = _random_box(whole, camera, rng)
    height = int(rng.integers(camera.heights[0], camera.heights[1] + 1))
    scale = height / (box[3] - box[1])
    width = max(24, round((box[2] - box[0]) * scale))
    middle = (-box[0] * scale, -box[1] * scale)
    light = _random_light(camera, rng)

    canvas = _background(camera, width, height, rng)
    if rng.random() < BYSTANDER_BEHIND:
        _bystander(canvas, camera, scale, middle, light, rng, behind=True)
    _shadow(canvas, whole, scale, middle)
    paint(canvas, outlines, scale, middle, light, rng)
    if rng.random() < BYSTANDER_BEFORE:
        _bystander(canvas, camera, scale, middle, light, rng, behind=False)
    if rng.random() < THING_BEFORE:
        _thing(canvas, rng)
    if rng.random() < 0.15:
        _shade(canvas, rng)
    return develop(canvas, camera, rng)


def _random_view(camera, rng):
    back = np.pi * rng.integers(2)
    yaw = camera.path + back + rng.normal(0, camera.path_spread)
    return View(float(yaw), camera.pitch, float(camera.distance * rng.uniform(0.8, 1.3)))


def _random_box(seen, camera, rng):
    """The person's own box, then as loose and as far off as this detector's are."""
    left, top, right, bottom = seen
    room = camera.margin * rng.uniform(0.3, 1.4, 4)
    left, top, right, bottom = left - room[0], top - room[1], right + room[2], bottom + room[3]
    move = rng.normal(0, camera.jitter, 4)
    left, top, right, bottom = left + move[0], top + move[1], right + move[2], bottom + move[3]
    if rng.random() < CUT_OFF:
        bottom -= (bottom - top) * rng.uniform(0.08, 0.35)
    if camera.aspect:
        half = camera.aspect * (bottom - top) / 2
        left, right = (left + right) / 2 - half, (left + right) / 2 + half
    return left, top, right, bottom


def _random_light(camera, rng):
    direction = np.array(camera.light.direction) + rng.normal(0, 0.12, 3)
    direction /= np.linalg.norm(direction)
    ambient = float(np.clip(camera.light.ambient + rng.normal(0, 0.05), 0.2, 0.95))
    return Light(tuple(direction.tolist()), ambient)


def _background(camera, width, height, rng):
    picture = scene(camera.scene_seed, camera.horizon)
    shown = rng.uniform(0.62, 0.9) * SCENE_SIZE[1]
    wide = min(shown * width / height, SCENE_SIZE[0])
    left = rng.uniform(0, SCENE_SIZE[0] - wide)
    top = rng.uniform(0, SCENE_SIZE[1] - shown)
    window = (left, top, left + wide, top + shown)
    seen = picture.resize((width, height), Image.Resampling.BILINEAR, box=window)
    canvas = np.empty((3, height, width), np.float32)
    return np.multiply(np.asarray(seen).transpose(2, 0, 1), np.float32(1 / 255), out=canvas)


def _bystander(canvas, camera, scale, middle, light, rng, behind):
    """Somebody else, half out of the crop: smaller behind, larger in front."""
    outlines = project(parts(random_person(rng), random_pose(rng)), _random_view(camera, rng))
    size = rng.uniform(0.65, 0.95) if behind else rng.uniform(1.0, 1.2)
    away = rng.choice([-1, 1]) * (rng.uniform(0.12, 0.35) if behind else rng.uniform(0.25, 0.38))
    down = (1 - size) * -0.3 if behind else rng.uniform(0.05, 0.4)
    place = (middle[0] + away * scale, middle[1] + down * scale)
    paint(canvas, outlines, scale * size, place, light, rng)


def _thing(canvas, rng):
    """A post or a wall's edge in front."""
    height, width = canvas.shape[1:]
    color = rng.uniform(0.1, 0.85) + rng.normal(0, 0.05, (3, 1, 1))
    if rng.random() < 0.5:
        top = int(height * rng.uniform(0.65, 0.9))
        left, right = sorted((int(width * rng.uniform(-0.2, 1.2)), int(width * rng.uniform(-0.2, 1.2))))
        canvas[:, top:, max(0, left) : max(0, right)] = color
    else:
        left = int(width * rng.uniform(0, 1))
        canvas[:, :, left : left + max(2, int(width * rng.uniform(0.03, 0.15)))] = color


def _shadow(canvas, seen, scale, middle):
    """The ground is darker under the feet."""
    height, width = canvas.shape[1:]
    foot_x, foot_y = (seen[0] + seen[2]) / 2 * scale + middle[0], (seen[3] - 0.015) * scale + middle[1]
    top = max(0, int(foot_y - 0.08 * scale))
    if top >= height:
        return
    xs = (np.arange(width, dtype=np.float32) - np.float32(foot_x)) / np.float32(0.16 * scale)
    ys = (np.arange(top, height, dtype=np.float32)[:, None] - np.float32(foot_y)) / np.float32(0.035 * scale)
    canvas[:, top:] *= 1 - np.float32(0.5) * np.exp(-(xs**2) - ys**2)


def _shade(canvas, rng):
    """The shadow of something out of the picture falls across a part of it."""
    height, width = canvas.shape[1:]
    slope = np.float32(rng.normal(0, 0.5))
    edge = np.float32(height * rng.uniform(0.15, 0.85))
    line = np.arange(height, dtype=np.float32)[:, None] - edge - slope * np.arange(width, dtype=np.float32)
    soft = np.clip(line / np.float32(rng.uniform(3, 30)) * rng.choice([-1, 1]), 0, 1).astype(np.float32)
    canvas *= 1 - np.float32(rng.uniform(0.25, 0.5)) * soft
