"""Motion magnitude, warping error and dynamic degree of a clip, from the optical flow between its frames.

Which algorithm gives the flow of the first two is the protocol's (`flow.algorithm`), and values by different
algorithms do not compare. The dynamic degree is by RAFT, whatever the protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from ...core.errors import MetricError
from ...core.types import Features
from ..extractors.flow.features import COLUMNS
from .features import FrameMetric


class _FlowMetric(FrameMetric):
    needs: ClassVar[tuple[str, ...]] = ("flow",)
    columns: ClassVar[tuple[str, ...]] = COLUMNS
    formula: ClassVar[str] = "mean-over-pairs"


class MotionMagnitude(_FlowMetric):
    """Mean length of the flow between neighbouring frames, in percent of the shorter side per frame.

    0 for a static clip (exactly so by dis, about 1e-3 by farneback); 1 means that pixels move by a hundredth
    of the shorter side from one frame to the next. It does not depend on the size of the video, and does on
    its frame rate. EvalCrafter's flow score is the same mean in pixels of the video at its own size, by RAFT.

    Neither direction is better: a method may move too little or too much. Compare with the value of the
    reference clips.
    """

    name: ClassVar[str] = "motion_magnitude"
    unit: ClassVar[str] = "% of the shorter side per frame"
    higher_is_better: ClassVar[bool | None] = None
    label: ClassVar[str] = "Motion magnitude"
    column: ClassVar[str] = "motion"


class WarpingError(_FlowMetric):
    """Mean over pairs of the squared difference after motion compensation, 0 to 1, lower is better.

    Lai et al., "Learning Blind Video Temporal Consistency" (2018); the formula is in
    `extractors.flow.warping`.

    EvalCrafter's script, which the name is also known from, differs: it divides by the number of pixels alone
    (so is 3 times this), halves the resolution without antialias, gives RAFT values 0 to 1 where 0 to 255
    are expected, and counts a pair without any visible pixel as 0. Here frames are shrunk to the protocol's
    `flow.max_side`, and such a pair counts with all its pixels. A frozen clip has error 0: read it beside the
    motion magnitude.
    """

    name: ClassVar[str] = "warping_error"
    unit: ClassVar[str] = "squared difference of values 0 to 1"
    higher_is_better: ClassVar[bool] = False
    label: ClassVar[str] = "Warping error"
    column: ClassVar[str] = "warping_error"


class DynamicDegree(FrameMetric):
    """Whether a clip moves: 1 or 0; the mean over clips is the share of those that do, higher is better.

    VBench's dynamic degree (Huang et al. 2024). At about 8 frames a second, a pair of neighbouring frames
    moves where the fastest 5 % of its flow are longer than 6 pixels on average, at 256 pixels on the shorter
    side. A clip of T such frames moves where at least round(T / 4) pairs do (half to even). A still clip has
    0.

    By VBench's rule every clip of 2 frames moves, still ones too, since round(2 / 4) is 0; here it has no
    value.

    >>> from reelbench.metrics.protocol import load_protocol
    >>> lengths = np.array([7.0, 1.0, 9.0, 2.0, 3.0, 0.0, 1.0], dtype=np.float32)
    >>> DynamicDegree(load_protocol("clean")).compute({"fastest_motion": lengths})
    1.0
    """

    name: ClassVar[str] = "dynamic_degree"
    unit: ClassVar[str] = "share of clips that move"
    higher_is_better: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("fastest_motion",)
    columns: ClassVar[tuple[str, ...]] = ("length",)
    column: ClassVar[str] = "length"
    label: ClassVar[str] = "Dynamic degree"
    formula: ClassVar[str] = "fastest-5%|above:6px-at-256|pairs:frames/4"

    _THRESHOLD = 6.0
    _SHARE = 4 / 16

    def compute(self, features: Mapping[str, Features]) -> float:
        """1.0 or 0.0.

        Args:
            features: "fastest_motion" [T - 1], T >= 3.

        Raises:
            MetricError: fewer than 3 frames; or as `FrameMetric.compute`.
        """
        lengths = self._frames(features)[:, 0]
        needed = round((len(lengths) + 1) * self._SHARE)
        if needed < 1:
            raise MetricError(
                f"{self.label}: {len(lengths) + 1} frames at about 8 a second are too few to tell motion by; "
                "it takes 3"
            )
        return float(np.count_nonzero(lengths > self._THRESHOLD) >= needed)
