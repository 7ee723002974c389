"""Constant velocity: the floor of text-video prediction that lets everything move on as it moved last.

1. Optical flow from the last given frame to the one before it (dense inverse search, Kroeger et al., ECCV
   2016, OpenCV's medium preset, at full size): its negative is where each pixel goes in one frame.
2. Frame s after the last one: every pixel of the last frame is carried s times that way and spread over the
   four pixels around it. Where several arrive, the faster ones win, since what moves is mostly in front.
3. Pixels that nothing arrives at (what a moving thing uncovers, and the border) are filled in from around
   them (Telea, "An Image Inpainting Technique Based on the Fast Marching Method", 2004).

With the flow of two frames a thing that turns or bounces goes straight on.

Shape suffixes: T frames, H height, W width, 3 RGB, 2 (x, y).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ...core.errors import DatasetError
from ...core.types import Frames
from .floors import Floor

_MIN_SIDE = 16
"""Below this, dense inverse search fails or follows no motion."""

_FRONT = 8.0
"""The fastest pixel outweighs one at rest by e to this power."""

_INPAINT_RADIUS = 3


class ConstantVelocity(Floor):
    """Lets everything move on as it moved last: the floor of text-video prediction with motion."""

    name: ClassVar[str] = "constant-velocity"
    version: ClassVar[str] = "1"
    min_context_frames: ClassVar[int] = 2

    def predict(self, given_THW3: Frames, num_frames: int) -> Frames:
        """Moves every pixel on at its last velocity."""
        return extrapolate(given_THW3, num_frames)


def extrapolate(given_THW3: Frames, num_frames: int) -> Frames:
    """The frames after the given ones, uint8 [num_frames,H,W,3].

    Raises:
        DatasetError: the frames are too small for optical flow.
    """
    height, width = given_THW3.shape[1:3]
    if min(height, width) < _MIN_SIDE:
        raise DatasetError(
            f"optical flow needs frames of at least {_MIN_SIDE} pixels a side, the given ones are "
            f"{height} x {width}",
            "use a data set with larger frames, or leave this method out",
        )
    with _one_thread():
        velocity_HW2 = _velocity(given_THW3[-2], given_THW3[-1])
        steps = range(1, num_frames + 1)
        return np.stack([_carried(given_THW3[-1], velocity_HW2, step) for step in steps])


def _velocity(before_HW3: Frames, last_HW3: Frames) -> npt.NDArray[np.float64]:
    """Where each pixel of the last frame goes in one frame, (x, y) in pixels."""
    import cv2

    algorithm = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    # The preset stops at half the size, which on small frames makes everything a sixth too slow.
    algorithm.setFinestScale(0)
    last, before = (
        np.asarray(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY), np.uint8)
        for frame in (last_HW3, before_HW3)
    )
    return -np.asarray(algorithm.calc(last, before, None), np.float64)  # type: ignore[call-overload]


def _carried(frame_HW3: Frames, velocity_HW2: npt.NDArray[np.float64], step: int) -> Frames:
    """The frame so many frames later."""
    import cv2

    height, width = frame_HW3.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    x, y = columns + step * velocity_HW2[..., 0], rows + step * velocity_HW2[..., 1]
    speed = np.hypot(velocity_HW2[..., 0], velocity_HW2[..., 1])
    front = np.exp(_FRONT * (speed / max(speed.max(), 1e-6) - 1))
    colours_N3 = frame_HW3.reshape(-1, 3).astype(np.float64)
    total_N, sums_N3 = np.zeros(height * width), np.zeros((height * width, 3))
    covered_N = np.zeros(height * width)
    left, top = np.floor(x), np.floor(y)
    for right_by, down_by in ((0, 0), (1, 0), (0, 1), (1, 1)):
        column, row = left + right_by, top + down_by
        share = (1 - np.abs(x - column)) * (1 - np.abs(y - row))
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (share > 0)
        place = (row[inside] * width + column[inside]).astype(np.int64)
        weight = (share * front)[inside]
        covered_N += np.bincount(place, share[inside], minlength=height * width)
        total_N += np.bincount(place, weight, minlength=height * width)
        for channel in range(3):
            colour = colours_N3[inside.ravel(), channel]
            sums_N3[:, channel] += np.bincount(place, weight * colour, minlength=height * width)
    hole_HW = (covered_N < 0.5).reshape(height, width)
    mixed_N3 = sums_N3 / np.maximum(total_N, 1e-300)[:, None]
    frame = np.rint(mixed_N3).clip(0, 255).astype(np.uint8).reshape(height, width, 3)
    if not hole_HW.any():
        return frame
    filled = cv2.inpaint(frame, hole_HW.astype(np.uint8), _INPAINT_RADIUS, cv2.INPAINT_TELEA)
    return np.asarray(filled, np.uint8)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """OpenCV on one thread, so that the numbers do not depend on how many there are."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
