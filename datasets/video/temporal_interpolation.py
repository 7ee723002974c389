"""Seer's way of making a clip of a fixed length, for comparison with its published numbers.

Seer (arXiv 2303.14897) blends all frames of a reference to the wanted number by linear interpolation over
time: its real frames are blends of two neighbours where a clip is longer, and end in grey where it is shorter
(its dataset/data_utils.py and dataset/epickitchen.py; see `docs/methods.md`). Exact frames are better.

Where it differs from Seer: there, pictures are resized and cropped to 256 first, here a caller may blend
first. Both are linear, so only the rounding differs.
"""

from __future__ import annotations

import math

import numpy as np

from ...core.errors import VideoError
from ...core.types import Frames

PADDING = 127
"""The grey of missing frames: Seer's 0 in [-1, 1], as it becomes a byte (127.5, cut off)."""


def seer_stride(num_frames: int) -> int:
    """Every so many frames of an action of Epic-Kitchens enter Seer's blend: floor((num_frames - 1) / 100).

    At least 1: actions of up to 200 frames are read whole, longer ones give 101 to 150 frames.
    """
    return max(1, (num_frames - 1) // 100)


def seer_frames(frames_THWC: Frames, num_frames: int) -> Frames:
    """A clip of `num_frames` made of all frames of another, as Seer does.

    Of a longer clip, frame i is taken at the time (i + 1/2) T / num_frames - 1/2 (not before frame 0),
    between its two neighbours: torch's trilinear interpolation without aligned corners, at an unchanged size.
    Bytes are cut off, not rounded, as where Seer measures FVD. A clip of as many frames stays as it is; a
    shorter one is followed by grey.

    Args:
        frames_THWC: uint8 [T,H,W,C]. The result is uint8 [num_frames,H,W,C].

    Raises:
        VideoError: no frame, or `num_frames` below 1.
    """
    if num_frames < 1:
        raise VideoError(f"num_frames must be at least 1, got {num_frames}")
    total = len(frames_THWC)
    if not total:
        raise VideoError("a clip without frames cannot be interpolated")
    clip_THWC = np.full((num_frames, *frames_THWC.shape[1:]), PADDING, np.uint8)
    if total <= num_frames:
        clip_THWC[:total] = frames_THWC
        return clip_THWC
    for index in range(num_frames):
        time = max(0.0, (index + 0.5) * total / num_frames - 0.5)
        before = math.floor(time)
        after = min(before + 1, total - 1)
        # The difference, and not two weights: equal bytes must stay what they are when they are cut off.
        step_HWC = frames_THWC[after].astype(np.float64) - frames_THWC[before]
        clip_THWC[index] = frames_THWC[before] + (time - before) * step_HWC
    return clip_THWC
