"""LoRA on CogVideoX: the common way of fine-tuning, as the baseline of FCA on the same footing.

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (ICLR 2022), through peft. Trained and
sampled by the same code as FCA (`methods.training.prediction`, `methods.prediction.predictor`); what is chosen is
written in `methods.prediction.lora_predictor`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ...core.contracts import Session
from ...core.types import Conditioning, Resources, WeightsRef
from ..cogvideox.config import COGVIDEOX
from ..weights_file import trained_parameters
from .config import PredictionConfig

FORMAT = "reelbench-cogvideox-lora-1"
"""Written into every file of trained parameters; another one is another layout."""

FILE_NAME = "lora.safetensors"
"""Of the trained parameters in a folder."""

_TRAINED = trained_parameters(FILE_NAME, FORMAT)


class CogVideoXLora:
    """LoRA on CogVideoX: the common way of fine-tuning, as the baseline of FCA."""

    class Config(PredictionConfig):
        """Settings of the LoRA at sampling."""

        trained: str = "sprites/lora"
        """Where the trained parameters lie: a file, a folder with lora.safetensors, or a name below the
        weights root. They belong to the base that they were trained on, and say themselves what they are."""

    name: ClassVar[str] = "cogvideox-lora"
    version: ClassVar[str] = "1"
    conditioning: ClassVar[Conditioning] = Conditioning.TEXT_AND_FRAMES

    def __init__(self, config: Config) -> None:
        self.config = config

    def resources(self) -> Resources:
        """One GPU where there is one. Memory depends on the pipeline and is not known before it is loaded."""
        return Resources(num_gpus=1.0, num_cpus=1.0, vram_gib=None)

    def weights(self) -> tuple[WeightsRef, ...]:
        return (
            WeightsRef("cogvideox", self.config.base, COGVIDEOX),
            WeightsRef("lora", self.config.trained, _TRAINED),
        )

    def structure(self) -> dict[str, Any]:
        """What was trained, as the file of the parameters tells it."""
        from ...core.weights import resolve
        from ..weights_file import trained_file, trained_structure

        return trained_structure(trained_file(resolve(self.config.trained, _TRAINED), FILE_NAME), FORMAT)

    def load(self, device: str) -> Session:
        from ...core.weights import resolve
        from ..cogvideox.pipeline import CogVideoX
        from .lora_predictor import LoraPredictor, load_lora
        from .session import PredictionSession

        def make(pipeline: CogVideoX) -> LoraPredictor:
            return load_lora(resolve(self.config.trained, _TRAINED), pipeline)

        return PredictionSession(self.name, self.config, device, make)
