"""A latent upscaler with its adapters on a device: one clip after the other.

Apart from `upscaler`, because a plug-in file must import no torch.

Shape suffixes: T frames, G guidance halves, C latent channels, h, w height and width of the low resolution
and of the latents, H, W of the result, 3 RGB, L text tokens, D text width.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import torch

from ...core.errors import VideoError
from ...core.types import Frames
from ...core.weights import resolve
from ..adapters.adapter_file import load_adapters
from ..adapters.adapters import Adapters
from ..noise import independent_noise
from ..pipelines import GuidedPrompts
from ..stable_diffusion.guidance import Denoiser
from ..weights_file import ADAPTERS
from .frames import augmentation_noise, augmented, network_range
from .pipeline import UpscalePipeline, load_upscaler
from .upscaler import LatentUpscaler


class LatentUpscalerSession:
    """Loads an image upscaler and adapters and enlarges clips.

    Args:
        config: of the upscaler.
        device: "cpu", "cuda" or "cuda:0".

    Raises:
        WeightsError: upscaler or adapters are missing, malformed or do not fit each other.
        RunFileError: the upscaler does not know the noise level, or its schedule has fewer steps.
    """

    def __init__(self, config: LatentUpscaler.Config, device: str) -> None:
        self._config = config
        self.pipeline = load_upscaler(config.weights, device=device, dtype=config.dtype)
        self.pipeline.checked_level(config.noise_level)
        self.schedule = self.pipeline.schedule(config.num_steps)
        self.adapters: Adapters | None = None
        if config.adapters is not None:
            adapters = load_adapters(resolve(config.adapters, ADAPTERS), self.pipeline.unet.network)
            self.adapters = (
                adapters.to(self.pipeline.device, self.pipeline.dtype).requires_grad_(False).eval()
            )
        self._prompts = GuidedPrompts(self.pipeline, config.guidance_scale, config.negative_prompt)

    @property
    def factor(self) -> int:
        """Pixels of the result for one of the low resolution, along each axis."""
        return self.pipeline.factor

    def upscale(self, frames: Frames, prompt: str, seed: int) -> Frames:
        """A clip at the upscaler's factor; it depends on the arguments alone.

        Args:
            frames: uint8 [T,h,w,3].

        Returns:
            uint8 [T,H,W,3].

        Raises:
            RunFileError: the size of the frames does not fit the upscaler.
            VideoError: they are no frames.
            ClipRefusedError: the result holds NaN.
        """
        with torch.inference_mode():
            text_GLD = self._prompts(prompt)
        return upscale_clip(self.pipeline, self.adapters, self._config, text_GLD, frames, prompt, seed)

    def describe(self) -> dict[str, Any]:
        """Facts for the record: factor, trained parameters, number format, prompts that were too long."""
        return {
            "factor": self.factor,
            "trainable_parameters": 0 if self.adapters is None else self.adapters.num_parameters,
            "dtype": str(self.pipeline.dtype).removeprefix("torch."),
            "truncated_prompts": self._prompts.num_truncated,
        }


@torch.inference_mode()
def upscale_clip(
    pipeline: UpscalePipeline,
    adapters: Adapters | None,
    config: LatentUpscaler.Config,
    text_GLD: torch.Tensor,
    frames_Thw3: Frames,
    prompt: str,
    seed: int,
) -> Frames:
    """Enlarges one clip: see `LatentUpscalerSession.upscale`.

    Args:
        adapters: placed and in the pipeline's number format; None for the image upscaler on each frame.
        text_GLD: of (negative prompt, prompt) with guidance, of the prompt alone without.
    """
    if (
        frames_Thw3.dtype != np.uint8
        or frames_Thw3.ndim != 4
        or frames_Thw3.shape[-1] != 3
        or not len(frames_Thw3)
    ):
        raise VideoError(
            f"a clip to upscale must be uint8 [T,h,w,3] of at least one frame, not {frames_Thw3.dtype} "
            f"{list(frames_Thw3.shape)}"
        )
    num_frames, height, width, _ = frames_Thw3.shape
    sized = pipeline.at(height, width)
    low_res = network_range(frames_Thw3)
    noise = augmentation_noise(low_res.shape, config.low_res_noise, seed)
    level_T = torch.full((num_frames,), config.noise_level)
    low_res = augmented(low_res, noise, level_T, torch.tensor(sized.low_res_alphas_cumprod))
    denoiser = Denoiser(
        sized.unet, sized.schedule(config.num_steps), text_GLD, config.guidance_scale, sized.latent_shape_CHW
    )
    prompts = [prompt] if config.guidance_scale <= 1 else [config.negative_prompt, prompt]
    start_TChw = independent_noise(seed, num_frames, sized.latent_shape_CHW)
    with contextlib.ExitStack() as places:
        places.enter_context(sized.unet.conditioned(low_res.to(sized.device), level_T.to(sized.device)))
        if adapters is not None:
            places.enter_context(adapters.attached(sized.unet.network, num_frames, height, width, prompts))
        latents_TChw = denoiser.denoise(start_TChw, denoiser.schedule.timesteps)
    return sized.decode(latents_TChw)
