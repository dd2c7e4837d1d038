"""What one camera sees and what it does to a picture: place, light, colours, sharpness, noise, compression."""

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from .render import Light

__all__ = ["Camera", "develop", "random_camera"]

GRAIN_DEVIATION = 32  # levels, in the picture that all noise is taken from


@dataclass(frozen=True)
class Camera:
    """One camera. Two cameras differ in all of it.

    Parameters
    ----------
    path : float
        Radians; how most people here walk (see `View.yaw`). They come and go: half of them the other way.
    path_spread : float
        Radians around that.
    pitch : float
        Radians that it looks down.
    distance : float
        To the people, in body heights.
    light : Light
    gain : tuple of 3 floats
        Of red, green and blue.
    gamma, contrast, saturation, black : float
        1, 1, 1 and 0 change nothing.
    detail : float
        Share of the pixels that carry detail; below 1 the picture has been enlarged.
    blur : float
        Radius, pixels.
    sharpen : float
        How much edges are exaggerated, as cheap cameras do; 0 is not at all.
    noise : float
        Standard deviation, of 1.
    quality : int
        JPEG quality.
    heights : tuple of 2 ints
        Least and greatest height of a crop, pixels; up to 600.
    margin : float
        Room that the detector leaves around a person, in body heights.
    jitter : float
        How far its boxes are off, in body heights.
    aspect : float
        Width over height of every crop; 0 where it follows the person.
    horizon : float
        Where the ground begins in the scene, 0 to 1.
    scene_seed : int
    """

    path: float
    path_spread: float
    pitch: float
    distance: float
    light: Light
    gain: tuple[float, float, float]
    gamma: float
    contrast: float
    saturation: float
    black: float
    detail: float
    blur: float
    sharpen: float
    noise: float
    quality: int
    heights: tuple[int, int]
    margin: float
    jitter: float
    aspect: float
    horizon: float
    scene_seed: int


def random_camera(rng: np.random.Generator, spread: float = 1.0) -> Camera:
    """Draw one camera.

    Parameters
    ----------
    rng : numpy.random.Generator
        The only source of chance: equal generators give equal cameras.
    spread : float
        How far cameras lie apart in brightness and colour; 0 has them all alike there.

    Returns
    -------
    camera : Camera
    """
    direction = np.array([rng.normal(0, 0.5), -rng.uniform(0.1, 0.7), rng.uniform(0.5, 1.0)])
    gain = np.exp(spread * (rng.normal(-0.05, 0.2) + rng.normal(0, 0.05, 3)))
    low = int(rng.integers(110, 190))
    return Camera(
        path=float(rng.choice([0.0, np.pi / 4, np.pi / 2, -np.pi / 4], p=[0.3, 0.2, 0.3, 0.2])),
        path_spread=float(rng.uniform(0.15, 0.6)),
        pitch=float(rng.uniform(0.0, 0.5)),
        distance=float(rng.uniform(3.0, 10.0)),
        light=Light(tuple((direction / np.linalg.norm(direction)).tolist()), float(rng.uniform(0.32, 0.7))),
        gain=tuple(gain.tolist()),
        gamma=float(np.exp(spread * rng.normal(0.05, 0.18))),
        contrast=_between(1.3, float(rng.uniform(0.9, 1.7)), spread),
        saturation=_between(0.55, float(rng.uniform(0.2, 0.9)), spread),
        black=_between(0.05, float(rng.uniform(0.0, 0.1)), spread),
        detail=float(rng.uniform(0.6, 1.2)),
        blur=float(rng.uniform(0.0, 0.5)),
        sharpen=float(rng.choice([0.0, rng.uniform(0.5, 2.5)], p=[0.2, 0.8])),
        noise=float(np.exp(rng.uniform(np.log(0.004), np.log(0.03)))),
        quality=int(rng.integers(45, 95)),
        heights=(low, int(low * rng.uniform(1.1, 1.5))),
        margin=float(rng.uniform(0.0, 0.07)),
        jitter=float(rng.uniform(0.005, 0.035)),
        aspect=float(rng.choice([0.0, rng.uniform(0.38, 0.5)])),
        horizon=float(np.clip(rng.uniform(-0.3, 0.8), 0, 1)),
        scene_seed=int(rng.integers(2**31)),
    )


def _between(middle, drawn, spread):
    return (1 - spread) * middle + spread * drawn


def develop(canvas: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Turn what is there into what the camera stores.

    Parameters
    ----------
    canvas : float32, (3, H, W)
        RGB, 0 to 1; used up.
    camera : Camera
    rng : numpy.random.Generator

    Returns
    -------
    crop : uint8, (H, W, 3)
        RGB.
    """
    height, width = canvas.shape[1:]
    canvas *= np.float32(255)
    np.minimum(np.maximum(canvas, 0, out=canvas), 255, out=canvas)
    picture = Image.fromarray(np.ascontiguousarray(canvas.astype(np.uint8).transpose(1, 2, 0)))
    picture = picture.convert("RGB", _color_matrix(camera, float(np.exp(rng.normal(0, 0.13)))))
    picture = picture.point(_tone_table(camera))
    if camera.detail < 0.95:
        small = (max(8, round(width * camera.detail)), max(16, round(height * camera.detail)))
        picture = picture.resize(small, Image.Resampling.BILINEAR)
    if camera.blur > 0.2:
        picture = picture.filter(ImageFilter.BoxBlur(camera.blur * float(rng.uniform(0.6, 1.4))))
    picture = _add_grain(picture, camera.noise, rng)
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    if camera.sharpen > 0:
        edge = -camera.sharpen / 8
        picture = picture.filter(ImageFilter.Kernel((3, 3), [edge] * 4 + [1 + camera.sharpen] + [edge] * 4, 1))
    stored = io.BytesIO()
    picture.save(stored, "JPEG", quality=camera.quality)
    return np.asarray(Image.open(stored).convert("RGB"))


def _color_matrix(camera, exposure):
    """Gain, then saturation, as Pillow's 3 x 4 matrix."""
    mix = np.full((3, 3), (1 - camera.saturation) / 3) + camera.saturation * np.eye(3)
    matrix = np.zeros((3, 4))
    matrix[:, :3] = mix @ np.diag(camera.gain) * exposure
    return tuple(matrix.ravel().tolist())


@lru_cache(maxsize=256)
def _tone_table(camera):
    levels = np.clip((np.linspace(0, 1, 256) - 0.4) * camera.contrast + 0.4, 0, 1) ** camera.gamma
    return np.round(255 * (camera.black + (1 - camera.black) * levels)).astype(int).tolist() * 3


def _add_grain(picture, noise, rng):
    """Noise from a random window of one picture of noise: 128 is none."""
    left, top = (int(rng.integers(GRAIN.width - side)) for side in picture.size)
    window = GRAIN.crop((left, top, left + picture.width, top + picture.height))
    return ImageChops.add(picture, window.point(_grain_table(noise)), 1, -128)


@lru_cache(maxsize=256)
def _grain_table(noise):
    return [round(128 + (level - 128) * noise * 255 / GRAIN_DEVIATION) for level in range(256)] * 3


def _grain(size=640):
    rng = np.random.default_rng(1)
    shared, own = rng.normal(0, 0.85, (size, size, 1)), rng.normal(0, 0.52, (size, size, 3))
    return Image.fromarray(np.clip(128 + GRAIN_DEVIATION * (shared + own), 0, 255).astype(np.uint8))


GRAIN = _grain()
