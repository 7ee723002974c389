"""The session of extractors that read frames one by one.

Shape suffixes: T frames, H height, W width, C channels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ....core.contracts import ExtractorSession
from ....core.types import Features, Frames
from ..backbone import check_frames, reference_precision

if TYPE_CHECKING:
    from torch import Tensor

FRAMES_AT_ONCE = 16
"""Frames in one forward pass: bounds memory for long clips. Fixed, and never across clips."""


class FrameSession(ExtractorSession):
    """A network over the frames of one clip after the other: a clip's features depend on that clip only.

    Args:
        encode: frames uint8 [T, H, W, 3], at most 16, -> [T, ...].
        who: named in messages.
        device: where it computes.
    """

    def __init__(self, encode: Callable[[Frames], Tensor], who: str, device: str) -> None:
        self._encode, self._who, self._device = encode, who, device

    def extract_one(self, item: Frames) -> Features:
        """Features float32 [T, ...] of a clip.

        Raises:
            MetricError: it is not uint8 [T, H, W, 3] with at least one frame.
        """
        check_frames(item, who=self._who)
        with reference_precision(self._device):
            parts = [
                self._encode(item[start : start + FRAMES_AT_ONCE]).float().cpu().numpy()
                for start in range(0, len(item), FRAMES_AT_ONCE)
            ]
        return np.concatenate(parts)
