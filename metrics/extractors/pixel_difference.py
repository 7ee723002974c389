"""The extractor of temporal flickering: how much the pixels of neighbouring frames differ.

Shape suffixes: T frames, H height, W width, C channels (RGB).
"""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import numpy as np

from ...core.contracts import Extractor, ExtractorSession, FrozenConfig, Rows
from ...core.types import Features, Frames, Resources
from .backbone import check_frames


class PixelDifference(Extractor):
    """Mean absolute difference of each frame to the next: video [T, H, W, 3] uint8 -> float32 [T - 1].

    Values 0 to 255, over all pixels and channels of the decoded frames at their own size. Sums are of whole
    numbers and exact.
    """

    class Config(FrozenConfig):
        """No settings."""

    name: ClassVar[str] = "pixel_difference"
    version: ClassVar[str] = "1"
    modality: ClassVar[str] = "video"
    rows: ClassVar[Rows] = "transitions"

    @classmethod
    def describe(cls, protocol: Any) -> str:
        """Frames as they are; no setting of the protocol acts."""
        return "pixels:uint8|side:native"

    def resources(self) -> Resources:
        """No GPU."""
        return Resources(num_gpus=0.0)

    def load(self, device: str) -> PixelDifferenceSession:
        """A session of numpy, whatever the device."""
        return PixelDifferenceSession()


class PixelDifferenceSession(ExtractorSession):
    """Nothing is loaded."""

    def extract_one(self, item: Frames) -> Features:
        """Mean absolute differences float32 [T - 1] of a clip.

        Raises:
            MetricError: it is not uint8 [T, H, W, 3], or has fewer than two frames.
        """
        check_frames(item, min_frames=2, who="pixel differences")
        # One pair at a time and in uint8: a long clip is never held a second time.
        means = [
            (np.maximum(before, after) - np.minimum(before, after)).sum(dtype=np.int64) / before.size
            for before, after in itertools.pairwise(item)
        ]
        return np.array(means, dtype=np.float32)
