"""Trains the autoencoders of images: the text-to-image model's, 64x64 RGB to 16x16x4 latents and back, and
the upscaler's, to 32x32x4, the size of its low-resolution picture.

Loss: absolute and squared error, weighted towards the sprites, a small KL term, a pull of three latent
channels towards the shrunken frame, and for the text-to-image model the error of the image gradients, without
which `check.py` could not tell shapes apart. No adversarial or perceptual terms: this world has no texture.

Shape suffixes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .render import background, poses, render
from .scene import local_generator, sample_scene
from .training import (
    Noted,
    TrainingRun,
    bfloat16_autocast,
    cosine_rate,
    seeded_initialisation,
    torch_generator,
    training_device,
)


@dataclass(frozen=True)
class Autoencoder:
    """One autoencoder and its training.

    Attributes:
        name: of the training; what it draws depends on it.
        channels: of the levels; each but the last halves the size.
        sprite_weight: how much more an error on a sprite counts; of the background there is ten times more.
        crop_batch, whole_batch: crops of 32 pixels around sprites, or whole frames, in a step.
        whole_share: of the steps, the last ones, for group norm's statistics.
        keeps_edges: whether the error of the gradients is a term of the loss.
        scaling_factor: of the latents, as the configuration says; by default diffusers' own.
    """

    name: str
    channels: tuple[int, ...]
    peak_rate: float
    kl_weight: float
    colour_pull: float
    sprite_weight: float
    crop_batch: int
    whole_batch: int
    whole_share: float
    keeps_edges: bool = False
    scaling_factor: float = 0.18215

    @property
    def factor(self) -> int:
        """Pixels per latent along each axis."""
        return 2 ** (len(self.channels) - 1)

    @property
    def config(self) -> dict[str, Any]:
        """The network's, for diffusers."""
        return {
            "in_channels": 3,
            "out_channels": 3,
            "latent_channels": 4,
            "sample_size": 64,
            "block_out_channels": self.channels,
            "down_block_types": ("DownEncoderBlock2D",) * len(self.channels),
            "up_block_types": ("UpDecoderBlock2D",) * len(self.channels),
            "layers_per_block": 1,
            "norm_num_groups": 1,
            "mid_block_add_attention": False,
            "scaling_factor": self.scaling_factor,
        }


T2I = Autoencoder(
    name="vae",
    channels=(16, 48, 96),
    peak_rate=1.5e-3,
    kl_weight=1e-5,
    colour_pull=0.5,
    sprite_weight=4.0,
    crop_batch=32,
    whole_batch=16,
    whole_share=0.12,
    keeps_edges=True,
)
SCALING_FACTOR = 0.08333
"""StableDiffusionUpscalePipeline sets this whatever the configuration says, so latents are made to fit it."""
UPSCALER = Autoencoder(
    name="upscaler-vae",
    channels=(16, 32),
    peak_rate=2e-3,
    kl_weight=1e-6,
    colour_pull=0.1,
    sprite_weight=2.0,
    crop_batch=24,
    whole_batch=12,
    whole_share=0.25,
    scaling_factor=SCALING_FACTOR,
)
CROP = 32


