"""Trains the upscaler of the Sprites world, 32 to 64 pixels, in the format of the published latent upscalers.

Three trainings: an autoencoder of factor 2 (`train_vae`), an image upscaler on single frames, and
SimDA's adapters on clips (`train_adapters`).

The image upscaler is a latent diffusion model (Rombach et al. 2022, section 4.4) as diffusers'
StableDiffusionUpscalePipeline reads it: the low-resolution RGB picture, with noise, is concatenated to the
noisy latents of the same size, the noise's level is the class label, and the velocity is predicted. The text
encoder is that of the embedded text-to-image model, frozen.

Shape suffixes: N frames, B batch, C channels, H, W height and width, L tokens, D embedding.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...methods.training.loop import AttentionInFloat32
from ...methods.upscaling.low_resolution import augmented, network_range, shrink
from .scene import local_generator
from .tokenizer import save_tokenizer, token_ids
from .train_t2i import TEXT_WIDTH, cached_frames, captioned_batch
from .training import (
    Noted,
    TrainingRun,
    WeightAverage,
    bfloat16_autocast,
    cosine_rate,
    half_copy,
    seeded_initialisation,
    torch_generator,
    training_device,
)

MAX_NOISE_LEVEL = 350
UNET_CONFIG: dict[str, Any] = {
    "sample_size": 32,
    "in_channels": 7,  # 4 of the latents and 3 of the low-resolution picture
    "out_channels": 4,
    "block_out_channels": (32, 64),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "cross_attention_dim": TEXT_WIDTH,
    "attention_head_dim": 4,  # the number of heads, by diffusers' historical naming
    "norm_num_groups": 16,
    "num_class_embeds": MAX_NOISE_LEVEL + 1,
}
LOW_RES_SCHEDULER_CONFIG: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "scaled_linear",
}
SCHEDULER_CONFIG: dict[str, Any] = LOW_RES_SCHEDULER_CONFIG | {
    "prediction_type": "v_prediction",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
BATCH = 16
PEAK_RATE = 1.2e-3
MIN_WEIGHT = 0.05
NUM_FRAMES = 6000
"""Training frames whose latents are made once and kept in memory."""


def clean_latent_weights(signal: Tensor) -> Tensor:
    """Weight of the loss on the velocity by time step, float32 [1000], of mean 1.

    Times 1 - abar that loss is the loss on the clean latents, whose errors are what is seen. Without the
    weight the last, nearly noise-free steps make up most of the loss. Cut at `MIN_WEIGHT`.
    """
    weight = (1 - signal.float()).clamp(min=MIN_WEIGHT)
    return weight / weight.mean()


def new_unet(seed: int, device: torch.device) -> Any:
    """The untrained UNet; its noise levels start as sinusoids, so that neighbours begin alike."""
    from diffusers import UNet2DConditionModel
    from diffusers.models.embeddings import get_timestep_embedding

    with seeded_initialisation("upscaler", seed):
        unet: Any = UNet2DConditionModel(**UNET_CONFIG)
    width = unet.class_embedding.weight.shape[1]
    unet.class_embedding.weight.data = get_timestep_embedding(torch.arange(MAX_NOISE_LEVEL + 1), width)
    return unet.to(device, memory_format=torch.channels_last)


def train_image_upscaler(work: Path, seed: int, steps: int, vae: Any, t2i: Path, out: Path) -> None:
    """Trains (or resumes) the UNet on single frames, and writes the pipeline to `out`.

    Args:
        t2i: folder of the embedded text-to-image pipeline, for its text encoder and tokenizer.
    """
    from diffusers import DDIMScheduler, DDPMScheduler
    from transformers import CLIPTextModel, CLIPTokenizer

    device = training_device()
    tokenizer = CLIPTokenizer.from_pretrained(t2i / "tokenizer")
    text = CLIPTextModel.from_pretrained(t2i / "text_encoder").to(device).eval().requires_grad_(False)
    vae = vae.to(device).eval().requires_grad_(False)

    def encode(frames: np.ndarray, start: int) -> dict[str, Tensor]:
        # In float32: the latents are what everything afterwards is measured by.
        batch_N3HW = network_range(frames).to(device, memory_format=torch.channels_last)
        posterior = vae.encode(batch_N3HW).latent_dist
        sample = posterior.sample(generator=torch_generator(device, "upscaler-latents", seed, start))
        latents = (sample * vae.config.scaling_factor).half().cpu()
        return {"latents": latents, "low_res": torch.from_numpy(shrink(frames, 2))}

    cache = work / f"upscaler-frames-{seed}.pt"
    data = cached_frames("upscaler", NUM_FRAMES, 50, encode, tokenizer, seed, cache)
    unet = new_unet(seed, device)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=PEAK_RATE, weight_decay=1e-2, betas=(0.9, 0.99))
    run = TrainingRun("upscaler", work, seed, steps, {"unet": unet}, optimizer, 0.998, 90.0)
    scheduler = DDIMScheduler(**SCHEDULER_CONFIG)
    low_res_scheduler = DDPMScheduler(**LOW_RES_SCHEDULER_CONFIG)
    signal, low_res_signal = scheduler.alphas_cumprod.to(device), low_res_scheduler.alphas_cumprod.to(device)
    weight = clean_latent_weights(signal)
    no_prompt = token_ids(tokenizer, [""]).to(torch.int32)[0]

    def save() -> None:
        save_upscaler(out, vae, unet, run.averages["unet"], text, tokenizer, scheduler, low_res_scheduler)

    def loss_of(step: int) -> tuple[Tensor, Noted]:
        rng = local_generator("upscaler-batch", seed, step)
        chosen, tokens_BL, t = captioned_batch(data, no_prompt, BATCH, rng)
        # Half of the noise levels are below 20.
        level = torch.from_numpy(rng.random(BATCH) ** 4 * (MAX_NOISE_LEVEL + 1)).long().to(device)
        clean, t = data["latents"][chosen].to(device).float(), t.to(device)
        low_res = network_range(data["low_res"][chosen].numpy()).to(device)
        noises = torch_generator(torch.device("cpu"), "upscaler-noise", seed, step)
        noise = torch.randn(clean.shape, generator=noises).to(device)
        low_res_noise = torch.randn(low_res.shape, generator=noises).to(device)
        a = signal[t].view(-1, 1, 1, 1)
        noisy = a.sqrt() * clean + (1 - a).sqrt() * noise
        target = a.sqrt() * noise - (1 - a).sqrt() * clean
        seen = torch.cat([noisy, augmented(low_res, low_res_noise, level, low_res_signal)], dim=1)
        with bfloat16_autocast(device), _attention(device):
            states_BLD = text(tokens_BL.to(device).long()).last_hidden_state
            predicted = unet(
                seen.contiguous(memory_format=torch.channels_last),
                t,
                encoder_hidden_states=states_BLD,
                class_labels=level,
            ).sample
        error_B = (predicted.float() - target).square().mean((1, 2, 3))
        loss = (error_B * weight[t]).mean()
        return loss, {"loss": error_B.mean(), "weighted": loss}

    run.fit(loss_of, lambda step: cosine_rate(step, steps, PEAK_RATE, warmup=100), on_checkpoint=save)
    save()


def _attention(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    return AttentionInFloat32() if device.type == "cpu" else contextlib.nullcontext()


def save_upscaler(
    out: Path,
    vae: Any,
    unet: Any,
    average: WeightAverage,
    text: Any,
    tokenizer: Any,
    scheduler: Any,
    low_res_scheduler: Any,
) -> None:
    """Writes the averaged weights, in float16, as a folder that StableDiffusionUpscalePipeline loads.

    The text encoder's configuration names float32: transformers keeps float16, diffusers widens the UNet.
    """
    from diffusers import StableDiffusionUpscalePipeline
    from transformers import CLIPTextModel

    stored_text = CLIPTextModel(text.config)
    stored_text.load_state_dict(text.state_dict())
    pipeline: Any = StableDiffusionUpscalePipeline(
        vae=half_copy(vae),
        text_encoder=stored_text.half(),
        tokenizer=tokenizer,
        unet=half_copy(unet, average),
        low_res_scheduler=low_res_scheduler,
        scheduler=scheduler,
        max_noise_level=MAX_NOISE_LEVEL,
    )
    pipeline.save_pretrained(out, safe_serialization=True)
    save_tokenizer(tokenizer, out / "tokenizer")
    config = out / "text_encoder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"dtype": "float32"}, indent=2) + "\n")
