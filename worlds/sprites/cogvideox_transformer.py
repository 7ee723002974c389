"""Trains the transformer of the embedded CogVideoX, and its text encoder along with it.

CogVideoX (Yang et al., ICLR 2025, sections 2.2 and 3): text and video tokens in one sequence, expert adaptive
layer norms, and the velocity (Salimans & Ho 2022) as the target under a schedule whose last timestep is noise
alone (Lin et al. 2024). The published model has a frozen T5; here one of two layers is trained from scratch.

Choices of this training, all for speed on a CPU:

- Muon for the matrices of the blocks, AdamW for the rest (`methods.training.optimizer`): in the first 300
  steps, on the same batches, it came as far as AdamW in 450;
- adaptive layer norms and the last layer begin at zero, so that the transformer begins as the identity
  (Peebles & Xie 2023, adaLN-Zero);
- noisy timesteps are drawn more often, since what moves where is decided there;
- the first clips show one sprite only;
- the prompt is dropped for a tenth of the clips, so that guidance works (Ho & Salimans 2022).

Shape suffixes: N clips, B batch, F latent frames, C latent channels, H, W latent height and width, L tokens,
D width of the text encoder.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ...methods.resumable import ResumableRun
from ...methods.training.optimizer import MatrixOptimizer
from .cogvideox_data import NUM_FRAMES, SIZE, ClipPool, as_pixels, draw_wording
from .cogvideox_tokenizer import MAX_LENGTH
from .cogvideox_vae import FACTOR, LATENT_CHANNELS
from .scene import local_generator
from .tokenizer import token_ids
from .training import (
    Noted,
    TrainingRun,
    bfloat16_autocast,
    cosine_rate,
    half_copy,
    save_whole,
    seeded_initialisation,
    torch_generator,
    training_device,
)

TEXT_WIDTH = 128
TRANSFORMER_CONFIG: dict[str, Any] = {
    "num_attention_heads": 4,
    "attention_head_dim": 64,
    "in_channels": LATENT_CHANNELS,
    "out_channels": LATENT_CHANNELS,
    "time_embed_dim": 64,
    "text_embed_dim": TEXT_WIDTH,
    "num_layers": 6,
    "sample_width": SIZE // FACTOR,
    "sample_height": SIZE // FACTOR,
    # diffusers counts latent frames as 1 + (frames - 1) // 4.
    "sample_frames": NUM_FRAMES - FACTOR + 1,
    "patch_size": 2,
    "temporal_compression_ratio": FACTOR,
    "max_text_seq_length": MAX_LENGTH,
    "spatial_interpolation_scale": 1.0,
}
TEXT_CONFIG: dict[str, Any] = {
    "d_model": TEXT_WIDTH,
    "d_kv": 32,
    "d_ff": 2 * TEXT_WIDTH,
    "num_layers": 2,
    "num_heads": 4,
    "feed_forward_proj": "gated-gelu",
    "dropout_rate": 0.0,
}
# CogVideoX's scheduler with Stable Diffusion's noise levels: so few latents are hidden by little noise.
SCHEDULER_CONFIG: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "snr_shift_scale": 1.0,
    "timestep_spacing": "trailing",
    "clip_sample": False,
    "set_alpha_to_one": True,
}
BATCH = 32
PEAK_RATE = 3e-3
DROP_PROMPT = 0.1
CHECKPOINT_EVERY_S = 240.0
SINGLE_SHARE = 0.3
"""Share of the steps, the first ones, on clips with one sprite."""
NOISY_POWER = 0.7
"""Timesteps are 1000 u^0.7 for uniform u: the noisiest fifth is drawn for 27% of the clips."""


@dataclass
class VideoModel:
    """The networks of a pipeline in training."""

    vae: Any
    transformer: Any
    text: Any
    tokenizer: Any
    scheduler: Any


def build_networks(vae: Any, tokenizer: Any, seed: int) -> VideoModel:
    """The networks with initial weights, on the device of the training; the transformer is the identity."""
    from diffusers import CogVideoXDDIMScheduler, CogVideoXTransformer3DModel
    from transformers import T5Config, T5EncoderModel

    with seeded_initialisation("cogvideox", seed):
        transformer = CogVideoXTransformer3DModel(**TRANSFORMER_CONFIG)
        text = T5EncoderModel(T5Config(vocab_size=len(tokenizer), **TEXT_CONFIG))
    zeroed: list[nn.Linear] = [transformer.proj_out, transformer.norm_out.linear]
    for block in transformer.transformer_blocks:
        zeroed += [block.norm1.linear, block.norm2.linear]
    for layer in zeroed:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    device = training_device()
    scheduler = CogVideoXDDIMScheduler(**SCHEDULER_CONFIG)
    return VideoModel(vae.to(device), transformer.to(device), text.to(device), tokenizer, scheduler)


@torch.inference_mode()
def cached_latents(vae: Any, pool: ClipPool, cache: Path) -> Tensor:
    """Latents of the clips of the pool (the mean of the posterior), from the cache file when it is there.

    Returns:
        float16 [N, F, C, H, W], of unit deviation.
    """
    if cache.is_file():
        saved: Tensor = torch.load(cache, weights_only=True)["latents"]
        if len(saved) == len(pool):
            return saved
    device = next(vae.parameters()).device
    latents = []
    for start in range(0, len(pool), 16):
        clips = as_pixels(pool.frames_NTHW3[start : start + 16]).to(device)
        with bfloat16_autocast(device):
            mean_BCFHW = vae.encode(clips).latent_dist.mean.float()
        latents.append((mean_BCFHW * vae.config.scaling_factor).movedim(1, 2).half().cpu())
    save_whole(cache, {"latents": torch.cat(latents)})
    return torch.cat(latents)


def timesteps(rng: np.random.Generator, batch: int) -> Tensor:
    """One timestep from each of `batch` stretches of equal probability, int64 [B] in 0 to 999: the loss is
    less noisy than with free draws."""
    u = (np.arange(batch) + rng.random(batch)) / batch
    return torch.from_numpy((1000 * u**NOISY_POWER).astype(np.int64).clip(0, 999))


def noisy_and_velocity(clean: Tensor, noise: Tensor, signal: Tensor) -> tuple[Tensor, Tensor]:
    """x_t and v_t at abar_t = `signal` (Salimans & Ho 2022, appendix D); shapes broadcast."""
    x_share, noise_share = signal.sqrt(), (1 - signal).sqrt()
    return x_share * clean + noise_share * noise, x_share * noise - noise_share * clean


def is_hidden(name: str) -> bool:
    """Whether a parameter of either network belongs to a hidden layer: to one of its blocks, and there to no
    norm (the adaptive ones begin at zero) and no table of positions."""
    return "block" in name and "norm" not in name and "relative" not in name


def train_transformer(
    model: VideoModel,
    pool: ClipPool,
    latents_NFCHW: Tensor,
    work: Path,
    seed: int,
    steps: int,
    on_checkpoint: Callable[[VideoModel, ResumableRun], None],
) -> VideoModel:
    """Trains (or resumes) the transformer and the text encoder of `model` in place; the averaged networks.

    Args:
        on_checkpoint: called with these and the run after each checkpoint, the last included.
    """
    transformer, text = model.transformer, model.text
    device = next(transformer.parameters()).device
    named = [*transformer.named_parameters(), *text.named_parameters()]
    optimizer = MatrixOptimizer(named, is_hidden, PEAK_RATE)
    networks = {"transformer": transformer, "text": text}
    run = TrainingRun("cogvideox", work, seed, steps, networks, optimizer, 0.999, CHECKPOINT_EVERY_S)
    averaged = _copy(model)

    def average() -> None:
        run.averages["transformer"].copy_to(averaged.transformer)
        run.averages["text"].copy_to(averaged.text)

    def checkpoint() -> None:
        average()
        on_checkpoint(averaged, run.progress)

    signal = model.scheduler.alphas_cumprod.float().to(device)
    no_prompt = token_ids(model.tokenizer, [""])[0].to(torch.int16)
    single = pool.single_N.nonzero()[:, 0].numpy()

    def loss_of(step: int) -> tuple[Tensor, Noted]:
        rng = local_generator("cogvideox-batch", seed, step)
        among = single if step < steps * SINGLE_SHARE else np.arange(len(pool))
        chosen = torch.from_numpy(rng.choice(among, size=BATCH))
        wording = torch.tensor([draw_wording(rng) for _ in range(BATCH)])
        tokens_BL = pool.tokens_NKL[chosen, wording].clone()
        tokens_BL[torch.from_numpy(rng.random(BATCH) < DROP_PROMPT)] = no_prompt
        clean = latents_NFCHW[chosen].to(device).float()
        generator = torch_generator(torch.device("cpu"), "cogvideox-noise", seed, step)
        noise = torch.randn(clean.shape, generator=generator).to(device)
        t_B = timesteps(rng, BATCH).to(device)
        noisy, velocity = noisy_and_velocity(clean, noise, signal[t_B].view(-1, 1, 1, 1, 1))
        with bfloat16_autocast(device), _quick_attention(device):
            states_BLD = text(tokens_BL.to(device).long()).last_hidden_state
            predicted = transformer(
                hidden_states=noisy,
                encoder_hidden_states=states_BLD,
                timestep=t_B,
                return_dict=False,
            )[0]
        error_B = (predicted.float() - velocity).square().mean((1, 2, 3, 4))
        return error_B.mean(), {"noisy": error_B[t_B >= 800].mean(), "clear": error_B[t_B < 400].mean()}

    run.fit(loss_of, lambda step: cosine_rate(step, steps, PEAK_RATE, warmup=150), on_checkpoint=checkpoint)
    average()
    return averaged


def _quick_attention(device: torch.device) -> AbstractContextManager[Any]:
    """Attention by plain matrix products on a CPU: with the fused kind a step takes a fifth longer."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def _copy(model: VideoModel) -> VideoModel:
    """The same model with networks of its own for the averaged weights."""
    from transformers import T5EncoderModel

    with torch.random.fork_rng(devices=[]):
        transformer = type(model.transformer).from_config(model.transformer.config)
        text = T5EncoderModel(model.text.config)
    device = next(model.transformer.parameters()).device
    for module in (transformer, text):
        module.to(device).eval().requires_grad_(False)
    return VideoModel(model.vae, transformer, text, model.tokenizer, model.scheduler)


def save_video_pipeline(out: Path, model: VideoModel) -> None:
    """Writes the networks as a folder that CogVideoXPipeline loads; number formats as of `train_t2i`."""
    from diffusers import CogVideoXPipeline

    pipeline = CogVideoXPipeline(
        tokenizer=model.tokenizer,
        text_encoder=model.text,
        vae=half_copy(model.vae),
        transformer=half_copy(model.transformer),
        scheduler=model.scheduler,
    )
    pipeline.save_pretrained(out, safe_serialization=True)
