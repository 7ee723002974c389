"""The extractor of kept structure: whether a generated clip has its edges where its reference has them.

Shape suffixes: T frames, H height, W width, C channels (RGB).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from ....core.contracts import FrozenConfig
from ....core.types import Features, Frames, Resources, WeightsRef
from ...protocol import Protocol
from ...settings import PairSettings
from ..flow.optical_flow import one_opencv_thread, shrink
from .frames import PairResize, check_pair, whole_frame_pairs

MAX_SIDE = 128
"""Frames with a longer side are shrunk to it first (area average): finer edges are texture."""

RELATIVE_SIGMA = 1 / 64
"""Deviation of the Gaussian whose derivative finds the edges, as a share of the shorter side."""

MIN_SIDE = 16

_NO_EDGES = 1e-3
"""Deviation of the edge strength, in grey levels a pixel, below which a frame has no edges. One value of one
pixel off by 1 gives 0.0044 on a flat frame of 64 x 64 and 0.0005 on one of 128 x 128."""

EdgeMap = npt.NDArray[np.float64]


class PairEdges:
    """Correlation of the edge maps of every frame: (generated, reference) clips uint8 -> float32 [T].

    A reference of another size is resized to the generated clip's first; see `edge_correlation`.
    """

    class Config(FrozenConfig):
        resize: PairResize = PairSettings().resize

    name: ClassVar[str] = "pair_edges"
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

    def load(self, device: str) -> PairEdgesSession:
        del device  # numpy
        return PairEdgesSession(self.config)


class PairEdgesSession:
    def __init__(self, config: PairEdges.Config) -> None:
        self._config = config

    def extract(self, inputs: Sequence[tuple[Frames, Frames]]) -> list[Features]:
        """Correlations float32 [T] of each pair, in order.

        Raises:
            MetricError: clips of the wrong type, of differing numbers of frames, below 16 pixels a side, or
                of differing sizes where the protocol refuses that.
        """
        with one_opencv_thread():
            return [self._extract(pair) for pair in inputs]

    def _extract(self, pair: tuple[Frames, Frames]) -> Features:
        clips = check_pair(pair, self._config.resize, who="kept structure", min_side=MIN_SIDE)
        return np.array([edge_correlation(*frames) for frames in whole_frame_pairs(*clips)], dtype=np.float32)


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
