"""Seer's way of making a clip of a fixed length, for comparison with its published numbers.

Seer (arXiv 2303.14897) blends all frames of a reference to the wanted number by linear interpolation over
time: its real frames are blends of two neighbours where a clip is longer, and end in grey where it is shorter
(its dataset/data_utils.py and dataset/epickitchen.py; see `docs/methods.md`). Exact frames are better.

`seer_frames` is for methods and for any size: pictures are not resized first, so rounding differs from
Seer's. `seer_squares` is what Seer measures, byte for byte up to float32's last digits.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

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


def seer_squares(frames_THWC: Frames, num_frames: int, side: int) -> Frames:
    """A real clip as Seer measures it: squares of `side` pixels, blended to `num_frames`, as bytes.

    Pictures are resized by Pillow's bilinear so that the short side fits, and the centre is cut out as
    torchvision does. Then all is float32: values of -1 to 1 are blended as in `seer_frames`, brought to 0 to
    1, multiplied by 255 and cut off, which takes one from 63 of the 256 values that no blend changed.

    Args:
        frames_THWC: uint8 [T,H,W,3]. The result is uint8 [num_frames,side,side,3].

    Raises:
        VideoError: no frame, or `num_frames` below 1.
    """
    total, one = len(frames_THWC), np.float32(1)
    if num_frames < 1 or not total:
        raise VideoError(f"a clip of {total} frames cannot be made one of {num_frames}")
    signed = [_square(frame, side).astype(np.float32) / 255 * 2 - one for frame in frames_THWC]
    clip_THWC = np.full((num_frames, side, side, 3), PADDING, np.uint8)
    scale = np.float32(total / num_frames)
    for index in range(min(num_frames, total)):
        if total <= num_frames:
            blend_HWC = signed[index]
        else:
            time = max(np.float32(0), scale * np.float32(index + 0.5) - np.float32(0.5))
            before = int(time)
            weight = np.float32(time - before)
            after = min(before + 1, total - 1)
            blend_HWC = (one - weight) * signed[before] + weight * signed[after]
        clip_THWC[index] = (blend_HWC + one) / 2 * 255
    return clip_THWC


def _square(frame_HWC: np.ndarray, side: int) -> np.ndarray:
    picture = Image.fromarray(frame_HWC)
    short, long = min(picture.size), side * max(picture.size) // min(picture.size)
    size = (side, long) if picture.size[0] == short else (long, side)
    if short != side:
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    left, top = (round((length - side) / 2) for length in size)
    return np.asarray(picture.crop((left, top, left + side, top + side)))
