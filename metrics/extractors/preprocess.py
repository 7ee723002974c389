"""From uint8 frames to the square float frames that a backbone takes, as the protocol says.

The work is done in float32 on values 0 to 255; nothing becomes uint8 again unless the protocol asks
for it. torch's antialiased filters are those of PIL (bicubic with a = -0.5), its plain ones those of
OpenCV; the "corner" phase is TensorFlow 1's. Values are clamped to [0, 255] after each step, as they
would be in an image file: bicubic filters overshoot. With `quantise: round` the antialiased filters round
between their two passes too (columns, then rows), as PIL and other 8-bit resizes do; hard edges would
differ by many levels otherwise.

Shape suffixes: T frames, H height, W width, C channels (RGB).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...core.errors import MetricError
from ...core.types import Frames
from ..settings import ResizeStep


def check_frames(frames_THWC: Frames, *, min_frames: int = 1, who: str = "the extractor") -> None:
    """Refuse anything but a uint8 RGB clip of at least `min_frames` frames.

    Raises:
        MetricError: naming the shape, type or number that was found.
    """
    shape, dtype = np.shape(frames_THWC), getattr(frames_THWC, "dtype", None)
    if len(shape) != 4 or shape[3] != 3 or dtype != np.uint8:
        raise MetricError(f"{who} takes clips uint8 [T, H, W, 3], got {dtype} {list(shape)}")
    if shape[0] < min_frames:
        raise MetricError(
            f"{who} needs at least {min_frames} frames, the clip has {shape[0]}",
            f"generate {min_frames} frames or more, or use a protocol that measures fewer",
        )
    if shape[1] < 1 or shape[2] < 1:
        raise MetricError(f"{who} got a clip without pixels: {list(shape)}")


def resize_frames(
    frames_THWC: Frames, steps: Sequence[ResizeStep], model_size: int, device: str = "cpu"
) -> Tensor:
    """The frames after every resize step.

    Args:
        frames_THWC: uint8 [T, H, W, 3], 0 to 255.
        steps: of the protocol; a step of size "model" means `model_size`.
        model_size: side of the backbone's input in pixels.
        device: where to compute.

    Returns:
        float32 [T, 3, model_size, model_size], 0 to 255.

    Every frame is treated alone, so the result does not depend on the clip's other frames.
    """
    contiguous = np.ascontiguousarray(frames_THWC)
    if not contiguous.flags.writeable:
        contiguous = contiguous.copy()  # torch warns about memory that it must not write
    x_TCHW = torch.from_numpy(contiguous).to(device).permute(0, 3, 1, 2).float().contiguous()
    for step in steps:
        x_TCHW = _resize(x_TCHW, step, model_size if step.size == "model" else int(step.size))
    return x_TCHW


def _resize(x_TCHW: Tensor, step: ResizeStep, size: int) -> Tensor:
    height, width = x_TCHW.shape[2:]
    target = (size, size) if step.geometry == "squash" else _short_side(height, width, size, step)
    if target != (height, width):
        if step.phase == "corner":
            x_TCHW = _corner_bilinear(_corner_bilinear(x_TCHW, 2, target[0]), 3, target[1])
        elif step.quantise == "round" and step.antialias:
            x_TCHW = _filtered(x_TCHW, (height, target[1]), step).clamp(0.0, 255.0).round()
            x_TCHW = _filtered(x_TCHW, target, step)
        else:
            x_TCHW = _filtered(x_TCHW, target, step)
    if step.geometry == "short-side-crop":
        top, left = (_crop_offset(total - size, step) for total in target)
        x_TCHW = x_TCHW[:, :, top : top + size, left : left + size]
    x_TCHW = x_TCHW.clamp(0.0, 255.0)
    if step.quantise == "none":
        return x_TCHW
    return x_TCHW.round() if step.quantise == "round" else x_TCHW.trunc()


def _filtered(x_TCHW: Tensor, target: tuple[int, int], step: ResizeStep) -> Tensor:
    return functional.interpolate(
        x_TCHW, size=target, mode=step.filter, align_corners=False, antialias=step.antialias
    )


def _short_side(height: int, width: int, size: int, step: ResizeStep) -> tuple[int, int]:
    short, long = min(height, width), max(height, width)
    exact = size * long / short
    if step.long_side == "round":
        whole = round(exact)
    else:
        whole = math.ceil(exact) if step.long_side == "ceil" else math.floor(exact)
    return (size, whole) if height <= width else (whole, size)


def _crop_offset(surplus: int, step: ResizeStep) -> int:
    return surplus // 2 if step.crop_offset == "floor" else round(surplus / 2)


def _corner_bilinear(x_TCHW: Tensor, dim: int, size: int) -> Tensor:
    """Bilinear along one axis with samples at i * in/out, the last pixel repeated (TensorFlow 1)."""
    length = x_TCHW.shape[dim]
    at = torch.arange(size, device=x_TCHW.device, dtype=torch.float32) * (length / size)
    low = at.floor().long().clamp(max=length - 1)
    high = (low + 1).clamp(max=length - 1)
    weight = (at - low).view([-1 if axis == dim else 1 for axis in range(4)])
    below, above = x_TCHW.index_select(dim, low), x_TCHW.index_select(dim, high)
    return below + (above - below) * weight
