"""An extractor of next to no cost, for `evaluator_speed.py`: it resizes as I3D's does and takes means.

With THIN_BUSY_S set it keeps a core busy for so many seconds a clip, as a forward pass would.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from reelbench.core.contracts import ClipMetric, Extractor, ExtractorSession, FrozenConfig
from reelbench.core.types import Features, Frames


def spin(seconds: float) -> None:
    """Keep a core busy without Python's lock, as a forward pass does."""
    import torch

    end = time.perf_counter() + seconds
    matrix = torch.ones(256, 256)
    while time.perf_counter() < end:
        matrix @ matrix


class ThinBackbone(Extractor, ExtractorSession):
    """Means of the resized frames over blocks of pixels."""

    class Config(FrozenConfig):
        pass

    name: ClassVar[str] = "thin"
    version: ClassVar[str] = "1"
    modality: ClassVar[str] = "video"

    def load(self, device: str) -> ExtractorSession:
        return self

    def extract(self, inputs: Sequence[Frames]) -> list[Features]:
        from reelbench.metrics.extractors.backbone import resize_frames
        from reelbench.metrics.settings import ResizeStep

        found = []
        for frames in inputs:
            resized_TCHW = resize_frames(frames[:16], (ResizeStep(size=224),), 224)
            found.append(resized_TCHW.mean(dim=(2, 3)).flatten().numpy())
            spin(float(os.environ.get("THIN_BUSY_S", "0")))
        return found


class MeanLevel(ClipMetric):
    """The mean of those features."""

    name: ClassVar[str] = "mean_level"
    version: ClassVar[str] = "1"
    unit: ClassVar[str] = "levels"
    higher_is_better: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = (f"{Path(__file__).resolve()}:ThinBackbone",)
    label: ClassVar[str] = "Mean level"

    def compute(self, features: Mapping[str, Features]) -> float:
        (values,) = features.values()
        return float(np.mean(values))
