"""What extractors of optical flow have in common: the algorithm, its weights, and the size it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from ....core.contracts import FrozenConfig
from ....core.errors import MetricError, WeightsError
from ....core.types import Resources, WeightsRef
from ....core.weights import resolve, why_missing
from ...protocol import Protocol
from ...settings import FlowSettings
from ..weights_formats import RAFT
from .optical_flow import OPENCV_MIN_SIDE, FlowFunction, dis_flow, farneback_flow


class FlowConfig(FrozenConfig):
    """How flow is made; the protocol's `flow` section with the weights."""

    weights: str = ""
    """Of RAFT: file or folder; there is no default. The other algorithms have none."""
    algorithm: Literal["dis", "farneback", "raft"] = FlowSettings().algorithm
    max_side: int | None = FlowSettings().max_side


class FlowExtractor:
    """Base of the extractors that read optical flow; each has a name, a modality and a session of its own."""

    name: ClassVar[str]
    weights_role: ClassVar[str] = "raft"

    def __init__(self, config: FlowConfig) -> None:
        self.config = config

    def parameters(self) -> Mapping[str, Any]:
        """What the features depend on besides the clips and the weights' content."""
        return self.config.model_dump(mode="json", exclude={"weights"})

    def resources(self) -> Resources:
        if self.config.algorithm == "raft":
            return Resources(vram_gib=8.0)
        return Resources(num_gpus=0.0)

    def weights(self) -> tuple[WeightsRef, ...]:
        if self.config.algorithm != "raft":
            return ()
        return (WeightsRef(self.weights_role, self.config.weights, RAFT),)

    @staticmethod
    def available(location: str | None) -> str | None:
        """None, or why the extractor cannot be used with the weights at this location (None for none).

        Without weights it can, by the algorithms that have none; a protocol that asks for RAFT is then
        refused by `from_protocol`.
        """
        return None if location is None else why_missing(location, RAFT)

    def load_raft(self, device: str) -> FlowFunction | None:
        """RAFT on a device; None where the algorithm is another."""
        if self.config.algorithm != "raft":
            return None
        from .raft import RaftFlow, load_raft

        if not self.config.weights:
            raise _no_weights(self.name)
        return RaftFlow(load_raft(resolve(self.config.weights, RAFT)), device)


def flow_settings(name: str, protocol: Protocol, weights: str | None) -> dict[str, Any]:
    """The fields of `FlowConfig` under a protocol.

    Args:
        name: the extractor, for messages.
        weights: location of RAFT, None where none is named.

    Raises:
        WeightsError: the protocol's algorithm is RAFT and no weights are named.
    """
    settings = protocol.flow
    if settings.algorithm == "raft" and not weights:
        raise _no_weights(name)
    # Weights that are not read are not kept, so that they change nothing.
    used = (weights or "") if settings.algorithm == "raft" else ""
    return {"weights": used, "algorithm": settings.algorithm, "max_side": settings.max_side}


def make_flow(config: FlowConfig, raft: FlowFunction | None) -> FlowFunction:
    """The flow function. OpenCV's objects have buffers: one for each clip, since clips may be on several
    threads."""
    return raft or (dis_flow() if config.algorithm == "dis" else farneback_flow())


def check_flow_size(config: FlowConfig, full_size: tuple[int, ...], measured_HWC: np.ndarray) -> None:
    """Refuse frames that OpenCV's algorithms cannot follow.

    Args:
        full_size: height and width of the clip.
        measured_HWC: a frame as flow is measured on it.

    Raises:
        MetricError: the measured frame is too small; RAFT pads, and takes any.
    """
    height, width = measured_HWC.shape[:2]
    if config.algorithm != "raft" and min(height, width) < OPENCV_MIN_SIDE:
        raise MetricError(
            f"optical flow needs frames of at least {OPENCV_MIN_SIDE} pixels a side, the clip's are "
            f"{full_size[0]} x {full_size[1]} and are measured at {height} x {width}",
            f"raise the protocol's flow.max_side ({config.max_side}), or leave out these metrics",
        )


def _no_weights(name: str) -> WeightsError:
    return WeightsError(
        f"{name}: the protocol's flow.algorithm is 'raft', and no weights are named",
        "give `weights: {raft: <file or folder of torchvision's RAFT>}`, or use algorithm dis or farneback",
    )
