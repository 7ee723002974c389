"""A training-free method with its pipeline on a device: one clip per call of the method.

A clip's frames (times the guidance halves) are the batch of the UNet, and nothing else is: a clip depends on
its sample and seed alone, whatever else is in the call and however the samples are sharded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ...core.types import Frames, Sample
from ..pipelines import PipelineSession
from .config import PipelineConfig
from .guidance import Denoiser
from .pipeline import StableDiffusion, load_pipeline

SampleLatents = Callable[[Denoiser, Any, int], torch.Tensor]
"""(denoiser, config, seed) -> latents [T,C,H,W]: the part that differs between methods."""


class TextToVideoSession(PipelineSession):
    """Loads a pipeline and makes one clip after the other.

    Args:
        config: of the method.
        device: "cpu", "cuda" or "cuda:0".
        sample_latents: the method itself.
        prompt_suffix: appended to every prompt after a comma; empty for none.
    """

    def __init__(
        self, config: PipelineConfig, device: str, sample_latents: SampleLatents, prompt_suffix: str = ""
    ) -> None:
        pipeline = load_pipeline(
            config.weights, device=device, dtype=config.dtype, height=config.height, width=config.width
        )
        super().__init__(pipeline, config.guidance_scale, config.negative_prompt)
        self.pipeline: StableDiffusion = pipeline
        self.schedule = self.pipeline.schedule(config.num_steps)
        self._config = config
        self._sample_latents = sample_latents
        self._prompt_suffix = prompt_suffix

    @torch.inference_mode()
    def _clip(self, sample: Sample, seed: int) -> Frames:
        latents_TCHW = self._sample_latents(self._denoiser(sample.prompt), self._config, seed)
        return self.pipeline.decode(latents_TCHW)

    def _denoiser(self, prompt: str) -> Denoiser:
        return Denoiser(
            unet=self.pipeline.unet,
            schedule=self.schedule,
            text_GLD=self.prompts(f"{prompt}, {self._prompt_suffix}" if self._prompt_suffix else prompt),
            guidance_scale=self._config.guidance_scale,
            latent_shape_CHW=self.pipeline.latent_shape_CHW,
        )
