"""A CogVideoX transformer with something trained on it that is given the first frames of a clip.

What FCA and its LoRA baseline have in common, so that they are trained, stored and sampled by the same code.

Shape suffixes: G clips, F latent frames, C latent channels, H, W latent height and width, L text tokens, D
width of the text encoder.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar, Self

import torch
from torch import nn

from ...core.atomic_write import write_bytes_atomic
from ..cogvideox.pipeline import CogVideoX
from ..weights_file import TrainedFile, check_fit, parameters_to_bytes, read_parameters, trained_file
from .config import ContextEncoding, FcaConfig, LoraSettings


class Predictor(nn.Module, ABC):
    """The transformer of a pipeline with trained parameters, which alone need gradients.

    Args:
        settings: what the trained parameters are; written into their file.
        seed: of the initial values.
    """

    file: ClassVar[TrainedFile]
    """Of the trained parameters."""

    Settings: ClassVar[type[FcaConfig] | type[LoraSettings]]
    """The class of `settings`."""

    def __init__(self, pipeline: CogVideoX, settings: FcaConfig | LoraSettings, seed: int = 0) -> None:
        super().__init__()
        self.pipeline, self.settings = pipeline, settings

    @property
    def num_frames(self) -> int:
        """Frames of a clip in one pass, given ones included."""
        return self.settings.num_frames

    @property
    def context_encoding(self) -> ContextEncoding:
        """How the given frames become latents."""
        return self.settings.context_encoding

    @abstractmethod
    def trained(self) -> dict[str, nn.Parameter]:
        """The trained parameters by name."""

    @abstractmethod
    def given(self, context_GFCHW: torch.Tensor, text_GLD: torch.Tensor) -> AbstractContextManager[None]:
        """Within the block clips are predicted from these given frames; the backward pass belongs inside.

        Args:
            context_GFCHW: latents of the given frames, see `methods.prediction.session.encode_given`.
            text_GLD: embeddings of the prompts.
        """

    @abstractmethod
    def forward(
        self, noisy_GFCHW: torch.Tensor, timestep_G: torch.Tensor, text_GLD: torch.Tensor
    ) -> torch.Tensor:
        """The transformer's prediction for noisy clips, [G,F,C,H,W]; F holds the padding in front."""

    @property
    def num_parameters(self) -> int:
        """How many numbers are learned."""
        return sum(value.numel() for value in self.trained().values())

    def values(self) -> dict[str, torch.Tensor]:
        """Copies of the trained parameters."""
        return {name: value.detach().clone() for name, value in self.trained().items()}

    @torch.no_grad()
    def set_values(self, values: dict[str, torch.Tensor]) -> None:
        """Puts other numbers in place of the trained parameters; all names and shapes must fit."""
        for name, parameter in self.trained().items():
            parameter.copy_(values[name])

    def save(self, folder: Path, values: dict[str, torch.Tensor] | None = None) -> Path:
        """Writes the trained parameters into a folder, atomically; returns the file.

        Args:
            values: other numbers for the same parameters (an average over the training), by name.
        """
        entry = {"format": self.file.marker, "config": self.settings.model_dump(mode="json")}
        written = folder / self.file.file_name
        numbers = self.values() if values is None else values
        write_bytes_atomic(written, parameters_to_bytes(numbers, json.dumps(entry, sort_keys=True)))
        return written

    @classmethod
    def from_file(cls, path: Path, pipeline: CogVideoX) -> Self:
        """The predictor of a file, or of a folder with it, on a pipeline; on the CPU in float32.

        Raises:
            WeightsError: nothing there, not such a file, or made for another base.
        """
        read = trained_file(path, cls.file.file_name)
        what = f"the parameters in {read}"
        settings, values = read_parameters(read.read_bytes(), cls.file.marker, cls.Settings, what)
        predictor = cls(pipeline, settings)
        check_fit(predictor.trained(), values, what, "base")
        predictor.set_values(values)
        return predictor
