"""Draws a scene: signed distances turned into coverage, so that edges are anti-aliased without
supersampling and a clip of 16 frames takes a few milliseconds.

Shape suffixes: T frames, H height, W width, 3 RGB.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from .scene import COLOURS, Scene, Sprite, local_generator

# Base colours of the backgrounds; the textured ones vary around them (see `background`).
BACKGROUND_COLOURS: dict[str, tuple[int, int, int]] = {
    "white": (245, 245, 245),
    "black": (14, 14, 16),
    "grass": (78, 112, 52),
    "water": (88, 128, 168),
    "sand": (212, 186, 138),
    "brick": (136, 80, 64),
}


def shape_distance(shape: str, x: np.ndarray, y: np.ndarray, radius: np.ndarray | float) -> np.ndarray:
    """Signed distance (pixels, negative inside) of points to a shape centred on its centroid.

    Args:
        shape: a word of SHAPES.
        x, y: coordinates in the shape's own frame, pixels, y down; any equal shapes.
        radius: of the bounding circle, pixels; broadcast against x and y.

    Exact near straight edges, which is all that anti-aliasing needs. All shapes have similar areas.
    """
    if shape == "circle":
        return np.hypot(x, y) - 0.92 * radius
    if shape == "ring":
        return np.abs(np.hypot(x, y) - 0.74 * radius) - 0.24 * radius
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) - 0.82 * radius
    if shape == "cross":
        ax, ay, arm = np.abs(x), np.abs(y), 0.3 * radius
        return np.minimum(np.maximum(ax - radius, ay - arm), np.maximum(ay - radius, ax - arm))
    if shape == "triangle":
        # Three half planes; the inradius of an equilateral triangle is half its circumradius.
        slope = np.sqrt(0.75).astype(np.float32)
        return np.maximum(y, slope * np.abs(x) - 0.5 * y) - 0.58 * radius
    if shape == "star":
        # Fold the plane into one tenth of the circle, where the outline is a single edge.
        fifth = 2 * np.pi / 5
        angle = np.arctan2(x, -y)
        folded = np.abs((angle + fifth / 2) % fifth - fifth / 2)
        length = np.hypot(x, y)
        px, py = length * np.cos(folded), length * np.sin(folded)
        inner = 0.46
        qx, qy = inner * np.cos(fifth / 2), inner * np.sin(fifth / 2)
        # Edge from the tip (1, 0) to the inner corner (qx, qy), both times 1.08 radius.
        ex, ey = qx - 1.0, qy
        norm = float(np.hypot(ex, ey))
        return ((px - 1.08 * radius) * ey - py * ex) / norm
    raise ValueError(f"unknown shape {shape!r}")


def coverage(
    shape: str, centre_x: np.ndarray, centre_y: np.ndarray, radius: np.ndarray, angle: np.ndarray, size: int
) -> np.ndarray:
    """Share of each pixel that a shape covers, float32 [T, H, W] in [0, 1].

    `centre_x`, `centre_y`, `radius` (fractions of the side) and `angle` (radians, clockwise) are [T].
    """
    grid = np.arange(size, dtype=np.float32) + np.float32(0.5)
    as_column = [np.asarray(v, np.float32).reshape(-1, 1, 1) for v in (centre_x, centre_y, radius, angle)]
    cx, cy, r, a = as_column
    dx = grid[None, None, :] - cx * size
    dy = grid[None, :, None] - cy * size
    cos, sin = np.cos(a), np.sin(a)
    distance = shape_distance(shape, cos * dx + sin * dy, cos * dy - sin * dx, r * size)
    return np.clip(np.float32(0.5) - distance, 0, 1).astype(np.float32, copy=False)


def poses(scene: Scene, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Centre x, centre y, radius and angle of the main sprite at `times` in [0, 1], each float [T]."""
    u = np.asarray(times, np.float64)
    x = scene.start[0] + (scene.end[0] - scene.start[0]) * u
    y = scene.start[1] + (scene.end[1] - scene.start[1]) * u
    if scene.bounces:
        y = y - scene.bounce_height * np.abs(np.sin(np.pi * (scene.bounces * u + scene.phase)))
    radius = scene.main.radius * scene.growth**u
    return x, y, radius, scene.main.tilt + scene.turn * u


@lru_cache(maxsize=256)
def _background_float(name: str, texture_seed: int, size: int) -> np.ndarray:
    rng = local_generator("texture", name, texture_seed)
    base = np.array(BACKGROUND_COLOURS[name], np.float32)
    image = np.broadcast_to(base, (size, size, 3)).copy()
    grid = (np.arange(size, dtype=np.float32) + 0.5) * (64 / size)
    yy, xx = grid[:, None], grid[None, :]
    # Long waves of low contrast: the small autoencoder can keep them, and shapes stand out.
    if name == "grass":
        blades = np.sin(xx * 0.6 + 1.5 * np.sin(yy * 0.25 + rng.uniform(0, 6.3)) + rng.uniform(0, 6.3))
        image += 10 * blades[..., None] * np.array([0.7, 1.0, 0.5], np.float32)
    elif name == "water":
        waves = np.sin(yy * 0.5 + 1.0 * np.sin(xx * 0.2 + rng.uniform(0, 6.3)) + rng.uniform(0, 6.3))
        image += 11 * waves[..., None]
    elif name == "sand":
        grains = np.sin(xx * 0.4 + rng.uniform(0, 6.3)) * np.sin(yy * 0.4 + rng.uniform(0, 6.3))
        image += 8 * grains[..., None]
    elif name == "brick":
        row_height, length = 10, 20
        y0, x0 = rng.integers(row_height), rng.integers(length)
        row = np.floor((yy + y0) / row_height)
        along = (xx + x0 + (row % 2) * length / 2) % length
        mortar = ((yy + y0) % row_height < 2) | (along < 2)
        image[mortar] = (162, 118, 104)
    return image


def background(name: str, texture_seed: int, size: int) -> np.ndarray:
    """A background, float32 [H, W, 3] on the scale 0 to 255."""
    return _background_float(name, texture_seed, size).copy()


def render(
    scene: Scene, num_frames: int = 16, size: int = 64, frames: Sequence[int] | None = None
) -> np.ndarray:
    """Draws a scene.

    Args:
        num_frames: length of the whole clip; the motion always spans it.
        size: side of the square frames in pixels.
        frames: draw only these of the `num_frames` frames (indices from 0).

    Returns:
        uint8 [T, H, W, 3] RGB, T = num_frames or len(frames).
    """
    if num_frames < 1 or size < 8:
        raise ValueError(f"num_frames={num_frames}, size={size}: at least 1 frame of 8 pixels is needed")
    indices = np.arange(num_frames) if frames is None else np.asarray(frames)
    times = indices / max(num_frames - 1, 1)
    canvas = _background_float(scene.background, scene.texture_seed, size)[None]
    video = np.repeat(canvas, len(times), axis=0)
    main = (scene.main, coverage(scene.main.shape, *poses(scene, times), size))
    if scene.other is None:
        layers: list[tuple[Sprite, np.ndarray]] = [main]
    else:
        at_x, at_y = (np.array([v]) for v in scene.other_at)
        still = coverage(
            scene.other.shape, at_x, at_y, np.array([scene.other.radius]), np.array([scene.other.tilt]), size
        )
        layers = (
            [main, (scene.other, still)] if scene.motion == "passes behind" else [(scene.other, still), main]
        )
    for sprite, cover in layers:
        colour = np.array(COLOURS[sprite.colour], np.float32)
        video += cover[..., None] * (colour - video)
    return np.clip(np.rint(video), 0, 255).astype(np.uint8)