def sprite_batch(count: int, crop: int, *parts: object) -> tuple[Tensor, Tensor]:
    """Random crops around the sprites of training scenes.

    Args:
        crop: side of the crops in pixels; 64 is the whole frame.

    Returns:
        float32 [B, 3, crop, crop] in [-1, 1], and the mask of the sprites, float32 [B, 1, crop, crop].
    """
    rng = local_generator(*parts)
    frames, masks = [], []
    for _ in range(count):
        scene = sample_scene(int(rng.integers(2**40)), "train")
        index = int(rng.integers(16))
        frame = render(scene, frames=[index])[0]
        backdrop = background(scene.background, scene.texture_seed, 64)
        mask = (np.abs(frame.astype(np.float32) - backdrop).max(-1) > 12).astype(np.float32)
        if crop < 64:
            x, y, _, _ = poses(scene, np.array([index / 15]))
            left, top = (
                int(np.clip(centre * 64 + rng.integers(-12, 13) - crop // 2, 0, 64 - crop))
                for centre in (x[0], y[0])
            )
            window = (slice(top, top + crop), slice(left, left + crop))
            frame, mask = frame[window], mask[window]
        frames.append(frame)
        masks.append(mask)
    images = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return images.contiguous(memory_format=torch.channels_last), torch.from_numpy(np.stack(masks))[:, None]


def edge_error(error: Tensor) -> Tensor:
    """Mean absolute error of horizontal and vertical differences.

    Args:
        error: decoded less true pixels, [..., H, W].
    """
    return (error[..., 1:] - error[..., :-1]).abs().mean() + (
        error[..., 1:, :] - error[..., :-1, :]
    ).abs().mean()


def train_vae(work: Path, seed: int, steps: int) -> Any:
    """Trains (or resumes) and returns the AutoencoderKL of the text-to-image model, its scaling factor
    measured."""
    vae = _trained(T2I, work, seed, steps)
    deviation = _deviation(vae, sprite_batch(256, 64, "vae-scale-batch", seed)[0], "vae-scale", seed)
    vae.register_to_config(scaling_factor=float(f"{1 / deviation:.5f}"))
    return vae


def train_upscaler_vae(work: Path, seed: int, steps: int) -> Any:
    """Trains (or resumes) and returns the upscaler's AutoencoderKL, its scale set."""
    vae = _trained(UPSCALER, work, seed, steps)
    images = sprite_batch(128, 64, "upscaler-vae-scale", seed)[0]
    set_scale(vae, _deviation(vae, images, "upscaler-vae-scale", seed))
    return vae


def _trained(what: Autoencoder, work: Path, seed: int, steps: int) -> Any:
    """The averaged diffusers AutoencoderKL."""
    from diffusers import AutoencoderKL

    device = training_device()
    with seeded_initialisation(what.name, seed):
        vae = AutoencoderKL(**what.config).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=what.peak_rate, weight_decay=1e-4, betas=(0.9, 0.99))
    run = TrainingRun(what.name, work, seed, steps, {"vae": vae}, optimizer, 0.995)

    def loss_of(step: int) -> tuple[Tensor, Noted]:
        whole = step >= steps * (1 - what.whole_share)
        count, crop = (what.whole_batch, 64) if whole else (what.crop_batch, CROP)
        images, mask = (t.to(device) for t in sprite_batch(count, crop, f"{what.name}-batch", seed, step))
        noise = torch_generator(device, f"{what.name}-noise", seed, step)
        posterior, decoded = reconstructed(vae, images, noise)
        error = decoded - images
        weight = 1 + what.sprite_weight * mask
        loss = (error.abs() * weight).mean() + 2 * (error.square() * weight).mean()
        if what.keeps_edges:
            loss = loss + edge_error(decoded - images)
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        # The first three latent channels follow the shrunken frame: without the pull the colours of small
        # sprites are the last thing that the network learns.
        shrunken = functional.avg_pool2d(images, what.factor)
        colour = functional.mse_loss(posterior.mean[:, :3].float(), shrunken)
        loss = loss + what.kl_weight * kl + what.colour_pull * colour
        return loss, {"psnr": psnr(error), "colour": colour, "kl": kl}

    run.fit(loss_of, lambda step: cosine_rate(step, steps, what.peak_rate, warmup=50))
    run.averages["vae"].copy_to(vae)
    return vae.eval()


def reconstructed(vae: Any, pixels: Tensor, noise: torch.Generator) -> tuple[Any, Tensor]:
    """The posterior of pixels, and what is decoded from a draw of it, float32."""
    with bfloat16_autocast(pixels.device):
        posterior = vae.encode(pixels).latent_dist
        return posterior, vae.decode(posterior.sample(generator=noise)).sample.float()


def psnr(error: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of pixels in [-1, 1]."""
    return 10 * torch.log10(4 / error.detach().square().mean())


@torch.no_grad()
def _deviation(vae: Any, images: Tensor, name: str, seed: int) -> float:
    """Standard deviation of sampled latents."""
    device = next(vae.parameters()).device
    noise = torch_generator(device, name, seed)
    return float(vae.encode(images.to(device)).latent_dist.sample(generator=noise).std())


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
