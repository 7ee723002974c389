"""The extractor of kept structure: whether a generated clip has its edges where its reference has them.

Shape suffixes: T frames, H height, W width, C channels (RGB).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ....core.types import Features
from ..flow.optical_flow import one_opencv_thread, shrink
from .frames import Pair, PairExtractor, check_pair, whole_frame_pairs

MAX_SIDE = 128
"""Frames with a longer side are shrunk to it first (area average): finer edges are texture."""

RELATIVE_SIGMA = 1 / 64
"""Deviation of the Gaussian whose derivative finds the edges, as a share of the shorter side."""

MIN_SIDE = 16

_NO_EDGES = 1e-3
"""Deviation of the edge strength, in grey levels a pixel, below which a frame has no edges. One value of one
pixel off by 1 gives 0.0044 on a flat frame of 64 x 64 and 0.0005 on one of 128 x 128."""

EdgeMap = npt.NDArray[np.float64]


class PairEdges(PairExtractor):
    """Correlation of the edge maps of every frame: (generated, reference) clips uint8 -> float32 [T].

    A reference of another size is resized to the generated clip's first; see `edge_correlation`.
    """

    name: ClassVar[str] = "pair_edges"
    version: ClassVar[str] = "1"

    def extract_one(self, item: Pair) -> Features:
        """Correlations float32 [T] of a pair.

        Raises:
            MetricError: clips of the wrong type, of differing numbers of frames, below 16 pixels a side, or
                of differing sizes where the protocol refuses that.
        """
        clips = check_pair(item, self.config.resize, who="kept structure", min_side=MIN_SIDE)
        with one_opencv_thread():
            correlations = [edge_correlation(*frames) for frames in whole_frame_pairs(*clips)]
        return np.array(correlations, dtype=np.float32)


def edge_correlation(first_HWC: npt.NDArray[np.uint8], second_HWC: npt.NDArray[np.uint8]) -> float:
    """Pearson's correlation over pixels of the edge strengths of two frames, -1 to 1.

    The edge strength of a pixel is sqrt(sum over channels of (dx^2 + dy^2)) under derivatives of a Gaussian;
    see `edge_strength`. Two frames without edges agree (1); a frame with edges and one without do not (0).

    Args:
        first_HWC, second_HWC: of one shape.
    """
    first, second = (strength - strength.mean() for strength in map(edge_strength, (first_HWC, second_HWC)))
    spread, other_spread = first.std(), second.std()
    if min(spread, other_spread) < _NO_EDGES:
        return float(max(spread, other_spread) < _NO_EDGES)
    return float(np.clip((first * second).mean() / (spread * other_spread), -1.0, 1.0))


def edge_strength(frame_HWC: npt.NDArray[np.uint8]) -> EdgeMap:
    """Edge strength in grey levels a pixel, float64 [h, w], whichever side of an edge is the brighter one.

    The frame is shrunk to `MAX_SIDE`; derivatives are of a Gaussian of 1/64 of the shorter side, so that the
    same picture at another size has the same map. Borders are mirrored.
    """
    from scipy.ndimage import gaussian_filter

    pixels_HWC = shrink(frame_HWC, MAX_SIDE).astype(np.float64)
    sigma = min(pixels_HWC.shape[:2]) * RELATIVE_SIGMA
    squared_HW = np.zeros(pixels_HWC.shape[:2])
    for order in ((0, 1), (1, 0)):
        slope_HWC = gaussian_filter(pixels_HWC, sigma=(sigma, sigma, 0), order=(*order, 0), mode="reflect")
        squared_HW += np.square(slope_HWC).sum(axis=2)
    return np.sqrt(squared_HW)
