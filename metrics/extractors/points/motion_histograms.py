"""FVMD's description of motion: histograms of the directions in which points move, and speed up.

Liu et al., "Fréchet Video Motion Distance" (2024), as its released code has it (1D histograms): velocities
and accelerations of 20 x 20 points are dealt to cubes of 4 frames and 5 x 5 points; in each cube every
vector adds to one of 8 directions a weight that grows with the logarithm of its length.

Shape suffixes: T frames, P points, F cubes in time, R and C cubes in space.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats32 = npt.NDArray[np.float32]

SIDE = 20
"""Points in a row and in a column."""

_CUBE_FRAMES = 4
_CUBE_SIDE = 5
_NUM_DIRECTIONS = 8
_LONGEST = 255
_MAX_WEIGHT = 8
"""log2 of 256, the length up to which weights grow."""


def motion_features(places_TP2: Floats32) -> Floats32:
    """The histograms of velocities, then of accelerations, float32 [2 * T/4 * 4 * 4 * 8]: 1024 of 16 frames.

    Args:
        places_TP2: (x, y) in pixels of 400 points, row by row; T >= 4, of which a rest of T / 4 is not read.
    """
    velocity_TP2 = np.diff(places_TP2, axis=0, prepend=places_TP2[:1])
    acceleration_TP2 = np.diff(velocity_TP2, axis=0, prepend=velocity_TP2[:1])
    acceleration_TP2[:2] = 0  # the first velocity is none
    return np.concatenate([_histograms(velocity_TP2), _histograms(acceleration_TP2)])


def _histograms(vectors_TP2: Floats32) -> Floats32:
    directions = np.float32(2 * np.pi / _NUM_DIRECTIONS)
    angle = np.arctan2(vectors_TP2[..., 0], vectors_TP2[..., 1])
    direction = np.clip((angle + np.float32(np.pi)) // directions, 0, _NUM_DIRECTIONS - 1)
    length = np.clip(np.linalg.norm(vectors_TP2, axis=2), 0, _LONGEST)
    weight = np.ceil(np.clip(np.log2(length + 1), 0, _MAX_WEIGHT)) / _MAX_WEIGHT
    num = len(vectors_TP2) // _CUBE_FRAMES
    across = SIDE // _CUBE_SIDE
    shape = (num, _CUBE_FRAMES, across, _CUBE_SIDE, across, _CUBE_SIDE)
    cubes = [
        values[: num * _CUBE_FRAMES].reshape(shape).transpose(0, 2, 4, 1, 3, 5).reshape(num * across**2, -1)
        for values in (direction, weight)
    ]
    rows = [
        np.bincount(where.astype(np.int64), weights=weights, minlength=_NUM_DIRECTIONS)
        for where, weights in zip(*cubes, strict=True)
    ]
    return np.concatenate(rows).astype(np.float32)


def grid(height: int, width: int) -> Floats32:
    """The points that are followed, float32 [400, 2] (x, y), row by row: a grid with 8 pixels around it."""
    steps = np.arange(SIDE, dtype=np.float32) / np.float32(SIDE - 1)
    y, x = np.meshgrid(8 + steps * (height - 16), 8 + steps * (width - 16), indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1)
