"""Trains the text-to-image model of the Sprites world: a latent diffusion pipeline in diffusers' format.

Latent diffusion (Rombach et al. 2022, sections 3.2 and 3.3): a UNet with cross-attention to the tokens of
a CLIP text encoder predicts the noise in the autoencoder's latents, under Stable Diffusion 1.x's noise
schedule. At this size the text encoder is trained along with the UNet instead of being taken from CLIP.
The prompt is dropped for a tenth of the frames, so that guidance works (Ho & Salimans 2022).

Shape suffixes: B batch, C latent channels, H height, W width, L tokens, D embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...methods.upscaling.low_resolution import network_range
from .captions import captions
from .render import render
from .scene import local_generator, sample_scene
from .tokenizer import END, MAX_LENGTH, START, build_tokenizer, save_tokenizer, token_ids
from .training import (
    Noted,
    TrainingRun,
    WeightAverage,
    bfloat16_autocast,
    cosine_rate,
    half_copy,
    save_whole,
    seeded_initialisation,
    torch_generator,
    training_device,
)

TEXT_WIDTH = 128
UNET_CONFIG: dict[str, Any] = {
    "sample_size": 16,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (64, 96, 96),
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "cross_attention_dim": TEXT_WIDTH,
    "attention_head_dim": 4,  # the number of heads, by diffusers' historical naming
    "norm_num_groups": 16,
}
# Stable Diffusion 1.x's schedule, with what DDIM needs to be exact at its ends.
SCHEDULER_CONFIG: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "epsilon",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
BATCH = 32
PEAK_RATE = 1.2e-3
DROP_PROMPT = 0.1
MAX_WEIGHT = 5.0
NUM_FRAMES = 16_000
"""Training frames whose latents are made once and kept in memory."""


def noise_level_weights(signal: Tensor) -> Tensor:
    """Weight of the loss by time step, float32 [1000], of mean 1.

    1 + 1 / SNR, as of v-prediction (Salimans & Ho 2022, appendix D), cut at `MAX_WEIGHT`: without it the
    background, which is decided at the highest noise levels, stays wrong long after the colours are right.
    """
    weight = (1 / signal.float()).clamp(max=MAX_WEIGHT)
    return weight / weight.mean()


def text_encoder_config(tokenizer: Any) -> Any:
    """The configuration of the tiny CLIP text encoder."""
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=2 * TEXT_WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=MAX_LENGTH,
        projection_dim=TEXT_WIDTH,
        bos_token_id=tokenizer.convert_tokens_to_ids(START),
        eos_token_id=tokenizer.convert_tokens_to_ids(END),
        pad_token_id=tokenizer.convert_tokens_to_ids(END),
    )


def cached_frames(
    name: str,
    num: int,
    at_once: int,
    encode: Callable[[np.ndarray, int], dict[str, Tensor]],
    tokenizer: Any,
    seed: int,
    cache: Path,
) -> dict[str, Tensor]:
    """Training frames as a network sees them, from the cache file when it is there.

    Args:
        name: what is drawn depends on it.
        at_once: frames that are encoded together.
        encode: frames uint8 [B,H,W,3] and the number of their first one -> what is kept of them, [B,...].

    Returns:
        what `encode` gave of all frames, and tokens, int32 [N,20,L], of each frame's captions.
    """
    if cache.is_file():
        saved: dict[str, Tensor] = torch.load(cache, weights_only=True)
        return saved
    rng = local_generator(f"{name}-frames", seed)
    rows: list[dict[str, Tensor]] = []
    texts: list[str] = []
    for start in range(0, num, at_once):
        frames = []
        for _ in range(min(at_once, num - start)):
            scene = sample_scene(int(rng.integers(2**40)), "train")
            frames.append(render(scene, frames=[int(rng.integers(16))])[0])
            texts += captions(scene)
        with torch.inference_mode():
            rows.append(encode(np.stack(frames), start))
    made = {key: torch.cat([row[key] for row in rows]) for key in rows[0]}
    made["tokens"] = token_ids(tokenizer, texts).to(torch.int32).reshape(num, -1, MAX_LENGTH)
    save_whole(cache, made)
    return made


def captioned_batch(
    data: Mapping[str, Tensor], no_prompt: Tensor, batch: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Numbers of frames [B], tokens of one caption each [B,L], some of them dropped, and time steps [B]: one
    from each of B equal stretches, so that the loss is less noisy than with free draws."""
    chosen = torch.from_numpy(rng.integers(len(data["latents"]), size=batch))
    wording = torch.from_numpy(rng.integers(data["tokens"].shape[1], size=batch))
    tokens_BL = data["tokens"][chosen, wording].clone()
    tokens_BL[torch.from_numpy(rng.random(batch) < DROP_PROMPT)] = no_prompt
    return chosen, tokens_BL, torch.from_numpy((np.arange(batch) + rng.random(batch)) * (1000 / batch)).long()


