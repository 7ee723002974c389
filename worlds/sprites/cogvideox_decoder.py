"""Trains the decoder of the embedded CogVideoX's video autoencoder further, for the latents as they are.

The encoder rests, so the latents, and all that is trained on them, stay valid: as with the decoders that
Stable Diffusion's autoencoder was given later (Rombach et al. 2022; the "ft-MSE" weights). What is decoded
are the means of the posterior, which is what the transformer learns to make; whole clips of whole frames,
since that is what group norm's statistics will be taken of.

Shape suffixes: N clips, B batch, T frames, H height, W width, F latent frames, C latent channels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .cogvideox_data import ClipPool, as_pixels
from .cogvideox_vae import reconstruction_losses
from .scene import local_generator
from .train_vae import psnr
from .training import Noted, TrainingRun, bfloat16_autocast, cosine_rate, training_device

PEAK_RATE = 1e-3
BATCH = 4
CHECKPOINT_EVERY_S = 90.0


def train_decoder(vae: Any, pool: ClipPool, latents_NFCHW: Tensor, work: Path, seed: int, steps: int) -> Any:
    """Trains (or resumes) the decoder of `vae` in place.

    Args:
        vae: AutoencoderKLCogVideoX.
        pool: the clips.
        latents_NFCHW: of the clips, see `cached_latents`.
        work: folder of checkpoint and log.
        seed: of the batches.
        steps: updates; 0 leaves the decoder as it is.

    Returns:
        The autoencoder with the averaged decoder.
    """
    device = training_device()
    decoder = vae.to(device).decoder.requires_grad_(True)
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=PEAK_RATE, weight_decay=1e-4, betas=(0.9, 0.99))
    networks = {"decoder": decoder}
    run = TrainingRun("cogvideox-decoder", work, seed, steps, networks, optimizer, 0.995, CHECKPOINT_EVERY_S)

    def loss_of(step: int) -> tuple[Tensor, Noted]:
        chosen = local_generator("cogvideox-decoder-batch", seed, step).integers(len(pool), size=BATCH)
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

    run.fit(loss_of, lambda step: cosine_rate(step, steps, PEAK_RATE, warmup=50))
    run.averages["decoder"].copy_to(decoder)
    decoder.eval().requires_grad_(False)
    return vae
