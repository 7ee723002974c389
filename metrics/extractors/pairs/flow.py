"""The extractor of motion alignment: how alike the motion of a generated clip and of its reference is.

Shape suffixes: T frames, H height, W width, C channels, K columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np

from ....core.errors import MetricError
from ....core.types import Features, Frames
from ...protocol import Protocol
from ...settings import PairSettings
from ..flow.extractor import FlowConfig, FlowExtractor, check_flow_size, flow_settings, make_flow
from ..flow.optical_flow import FlowField, FlowFunction, at_full_size, one_opencv_thread, shrink
from .frames import PairResize, check_pair, whole_frame_pairs

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
        resize: PairResize = PairSettings().resize

    name: ClassVar[str] = "pair_flow"
    version: ClassVar[str] = "1"
    modality: ClassVar[str] = "pair"
    config: Config

    @classmethod
    def from_protocol(cls, protocol: Protocol, weights: str | None = None) -> Self:
        """The extractor with the parts of the protocol that its features depend on, and no others.

        Raises:
            WeightsError: the protocol's algorithm is RAFT and no weights are named.
        """
        settings = flow_settings(cls.name, protocol, weights)
        return cls(cls.Config(**settings, resize=protocol.pair.resize))

    @staticmethod
    def describe(protocol: Protocol) -> str:
        """For signatures: what the features depend on."""
        return f"{protocol.pair.describe()}|{protocol.flow.describe()}"

    def load(self, device: str) -> PairFlowSession:
        return PairFlowSession(self.config, self.load_raft(device))


class PairFlowSession:
    """The algorithm, on one thread: features are the same bits whatever the process's threads are."""

    def __init__(self, config: PairFlow.Config, raft: FlowFunction | None) -> None:
        self._config, self._raft = config, raft

    def extract(self, inputs: Sequence[tuple[Frames, Frames]]) -> list[Features]:
        """Features float32 [T - 1, 4] of each pair, in order; the columns are `COLUMNS`.

        Raises:
            MetricError: clips of the wrong type, of differing numbers of frames or of one, too small, or of
                differing sizes where the protocol refuses that.
        """
        with one_opencv_thread():
            return [self._extract(pair) for pair in inputs]

    def _extract(self, pair: tuple[Frames, Frames]) -> Features:
        generated_THWC, reference_THWC = check_pair(pair, self._config.resize, who="motion alignment")
        if len(generated_THWC) < 2:
            raise MetricError("motion alignment needs clips of at least 2 frames, these have 1")
        flow = make_flow(self._config, self._raft)
        size = generated_THWC.shape[1:3]
        before: tuple[Frames, Frames] | None = None
        rows = []
        for frames in whole_frame_pairs(generated_THWC, reference_THWC):
            ours_HWC, theirs_HWC = (shrink(frame, self._config.max_side) for frame in frames)
            if before is None:
                check_flow_size(self._config, size, ours_HWC)
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
