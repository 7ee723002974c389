"""Warping error of two frames: what is left when the second one is moved back onto the first.

Lai et al., "Learning Blind Video Temporal Consistency" (2018), with the occlusion test of Ruder et al.,
"Artistic Style Transfer for Videos" (2016).

Shape suffixes: H height, W width, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .optical_flow import FlowField, Frame

Floats32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Warping:
    """What came of one pair.

    Attributes:
        error: mean squared difference of values 0 to 1 over visible pixels and channels; over all pixels
            where none is visible.
        visible: share of visible pixels, 0 to 1.
    """

    error: float
    visible: float


def warp_back(
    first_HWC: Frame, second_HWC: Frame, forward_HWC: FlowField, backward_HWC: FlowField
) -> Warping:
    """Warping error of a pair under its two flows.

    With w the forward flow at a pixel of the first frame and v the backward flow at its target, a pixel
    counts as not visible where |w + v|^2 > 0.01 (|w|^2 + |v|^2) + 0.5 (occlusion), where |grad w|^2 >
    0.01 |w|^2 + 0.002 (motion boundary), or where the target lies outside the frame. Then

        error = sum over visible pixels of |second(x + w) - first(x)|^2 / (3 * number of visible pixels).

    Where no pixel is visible the sum is over all: the published scripts count 0, which rewards unlike frames.

    Args:
        first_HWC, second_HWC: uint8, of one shape.
        forward_HWC, backward_HWC: flow from the first to the second, and back, in pixels.
    """
    both_HWC = np.concatenate([second_HWC.astype(np.float32) / np.float32(255.0), backward_HWC], axis=2)
    warped_HWC, inside_HW = _sample(both_HWC, forward_HWC)
    visible_HW = inside_HW & ~_occluded(forward_HWC, warped_HWC[..., 3:]) & ~_boundary(forward_HWC)
    difference_HWC = warped_HWC[..., :3] - first_HWC.astype(np.float32) / np.float32(255.0)
    squared_HW = np.square(difference_HWC, dtype=np.float64).mean(axis=2)
    num_visible = int(np.count_nonzero(visible_HW))
    error = squared_HW[visible_HW].mean() if num_visible else squared_HW.mean()
    return Warping(float(error), num_visible / visible_HW.size)


def _sample(image_HWC: Floats32, flow_HWC: FlowField) -> tuple[Floats32, Mask]:
    """Bilinear samples at each pixel plus its flow, and whether that is inside the frame.

    The frame reaches half a pixel beyond the centres of its outer pixels, whose values are repeated there.
    """
    height, width = image_HWC.shape[:2]
    x_HW = np.arange(width, dtype=np.float32)[None, :] + flow_HWC[..., 0]
    y_HW = np.arange(height, dtype=np.float32)[:, None] + flow_HWC[..., 1]
    inside_HW = (x_HW >= -0.5) & (x_HW <= width - 0.5) & (y_HW >= -0.5) & (y_HW <= height - 0.5)
    left, right, right_weight = _neighbours(x_HW, width)
    top, bottom, bottom_weight = _neighbours(y_HW, height)
    upper = _between(image_HWC[top, left], image_HWC[top, right], right_weight)
    lower = _between(image_HWC[bottom, left], image_HWC[bottom, right], right_weight)
    return _between(upper, lower, bottom_weight), inside_HW


def _neighbours(
    at_HW: Floats32, length: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats32]:
    clipped_HW = at_HW.clip(0, length - 1)
    low_HW = np.floor(clipped_HW).astype(np.int64)
    return low_HW, np.minimum(low_HW + 1, length - 1), clipped_HW - low_HW.astype(np.float32)


def _between(low_HWC: Floats32, high_HWC: Floats32, weight_HW: Floats32) -> Floats32:
    return low_HWC + (high_HWC - low_HWC) * weight_HW[..., None]


def _occluded(forward_HWC: FlowField, backward_HWC: Floats32) -> Mask:
    allowed_HW = 0.01 * (_squared(forward_HWC) + _squared(backward_HWC)) + 0.5
    return _squared(forward_HWC + backward_HWC) > allowed_HW


def _boundary(flow_HWC: FlowField) -> Mask:
    """Differences to the next pixel; the last row and column have none."""
    gradient_HW = np.zeros(flow_HWC.shape[:2], dtype=np.float32)
    gradient_HW[:, :-1] += _squared(flow_HWC[:, 1:] - flow_HWC[:, :-1])
    gradient_HW[:-1, :] += _squared(flow_HWC[1:, :] - flow_HWC[:-1, :])
    return gradient_HW > 0.01 * _squared(flow_HWC) + 0.002


def _squared(field_HWC: Floats32) -> Floats32:
    return np.square(field_HWC[..., 0]) + np.square(field_HWC[..., 1])
