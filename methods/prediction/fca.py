"""FCA: text-video prediction by frame-wise conditioning beside a frozen text-to-video transformer.

Source: Liu, Wang, Duan, Rodriguez-Opazo, van den Hengel, "Frame-wise Conditioning Adaptation for Fine-Tuning
Diffusion Models in Text-to-Video Prediction" (TMLR 2025, arXiv 2503.12953). There is no released code.

1. A CogVideoX transformer stays frozen. Beside the attention of every layer stands another one, from the
video
   tokens to frame-wise text embeddings and to tokens of the given frames (`methods.prediction.fca_layers`).
2. These, and nothing else, are trained on captioned clips (`methods.training.prediction`).
3. A clip of 16 frames, of which the first are given (2 in the paper), is sampled from noise; a longer one is
   rolled forward.

Known of the paper: the parallel blocks in every layer, text embeddings by frame from a module of the Q-Former
kind in every layer, latents of the initial frames, masked cross-attention, 16 frames of which 2 are given,
the given frames shown as they are. Uncertain, and a setting wherever it is more than one way of doing it:
which checkpoint is the base, how the given frames are encoded and what reads them, number and width of the
queries, initial values, the places of injection that were compared (`methods.prediction.fca_config`), learning rate,
batch, steps (`methods.training.schedule`), sampler, steps and guidance at sampling
(`methods.cogvideox.config`; diffusers' defaults), and the share of prompts that are dropped in training.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ...core.contracts import Session
from ...core.types import Conditioning, Resources, WeightsRef
from ..cogvideox.config import COGVIDEOX
from ..weights_file import trained_parameters
from .config import PredictionConfig
from .fca_config import FcaConfig

FORMAT = "reelbench-fca-1"
"""Written into every file of trained parameters; another one is another layout."""

FILE_NAME = "fca.safetensors"
"""Of the trained parameters in a folder."""

_TRAINED = trained_parameters(FILE_NAME, FORMAT)


class FCA:
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

    def __init__(self, config: Config) -> None:
        self.config = config

    def resources(self) -> Resources:
        """One GPU where there is one. Memory depends on the pipeline and is not known before it is loaded."""
        return Resources(num_gpus=1.0, num_cpus=1.0, vram_gib=None)

    def weights(self) -> tuple[WeightsRef, ...]:
        base = WeightsRef("cogvideox", self.config.base, COGVIDEOX)
        trained = self.config.trained
        return (base,) if trained is None else (base, WeightsRef("fca", trained, _TRAINED))

    def structure(self) -> dict[str, Any] | None:
        """What was trained, as the file of the parameters tells it."""
        from ...core.weights import resolve
        from ..weights_file import trained_file, trained_structure

        if self.config.trained is None:
            return None
        return trained_structure(trained_file(resolve(self.config.trained, _TRAINED), FILE_NAME), FORMAT)

    def load(self, device: str) -> Session:
        from ...core.weights import resolve
        from ..cogvideox.pipeline import CogVideoX
        from .fca_predictor import FcaPredictor, load_fca
        from .session import PredictionSession

        def make(pipeline: CogVideoX) -> FcaPredictor:
            if self.config.trained is None:
                return FcaPredictor(pipeline, self.config.untrained)
            return load_fca(resolve(self.config.trained, _TRAINED), pipeline)

        return PredictionSession(self.name, self.config, device, make)
