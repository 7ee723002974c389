"""Trains the video autoencoder of the embedded CogVideoX: 16 frames of 32 pixels to 4x8x8x12 latents.

diffusers' AutoencoderKLCogVideoX, the causal 3D autoencoder of Yang et al. (CogVideoX, section 2.1), at tiny
size: factor 4 in time and in space. The losses are those of `train_vae` and the error of the differences
between neighbouring frames.

It works on stretches of 8 frames, the second of which follows from the first. Most steps see one stretch and
part of the frame around a sprite, the last ones whole clips. One step in four sees single frames or 9 frames,
where the first frame is a latent frame of its own.

The decoder is then trained further while the encoder rests, so that latents stay valid, as for Stable
Diffusion's "ft-MSE" weights (Rombach et al. 2022): on means of the posterior, which the transformer learns to
make, and on whole clips, for group norm's statistics.

Shape suffixes: N clips, B batch, C channels, T frames, H height, W width, F latent frames.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .cogvideox_data import NUM_FRAMES, SIZE, ClipPool, as_pixels
from .scene import local_generator
from .train_vae import edge_error, psnr, reconstructed
from .training import (
    Noted,
    TrainingRun,
    bfloat16_autocast,
    cosine_rate,
    seeded_initialisation,
    torch_generator,
    training_device,
)

LATENT_CHANNELS = 12
FACTOR = 4
"""Pixels per latent along each axis, and frames per latent frame."""

VAE_CONFIG: dict[str, Any] = {
    "block_out_channels": (16, 32, 64),
    "down_block_types": ("CogVideoXDownBlock3D",) * 3,
    "up_block_types": ("CogVideoXUpBlock3D",) * 3,
    "latent_channels": LATENT_CHANNELS,
    "layers_per_block": 1,
    "norm_num_groups": 1,
    "temporal_compression_ratio": FACTOR,
    "sample_height": SIZE,
    "sample_width": SIZE,
    "scaling_factor": 1.0,
}
PEAK_RATE = 2e-3
KL_WEIGHT = 1e-4
COLOUR_PULL = 0.5
SPRITE_WEIGHT = 4.0
CROP, CROP_BATCH, WHOLE_BATCH = 20, 16, 4
WHOLE_SHARE = 0.35
"""Share of the steps, the last ones, on whole clips: group norm's statistics are those of what it sees."""

STRETCH = 8

DECODER_RATE = 1e-3
DECODER_BATCH = 4
CHECKPOINT_EVERY_S = 90.0


