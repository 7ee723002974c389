"""Trains the text-to-image model of the Sprites world: a latent diffusion pipeline in diffusers' format.

Latent diffusion (Rombach et al. 2022, sections 3.2 and 3.3): a UNet with cross-attention to the tokens of
a CLIP text encoder predicts the noise in the autoencoder's latents, under Stable Diffusion 1.x's noise
schedule. At this size the text encoder is trained along with the UNet instead of being taken from CLIP.
The prompt is dropped for a tenth of the frames, so that guidance works (Ho & Salimans 2022).

Shape suffixes: B batch, C latent channels, H height, W width, L tokens, D embedding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .captions import captions
from .render import render
from .scene import local_generator, sample_scene
from .tokenizer import END, MAX_LENGTH, START, build_tokenizer, encode, save_tokenizer
from .training import (
    TrainingRun,
    WeightAverage,
    bfloat16_autocast,
    cosine_rate,
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

    1 + 1 / SNR is what the loss of v-prediction amounts to (Salimans & Ho 2022, appendix D), here cut at
    `MAX_WEIGHT`. The background is decided at the highest noise levels, where the plain loss on the noise
    hardly counts what the prompt says: without the weight it comes out wrong for most prompts long after
    the colours are right.
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


@torch.inference_mode()
def cached_latents(vae: Any, tokenizer: Any, seed: int, cache: Path) -> tuple[Tensor, Tensor]:
    """Latents of training frames and the tokens of their captions, from the cache file when it is there.

    Returns:
        float16 [N, C, H, W], scaled to unit deviation, and int32 [N, 20, L].
    """
    if cache.is_file():
        saved = torch.load(cache, weights_only=True)
        return saved["latents"], saved["tokens"]
    rng = local_generator("t2i-frames", seed)
    latents, texts = [], []
    device = next(vae.parameters()).device
    for start in range(0, NUM_FRAMES, 64):
        frames = []
        for _ in range(min(64, NUM_FRAMES - start)):
            scene = sample_scene(int(rng.integers(2**40)), "train")
            frames.append(render(scene, frames=[int(rng.integers(16))])[0])
            texts += captions(scene)
        images = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1
        with bfloat16_autocast(device):
            posterior = vae.encode(images.to(device)).latent_dist
        sample = posterior.sample(generator=torch_generator(device, "t2i-latents", seed, start))
        latents.append((sample.float() * vae.config.scaling_factor).half().cpu())
    tokens = encode(tokenizer, texts).to(torch.int32).reshape(NUM_FRAMES, -1, MAX_LENGTH)
    cache.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"latents": torch.cat(latents), "tokens": tokens}, cache)
    return torch.cat(latents), tokens


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
    latents_NCHW, tokens_NKL = cached_latents(vae, tokenizer, seed, work / f"latents-{seed}.pt")
    with seeded_initialisation("t2i", seed):
        unet = UNet2DConditionModel(**UNET_CONFIG).to(device, memory_format=torch.channels_last)
        text = CLIPTextModel(text_encoder_config(tokenizer)).to(device)
    parameters = [*unet.parameters(), *text.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=PEAK_RATE, weight_decay=1e-2, betas=(0.9, 0.99))
    averages = {"unet": WeightAverage(unet, 0.999), "text": WeightAverage(text, 0.999)}
    run = TrainingRun(
        "t2i",
        work,
        seed,
        steps,
        {"unet": unet, "text": text, "optimizer": optimizer},
        averages,
        checkpoint_every_s=90.0,
    )
    scheduler = DDIMScheduler(**SCHEDULER_CONFIG)
    signal = scheduler.alphas_cumprod.to(device)
    weight = noise_level_weights(signal)
    no_prompt = encode(tokenizer, [""]).to(torch.int32)[0]

    def save() -> None:
        save_pipeline(out, vae, unet, text, tokenizer, scheduler, averages)

    for step in run.loop(log_every=50, on_checkpoint=save):
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(step, steps, PEAK_RATE, warmup=150)
        rng = local_generator("t2i-batch", seed, step)
        chosen = torch.from_numpy(rng.integers(len(latents_NCHW), size=BATCH))
        wording = torch.from_numpy(rng.integers(tokens_NKL.shape[1], size=BATCH))
        tokens_BL = tokens_NKL[chosen, wording].clone()
        tokens_BL[torch.from_numpy(rng.random(BATCH) < DROP_PROMPT)] = no_prompt
        x0 = latents_NCHW[chosen].to(device).float()
        noise = torch.randn(
            x0.shape, generator=torch_generator(torch.device("cpu"), "t2i-noise", seed, step)
        ).to(device)
        # One time step from each of BATCH equal stretches: the loss is less noisy than with free draws.
        t = torch.from_numpy((np.arange(BATCH) + rng.random(BATCH)) * (1000 / BATCH)).long().to(device)
        a = signal[t].view(-1, 1, 1, 1)
        noisy = (a.sqrt() * x0 + (1 - a).sqrt() * noise).contiguous(memory_format=torch.channels_last)
        with bfloat16_autocast(device):
            states_BLD = text(tokens_BL.to(device).long()).last_hidden_state
            predicted = unet(noisy, t, encoder_hidden_states=states_BLD).sample
        error_B = (predicted.float() - noise).square().mean((1, 2, 3))
        loss = (error_B * weight[t]).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        averages["unet"].update(unet, step)
        averages["text"].update(text, step)
        run.note(loss=error_B.detach().mean(), weighted=loss.detach())
    save()


def save_pipeline(
    out: Path,
    vae: Any,
    unet: Any,
    text: Any,
    tokenizer: Any,
    scheduler: Any,
    averages: dict[str, WeightAverage],
) -> None:
    """Writes the averaged weights as a folder that StableDiffusionPipeline loads.

    The UNet and the autoencoder are stored in float16, which diffusers loads as float32; the text encoder
    is stored in float32, since transformers keeps what it finds and the two would not fit together.
    """
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel

    averaged_unet = UNet2DConditionModel.from_config(unet.config)
    averages["unet"].copy_to(averaged_unet)
    averaged_text = CLIPTextModel(text.config)
    averages["text"].copy_to(averaged_text)
    stored_vae = AutoencoderKL.from_config(vae.config)
    stored_vae.load_state_dict(vae.state_dict())
    pipeline = StableDiffusionPipeline(
        vae=stored_vae.half(),
        text_encoder=averaged_text,
        tokenizer=tokenizer,
        unet=averaged_unet.half(),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(out, safe_serialization=True)
    save_tokenizer(tokenizer, out / "tokenizer")
