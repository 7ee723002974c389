"""FCA: text-video prediction by frame-wise conditioning beside a frozen text-to-video transformer.

Source: Liu, Wang, Duan, Rodriguez-Opazo, van den Hengel, "Frame-wise Conditioning Adaptation for Fine-Tuning
Diffusion Models in Text-to-Video Prediction" (TMLR 2025, arXiv 2503.12953). There is no released code.

1. A CogVideoX transformer stays frozen. Beside the attention of every layer stands another one, from the
   video tokens to frame-wise text embeddings and to tokens of the given frames
   (`methods.prediction.fca_layers`).
2. These, and nothing else, are trained on captioned clips (`methods.training.prediction`).
3. A clip of 16 frames, of which the first are given (2 in the paper), is sampled from noise; a longer one is
   rolled forward (`methods.prediction.session`).

Known of the paper: the parallel blocks in every layer, text embeddings by frame from a module of the Q-Former
kind in every layer, latents of the initial frames, masked cross-attention, 16 frames of which 2 are given,
the given frames shown as they are. Uncertain, and a setting wherever there is more than one way of doing it:
which checkpoint is the base, how the given frames are encoded and what reads them, number and width of the
queries, initial values, the places of injection that were compared (`methods.prediction.config`), learning
rate, batch, steps (`methods.training.schedule`), sampler, steps and guidance at sampling
(`methods.cogvideox.config`; diffusers' defaults), and the share of prompts that are dropped in training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ...core.contracts import Method, Session
from ...core.types import Conditioning, WeightsRef
from ..cogvideox.config import COGVIDEOX
from .config import FCA_FILE, FcaConfig, PredictionConfig

if TYPE_CHECKING:
    from ..cogvideox.pipeline import CogVideoX
    from .fca_predictor import FcaPredictor


class FCA(Method):
    """FCA: text-video prediction by frame-wise conditioning beside a frozen text-to-video transformer."""

    class Config(PredictionConfig):
        """Settings of FCA at sampling."""

        trained: str | None = "sprites/fca"
        """Where the trained parameters lie: a file, a folder with fca.safetensors, or a name below the
        weights root. They belong to the base that they were trained on, and say themselves what they are.
        None is untrained FCA, which is the base."""

        untrained: FcaConfig = FcaConfig()
        """What untrained FCA is."""

    name: ClassVar[str] = "fca"
    version: ClassVar[str] = "1"
    conditioning: ClassVar[Conditioning] = Conditioning.TEXT_AND_FRAMES
    config: Config

    def weights(self) -> tuple[WeightsRef, ...]:
        """The base, and the trained parameters unless FCA is untrained."""
        base = WeightsRef("cogvideox", self.config.base, COGVIDEOX)
        trained = self.config.trained
        return (base,) if trained is None else (base, WeightsRef("fca", trained, FCA_FILE))

    def structure(self) -> dict[str, Any] | None:
        """What was trained, as the file of the parameters tells it."""
        return None if self.config.trained is None else FCA_FILE.structure_at(self.config.trained)

    def load(self, device: str) -> Session:
        """The base with FCA in every block."""
        from .session import PredictionSession

        return PredictionSession(self.name, self.config, device, self._predictor)

    def _predictor(self, pipeline: CogVideoX) -> FcaPredictor:
        from ...core.weights import resolve
        from .fca_predictor import FcaPredictor

        if self.config.trained is None:
            return FcaPredictor(pipeline, self.config.untrained)
        return FcaPredictor.from_file(resolve(self.config.trained, FCA_FILE), pipeline)
