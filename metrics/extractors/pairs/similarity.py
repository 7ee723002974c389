"""The extractor of PSNR and SSIM: how alike a generated clip and its reference are, pixel by pixel.

Shape suffixes: T frames, H height, W width, C channels, K columns.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ....core.types import Features
from .frames import Pair, PairExtractor, check_pair, frame_pairs

COLUMNS = ("mse", "ssim")
"""Of the features of a frame:

* mse: mean squared difference over pixels and channels, values 0 to 255. PSNR itself is infinite for equal
  frames, which the store refuses, so that PSNR is made from this by the metric.
* ssim: see `ssim`.
"""

WINDOW = 11
SIGMA = 1.5
K1, K2 = 0.01, 0.03
DATA_RANGE = 255.0

_C1, _C2 = (K1 * DATA_RANGE) ** 2, (K2 * DATA_RANGE) ** 2


class PairPixels(PairExtractor):
    """Squared error and SSIM of every frame: (generated, reference) clips uint8 -> float32 [T, 2]."""

    name: ClassVar[str] = "pair_pixels"
    version: ClassVar[str] = "1"

    def extract_one(self, item: Pair) -> Features:
        """Features float32 [T, 2] of a pair; the columns are `COLUMNS`.

        Raises:
            MetricError: clips of the wrong type, of differing numbers of frames, below 11 pixels a side, or
                of differing sizes where the protocol refuses that.
        """
        clips = check_pair(item, self.config.resize, who="PSNR and SSIM", min_side=WINDOW)
        rows = [
            (float(np.square(ours_HWC - theirs_HWC, dtype=np.float64).mean()), ssim(ours_HWC, theirs_HWC))
            for ours_HWC, theirs_HWC in frame_pairs(*clips)
        ]
        return np.array(rows, dtype=np.float32)


def ssim(first_HWC: npt.ArrayLike, second_HWC: npt.ArrayLike) -> float:
    """Mean SSIM of two frames, at most 1; 1 for equal frames, negative for opposed ones.

    Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity" (2004), eq. 13,
    with the constants of its section III-C:

        SSIM = (2 m1 m2 + C1) (2 s12 + C2) / ((m1^2 + m2^2 + C1) (s1^2 + s2^2 + C2))

    m, s^2 and s12 are means, variances and covariance (divided by the weights' sum, not by one less) under an
    11 x 11 Gaussian window of deviation 1.5; C1 = (0.01 * 255)^2, C2 = (0.03 * 255)^2. The map is averaged
    over all places where the window lies inside the frame and over the three channels.

    The paper measures luminance, here each RGB channel by itself; the authors' later script shrinks large
    pictures first, which is not done here. scikit-image agrees; torchmetrics takes windows beyond the border.

    Args:
        first_HWC, second_HWC: values 0 to 255, of one shape, at least 11 pixels a side.
    """
    x_HWC, y_HWC = np.asarray(first_HWC, np.float64), np.asarray(second_HWC, np.float64)
    if x_HWC.shape != y_HWC.shape or min(x_HWC.shape[:2]) < WINDOW:
        raise ValueError(f"frames of one shape and {WINDOW} pixels a side, got {x_HWC.shape}, {y_HWC.shape}")
    mean_x, mean_y = _blurred(x_HWC), _blurred(y_HWC)
    variance_x, variance_y = _blurred(x_HWC * x_HWC) - mean_x**2, _blurred(y_HWC * y_HWC) - mean_y**2
    covariance = _blurred(x_HWC * y_HWC) - mean_x * mean_y
    similarity = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    similarity /= (mean_x**2 + mean_y**2 + _C1) * (variance_x + variance_y + _C2)
    return float(similarity.mean())


def _blurred(image_HWC: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Weighted means at the places where the window lies inside."""
    from scipy.ndimage import correlate1d

    half = WINDOW // 2
    offsets = np.arange(-half, half + 1)
    weights = np.exp(-0.5 * (offsets / SIGMA) ** 2)
    weights /= weights.sum()
    down = correlate1d(image_HWC, weights, axis=0)[half:-half]
    return np.asarray(correlate1d(down, weights, axis=1)[:, half:-half])
