"""Temporal flickering: how little the pixels change from frame to frame.

Huang et al., "VBench" (2024), dimension "temporal flickering".
"""

from __future__ import annotations

from typing import ClassVar

from .features import Floats, FrameMetric

_LARGEST = 255.0


class TemporalFlickering(FrameMetric):
    """(255 - mean over pairs of mean |frame t - frame t+1|) / 255, 0 to 1, higher is better.

    Decoded uint8 frames at their own size. VBench takes prompts that ask for no motion, and leaves out videos
    in which optical flow sees some. Here every clip counts, motion lowers the value, and a frozen clip scores
    1: read it beside the motion magnitude, and compare with VBench on such prompts alone.

    >>> import numpy as np
    >>> from reelbench.metrics.protocol import load_protocol
    >>> differences = np.array([0.0, 51.0], dtype=np.float32)
    >>> TemporalFlickering(load_protocol("clean")).compute({"pixel_difference": differences})
    0.9
    """

    name: ClassVar[str] = "temporal_flickering"
    unit: ClassVar[str] = "1 - difference / 255"
    higher_is_better: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("pixel_difference",)
    columns: ClassVar[tuple[str, ...]] = ("difference",)
    column: ClassVar[str] = "difference"
    label: ClassVar[str] = "Temporal flickering"
    formula: ClassVar[str] = "mean-absolute-difference|static-filter:none"

    def _of_column(self, values_T: Floats) -> float:
        return float((_LARGEST - values_T.mean()) / _LARGEST)
