"""Frame consistency: how alike the frames of a clip are to CLIP, by three definitions.

All pairs, as the LOVEU-TGVE challenge and the Tune-A-Video line compute it; consecutive frames, as
FateZero does; and first and previous frame, as VBench's background consistency, and its subject consistency
with DINO's features. A static clip scores 1 on all; a drifting one scores lower on all pairs, so they never
share a column.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ...core.contracts import ClipMetric
from ...core.errors import MetricError
from ...core.types import Features
from .features import Floats, unit_rows


class _FrameConsistency(ClipMetric):
    version: ClassVar[str] = "1"
    unit: ClassVar[str] = "cosine"
    higher_is_better: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("clip_image",)

    def _frames(self, features: Mapping[str, Features]) -> Floats:
        frames_TD = unit_rows(self.label, features, self.needs[0], 2)
        if len(frames_TD) < 2:
            raise MetricError(f"{self.label}: a clip of {len(frames_TD)} frame has no pair of frames")
        return frames_TD


class FrameConsistencyAllPairs(_FrameConsistency):
    """Mean of cos(frame i, frame j) over all ordered pairs i != j, in [-1, 1], higher is better.

    = (||sum_t f_t||^2 - T) / (T (T - 1)) for unit features f_t.
    """

    name: ClassVar[str] = "frame_consistency_all_pairs"
    label: ClassVar[str] = "Frame consistency (all pairs)"
    formula: ClassVar[str] = "all-pairs"

    def compute(self, features: Mapping[str, Features]) -> float:
        """The value of one clip.

        Args:
            features: "clip_image" [T, D], T >= 2.

        Raises:
            MetricError: fewer than two frames, a wrong shape, or features that are not finite.
        """
        frames_TD = self._frames(features)
        count = len(frames_TD)
        total_D = frames_TD.sum(axis=0)
        return float((total_D @ total_D - count) / (count * (count - 1)))


class FrameConsistencyConsecutive(_FrameConsistency):
    """Mean of cos(frame t, frame t + 1) over the T - 1 neighbours, in [-1, 1], higher is better."""

    name: ClassVar[str] = "frame_consistency_consecutive"
    label: ClassVar[str] = "Frame consistency (consecutive)"
    formula: ClassVar[str] = "consecutive"

    def compute(self, features: Mapping[str, Features]) -> float:
        """The value of one clip; as for all pairs."""
        frames_TD = self._frames(features)
        return float(np.einsum("td,td->t", frames_TD[:-1], frames_TD[1:]).mean())


class FrameConsistencyFirstAndPrevious(_FrameConsistency):
    """Mean over t >= 1 of (max(0, cos(f_t, f_{t-1})) + max(0, cos(f_t, f_0))) / 2, 0 to 1, higher is better.

    VBench's background consistency (Huang et al., "VBench", 2024) for one clip. VBench then weights clips by
    their transitions; here clips count alike. Under the protocol `vbench` frames are resized as it does.
    """

    name: ClassVar[str] = "frame_consistency_first_and_previous"
    label: ClassVar[str] = "Frame consistency (first and previous)"
    formula: ClassVar[str] = "first-and-previous"

    def compute(self, features: Mapping[str, Features]) -> float:
        """The value of one clip; as for all pairs."""
        frames = self._frames(features)
        to_previous = np.einsum("td,td->t", frames[1:], frames[:-1])
        to_first = frames[1:] @ frames[0]
        return float(((to_previous.clip(min=0.0) + to_first.clip(min=0.0)) / 2.0).mean())


class SubjectConsistency(FrameConsistencyFirstAndPrevious):
    """The same mean over DINO's features of whole frames, 0 to 1, higher is better.

    VBench's subject consistency for one clip; as there, clips count alike here and by their transitions in
    VBench on one GPU. Under the protocol `vbench` frames are resized as it does: the short side to 224,
    nothing cut off.
    """

    name: ClassVar[str] = "subject_consistency"
    needs: ClassVar[tuple[str, ...]] = ("dino",)
    label: ClassVar[str] = "Subject consistency"
