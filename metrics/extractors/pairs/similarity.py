"""The extractor of PSNR and SSIM: how alike a generated clip and its reference are, pixel by pixel.

Shape suffixes: T frames, K columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from ....core.contracts import FrozenConfig
from ....core.types import Features, Frames, Resources, WeightsRef
from ...protocol import Protocol
from ...settings import PairSettings
from .frames import PairResize, check_pair, frame_pairs
from .ssim import WINDOW, ssim

COLUMNS = ("mse", "ssim")
"""Of the features of a frame:

* mse: mean squared difference over pixels and channels, values 0 to 255. PSNR itself is infinite for equal
  frames, which the store refuses, so that PSNR is made from this by the metric.
* ssim: see `ssim`.
"""


class PairPixels:
    """Squared error and SSIM of every frame: (generated, reference) clips uint8 -> float32 [T, 2]."""

    class Config(FrozenConfig):
        resize: PairResize = PairSettings().resize

    name: ClassVar[str] = "pair_pixels"
    version: ClassVar[str] = "1"
    modality: ClassVar[str] = "pair"

    def __init__(self, config: Config) -> None:
        self.config = config

    @classmethod
    def from_protocol(cls, protocol: Protocol, weights: str | None = None) -> Self:
        """The extractor with the parts of the protocol that its features depend on; it has no weights."""
        del weights
        return cls(cls.Config(resize=protocol.pair.resize))

    @staticmethod
    def describe(protocol: Protocol) -> str:
        """For signatures: what the features depend on."""
        return protocol.pair.describe()

    def parameters(self) -> Mapping[str, Any]:
        """What the features depend on besides the clips."""
        return self.config.model_dump(mode="json")

    def resources(self) -> Resources:
        return Resources(num_gpus=0.0)

    def weights(self) -> tuple[WeightsRef, ...]:
        return ()

    def load(self, device: str) -> PairPixelsSession:
        del device  # numpy
        return PairPixelsSession(self.config)


class PairPixelsSession:
    def __init__(self, config: PairPixels.Config) -> None:
        self._config = config

    def extract(self, inputs: Sequence[tuple[Frames, Frames]]) -> list[Features]:
        """Features float32 [T, 2] of each pair, in order; the columns are `COLUMNS`.

        Raises:
            MetricError: clips of the wrong type, of differing numbers of frames, below 11 pixels a side, or
                of differing sizes where the protocol refuses that.
        """
        return [self._extract(pair) for pair in inputs]

    def _extract(self, pair: tuple[Frames, Frames]) -> Features:
        clips = check_pair(pair, self._config.resize, who="PSNR and SSIM", min_side=WINDOW)
        rows = [
            (float(np.square(ours_HWC - theirs_HWC, dtype=np.float64).mean()), ssim(ours_HWC, theirs_HWC))
            for ours_HWC, theirs_HWC in frame_pairs(*clips)
        ]
        return np.array(rows, dtype=np.float32)
