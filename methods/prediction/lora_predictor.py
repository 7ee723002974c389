"""LoRA as a predictor: low-rank updates of the base's attention, through peft.

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (ICLR 2022). FCA's paper finds that
LoRA does poorly on text-video prediction; rank, targets and how its LoRA is given the frames are not known.

Choice: the latents of the given frames stand in front of the noisy ones as latent frames without noise, and
only what is predicted for the noisy ones counts. The LoRA must learn that the first ones carry no noise.

Shape suffixes: as in `methods.prediction.predictor`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import nn

from ...core.seeds import derive_seed
from ..cogvideox.pipeline import CogVideoX
from ..weights_file import TrainedFile
from .config import LORA_FILE, LoraSettings
from .predictor import Predictor


class LoraPredictor(Predictor):
    """A pipeline whose transformer has a LoRA; it is changed in place and belongs to this predictor."""

    file: ClassVar[TrainedFile] = LORA_FILE
    Settings = LoraSettings
    settings: LoraSettings

    def __init__(self, pipeline: CogVideoX, settings: LoraSettings, seed: int = 0) -> None:
        from peft import LoraConfig, inject_adapter_in_model

        super().__init__(pipeline, settings, seed)
        lora = LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,  # type: ignore[arg-type]  # peft divides it by the rank, as a number
            target_modules=list(settings.targets),
            lora_dropout=0.0,
        )
        # peft draws its initial values from the global generator.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "lora") % 2**32)
            inject_adapter_in_model(lora, pipeline.transformer)
        self.transformer = pipeline.transformer  # a submodule, so that several processes share its gradients
        self._context: torch.Tensor | None = None
        for name, parameter in self.transformer.named_parameters():
            parameter.requires_grad_("lora_" in name)

    def trained(self) -> dict[str, nn.Parameter]:
        """The LoRA's parameters, under names without peft's adapter name."""
        return {
            name.replace(".default.", "."): value
            for name, value in self.transformer.named_parameters()
            if "lora_" in name
        }

    @contextlib.contextmanager
    def given(self, context_GFCHW: torch.Tensor, text_GLD: torch.Tensor) -> Iterator[None]:
        """Puts the latents of these given frames in front of the noisy ones."""
        self._context = self.pipeline.padded(context_GFCHW)
        try:
            yield
        finally:
            self._context = None

    def forward(
        self, noisy_GFCHW: torch.Tensor, timestep_G: torch.Tensor, text_GLD: torch.Tensor
    ) -> torch.Tensor:
        """What the transformer predicts for the frames after the given ones."""
        assert self._context is not None, "predictions belong inside `given`"
        together = torch.cat([self._context.to(noisy_GFCHW), noisy_GFCHW], dim=1)
        return self.pipeline.predict(together, timestep_G, text_GLD)[:, self._context.shape[1] :]
