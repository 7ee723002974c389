"""Aesthetic quality: how people would rate the frames of a clip as pictures."""

from __future__ import annotations

from typing import ClassVar

from .features import Floats, FrameMetric

_BEST = 10.0


class AestheticQuality(FrameMetric):
    """Mean over frames of LAION's aesthetic rating, over 10; about 0.4 to 0.7, higher is better.

    VBench's aesthetic quality (Huang et al. 2024). The rating is a linear function and has no bounds.

    >>> import numpy as np
    >>> from reelbench.metrics.protocol import load_protocol
    >>> ratings = np.array([4.0, 6.0], dtype=np.float32)
    >>> AestheticQuality(load_protocol("clean")).compute({"aesthetic": ratings})
    0.5
    """

    name: ClassVar[str] = "aesthetic_quality"
    unit: ClassVar[str] = "rating / 10"
    higher_is_better: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("aesthetic",)
    columns: ClassVar[tuple[str, ...]] = ("rating",)
    column: ClassVar[str] = "rating"
    label: ClassVar[str] = "Aesthetic quality"
    formula: ClassVar[str] = "mean-over-frames|/10"

    def _of_column(self, values_T: Floats) -> float:
        return float(values_T.mean() / _BEST)
