"""DDIM inversion: the noise from which DDIM sampling leads back to a given clip.

Sources: Song, Meng, Ermon, "Denoising Diffusion Implicit Models" (ICLR 2021), section 4.3 (the sampler is an
ordinary differential equation, which can be followed backwards); Wu et al., "Tune-A-Video" (ICCV 2023),
section 3.3, with the released code's choices: an empty prompt, no guidance, the tuned network, and the noise
evaluated at the timestep that a step leads *to* (on the state that it comes from).

The prediction is turned into noise with the noise level of the timestep that the network was told, so two
networks that say the same in epsilon and in velocity have the same inversion (tested). The released code
takes every prediction for epsilon, which is wrong for networks that predict the velocity (Stable Diffusion
2.x at 768 pixels).

The error of a step falls with its length: more steps lead back more closely.
"""

from __future__ import annotations

import torch

from .guidance import Denoiser


def invert(denoiser: Denoiser, latents_TCHW: torch.Tensor) -> torch.Tensor:
    """The state at the first timestep of the denoiser's schedule that leads to these latents.

    Args:
        denoiser: of the empty prompt, without guidance, in the wording of the paper; others are allowed.
        latents_TCHW: a clip's latents, scaled as the UNet expects them, on any device.

    Returns:
        float32 [T,C,H,W] on the device of the model: what `denoiser.denoise(..., schedule.timesteps)` takes.
    """
    latents_TCHW = latents_TCHW.to(denoiser.device, torch.float32)
    for timestep in reversed(denoiser.schedule.timesteps):
        prediction_TCHW = denoiser.predict(latents_TCHW, timestep)
        latents_TCHW = denoiser.schedule.inverse_step(prediction_TCHW, latents_TCHW, timestep)
    return latents_TCHW
