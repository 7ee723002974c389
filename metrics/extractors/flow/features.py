"""The extractor of motion magnitude and warping error: what optical flow says of neighbouring frames.

Shape suffixes: T frames, H height, W width, C channels, K columns.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ....core.types import Features, Frames
from ..backbone import check_frames
from .extractor import FlowExtractor, FlowSession
from .optical_flow import FlowField, at_full_size, shrink
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

    Frames are shrunk to the protocol's `flow.max_side` first. Lengths are per frame, not per second. The
    occlusion test's thresholds are in pixels of the shrunk frame.
    """

    name: ClassVar[str] = "flow"
    modality: ClassVar[str] = "video"

    def load(self, device: str) -> FlowFeaturesSession:
        """The algorithm, RAFT on the device."""
        return FlowFeaturesSession(self.config, self.load_raft(device))


class FlowFeaturesSession(FlowSession):
    """Forward and backward flow of every pair of frames."""

    def extract_one(self, item: Frames) -> Features:
        """Features float32 [T - 1, 4] of a clip; the columns are `COLUMNS`.

        Raises:
            MetricError: it is not uint8 [T, H, W, 3], has fewer than two frames, or is too small.
        """
        check_frames(item, min_frames=2, who="optical flow")
        flow, size = self.make_flow(), item.shape[1:3]
        before_HWC = shrink(item[0], self._config.max_side)
        self.check_size(size, before_HWC)
        rows = []
        for frame_HWC in item[1:]:
            after_HWC = shrink(frame_HWC, self._config.max_side)
            forward_HWC, backward_HWC = flow(before_HWC, after_HWC), flow(after_HWC, before_HWC)
            warping = warp_back(before_HWC, after_HWC, forward_HWC, backward_HWC)
            rows.append((*_motion(forward_HWC, size), warping.error, warping.visible))
            before_HWC = after_HWC
        return np.array(rows, dtype=np.float32)


def _motion(flow_HWC: FlowField, full_size: tuple[int, ...]) -> tuple[float, float]:
    """Mean length of the flow over all and over the fastest pixels, in percent of the shorter side."""
    dx, dy = at_full_size(flow_HWC, full_size)
    percent = np.sort(np.sqrt(dx * dx + dy * dy), axis=None) * (100.0 / min(full_size))
    num_fastest = max(1, int(_FASTEST * percent.size))
    return float(percent.mean()), float(percent[-num_fastest:].mean())