def train_t2i(work: Path, seed: int, steps: int, vae: Any, out: Path) -> None:
    """Trains (or resumes) the UNet and the text encoder, and writes the pipeline to `out`.

    The pipeline is also written at each checkpoint, so that an early one can be tried.
    """
    from diffusers import DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel

    device = training_device()
    tokenizer = build_tokenizer()
    save_tokenizer(tokenizer, work / "tokenizer")
    vae = vae.to(device).eval().requires_grad_(False)

    def encode(frames: np.ndarray, start: int) -> dict[str, Tensor]:
        with bfloat16_autocast(device):
            posterior = vae.encode(network_range(frames).to(device)).latent_dist
        sample = posterior.sample(generator=torch_generator(device, "t2i-latents", seed, start))
        return {"latents": (sample.float() * vae.config.scaling_factor).half().cpu()}

    data = cached_frames("t2i", NUM_FRAMES, 64, encode, tokenizer, seed, work / f"latents-{seed}.pt")
    with seeded_initialisation("t2i", seed):
        unet = UNet2DConditionModel(**UNET_CONFIG).to(device, memory_format=torch.channels_last)
        text = CLIPTextModel(text_encoder_config(tokenizer)).to(device)
    parameters = [*unet.parameters(), *text.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=PEAK_RATE, weight_decay=1e-2, betas=(0.9, 0.99))
    run = TrainingRun("t2i", work, seed, steps, {"unet": unet, "text": text}, optimizer, 0.999, 90.0)
    scheduler = DDIMScheduler(**SCHEDULER_CONFIG)
    signal = scheduler.alphas_cumprod.to(device)
    weight = noise_level_weights(signal)
    no_prompt = token_ids(tokenizer, [""]).to(torch.int32)[0]

    def save() -> None:
        averages = run.averages
        save_pipeline(out, vae, unet, averages["unet"], text, averages["text"], tokenizer, scheduler)

    def loss_of(step: int) -> tuple[Tensor, Noted]:
        rng = local_generator("t2i-batch", seed, step)
        chosen, tokens_BL, t = captioned_batch(data, no_prompt, BATCH, rng)
        x0, t = data["latents"][chosen].to(device).float(), t.to(device)
        noises = torch_generator(torch.device("cpu"), "t2i-noise", seed, step)
        noise = torch.randn(x0.shape, generator=noises).to(device)
        a = signal[t].view(-1, 1, 1, 1)
        noisy = (a.sqrt() * x0 + (1 - a).sqrt() * noise).contiguous(memory_format=torch.channels_last)
        with bfloat16_autocast(device):
            states_BLD = text(tokens_BL.to(device).long()).last_hidden_state
            predicted = unet(noisy, t, encoder_hidden_states=states_BLD).sample
        error_B = (predicted.float() - noise).square().mean((1, 2, 3))
        loss = (error_B * weight[t]).mean()
        return loss, {"loss": error_B.mean(), "weighted": loss}

    run.fit(loss_of, lambda step: cosine_rate(step, steps, PEAK_RATE, warmup=150), on_checkpoint=save)
    save()


def save_pipeline(
    out: Path,
    vae: Any,
    unet: Any,
    unet_average: WeightAverage,
    text: Any,
    text_average: WeightAverage,
    tokenizer: Any,
    scheduler: Any,
) -> None:
    """Writes the averaged weights as a folder that StableDiffusionPipeline loads.

    In float16, which diffusers loads as float32; transformers would not, so the text encoder is in float32.
    """
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPTextModel

    averaged_text = CLIPTextModel(text.config)
    text_average.copy_to(averaged_text)
    pipeline = StableDiffusionPipeline(
        vae=half_copy(vae),
        text_encoder=averaged_text,
        tokenizer=tokenizer,
        unet=half_copy(unet, unet_average),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(out, safe_serialization=True)
    save_tokenizer(tokenizer, out / "tokenizer")
