"""PSNR, SSIM and LPIPS of a generated clip against its reference, averaged over frames.

They ask whether a clip is its reference, frame by frame. That suits prediction and reconstruction; a clip
made from a caption alone can be good and unlike the reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..extractors.pairs.similarity import COLUMNS
from .features import Floats, FrameMetric

MAX_PSNR_DB = 100.0
"""PSNR of equal frames, and the largest there is. The least error that two different uint8 frames can have,
one value of one pixel off by 1, gives 48.13 + 10 log10(number of values) dB: 100 dB from 51,300 pixels on."""

_PEAK = 255.0
_LEAST_MSE = _PEAK**2 / 10.0 ** (MAX_PSNR_DB / 10.0)


class Psnr(FrameMetric):
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
    columns: ClassVar[tuple[str, ...]] = COLUMNS
    column: ClassVar[str] = "mse"
    label: ClassVar[str] = "PSNR"
    formula: ClassVar[str] = f"mean-over-frames|at-most:{MAX_PSNR_DB:g}dB"

    def parameters(self) -> Mapping[str, Any]:
        """The cap."""
        return {"max_psnr_db": MAX_PSNR_DB}

    def _of_column(self, values_T: Floats) -> float:
        return float((10.0 * np.log10(_PEAK**2 / np.maximum(values_T, _LEAST_MSE))).mean())


class Ssim(FrameMetric):
    """Mean over frames of SSIM, at most 1, higher is better.

    Wang et al. (2004): Gaussian window of 11 pixels and deviation 1.5, K1 0.01, K2 0.03, range 255, each RGB
    channel by itself, places where the window lies inside the frame; the formula is in
    `extractors.pairs.similarity`.
    """

    name: ClassVar[str] = "ssim"
    unit: ClassVar[str] = "SSIM"
    higher_is_better: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("pair_pixels",)
    columns: ClassVar[tuple[str, ...]] = COLUMNS
    column: ClassVar[str] = "ssim"
    label: ClassVar[str] = "SSIM"
    formula: ClassVar[str] = "mean-over-frames|window:gauss11,1.5|rgb"


class Lpips(FrameMetric):
    """Mean over frames of LPIPS (version 0.1, AlexNet), 0 for equal frames, lower is better.

    Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (2018).
    """

    name: ClassVar[str] = "lpips"
    unit: ClassVar[str] = "LPIPS"
    higher_is_better: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("lpips",)
    columns: ClassVar[tuple[str, ...]] = ("lpips",)
    column: ClassVar[str] = "lpips"
    label: ClassVar[str] = "LPIPS"
