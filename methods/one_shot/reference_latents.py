"""A reference clip as a tuning method sees it: which frames, at what size, as what latents.

Source: Wu et al., "Tune-A-Video" (ICCV 2023), and the authors' released code: frames are resized to the exact
size without a crop (so an oblong clip is stretched), and the latents are drawn from the posterior of the VAE.
The filter of the published resizing is that of the video reader, which is not known for certain; bicubic with
antialiasing is taken here.

Shape suffixes: T frames, C latent channels, H, W height and width (of latents or pixels).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ...core.types import Frames
from ..frames import FrameChoice as FrameChoice
from ..frames import chosen_frames as chosen_frames
from ..stable_diffusion.pipeline import StableDiffusion

_ENCODED_PIXELS = 2**21
"""Pixels that the VAE encodes at once: 8 frames of 512 by 512."""


@dataclass(frozen=True)
class LatentPosterior:
    """The VAE's posterior of a clip, of which every training step draws anew.

    Attributes:
        mean_TCHW, std_TCHW: float32 on the CPU, scaled as the UNet expects latents.
    """

    mean_TCHW: torch.Tensor
    std_TCHW: torch.Tensor

    def sample(self, noise_TCHW: torch.Tensor) -> torch.Tensor:
        """Latents for a draw of standard normal noise, [T,C,H,W]."""
        return self.mean_TCHW + self.std_TCHW * noise_TCHW


@torch.no_grad()
def encode(pipeline: StableDiffusion, frames_THWC: Frames) -> LatentPosterior:
    """The posterior of a clip at the pipeline's size.

    Args:
        frames_THWC: uint8 RGB of any size; stretched to the pipeline's where it differs.
    """
    chunk = max(1, _ENCODED_PIXELS // (pipeline.height * pipeline.width))
    shift = getattr(pipeline.vae.config, "shift_factor", None) or 0.0
    scale = pipeline.vae.config.scaling_factor
    means, stds = [], []
    for start in range(0, len(frames_THWC), chunk):
        pixels_TCHW = _pixels(frames_THWC[start : start + chunk], pipeline.height, pipeline.width)
        pixels_TCHW = (pixels_TCHW / 127.5 - 1).to(pipeline.device, pipeline.dtype)
        posterior = pipeline.vae.encode(pixels_TCHW).latent_dist
        means.append(((posterior.mean.float() - shift) * scale).cpu())
        stds.append((posterior.std.float() * scale).cpu())
    return LatentPosterior(torch.cat(means), torch.cat(stds))


def _pixels(frames_THWC: Frames, height: int, width: int) -> torch.Tensor:
    """float32 [T,3,height,width], 0 to 255."""
    pixels_TCHW = torch.from_numpy(np.ascontiguousarray(frames_THWC)).permute(0, 3, 1, 2).float()
    if pixels_TCHW.shape[-2:] == (height, width):
        return pixels_TCHW
    resized_TCHW = torch.nn.functional.interpolate(
        pixels_TCHW, size=(height, width), mode="bicubic", antialias=True
    )
    return resized_TCHW.clamp(0, 255)
