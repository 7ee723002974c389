"""A predictor with its pipeline on a device: clips that go on from the given frames.

Shape suffixes: T frames, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ...core.types import Frames, Sample
from ..cogvideox.pipeline import CogVideoX
from ..cogvideox.sampling import Guidance
from ..cogvideox.session import CogVideoXSession
from .config import PredictionConfig
from .given_frames import given_frames
from .predictor import Predictor


class PredictionSession(CogVideoXSession):
    """Loads a pipeline and makes clips of any length that begin with the given frames.

    Args:
        name: of the method.
        config: of the method.
        device: "cpu", "cuda" or "cuda:0".
        make: a predictor on the pipeline.

    Raises:
        WeightsError: the pipeline or the trained parameters are missing, or do not fit each other.
    """

    def __init__(
        self, name: str, config: PredictionConfig, device: str, make: Callable[[CogVideoX], Predictor]
    ) -> None:
        super().__init__(config, device)
        self._name, self._config = name, config
        predictor = make(self.pipeline).to(self.pipeline.device, self.pipeline.dtype)
        self.predictor = predictor.requires_grad_(False).eval()

    def describe(self) -> dict[str, Any]:
        """Facts for the record: those of the pipeline, and what was trained."""
        facts = {"trainable_parameters": self.predictor.num_parameters}
        return super().describe() | facts

    @torch.no_grad()
    def _clip(self, sample: Sample, seed: int) -> Frames:
        config = self._config
        given_THW3 = given_frames(sample, self._name, min(config.num_frames, self.predictor.num_frames))
        return self.predictor.clip(
            given_THW3,
            self.prompts(sample.prompt),
            self.schedule,
            Guidance(config.guidance_scale, config.dynamic_guidance),
            seed,
            config.num_frames,
            config.show_given,
        )
