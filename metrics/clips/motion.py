"""Motion magnitude and warping error of a clip, from the optical flow between neighbouring frames.

Which algorithm gives the flow is the protocol's (`flow.algorithm`), and values by different algorithms do
not compare.
"""

from __future__ import annotations

from typing import ClassVar

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
