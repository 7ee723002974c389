"""The extractor of temporal flickering: how much the pixels of neighbouring frames differ.

Shape suffixes: T frames, H height, W width, C channels (RGB).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from ...core.contracts import FrozenConfig
from ...core.types import Features, Frames, Resources, WeightsRef
from ..protocol import Protocol


class PixelDifference:
    """Mean absolute difference of each frame to the next: video [T, H, W, 3] uint8 -> float32 [T - 1].

    Values 0 to 255, over all pixels and channels of the decoded frames at their own size. Sums are of whole
    numbers and exact.
    """

    class Config(FrozenConfig):
        pass

    name: ClassVar[str] = "pixel_difference"
    version: ClassVar[str] = "1"
    modality: ClassVar[str] = "video"

    def __init__(self, config: Config) -> None:
        self.config = config

    @classmethod
    def from_protocol(cls, protocol: Protocol, weights: str | None = None) -> Self:
        """The extractor; neither a setting of the protocol nor weights act on it."""
        del protocol, weights
        return cls(cls.Config())

    @staticmethod
    def describe(protocol: Protocol) -> str:
        """For signatures: what the features depend on."""
        del protocol
        return "pixels:uint8|side:native"

    def parameters(self) -> Mapping[str, Any]:
        return {}

    def resources(self) -> Resources:
        return Resources(num_gpus=0.0)

    def weights(self) -> tuple[WeightsRef, ...]:
        return ()

    def load(self, device: str) -> PixelDifferenceSession:
        del device  # numpy
        return PixelDifferenceSession()


class PixelDifferenceSession:
    def extract(self, inputs: Sequence[Frames]) -> list[Features]:
        """Mean absolute differences float32 [T - 1] of each clip, in order.

        Raises:
            MetricError: a clip is not uint8 [T, H, W, 3], or has fewer than two frames.
        """
        from .preprocess import check_frames

        for clip in inputs:
            check_frames(clip, min_frames=2, who="pixel differences")
        return [_differences(clip) for clip in inputs]


def _differences(clip_THWC: Frames) -> Features:
    # One pair at a time and in uint8: a long clip is never held a second time.
    means = [
        (np.maximum(before, after) - np.minimum(before, after)).sum(dtype=np.int64) / before.size
        for before, after in itertools.pairwise(clip_THWC)
    ]
    return np.array(means, dtype=np.float32)
