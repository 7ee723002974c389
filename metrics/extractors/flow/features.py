"""The extractor of motion magnitude and warping error: what optical flow says of neighbouring frames.

Shape suffixes: T frames, H height, W width, C channels, K columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np

from ....core.types import Features, Frames
from ...protocol import Protocol
from .extractor import FlowConfig, FlowExtractor, check_flow_size, flow_settings, make_flow
from .optical_flow import FlowField, FlowFunction, at_full_size, one_opencv_thread, shrink
from .warping import warp_back

COLUMNS = ("motion", "fast_motion", "warping_error", "visible")
"""Of the features of a pair of frames:

* motion: mean length of the forward flow, in percent of the frame's shorter side.
* fast_motion: the same over the fastest 5 % of the pixels. VBench's dynamic degree asks how many pairs exceed
  100 * 6 / 256 = 2.34 of this, at about 8 frames a second and with RAFT.
* warping_error: see `warping`; values 0 to 1.
* visible: share of the pixels that the warping error is over; 0 means that it is over all of them.
"""

_FASTEST = 0.05


class FlowFeatures(FlowExtractor):
    """Motion between neighbouring frames: video [T, H, W, 3] uint8 -> float32 [T - 1, 4], see `COLUMNS`.

    Frames are shrunk to the protocol's `flow.max_side` first. Lengths are in percent of the shorter side, so
    that they do not depend on the size of the video; and per frame, not per second, so that they do depend on
    its frame rate. The occlusion test's thresholds are in pixels of the shrunk frame.
    """

    Config = FlowConfig
    name: ClassVar[str] = "flow"
    version: ClassVar[str] = "1"
    modality: ClassVar[str] = "video"

    @classmethod
    def from_protocol(cls, protocol: Protocol, weights: str | None = None) -> Self:
        """The extractor with the parts of the protocol that its features depend on, and no others.

        Raises:
            WeightsError: the protocol's algorithm is RAFT and no weights are named.
        """
        return cls(cls.Config(**flow_settings(cls.name, protocol, weights)))

    @staticmethod
    def describe(protocol: Protocol) -> str:
        """For signatures: what the features depend on."""
        return protocol.flow.describe()

    def load(self, device: str) -> FlowSession:
        return FlowSession(self.config, self.load_raft(device))


class FlowSession:
    """The algorithm, on one thread: features are the same bits whatever the process's threads are."""

    def __init__(self, config: FlowConfig, raft: FlowFunction | None) -> None:
        self._config, self._raft = config, raft

    def extract(self, inputs: Sequence[Frames]) -> list[Features]:
        """Features float32 [T - 1, 4] of each clip, in order; the columns are `COLUMNS`.

        Raises:
            MetricError: a clip is not uint8 [T, H, W, 3], has fewer than two frames, or is too small.
        """
        with one_opencv_thread():
            return [self._extract(clip) for clip in inputs]

    def _extract(self, clip_THWC: Frames) -> Features:
        from ..preprocess import check_frames

        check_frames(clip_THWC, min_frames=2, who="optical flow")
        flow = make_flow(self._config, self._raft)
        before_HWC = shrink(clip_THWC[0], self._config.max_side)
        check_flow_size(self._config, clip_THWC.shape[1:3], before_HWC)
        rows = []
        for index in range(1, len(clip_THWC)):
            after_HWC = shrink(clip_THWC[index], self._config.max_side)
            forward_HWC, backward_HWC = flow(before_HWC, after_HWC), flow(after_HWC, before_HWC)
            warping = warp_back(before_HWC, after_HWC, forward_HWC, backward_HWC)
            rows.append((*_motion(forward_HWC, clip_THWC.shape[1:3]), warping.error, warping.visible))
            before_HWC = after_HWC
        return np.array(rows, dtype=np.float32)


def _motion(flow_HWC: FlowField, full_size: tuple[int, ...]) -> tuple[float, float]:
    """Mean length of the flow over all and over the fastest pixels, in percent of the shorter side."""
    dx, dy = at_full_size(flow_HWC, full_size)
    percent = np.sort(np.sqrt(dx * dx + dy * dy), axis=None) * (100.0 / min(full_size))
    num_fastest = max(1, int(_FASTEST * percent.size))
    return float(percent.mean()), float(percent[-num_fastest:].mean())
