"""Trains the autoencoder of the Sprites upscaler: 64x64 RGB to 32x32x4 latents and back.

An upscaler's latents have the size of its low-resolution picture, so the factor of the autoencoder is the
factor of the upscaler. The losses are those of the text-to-image model's autoencoder (`train_vae`).

Shape suffixes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from .train_vae import sprite_batch
from .training import (
    TrainingRun,
    WeightAverage,
    bfloat16_autocast,
    cosine_rate,
    seeded_initialisation,
    torch_generator,
    training_device,
)

SCALING_FACTOR = 0.08333
"""What diffusers' StableDiffusionUpscalePipeline sets for every autoencoder, whatever its configuration
says; so the latents are brought to the deviation that goes with it."""
VAE_CONFIG: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "sample_size": 64,
    "block_out_channels": (16, 32),
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "layers_per_block": 1,
    "norm_num_groups": 1,
    "mid_block_add_attention": False,
    "scaling_factor": SCALING_FACTOR,
}
PEAK_RATE = 2e-3
KL_WEIGHT = 1e-6
COLOUR_PULL = 0.1
SPRITE_WEIGHT = 2.0
CROP, CROP_BATCH, WHOLE_BATCH = 32, 24, 12
WHOLE_SHARE = 0.25
"""Share of the steps, the last ones, on whole frames: group norm's statistics are those of what it sees."""


def train_vae(work: Path, seed: int, steps: int) -> Any:
    """Trains (or resumes) and returns the averaged diffusers AutoencoderKL, its scale set."""
    from diffusers import AutoencoderKL

    device = training_device()
    with seeded_initialisation("upscaler-vae", seed):
        vae = AutoencoderKL(**VAE_CONFIG).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=PEAK_RATE, weight_decay=1e-4, betas=(0.9, 0.99))
    average = WeightAverage(vae, 0.995)
    run = TrainingRun(
        "upscaler-vae", work, seed, steps, {"vae": vae, "optimizer": optimizer}, {"vae": average}
    )
    for step in run.loop(log_every=50):
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(step, steps, PEAK_RATE, warmup=50)
        whole = step >= steps * (1 - WHOLE_SHARE)
        count, crop = (WHOLE_BATCH, 64) if whole else (CROP_BATCH, CROP)
        images, mask = (t.to(device) for t in sprite_batch(count, crop, "upscaler-vae-batch", seed, step))
        noise = torch_generator(device, "upscaler-vae-noise", seed, step)
        with bfloat16_autocast(device):
            posterior = vae.encode(images).latent_dist
            decoded = vae.decode(posterior.sample(generator=noise)).sample.float()
        error = decoded - images
        weight = 1 + SPRITE_WEIGHT * mask
        absolute = (error.abs() * weight).mean()
        squared = (error.square() * weight).mean()
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        # Three of the four latent channels begin as the shrunken frame: colours are learned at once.
        colour = functional.mse_loss(posterior.mean[:, :3].float(), functional.avg_pool2d(images, 2))
        loss = absolute + 2 * squared + KL_WEIGHT * kl + COLOUR_PULL * colour
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        average.update(vae, step)
        run.note(
            absolute=error.detach().abs().mean(),
            psnr=10 * torch.log10(4 / error.detach().square().mean()),
            colour=colour.detach(),
            kl=kl.detach(),
        )
    average.copy_to(vae)
    vae.eval()
    set_scale(vae, _latent_deviation(vae, seed, device))
    return vae


def set_scale(vae: Any, deviation: float) -> None:
    """Rescales the latents, so that times `SCALING_FACTOR` they have unit deviation; decoded frames stay.

    Args:
        vae: changed in place.
        deviation: of its sampled latents so far.
    """
    factor = 1 / (SCALING_FACTOR * deviation)
    mean = vae.config.latent_channels
    with torch.no_grad():
        vae.quant_conv.weight[:mean] *= factor
        vae.quant_conv.bias[:mean] *= factor
        vae.quant_conv.bias[mean:] += 2 * math.log(factor)  # the rest is the logarithm of the variance
        vae.post_quant_conv.weight /= factor


@torch.no_grad()
def _latent_deviation(vae: Any, seed: int, device: torch.device) -> float:
    images = sprite_batch(128, 64, "upscaler-vae-scale", seed)[0].to(device)
    noise = torch_generator(device, "upscaler-vae-scale", seed)
    return float(vae.encode(images).latent_dist.sample(generator=noise).std())
