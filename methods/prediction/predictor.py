"""A CogVideoX transformer with something trained on it that is given the first frames of a clip.

What FCA and its LoRA baseline have in common, so that they are trained and sampled by the same code.

Shape suffixes: G clips, F latent frames, C latent channels, H, W latent height and width, T frames, L text
tokens, D width of the text encoder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from ...core.contracts import FrozenConfig
from ...core.seeds import derive_seed
from ...core.types import Frames
from ..cogvideox.pipeline import CogVideoX
from ..cogvideox.sampling import Guidance, denoise, initial_latents
from ..cogvideox.schedule import VideoSchedule
from ..frames import fit_frames
from .context_latents import encode_given
from .fca_config import ContextEncoding
from .given_frames import roll_forward


class Predictor(nn.Module, ABC):
    """The transformer of a pipeline with trained parameters, which alone need gradients.

    Args:
        pipeline: of the frozen base.
        num_frames: of a clip in one pass, given ones included.
        context_encoding: how the given frames become latents.
    """

    format: ClassVar[str]
    """Written into every file of its trained parameters; another one is another layout."""

    file_name: ClassVar[str]
    """Of its trained parameters in a folder."""

    def __init__(self, pipeline: CogVideoX, num_frames: int, context_encoding: ContextEncoding) -> None:
        super().__init__()
        self.pipeline = pipeline
        self.num_frames = num_frames
        self.context_encoding = context_encoding

    @property
    @abstractmethod
    def settings(self) -> FrozenConfig:
        """What the trained parameters are; written into their file."""

    @abstractmethod
    def trained(self) -> dict[str, nn.Parameter]:
        """The trained parameters by name."""

    @abstractmethod
    def given(self, context_GFCHW: torch.Tensor, text_GLD: torch.Tensor) -> AbstractContextManager[None]:
        """Within the block clips are predicted from these given frames; the backward pass belongs inside.

        Args:
            context_GFCHW: latents of the given frames.
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

    @torch.no_grad()
    def clip(
        self,
        given_THW3: Frames,
        text_GLD: torch.Tensor,
        schedule: VideoSchedule,
        guidance: Guidance,
        seed: int,
        num_frames: int | None = None,
        show_given: bool = True,
    ) -> Frames:
        """A clip that goes on from the given frames, uint8 [num_frames,H,W,3].

        A clip that is longer than one pass is rolled forward: the last frames so far are given to the next
        pass, as many as were given to the first. The first pass starts from the same noise as the base does
        for this seed, so that a comparison is a paired one.

        Args:
            given_THW3: of any size; resized and cropped to the pipeline's.
            text_GLD: embeddings of (negative prompt, prompt), or of the prompt alone without guidance.
            schedule, guidance: of the sampling.
            seed: of the noise.
            num_frames: of the result; None is one pass.
            show_given: whether the given frames themselves are shown in the result.
        """
        height, width = self.pipeline.height, self.pipeline.width
        fitted = fit_frames(given_THW3, height, width).round().to(torch.uint8)
        fitted_THW3: Frames = np.ascontiguousarray(fitted.permute(0, 2, 3, 1).numpy())

        def window(frames_THW3: Frames, number: int) -> Frames:
            window_seed = seed if number == 0 else derive_seed(seed, "window", number)
            return self._window(frames_THW3, text_GLD, schedule, guidance, window_seed)

        return roll_forward(window, fitted_THW3, num_frames or self.num_frames, show_given)

    def _window(
        self,
        given_THW3: Frames,
        text_GLD: torch.Tensor,
        schedule: VideoSchedule,
        guidance: Guidance,
        seed: int,
    ) -> Frames:
        pipeline = self.pipeline
        num_latents, *shape_CHW = pipeline.latent_shape_FCHW(self.num_frames)
        padding = pipeline.padding(num_latents)
        noise = initial_latents(seed, (num_latents + padding, shape_CHW[0], shape_CHW[1], shape_CHW[2]))
        context = encode_given(pipeline, given_THW3, self.context_encoding)
        with self.given(context.expand(text_GLD.shape[0], *context.shape), text_GLD):
            latents = denoise(self, schedule, noise, text_GLD, guidance, seed)
        return pipeline.decode(latents[padding:])[: self.num_frames]
