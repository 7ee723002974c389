"""What training adapters of an image model, or of an image upscaler, reads of a clip.

Frames are brought to the pipeline's size and encoded by the VAE; one draw from the posterior is kept (128 KiB
for 16 frames of 256 by 256). For an upscaler the low resolution is kept as well, made by area from the frames
that were encoded (2.75 MiB for 16 frames of 512 by 512 at factor 4).

Shape suffixes: T frames, C latent channels, H, W latent height and width, h, w those of the low resolution, 3
RGB.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...core.types import Frames, Sample
from ..frames import fit_frames
from ..noise import draw
from ..stable_diffusion.pipeline import StableDiffusion
from ..upscaling.low_resolution import shrink
from ..upscaling.pipeline import UpscalePipeline
from .clips import ClipEncoder, Tensors, TrainingClips, fingerprint


class AdapterEncoder(ClipEncoder):
    """Latents of clips, float16 [T,C,H,W]; read back by `TrainingClips`.

    Args:
        pipeline: the image model, at the size of the clips.
        num_frames: T of a clip.
        seed: of the draws from the VAE's posterior.
    """

    def __init__(self, pipeline: StableDiffusion, num_frames: int, seed: int = 0) -> None:
        super().__init__(num_frames, seed)
        self.pipeline = pipeline

    def settings(self) -> dict[str, Any]:
        """The size and the VAE."""
        return {
            "size": [self.pipeline.height, self.pipeline.width],
            "vae": fingerprint(self.pipeline.vae),
        }

    def clip(self, sample: Sample, frames_THW3: Frames) -> Tensors:
        """The latents of a clip."""
        pipeline = self.pipeline
        pixels_T3HW = fit_frames(frames_THW3, pipeline.height, pipeline.width)
        pixels_T3HW = (pixels_T3HW / 127.5 - 1).to(pipeline.device, pipeline.dtype)
        posterior = pipeline.vae.encode(pixels_T3HW).latent_dist
        noise = draw(tuple(posterior.mean.shape), self.seed, "posterior", sample.id).to(pipeline.device)
        sample_TCHW = posterior.mean.float() + posterior.std.float() * noise
        shift = getattr(pipeline.vae.config, "shift_factor", None) or 0.0
        return {"latents": ((sample_TCHW - shift) * pipeline.vae.config.scaling_factor).half().cpu()}


class UpscalerEncoder(AdapterEncoder):
    """Latents of clips and their low resolution, uint8 [T,h,w,3]; read back by `UpscalingClips`.

    Args:
        pipeline: the upscaler, at the size of the clips (`UpscalePipeline.at`).
    """

    pipeline: UpscalePipeline

    def settings(self) -> dict[str, Any]:
        """As of latents alone, and how the low resolution is made."""
        return {**super().settings(), "low resolution": f"area, 1/{self.pipeline.factor}"}

    def clip(self, sample: Sample, frames_THW3: Frames) -> Tensors:
        """The latents and the low resolution of a clip."""
        frames_T3HW = fit_frames(frames_THW3, self.pipeline.height, self.pipeline.width)
        fitted_THW3 = np.rint(frames_T3HW.permute(0, 2, 3, 1).numpy()).astype(np.uint8)
        low_res = torch.from_numpy(shrink(fitted_THW3, self.pipeline.factor))
        return {**super().clip(sample, fitted_THW3), "low_res": low_res}


class UpscalingClips(TrainingClips):
    """Latents, low resolution and captions of clips."""

    def low_res(self, index: int) -> torch.Tensor:
        """The low resolution of a clip, uint8 [T,h,w,3]."""
        return self._row("low_res", index)
