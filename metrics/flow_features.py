"""The extractor of motion magnitude and warping error: what optical flow says of neighbouring frames.

Shape suffixes: T frames, H height, W width, C channels, K columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np

from ..core.contracts import FrozenConfig
from ..core.errors import MetricError, WeightsError
from ..core.types import Features, Frames, Resources, WeightsRef
from ..core.weights import resolve, why_missing
from .optical_flow import (
    OPENCV_MIN_SIDE,
    FlowField,
    FlowFunction,
    dis_flow,
    farneback_flow,
    one_opencv_thread,
    shrink,
)
from .protocol import Protocol
from .settings import FlowSettings
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


class FlowFeatures:
    """Motion between neighbouring frames: video [T, H, W, 3] uint8 -> float32 [T - 1, 4], see `COLUMNS`.

    Frames are shrunk to the protocol's `flow.max_side` first. Lengths are in percent of the shorter side, so
    that they do not depend on the size of the video; and per frame, not per second, so that they do depend on
    its frame rate. The occlusion test's thresholds are in pixels of the shrunk frame.
    """

    class Config(FrozenConfig):
        weights: str = ""
        """Of RAFT: file or folder; there is no default. The other algorithms have none."""
        algorithm: Literal["dis", "farneback", "raft"] = FlowSettings().algorithm
        max_side: int | None = FlowSettings().max_side

    name: ClassVar[str] = "flow"
    version: ClassVar[str] = "1"
    modality: ClassVar[str] = "video"
    weights_role: ClassVar[str] = "raft"

    def __init__(self, config: Config) -> None:
        self.config = config

    @classmethod
    def from_protocol(cls, protocol: Protocol, weights: str | None = None) -> Self:
        """The extractor with the parts of the protocol that its features depend on, and no others.

        Raises:
            WeightsError: the protocol's algorithm is RAFT and no weights are named.
        """
        settings = protocol.flow
        if settings.algorithm == "raft" and not weights:
            raise _no_weights()
        # Weights that are not read are not kept, so that they change nothing.
        used = (weights or "") if settings.algorithm == "raft" else ""
        return cls(cls.Config(weights=used, algorithm=settings.algorithm, max_side=settings.max_side))

    @staticmethod
    def describe(protocol: Protocol) -> str:
        """For signatures: what the features depend on."""
        return protocol.flow.describe()

    def parameters(self) -> Mapping[str, Any]:
        """What the features depend on besides the clip and the weights' content."""
        return self.config.model_dump(mode="json", exclude={"weights"})

    def resources(self) -> Resources:
        if self.config.algorithm == "raft":
            return Resources(vram_gib=8.0)
        return Resources(num_gpus=0.0)

    def weights(self) -> tuple[WeightsRef, ...]:
        if self.config.algorithm != "raft":
            return ()
        return (WeightsRef(self.weights_role, self.config.weights),)

    @staticmethod
    def available(location: str | None) -> str | None:
        """None, or why the extractor cannot be used with the weights at this location (None for none).

        Without weights it can, by the algorithms that have none; a protocol that asks for RAFT is then
        refused by `from_protocol`.
        """
        return None if location is None else why_missing(location)

    def load(self, device: str) -> FlowSession:
        if self.config.algorithm != "raft":
            return FlowSession(self.config, None)
        from .raft import RaftFlow, load_raft

        if not self.config.weights:
            raise _no_weights()
        return FlowSession(self.config, RaftFlow(load_raft(resolve(self.config.weights)), device))


class FlowSession:
    """The algorithm, on one thread: features are the same bits whatever the process's threads are."""

    def __init__(self, config: FlowFeatures.Config, raft: FlowFunction | None) -> None:
        self._config, self._raft = config, raft

    def extract(self, inputs: Sequence[Frames]) -> list[Features]:
        """Features float32 [T - 1, 4] of each clip, in order; the columns are `COLUMNS`.

        Raises:
            MetricError: a clip is not uint8 [T, H, W, 3], has fewer than two frames, or is too small.
        """
        with one_opencv_thread():
            return [self._extract(clip) for clip in inputs]

    def _extract(self, clip_THWC: Frames) -> Features:
        from .preprocess import check_frames

        check_frames(clip_THWC, min_frames=2, who="optical flow")
        # OpenCV's objects have buffers: one for each clip, since clips may be on several threads.
        flow = self._raft or (dis_flow() if self._config.algorithm == "dis" else farneback_flow())
        before_HWC = shrink(clip_THWC[0], self._config.max_side)
        self._check_size(clip_THWC, before_HWC)
        rows = []
        for index in range(1, len(clip_THWC)):
            after_HWC = shrink(clip_THWC[index], self._config.max_side)
            forward_HWC, backward_HWC = flow(before_HWC, after_HWC), flow(after_HWC, before_HWC)
            warping = warp_back(before_HWC, after_HWC, forward_HWC, backward_HWC)
            rows.append((*_motion(forward_HWC, clip_THWC.shape[1:3]), warping.error, warping.visible))
            before_HWC = after_HWC
        return np.array(rows, dtype=np.float32)

    def _check_size(self, clip_THWC: Frames, measured_HWC: np.ndarray) -> None:
        height, width = measured_HWC.shape[:2]
        if self._raft is None and min(height, width) < OPENCV_MIN_SIDE:
            raise MetricError(
                f"optical flow needs frames of at least {OPENCV_MIN_SIDE} pixels a side, the clip's are "
                f"{clip_THWC.shape[1]} x {clip_THWC.shape[2]} and are measured at {height} x {width}",
                f"raise the protocol's flow.max_side ({self._config.max_side}), or leave out these metrics",
            )


def _motion(flow_HWC: FlowField, full_size: tuple[int, ...]) -> tuple[float, float]:
    """Mean length of the flow over all and over the fastest pixels, in percent of the shorter side."""
    # Each axis by itself: rounding to whole pixels may shrink them by slightly different factors.
    dx = flow_HWC[..., 0].astype(np.float64) * (full_size[1] / flow_HWC.shape[1])
    dy = flow_HWC[..., 1].astype(np.float64) * (full_size[0] / flow_HWC.shape[0])
    percent = np.sort(np.sqrt(dx * dx + dy * dy), axis=None) * (100.0 / min(full_size))
    num_fastest = max(1, int(_FASTEST * percent.size))
    return float(percent.mean()), float(percent[-num_fastest:].mean())


def _no_weights() -> WeightsError:
    return WeightsError(
        "flow: the protocol's flow.algorithm is 'raft', and no weights are named",
        "give `weights: {raft: <file or folder of torchvision's RAFT>}`, or use algorithm dis or farneback",
    )
