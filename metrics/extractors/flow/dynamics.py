"""The extractor of VBench's dynamic degree: how far the fastest part of the picture moves, by RAFT.

Huang et al., "VBench" (2024), as its code has it: frames at about 8 a second at their own size, RAFT with 20
updates between neighbours, and of each flow field, the padding at the frame's edges among it, the mean
length of the longest 5 %. The protocol's `flow` section has no part in it.

Shape suffixes: T frames, H height, W width, C channels.
"""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import numpy as np

from ....core.contracts import Extractor, ExtractorSession, FrozenConfig, Rows
from ....core.errors import MetricError, WeightsError
from ....core.types import Features, Frames, Resources
from ....core.weights import resolve
from ..backbone import check_frames
from .raft import RAFT, RaftFlow, load_raft, padded_length

MIN_SIDE = 128
"""Pixels a side, after padding to a multiple of 8, that RAFT's correlation pyramid needs. VBench's code runs
on smaller frames and gets NaN, which it takes for no motion."""

_UNIT_SIDE = 256
_FASTEST = 0.05


class FastestMotion(Extractor):
    """Mean length of the fastest 5 % of the flow: video [T, H, W, 3] uint8 -> float32 [T - 1].

    In pixels of a frame whose shorter side is 256, so that VBench's threshold is 6 at every size.
    """

    class Config(FrozenConfig):
        """The weights."""

        weights: str = ""
        """Of RAFT: file or folder; there is no default."""

    name: ClassVar[str] = "fastest_motion"
    version: ClassVar[str] = "1"
    modality: ClassVar[str] = "video"
    rows: ClassVar[Rows] = "transitions"
    reads_at_fps: ClassVar[float | None] = 8.0
    weights_role: ClassVar[str] = "raft"
    weights_format = RAFT

    @classmethod
    def describe(cls, protocol: Any) -> str:
        """The algorithm; no setting of the protocol acts."""
        return "flow:raft,20 updates|side:native|read:about 8fps"

    def resources(self) -> Resources:
        """One GPU."""
        return Resources(vram_gib=8.0)

    def load(self, device: str) -> FastestMotionSession:
        """RAFT on a device."""
        reason = self.available(self.config.weights)
        if reason is not None:
            raise WeightsError(f"{self.name}: {reason}")
        return FastestMotionSession(RaftFlow(load_raft(resolve(self.config.weights, RAFT)), device))


class FastestMotionSession(ExtractorSession):
    """RAFT between neighbouring frames, a pair at a time."""

    def __init__(self, raft: RaftFlow) -> None:
        self._raft = raft

    def extract_one(self, item: Frames) -> Features:
        """Features float32 [T - 1] of a clip.

        Raises:
            MetricError: it is not uint8 [T, H, W, 3], has fewer than two frames, or is too small for RAFT.
        """
        check_frames(item, min_frames=2, who="RAFT")
        height, width = item.shape[1:3]
        if min(padded_length(height), padded_length(width)) < MIN_SIDE:
            raise MetricError(
                f"RAFT needs frames of {MIN_SIDE} pixels a side, the clip's are {height} x {width}",
                "measure larger clips, or leave the metric out",
            )
        scale = _UNIT_SIDE / min(height, width)
        rows = []
        for before_HWC, after_HWC in itertools.pairwise(item):
            flow_HWC = self._raft.padded(before_HWC, after_HWC)
            lengths = np.sort(np.sqrt(np.square(flow_HWC).sum(axis=2)), axis=None)
            rows.append(lengths[-int(_FASTEST * lengths.size) :].mean() * scale)
        return np.array(rows, dtype=np.float32)
