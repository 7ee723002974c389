"""The UNet with classifier-free guidance, and the loop over DDIM steps.

Source: Ho and Salimans, "Classifier-Free Diffusion Guidance" (2022), in the form of Stable Diffusion:
guided = unconditional + scale * (conditional - unconditional), where "unconditional" is the negative prompt.

The frames of one clip are the batch axis of the UNet. With guidance the batch is [negative prompt x T, prompt
x T], so the first half belongs to the negative prompt; attention across frames (`methods.stable_diffusion.attention`) is told
T and never guesses it.

Shape suffixes: T frames, G guidance halves (2 with guidance, 1 without), B = G*T, C latent channels, H, W
latent height and width, L text tokens, D width of the text encoder.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from .ddim import DdimSchedule


class Denoiser:
    """A UNet that knows its prompt: all that a sampling method needs.

    Args:
        unet: a diffusers UNet2DConditionModel.
        schedule: the DDIM schedule.
        text_GLD: embeddings of (negative prompt, prompt), or of the prompt alone when `guidance_scale` is 1.
        guidance_scale: at least 1.
        latent_shape_CHW: shape of one frame's latent.
    """

    def __init__(
        self,
        unet: Any,
        schedule: DdimSchedule,
        text_GLD: torch.Tensor,
        guidance_scale: float,
        latent_shape_CHW: tuple[int, int, int],
    ) -> None:
        assert text_GLD.shape[0] == (2 if guidance_scale > 1 else 1)
        self.unet = unet
        self.schedule = schedule
        self.latent_shape_CHW = latent_shape_CHW
        self._text_GLD = text_GLD
        self._guidance_scale = guidance_scale

    @property
    def device(self) -> torch.device:
        return self._text_GLD.device

    def predict(self, latents_TCHW: torch.Tensor, timestep: int) -> torch.Tensor:
        """The guided prediction of the UNet at a timestep, float32 [T,C,H,W]."""
        text_BLD = self._text_GLD.repeat_interleave(latents_TCHW.shape[0], dim=0)
        latents_BCHW = latents_TCHW.to(text_BLD.dtype).repeat(self._text_GLD.shape[0], 1, 1, 1)
        prediction_BCHW = self.unet(
            latents_BCHW, timestep, encoder_hidden_states=text_BLD, return_dict=False
        )[0].float()
        if self._guidance_scale <= 1:
            return prediction_BCHW
        negative_TCHW, positive_TCHW = prediction_BCHW.chunk(2)
        return negative_TCHW + self._guidance_scale * (positive_TCHW - negative_TCHW)

    def denoise(self, latents_TCHW: torch.Tensor, timesteps: Iterable[int]) -> torch.Tensor:
        """DDIM steps at the given timesteps, in their order; float32 [T,C,H,W] on the device of the model.

        Args:
            latents_TCHW: the state at the first of the timesteps, on any device.
        """
        latents_TCHW = latents_TCHW.to(self.device, torch.float32)
        for timestep in timesteps:
            prediction_TCHW = self.predict(latents_TCHW, timestep)
            latents_TCHW = self.schedule.step(prediction_TCHW, latents_TCHW, timestep)
        return latents_TCHW
