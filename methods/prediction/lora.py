"""LoRA on CogVideoX: the common way of fine-tuning, as the baseline of FCA on the same footing.

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (ICLR 2022), through peft. Trained and
sampled by the same code as FCA (`methods.training.prediction`, `methods.prediction.session`);
`methods.prediction.lora_predictor` lists the choices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ...core.contracts import Method, Session
from ...core.types import Conditioning, WeightsRef
from ..cogvideox.config import COGVIDEOX
from .config import LORA_FILE, PredictionConfig

if TYPE_CHECKING:
    from ..cogvideox.pipeline import CogVideoX
    from .lora_predictor import LoraPredictor


class CogVideoXLora(Method):
    """LoRA on CogVideoX: the common way of fine-tuning, as the baseline of FCA."""

    class Config(PredictionConfig):
        """Settings of the LoRA at sampling."""

        trained: str = "sprites/lora"
        """Where the trained parameters lie: a file, a folder with lora.safetensors, or a name below the
        weights root. They belong to the base that they were trained on, and say themselves what they are."""

    name: ClassVar[str] = "cogvideox-lora"
    version: ClassVar[str] = "1"
    conditioning: ClassVar[Conditioning] = Conditioning.TEXT_AND_FRAMES
    config: Config

    def weights(self) -> tuple[WeightsRef, ...]:
        """The base and the trained LoRA."""
        return (
            WeightsRef("cogvideox", self.config.base, COGVIDEOX),
            WeightsRef("lora", self.config.trained, LORA_FILE),
        )

    def structure(self) -> dict[str, Any]:
        """What was trained, as the file of the parameters tells it."""
        return LORA_FILE.structure_at(self.config.trained)

    def load(self, device: str) -> Session:
        """The base with the LoRA in its transformer."""
        from .session import PredictionSession

        return PredictionSession(self.name, self.config, device, self._predictor)

    def _predictor(self, pipeline: CogVideoX) -> LoraPredictor:
        from ...core.weights import resolve
        from .lora_predictor import LoraPredictor

        return LoraPredictor.from_file(resolve(self.config.trained, LORA_FILE), pipeline)
