"""Trains the autoencoder of the Sprites text-to-image model: 64x64 RGB to 16x16x4 latents and back.

Loss: absolute and squared error, weighted towards the sprites, the absolute error of the image
gradients, a small KL term, and a pull of three latent channels towards the shrunken frame. The gradients
keep the edges of the shapes, without which `check.py` could not tell them apart. Most steps see crops
around the sprites, the last ones whole frames. Adversarial and perceptual terms are left out: this world
has no texture that they would be needed for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .render import background, poses, render
from .scene import local_generator, sample_scene
from .training import (
    TrainingRun,
    WeightAverage,
    bfloat16_autocast,
    cosine_rate,
    seeded_initialisation,
    torch_generator,
    training_device,
)

VAE_CONFIG: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "sample_size": 64,
    "block_out_channels": (16, 48, 96),
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "layers_per_block": 1,
    "norm_num_groups": 1,
    "mid_block_add_attention": False,
}
PEAK_RATE = 1.5e-3
KL_WEIGHT = 1e-5
COLOUR_PULL = 0.5
SPRITE_WEIGHT = 4.0
"""How much more an error on a sprite counts than one on the background, of which there is ten times more."""
CROP, CROP_BATCH = 32, 32
WHOLE_BATCH = 16
WHOLE_SHARE = 0.12
"""Share of the steps, the last ones, on whole frames: group norm's statistics are those of what it sees."""


def frame_batch(count: int, *parts: object) -> Tensor:
    """Random single frames of training scenes, float32 [B, 3, 64, 64] in [-1, 1]."""
    return sprite_batch(count, 64, *parts)[0]


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


def _gradient_error(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute error of horizontal and vertical differences."""
    d = a - b
    return (d[..., 1:] - d[..., :-1]).abs().mean() + (d[..., 1:, :] - d[..., :-1, :]).abs().mean()


def train_vae(work: Path, seed: int, steps: int) -> Any:
    """Trains (or resumes) and returns the averaged diffusers AutoencoderKL, its scaling factor measured."""
    from diffusers import AutoencoderKL

    device = training_device()
    with seeded_initialisation("vae", seed):
        vae = AutoencoderKL(**VAE_CONFIG).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=PEAK_RATE, weight_decay=1e-4, betas=(0.9, 0.99))
    average = WeightAverage(vae, 0.995)
    run = TrainingRun("vae", work, seed, steps, {"vae": vae, "optimizer": optimizer}, {"vae": average})
    for step in run.loop(log_every=25):
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(step, steps, PEAK_RATE, warmup=50)
        whole = step >= steps * (1 - WHOLE_SHARE)
        count, crop = (WHOLE_BATCH, 64) if whole else (CROP_BATCH, CROP)
        images, mask = (t.to(device) for t in sprite_batch(count, crop, "vae-batch", seed, step))
        noise = torch_generator(device, "vae-noise", seed, step)
        with bfloat16_autocast(device):
            posterior = vae.encode(images).latent_dist
            decoded = vae.decode(posterior.sample(generator=noise)).sample.float()
        weight = 1 + SPRITE_WEIGHT * mask
        error = decoded - images
        absolute = (error.abs() * weight).mean()
        squared = (error.square() * weight).mean()
        edges = _gradient_error(decoded, images)
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        # The first three latent channels follow the frame at a quarter of its size: without the pull the
        # colours of small sprites are the last thing that the network learns.
        colour = functional.mse_loss(posterior.mean[:, :3].float(), functional.avg_pool2d(images, 4))
        loss = absolute + 2 * squared + edges + KL_WEIGHT * kl + COLOUR_PULL * colour
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        average.update(vae, step)
        run.note(
            loss=loss.detach(),
            absolute=absolute.detach(),
            edges=edges.detach(),
            colour=colour.detach(),
            kl=kl.detach(),
        )
    average.copy_to(vae)
    vae.eval()
    vae.register_to_config(scaling_factor=_latent_scale(vae, seed, device))
    return vae


@torch.no_grad()
def _latent_scale(vae: Any, seed: int, device: torch.device) -> float:
    """One over the standard deviation of sampled latents, so that scaled latents have unit deviation."""
    noise = torch_generator(device, "vae-scale", seed)
    images = frame_batch(256, "vae-scale-batch", seed).to(device)
    latents = vae.encode(images).latent_dist.sample(generator=noise)
    return float(f"{1 / float(latents.std()):.5f}")
