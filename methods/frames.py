"""Which frames of a reference clip a tuning method takes, and frames brought to a pipeline's size.

torch is imported where it is needed: whoever compares clips with what they were made from has no use for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from ..core.errors import VideoError
from ..core.types import Frames

if TYPE_CHECKING:
    import torch

FrameChoice = Literal["stride", "uniform"]


def chosen_frames(
    num_available: int, num_frames: int, choice: FrameChoice, start: int, stride: int
) -> list[int]:
    """Which frames of a reference are used.

    Args:
        num_available: frames of the reference.
        num_frames: T.
        choice: "stride" takes start, start + stride, ...; "uniform" spreads them from `start` to the last.
        start: index of the first frame.
        stride: frames from one to the next.

    Raises:
        VideoError: the reference has too few frames.

    >>> chosen_frames(16, 4, "stride", 0, 2), chosen_frames(16, 4, "uniform", 0, 2)
    ([0, 2, 4, 6], [0, 5, 10, 15])
    """
    needed = start + (num_frames - 1) * stride + 1 if choice == "stride" else start + num_frames
    if num_available < needed:
        how = f"{num_frames} frames at stride {stride}" if choice == "stride" else f"{num_frames} frames"
        raise VideoError(
            f"the reference clip has {num_available} frames; {how} from frame {start} on need {needed}",
            "give a longer clip, or lower num_frames, stride or start of the method in the run file",
        )
    if choice == "stride":
        return [start + frame * stride for frame in range(num_frames)]
    return [int(index) for index in np.rint(np.linspace(start, num_available - 1, num_frames))]


def frames_needed(num_frames: int, choice: FrameChoice, start: int, stride: int) -> int | None:
    """How many first frames of a reference such a choice reads at most; None where it depends on its length.

    >>> frames_needed(4, "stride", 0, 2), frames_needed(4, "uniform", 0, 2)
    (7, None)
    """
    return None if choice == "uniform" else start + (num_frames - 1) * stride + 1


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
