"""The extractor of motion alignment: how alike the motion of a generated clip and of its reference is.

Shape suffixes: T frames, H height, W width, C channels, K columns.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ....core.errors import MetricError
from ....core.types import Features, Frames
from ...settings import PairSettings
from ..flow.extractor import FlowConfig, FlowExtractor, FlowSession
from ..flow.optical_flow import FlowField, at_full_size, shrink
from .frames import Pair, PairResize, check_pair, whole_frame_pairs

COLUMNS = ("endpoint_error", "agreement", "generated_motion", "reference_motion")
"""Of the features of two neighbouring frames, with g and r the flow between them in the generated and in the
reference clip, in percent of the shorter side:

* endpoint_error: mean over pixels of |g - r|.
* agreement: mean over pixels of the inner product g . r.
* generated_motion, reference_motion: mean over pixels of |g|^2 and of |r|^2.
"""


class PairFlow(FlowExtractor):
    """Flow against flow: (generated, reference) clips uint8 -> float32 [T - 1, 4], see `COLUMNS`.

    A reference of another size is resized to the generated clip's first, so that the two flows lie over each
    other pixel by pixel; then both are shrunk to the protocol's `flow.max_side`. One flow for each pair of
    neighbouring frames and side.
    """

    class Config(FlowConfig):
        """The protocol's sections `flow` and `pair`, with RAFT's weights."""

        resize: PairResize = PairSettings().resize

    name: ClassVar[str] = "pair_flow"
    modality: ClassVar[str] = "pair"

    @classmethod
    def protocol_settings(cls, protocol: Any) -> dict[str, Any]:
        """The `flow` section, and what becomes of a reference of another size."""
        return super().protocol_settings(protocol) | {"resize": protocol.pair.resize}

    @classmethod
    def describe(cls, protocol: Any) -> str:
        """What becomes of a reference of another size, and the `flow` section."""
        return f"{protocol.pair.describe()}|{super().describe(protocol)}"

    def load(self, device: str) -> PairFlowSession:
        """The algorithm, RAFT on the device."""
        return PairFlowSession(self.config, self.load_raft(device))


class PairFlowSession(FlowSession):
    """Forward flow of every pair of neighbouring frames, in both clips."""

    _config: PairFlow.Config

    def extract_one(self, item: Pair) -> Features:
        """Features float32 [T - 1, 4] of a pair; the columns are `COLUMNS`.

        Raises:
            MetricError: clips of the wrong type, of differing numbers of frames or of one, too small, or of
                differing sizes where the protocol refuses that.
        """
        generated_THWC, reference_THWC = check_pair(item, self._config.resize, who="motion alignment")
        if len(generated_THWC) < 2:
            raise MetricError("motion alignment needs clips of at least 2 frames, these have 1")
        flow, size = self.make_flow(), generated_THWC.shape[1:3]
        before: tuple[Frames, Frames] | None = None
        rows = []
        for frames in whole_frame_pairs(generated_THWC, reference_THWC):
            ours_HWC, theirs_HWC = (shrink(frame, self._config.max_side) for frame in frames)
            if before is None:
                self.check_size(size, ours_HWC)
            else:
                rows.append(_compare(flow(before[0], ours_HWC), flow(before[1], theirs_HWC), size))
            before = ours_HWC, theirs_HWC
        return np.array(rows, dtype=np.float32)


def _compare(
    generated_HWC: FlowField, reference_HWC: FlowField, size: tuple[int, ...]
) -> tuple[float, float, float, float]:
    to_percent = 100.0 / min(size)
    gx, gy = (to_percent * axis_HW for axis_HW in at_full_size(generated_HWC, size))
    rx, ry = (to_percent * axis_HW for axis_HW in at_full_size(reference_HWC, size))
    return (
        float(np.hypot(gx - rx, gy - ry).mean()),
        float((gx * rx + gy * ry).mean()),
        float((gx * gx + gy * gy).mean()),
        float((rx * rx + ry * ry).mean()),
    )
