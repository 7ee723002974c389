"""What extractors of optical flow have in common: the algorithm, its weights, and the size it needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np

from ....core.contracts import Extractor, ExtractorSession, FrozenConfig, Rows
from ....core.errors import MetricError, WeightsError
from ....core.types import Features, Resources, WeightsRef
from ....core.weights import resolve, why_missing
from ...settings import FlowSettings
from .optical_flow import OPENCV_MIN_SIDE, FlowFunction, dis_flow, farneback_flow, one_opencv_thread
from .raft import RAFT, RaftFlow, load_raft


class FlowConfig(FrozenConfig):
    """How flow is made; the protocol's `flow` section with the weights."""

    weights: str = ""
    """Of RAFT: file or folder; there is no default. The other algorithms have none."""
    algorithm: Literal["dis", "farneback", "raft"] = FlowSettings().algorithm
    max_side: int | None = FlowSettings().max_side


class FlowExtractor(Extractor):
    """Base of the extractors that read optical flow; each has a name, a modality and a session of its own."""

    Config: ClassVar[type[FlowConfig]] = FlowConfig
    version: ClassVar[str] = "1"
    rows: ClassVar[Rows] = "transitions"
    weights_role: ClassVar[str] = "raft"
    weights_format = RAFT

    @classmethod
    def protocol_settings(cls, protocol: Any) -> dict[str, Any]:
        """The `flow` section."""
        settings: FlowSettings = protocol.flow
        return {"algorithm": settings.algorithm, "max_side": settings.max_side}

    @classmethod
    def from_protocol(cls, protocol: Any, weights: str | None = None) -> Self:
        """As `Extractor.from_protocol`; weights that the algorithm does not read are not kept.

        Raises:
            WeightsError: the protocol's algorithm is RAFT and no weights are named.
        """
        if protocol.flow.algorithm != "raft":
            weights = None
        elif not weights:
            raise _no_weights(cls.name)
        return super().from_protocol(protocol, weights)

    @classmethod
    def describe(cls, protocol: Any) -> str:
        """The `flow` section."""
        settings: FlowSettings = protocol.flow
        return settings.describe()

    @classmethod
    def available(cls, location: str | None) -> str | None:
        """None, or why the extractor cannot be used with the weights at this location (None for none).

        Without weights it can, by the algorithms that have none; a protocol that asks for RAFT is then
        refused by `from_protocol`.
        """
        return None if location is None else why_missing(location, RAFT)

    def resources(self) -> Resources:
        """A GPU for RAFT alone."""
        return Resources(vram_gib=8.0) if self.config.algorithm == "raft" else Resources(num_gpus=0.0)

    def weights(self) -> tuple[WeightsRef, ...]:
        """RAFT's, where it is the algorithm."""
        return super().weights() if self.config.algorithm == "raft" else ()

    def load_raft(self, device: str) -> FlowFunction | None:
        """RAFT on a device; None where the algorithm is another."""
        if self.config.algorithm != "raft":
            return None
        if not self.config.weights:
            raise _no_weights(self.name)
        return RaftFlow(load_raft(resolve(self.config.weights, RAFT)), device)


class FlowSession(ExtractorSession):
    """Base of the sessions. The algorithm is on one thread: features are the same bits whatever the process's
    threads are."""

    def __init__(self, config: FlowConfig, raft: FlowFunction | None) -> None:
        self._config, self._raft = config, raft

    def extract(self, inputs: Sequence[Any]) -> list[Features]:
        """As `ExtractorSession.extract`."""
        with one_opencv_thread():
            return super().extract(inputs)

    def make_flow(self) -> FlowFunction:
        """The flow function. OpenCV's objects have buffers: one for each clip, since clips may be on several
        threads."""
        return self._raft or (dis_flow() if self._config.algorithm == "dis" else farneback_flow())

    def check_size(self, full_size: tuple[int, ...], measured_HWC: np.ndarray) -> None:
        """Refuse frames that OpenCV's algorithms cannot follow.

        Args:
            full_size: height and width of the clip.
            measured_HWC: a frame as flow is measured on it.

        Raises:
            MetricError: the measured frame is too small; RAFT pads, and takes any.
        """
        height, width = measured_HWC.shape[:2]
        if self._config.algorithm != "raft" and min(height, width) < OPENCV_MIN_SIDE:
            raise MetricError(
                f"optical flow needs frames of at least {OPENCV_MIN_SIDE} pixels a side, the clip's are "
                f"{full_size[0]} x {full_size[1]} and are measured at {height} x {width}",
                f"raise the protocol's flow.max_side ({self._config.max_side}), or leave out these metrics",
            )


def _no_weights(name: str) -> WeightsError:
    return WeightsError(
        f"{name}: the protocol's flow.algorithm is 'raft', and no weights are named",
        "give `weights: {raft: <file or folder of torchvision's RAFT>}`, or use algorithm dis or farneback",
    )
