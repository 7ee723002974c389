"""Research code as run files may name it (path/to/file.py:Class): a whole benchmark without weights.

The method draws clips, the data set holds prompts, the extractor takes mean colours, the metric
compares neighbouring frames. With TINY_DIARY set to a folder, the method leaves a file named
<sample>-<process> there for each clip that it begins, and takes TINY_SECONDS for each.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from reelbench.core.contracts import (
    ClipMetric,
    Dataset,
    Extractor,
    ExtractorSession,
    FrozenConfig,
    Method,
    Session,
)
from reelbench.core.types import Conditioning, Features, Frames, Resources, Sample


class Drift(Method):
    """A gradient that drifts, in the colours of its seed."""

    class Config(FrozenConfig):
        num_frames: int = 4
        speed: int = 1
        fails_on: tuple[str, ...] = ()
        """Ids of samples that it refuses."""
        warns: str = ""

    name: ClassVar[str] = "drift"
    version: ClassVar[str] = "1"
    conditioning: ClassVar[Conditioning] = Conditioning.TEXT

    def resources(self) -> Resources:
        return Resources()

    def load(self, device: str) -> Session:
        return DriftSession(self.config)


class DriftSession(Session):
    """Draws the clips."""

    def __init__(self, config: Drift.Config) -> None:
        self.config = config

    def generate(
        self, samples: Sequence[Sample], artifact: bytes | None, seeds: Sequence[int]
    ) -> Iterator[Frames]:
        for sample, seed in zip(samples, seeds, strict=True):
            if diary := os.environ.get("TINY_DIARY"):
                Path(diary, f"{sample.id}-{os.getpid()}").touch()
                time.sleep(float(os.environ.get("TINY_SECONDS", "0")))
            if self.config.warns:
                warnings.warn(self.config.warns, stacklevel=1)
            if sample.id in self.config.fails_on:
                raise ValueError(f"no clip for {sample.id}")
            colours = np.random.default_rng(seed).integers(1, 256, (16, 16, 3), dtype=np.uint8)
            yield np.stack(
                [np.roll(colours, self.config.speed * t, axis=1) for t in range(self.config.num_frames)]
            )


class Words(Dataset):
    """Prompts without videos."""

    class Config(FrozenConfig):
        num_samples: int = 12

    name: ClassVar[str] = "words"
    task: ClassVar[str] = "text-to-video"
    split = "test"

    def __len__(self) -> int:
        return int(self.config.num_samples)

    def __iter__(self) -> Iterator[Sample]:
        for number in range(len(self)):
            yield Sample(id=f"w{number:02}", prompt=f"word {number}", source=f"w{number:02}")

    def fingerprint(self) -> str:
        return f"words-{len(self)}"


class MeanColour(Extractor, ExtractorSession):
    """The mean colour of each row of pixels, per frame."""

    class Config(FrozenConfig):
        pass

    name: ClassVar[str] = "mean_colour"
    version: ClassVar[str] = "1"
    modality: ClassVar[str] = "video"

    def load(self, device: str) -> ExtractorSession:
        return self

    def extract(self, inputs: Sequence[Frames]) -> list[Features]:
        return [
            frames[:, :, :8].mean(axis=2).reshape(len(frames), -1).astype(np.float32) for frames in inputs
        ]


class Steadiness(ClipMetric):
    """How little the mean colours change from frame to frame."""

    name: ClassVar[str] = "steadiness"
    version: ClassVar[str] = "1"
    higher_is_better: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = (f"{Path(__file__).resolve()}:MeanColour",)
    min_n: ClassVar[int] = 2
    label: ClassVar[str] = "Steadiness"

    def compute(self, features: Mapping[str, Features]) -> float:
        (colours_TD,) = features.values()
        return -float(np.abs(np.diff(colours_TD, axis=0)).mean())