def clip_batch(pool: ClipPool, step: int, whole: bool, seed: int) -> tuple[Tensor, Tensor]:
    """The clips of a step.

    Returns:
        float32 [B, 3, T, H, W] in [-1, 1], and the mask of the sprites, float32 [B, 1, T, H, W].
    """
    rng = local_generator("cogvideox-vae-batch", seed, step)
    num_frames = _length(step, whole)
    size, count = (SIZE, WHOLE_BATCH) if whole else (CROP, CROP_BATCH)
    count *= max(1, (NUM_FRAMES if whole else STRETCH) // (2 * num_frames))
    clips, masks = [], []
    for index in rng.integers(len(pool), size=count):
        first = int(rng.integers(NUM_FRAMES - num_frames + 1))
        frames = pool.frames_NTHW3[index, first : first + num_frames]
        backdrop = pool.backdrops_NHW3[index]
        mask = ((frames.short() - backdrop.short()).abs().amax(-1) > 12).float()
        top, left = _corner(mask, size, rng)
        clips.append(as_pixels(frames[:, top : top + size, left : left + size]))
        masks.append(mask[None, :, top : top + size, left : left + size])
    clips_BCTHW = torch.stack(clips).contiguous(memory_format=torch.channels_last_3d)
    return clips_BCTHW, torch.stack(masks)


def _length(step: int, whole: bool) -> int:
    if step % 8 == 3:
        return 1
    if step % 8 == 7:
        return STRETCH + 1
    return NUM_FRAMES if whole else STRETCH


def _corner(mask_THW: Tensor, size: int, rng: np.random.Generator) -> tuple[int, int]:
    """Top and left of a part of the frame that holds the sprite of the middle frame, more or less."""
    if size == SIZE:
        return 0, 0
    where = mask_THW[len(mask_THW) // 2].nonzero().float()
    centre = where.mean(0).tolist() if len(where) else [SIZE / 2, SIZE / 2]
    moved = [int(value + rng.integers(-6, 7) - size // 2) for value in centre]
    top, left = (min(max(value, 0), SIZE - size) for value in moved)
    return top, left


def shrunken(clips_BCTHW: Tensor) -> Tensor:
    """The mean colour of what each latent stands for, [B, 3, F, h, w]; a first odd frame stands alone."""
    alone = clips_BCTHW.shape[2] % 2
    rest = clips_BCTHW[:, :, alone:]
    parts = [functional.avg_pool3d(clips_BCTHW[:, :, :alone], (1, FACTOR, FACTOR))] if alone else []
    if rest.shape[2]:
        parts.append(functional.avg_pool3d(rest, FACTOR))
    return torch.cat(parts, 2)


def reconstruction_losses(error_BCTHW: Tensor, mask_B1THW: Tensor) -> dict[str, Tensor]:
    """The terms about what was decoded, to be added up.

    Args:
        error_BCTHW: decoded less true pixels.
        mask_B1THW: 1 where a sprite is; there an error counts five times.

    Returns:
        "pixels" (absolute plus twice squared), "edges" and "changes" (differences in space and in time).
    """
    weight = 1 + SPRITE_WEIGHT * mask_B1THW
    absolute = (error_BCTHW.abs() * weight).mean()
    squared = (error_BCTHW.square() * weight).mean()
    edges = edge_error(error_BCTHW)
    changes = error_BCTHW.new_zeros(())  # of single frames
    if error_BCTHW.shape[2] > 1:
        changes = (error_BCTHW[:, :, 1:] - error_BCTHW[:, :, :-1]).abs().mean()
    return {"pixels": absolute + 2 * squared, "edges": edges, "changes": changes}


def train_video_vae(pool: ClipPool, work: Path, seed: int, steps: int) -> Any:
    """Trains (or resumes) and returns the averaged AutoencoderKLCogVideoX, its latents of unit deviation."""
    from diffusers import AutoencoderKLCogVideoX

    device = training_device()
    with seeded_initialisation("cogvideox-vae", seed):
        vae = AutoencoderKLCogVideoX(**VAE_CONFIG).to(device)
    for module in vae.modules():
        if isinstance(module, torch.nn.Conv3d):  # a quarter faster on a CPU
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last_3d)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=PEAK_RATE, weight_decay=1e-4, betas=(0.9, 0.99))
    run = TrainingRun("cogvideox-vae", work, seed, steps, {"vae": vae}, optimizer, 0.995, CHECKPOINT_EVERY_S)

    def loss_of(step: int) -> tuple[Tensor, Noted]:
        whole = step >= steps * (1 - WHOLE_SHARE)
        clips, mask = (t.to(device) for t in clip_batch(pool, step, whole, seed))
        noise = torch_generator(device, "cogvideox-vae-noise", seed, step)
        posterior, decoded = reconstructed(vae, clips, noise)
        error = decoded - clips
        losses = reconstruction_losses(error, mask)
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        # Without the pull the colours of small sprites are the last thing that the network learns.
        colour = functional.mse_loss(posterior.mean[:, :3].float(), shrunken(clips))
        loss = losses["pixels"] + losses["edges"] + losses["changes"] + KL_WEIGHT * kl + COLOUR_PULL * colour
        return loss, {**losses, "psnr": psnr(error), "colour": colour, "kl": kl}

    run.fit(loss_of, lambda step: cosine_rate(step, steps, PEAK_RATE, warmup=50))
    run.averages["vae"].copy_to(vae)
    vae.eval().requires_grad_(False)
    set_unit_deviation(vae, latent_deviation(vae, pool, seed))
    return vae


@torch.no_grad()
def latent_deviation(vae: Any, pool: ClipPool, seed: int, num: int = 192) -> Tensor:
    """Standard deviation of each channel of sampled latents of the pool, [C]."""
    device = next(vae.parameters()).device
    chosen = torch.from_numpy(local_generator("cogvideox-vae-scale", seed).permutation(len(pool))[:num])
    latents = []
    for number, part in enumerate(chosen.split(16)):
        noise = torch_generator(device, "cogvideox-vae-scale", seed, number)
        with bfloat16_autocast(device):
            posterior = vae.encode(as_pixels(pool.frames_NTHW3[part]).to(device)).latent_dist
        latents.append(posterior.sample(generator=noise).float())
    return torch.cat(latents).movedim(1, 0).flatten(1).std(1)


@torch.no_grad()
def set_unit_deviation(vae: Any, deviation_C: Tensor) -> None:
    """Rescales each latent channel by its deviation so far; decoded clips stay the same.

    The format has one factor for all channels, so the layers that write and read latents take it up.
    """
    out = vae.encoder.conv_out.conv
    factor_2C = torch.cat([1 / deviation_C, torch.ones_like(deviation_C)])
    out.weight *= factor_2C.view(-1, 1, 1, 1, 1)
    out.bias *= factor_2C
    out.bias[len(deviation_C) :] -= 2 * deviation_C.log()  # the second half is the logarithm of the variance
    readers = [vae.decoder.conv_in.conv]
    for name, module in vae.decoder.named_modules():
        if name.endswith(("conv_y", "conv_b")):
            readers.append(module.conv)
    for reader in readers:
        reader.weight *= deviation_C.view(1, -1, 1, 1, 1)


def train_decoder(vae: Any, pool: ClipPool, latents_NFCHW: Tensor, work: Path, seed: int, steps: int) -> Any:
    """Trains (or resumes) the decoder of `vae` in place, and returns it with the averaged decoder.

    Args:
        latents_NFCHW: of the clips, see `cached_latents`.
        steps: updates; 0 leaves the decoder as it is.
    """
    device = training_device()
    decoder = vae.to(device).decoder.requires_grad_(True)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=DECODER_RATE, weight_decay=1e-4, betas=(0.9, 0.99))
    networks = {"decoder": decoder}
    run = TrainingRun("cogvideox-decoder", work, seed, steps, networks, optimizer, 0.995, CHECKPOINT_EVERY_S)

    def loss_of(step: int) -> tuple[Tensor, Noted]:
        chosen = local_generator("cogvideox-decoder-batch", seed, step).integers(
            len(pool), size=DECODER_BATCH
        )
        frames_BTHW3 = pool.frames_NTHW3[chosen]
        backdrops_BHW3 = pool.backdrops_NHW3[chosen]
        difference = (frames_BTHW3.short() - backdrops_BHW3.short()[:, None]).abs().amax(-1)
        mask_B1THW = (difference > 12).float()[:, None].to(device)
        clips = as_pixels(frames_BTHW3).to(device)
        latents_BCFHW = latents_NFCHW[chosen].to(device).float().movedim(2, 1)
        with bfloat16_autocast(device):
            decoded = vae.decode(latents_BCFHW / vae.config.scaling_factor).sample.float()
        losses = reconstruction_losses(decoded - clips, mask_B1THW)
        loss = losses["pixels"] + losses["edges"] + losses["changes"]
        return loss, {**losses, "psnr": psnr(decoded - clips)}

    run.fit(loss_of, lambda step: cosine_rate(step, steps, DECODER_RATE, warmup=50))
    run.averages["decoder"].copy_to(decoder)
    decoder.eval().requires_grad_(False)
    return vae
