"""LoRA as a predictor: low-rank updates of the base's attention, through peft.

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (ICLR 2022). FCA's paper finds that
LoRA does poorly on text-video prediction; rank, targets and how its LoRA is given the frames are not known.

Choice: the latents of the given frames stand in front of the noisy ones as latent frames without noise, and
only what is predicted for the noisy ones counts. Nothing is added to the network for that; the frozen base
has seen clips of other lengths, and the LoRA must learn that the first latent frames carry no noise.

Shape suffixes: as in `methods.prediction.predictor`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import Field, ValidationError
from torch import nn

from ...core.contracts import FrozenConfig
from ...core.errors import WeightsError
from ...core.seeds import derive_seed
from ..cogvideox.pipeline import CogVideoX
from .fca_config import ContextEncoding
from .lora import FILE_NAME, FORMAT
from .predictor import Predictor
from .predictor_file import fit, read_trained


class LoraSettings(FrozenConfig):
    """What the LoRA is. It is written into the file of the trained parameters."""

    num_frames: int = Field(default=16, ge=8)
    """Frames of a clip in one pass, given ones included."""

    rank: int = Field(default=64, ge=1)
    """Choice: of the updates."""

    alpha: float = Field(default=64.0, gt=0)
    """Choice: updates are scaled by alpha / rank."""

    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    """Choice: the linear layers of every attention that are updated."""

    context_encoding: ContextEncoding = "each"
    """Choice: how the given frames become latents."""


class LoraPredictor(Predictor):
    """A pipeline with a LoRA in its transformer.

    Args:
        pipeline: of the base; its transformer is changed, and belongs to this predictor from then on.
        config: what the LoRA is.
        seed: of the initial values.
    """

    format: ClassVar[str] = FORMAT
    file_name: ClassVar[str] = FILE_NAME

    def __init__(self, pipeline: CogVideoX, config: LoraSettings, seed: int = 0) -> None:
        from peft import LoraConfig, inject_adapter_in_model

        super().__init__(pipeline, config.num_frames, config.context_encoding)
        self._settings = config
        lora = LoraConfig(
            r=config.rank,
            lora_alpha=config.alpha,  # type: ignore[arg-type]  # peft divides it by the rank, as a number
            target_modules=list(config.targets),
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

    @property
    def settings(self) -> LoraSettings:
        return self._settings

    def trained(self) -> dict[str, nn.Parameter]:
        return {
            name.replace(".default.", "."): value
            for name, value in self.transformer.named_parameters()
            if "lora_" in name
        }

    @contextlib.contextmanager
    def given(self, context_GFCHW: torch.Tensor, text_GLD: torch.Tensor) -> Iterator[None]:
        padding = self.pipeline.padding(context_GFCHW.shape[1])
        first = context_GFCHW[:, :1].expand(-1, padding, -1, -1, -1)
        self._context = torch.cat([first, context_GFCHW], dim=1)
        try:
            yield
        finally:
            self._context = None

    def forward(
        self, noisy_GFCHW: torch.Tensor, timestep_G: torch.Tensor, text_GLD: torch.Tensor
    ) -> torch.Tensor:
        assert self._context is not None, "predictions belong inside `given`"
        together = torch.cat([self._context.to(noisy_GFCHW), noisy_GFCHW], dim=1)
        return self.pipeline.predict(together, timestep_G, text_GLD)[:, self._context.shape[1] :]


def load_lora(path: Path, pipeline: CogVideoX) -> LoraPredictor:
    """A LoRA from a file, or from a folder with `lora.safetensors`, put into a pipeline.

    Raises:
        WeightsError: nothing there, not such a file, or made for another base.
    """
    config, tensors, what = read_trained(path, LoraPredictor)
    try:
        predictor = LoraPredictor(pipeline, LoraSettings.model_validate(config))
    except ValidationError as error:
        raise WeightsError(f"{what} cannot be read: {error}", "train them again with this version") from error
    fit(predictor, tensors, what)
    return predictor
