"""How much of its source an edited clip keeps: motion alignment, motion correlation, structure kept.

An edit has no ground truth. What can be said: how much changed at all (see `pairs`), whether things move as
in the source, and whether they are where they were. A clip that is its source has the best value of each, so
read them beside the textual alignment.

All are means over frames: frame t of the generated clip must be the edit of frame t that is read of the
source. In a run these are the frames that a tuned method took; elsewhere those that the protocol reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ...core.errors import MetricError
from ...core.types import Features
from ..extractors.pairs.edges import MAX_SIDE
from ..extractors.pairs.flow import COLUMNS
from .features import Floats, FrameMetric


class MotionAlignment(FrameMetric):
    """Minus the mean endpoint error of the optical flow, in percent of the shorter side per frame; at most 0.

        - mean over pairs of neighbouring frames and pixels of |flow of the edit - flow of the source|

    V2VBench's motion alignment (Sun et al., "Diffusion Model-Based Video Editing: A Survey", 2024), which has
    GMFlow and pixels of the video at its own size. Values by another algorithm (`flow.algorithm`), and values
    in pixels, do not compare with these.

    It cannot tell a clip that does not move from one that moves as the source: where little of the source
    moves, a frozen clip scores better than a true edit with noise in it (measured on Sprites: -0.60 against
    -0.74 to -0.97). Read it with the motion correlation, which is 0 for a frozen clip.
    """

    name: ClassVar[str] = "motion_alignment"
    unit: ClassVar[str] = "% of the shorter side per frame, negated"
    higher_is_better: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("pair_flow",)
    columns: ClassVar[tuple[str, ...]] = COLUMNS
    column: ClassVar[str] = "endpoint_error"
    label: ClassVar[str] = "Motion alignment"
    formula: ClassVar[str] = "minus-mean-endpoint-error"

    def _of_column(self, values_T: Floats) -> float:
        return 0.0 - float(values_T.mean())  # never -0


class MotionCorrelation(FrameMetric):
    """Cosine of the two clips' optical flow, over all pixels and pairs of frames at once, -1 to 1.

        sum g . r / sqrt(sum |g|^2 * sum |r|^2), g and r the flow of the edit and of the source

    1 where everything moves in the source's directions at the same relative speeds, 0 where motions have
    nothing to do with each other or the edit is frozen, negative where they oppose. A common factor on all
    speeds does not show: that is what motion alignment is for. Fast pixels count most.

    The idea is that of the motion fidelity score of Yatim et al., "Space-Time Diffusion Features for
    Zero-Shot Text-Driven Motion Transfer" (2024), which correlates tracked points, wherever they are, instead
    of flow at equal places; values do not compare.

    A source without any motion has no value; sensor noise in one gives values near 0.
    """

    name: ClassVar[str] = "motion_correlation"
    unit: ClassVar[str] = "cosine"
    higher_is_better: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("pair_flow",)
    columns: ClassVar[tuple[str, ...]] = COLUMNS
    label: ClassVar[str] = "Motion correlation"
    formula: ClassVar[str] = "cosine-over-clip"

    def compute(self, features: Mapping[str, Features]) -> float:
        """The value of one clip; as for motion alignment.

        Raises:
            MetricError: also where the source does not move.
        """
        _, agreement, ours, theirs = (float(column_T.sum()) for column_T in self._frames(features).T)
        if theirs <= 0.0:
            raise MetricError(f"{self.label}: the source does not move, so that there is no motion to keep")
        if ours <= 0.0:
            return 0.0
        return min(1.0, max(-1.0, agreement / (ours * theirs) ** 0.5))


class StructureKept(FrameMetric):
    """Mean over frames of the correlation of edge strengths, -1 to 1: whether edges are where they were.

    1 for the source itself, about 0 for another clip. Recolouring, brightness and turned contrast hardly
    show, another shape or place does. No published table has it: it is gradient correlation (Penney et al.,
    "A Comparison of Similarity Measures for Use in 2-D-3-D Medical Image Registration", 1998) of the
    gradient's length instead of its signed components, since an edit may swap light and dark. The formula is
    in `extractors.pairs.edges`.

    Why not SSIM, which is there too: on Sprites, the share of (true edit, clip of another scene) in which the
    true edit scores higher is 1.00 for all kinds of edit by this, and 0.99, 1.00, 0.59, 0.53 (style, object,
    background, multiple) by SSIM, whose windows over a new background outweigh everything else.

    It sees no texture finer than 1/64 of the frame and does not know objects: strong edges count most, so a
    new background with a pattern lowers it although the object is untouched.
    """

    name: ClassVar[str] = "structure_kept"
    unit: ClassVar[str] = "correlation"
    higher_is_better: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("pair_edges",)
    columns: ClassVar[tuple[str, ...]] = ("correlation",)
    column: ClassVar[str] = "correlation"
    label: ClassVar[str] = "Structure kept"
    formula: ClassVar[str] = f"mean-over-frames|edges:gauss1/64,max{MAX_SIDE}"
