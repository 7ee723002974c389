"""A CogVideoX pipeline on a device that makes one clip after the other from text.

One clip is one batch (times the guidance halves), so a clip depends on its sample and seed alone.

Shape suffixes: T frames, F latent frames, C latent channels, H, W height and width, G guidance halves, L text
tokens, D width of the text encoder.
"""

from __future__ import annotations

import torch

from ...core.types import Frames, Sample
from ..pipelines import PipelineSession
from .config import CogVideoXConfig
from .pipeline import CogVideoX, Kind, load_cogvideox
from .sampling import Guidance, Predict, denoise, initial_latents


class CogVideoXSession(PipelineSession):
    """Loads a pipeline and makes clips; methods that are given frames derive from it.

    Args:
        config: of the method.
        device: "cpu", "cuda" or "cuda:0".
        kind: of the model that the method needs.

    Raises:
        WeightsError: the folder is not such a pipeline.
        RunFileError: size or number of steps do not fit the pipeline.
    """

    def __init__(self, config: CogVideoXConfig, device: str, kind: Kind = "text") -> None:
        pipeline = load_cogvideox(
            config.base,
            device=device,
            dtype=config.dtype,
            height=config.height,
            width=config.width,
            kind=kind,
        )
        super().__init__(pipeline, config.guidance_scale, config.negative_prompt)
        self.pipeline: CogVideoX = pipeline
        self.schedule = pipeline.schedule(config.num_steps, config.sampler)
        self._common = config

    @torch.no_grad()
    def _clip(self, sample: Sample, seed: int) -> Frames:
        num_frames = self._common.num_frames
        latents_FCHW = self._sample(self.pipeline.predict, self.prompts(sample.prompt), num_frames, seed)
        return self.pipeline.decode(latents_FCHW)[:num_frames]

    def _sample(self, predict: Predict, text_GLD: torch.Tensor, num_frames: int, seed: int) -> torch.Tensor:
        """Latents of a clip of the next valid length, [F,C,H,W]."""
        num_latents, *shape_CHW = self.pipeline.latent_shape_FCHW(num_frames)
        padding = self.pipeline.padding(num_latents)
        shape = (num_latents + padding, shape_CHW[0], shape_CHW[1], shape_CHW[2])
        guidance = Guidance(self._common.guidance_scale, self._common.dynamic_guidance)
        noise = initial_latents(seed, shape)
        return denoise(predict, self.schedule, noise, text_GLD, guidance, seed)[padding:]
