"""PSNR, SSIM and LPIPS of a generated clip against its reference, averaged over frames.

They ask whether a clip is its reference, frame by frame. That suits prediction and reconstruction; a clip
made from a caption alone can be good and unlike the reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ...core.contracts import ClipMetric
from ...core.types import Features
from ..extractors.pairs.similarity import COLUMNS
from .features import frame_values

MAX_PSNR_DB = 100.0
"""PSNR of equal frames, and the largest there is. The least error that two different uint8 frames can have,
one value of one pixel off by 1, gives 48.13 + 10 log10(number of values) dB: 100 dB from 51,300 pixels on."""

_PEAK = 255.0
_LEAST_MSE = _PEAK**2 / 10.0 ** (MAX_PSNR_DB / 10.0)


class _PairMetric(ClipMetric):
    version: ClassVar[str] = "1"
    formula: ClassVar[str] = "mean-over-frames"


class Psnr(_PairMetric):
    """Mean over frames of 10 log10(255^2 / MSE), in dB, higher is better.

    The MSE of a frame is over its pixels and RGB channels. Equal frames have no finite PSNR: they count as
    100 dB, and no frame counts as more. The mean is of the frames' PSNR, as in video prediction; PSNR of the
    mean MSE is lower.

    >>> import numpy as np
    >>> from reelbench.metrics.protocol import load_protocol
    >>> frames = np.array([[65.025, 0.9], [0.0, 1.0]], dtype=np.float32)
    >>> round(Psnr(load_protocol("clean")).compute({"pair_pixels": frames}), 4)
    65.0
    """

    name: ClassVar[str] = "psnr"
    unit: ClassVar[str] = "dB"
    higher_is_better: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("pair_pixels",)
    label: ClassVar[str] = "PSNR"

    def parameters(self) -> Mapping[str, Any]:
        """The cap."""
        return {"max_psnr_db": MAX_PSNR_DB}

    def describe(self) -> str:
        """The mean and the cap."""
        return f"mean-over-frames|at-most:{MAX_PSNR_DB:g}dB"

    def compute(self, features: Mapping[str, Features]) -> float:
        """The value of one clip.

        Args:
            features: "pair_pixels" [T, 2]; see `pair_similarity.COLUMNS`.

        Raises:
            MetricError: the role is missing, the shape is another, or a value is not finite.
        """
        frames_TK = frame_values(self.label, features, "pair_pixels", len(COLUMNS))
        mse_T = np.maximum(frames_TK[:, COLUMNS.index("mse")], _LEAST_MSE)
        return float((10.0 * np.log10(_PEAK**2 / mse_T)).mean())


class Ssim(_PairMetric):
    """Mean over frames of SSIM, at most 1, higher is better.

    Wang et al. (2004): Gaussian window of 11 pixels and deviation 1.5, K1 0.01, K2 0.03, range 255, each RGB
    channel by itself, places where the window lies inside the frame; the formula is in `ssim`.
    """

    name: ClassVar[str] = "ssim"
    unit: ClassVar[str] = "SSIM"
    higher_is_better: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("pair_pixels",)
    label: ClassVar[str] = "SSIM"
    formula: ClassVar[str] = "mean-over-frames|window:gauss11,1.5|rgb"

    def compute(self, features: Mapping[str, Features]) -> float:
        """The value of one clip; as for PSNR."""
        frames_TK = frame_values(self.label, features, "pair_pixels", len(COLUMNS))
        return float(frames_TK[:, COLUMNS.index("ssim")].mean())


class Lpips(_PairMetric):
    """Mean over frames of LPIPS (version 0.1, AlexNet), 0 for equal frames, lower is better.

    Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (2018).
    """

    name: ClassVar[str] = "lpips"
    unit: ClassVar[str] = "LPIPS"
    higher_is_better: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("lpips",)
    label: ClassVar[str] = "LPIPS"

    def compute(self, features: Mapping[str, Features]) -> float:
        """The value of one clip.

        Args:
            features: "lpips" [T].

        Raises:
            MetricError: the role is missing, the shape is another, or a value is not finite.
        """
        return float(frame_values(self.label, features, "lpips", 1).mean())
