"""Frames that are handed to a method, and how they fit its size.

Importing this imports no torch.

Shape suffixes: T frames, H height, W width, 3 RGB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import DatasetError, RunFileError
from ..core.types import Frames, Sample

if TYPE_CHECKING:
    import torch


def fit_frames(frames_THW3: Frames, height: int, width: int) -> torch.Tensor:
    """Frames at a size, float32 [T,3,height,width], 0 to 255: filled by resizing, then cropped at the
    centre."""
    import torch
    from torch.nn.functional import interpolate

    pixels_T3HW = torch.from_numpy(frames_THW3).permute(0, 3, 1, 2).float()
    old_height, old_width = pixels_T3HW.shape[-2:]
    scale = max(height / old_height, width / old_width)
    size = (max(height, round(old_height * scale)), max(width, round(old_width * scale)))
    if size != (old_height, old_width):
        pixels_T3HW = interpolate(pixels_T3HW, size=size, mode="bilinear", antialias=True)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return pixels_T3HW[..., top : top + height, left : left + width].clamp(0, 255)


def frames_at_size(frames_THW3: Frames, height: int, width: int) -> Frames:
    """As `fit_frames`, rounded to uint8 [T,height,width,3]."""
    fitted_T3HW = fit_frames(frames_THW3, height, width).round().byte()
    return np.ascontiguousarray(fitted_T3HW.permute(0, 2, 3, 1).numpy())


def given_frames(sample: Sample, method: str, num_frames: int, at_least: int = 1) -> Frames:
    """The first frames of a clip that a sample gives to a prediction method, uint8 [k,H,W,3].

    Seer's protocol counts them as part of the clip, so a method returns them, too.

    Args:
        sample: with `context`, which the stage that makes clips fills in.
        method: how an error names the method.
        num_frames: of the clip that is to be made.
        at_least: how many frames the method needs.

    Raises:
        DatasetError: the sample gives no frames, or too few.
        RunFileError: so many frames are given that none is left to predict.
    """
    context_THW3 = sample.context
    if context_THW3 is None or len(context_THW3) < at_least:
        found = 0 if context_THW3 is None else len(context_THW3)
        raise DatasetError(
            f"the sample {sample.id!r} gives {found} first frames, and {method} needs at least {at_least}",
            f"use a text-video prediction data set, with num_context_frames of at least {at_least}",
        )
    if len(context_THW3) >= num_frames:
        raise RunFileError(
            f"{method} is to make {num_frames} frames, and the sample {sample.id!r} gives "
            f"{len(context_THW3)}: none is left to predict",
            "raise num_frames of the method, or lower num_context_frames of the data set",
        )
    return context_THW3
