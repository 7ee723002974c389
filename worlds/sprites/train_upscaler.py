"""Trains the upscaler of the Sprites world, 32 to 64 pixels, in the format of the published latent upscalers.

Three trainings: an autoencoder of factor 2 (`train_upscaler_vae`), an image upscaler on single frames, and
SimDA's adapters on clips (`train_upscaler_adapters`).

The image upscaler is a latent diffusion model (Rombach et al. 2022, section 4.4) as diffusers'
StableDiffusionUpscalePipeline reads it: the low-resolution RGB picture, with noise, is concatenated to the
noisy latents of the same size, the noise's level is the class label, and the velocity is predicted. The text
encoder is that of the embedded text-to-image model, frozen.

Shape suffixes: N frames, B batch, C channels, H, W height and width, L tokens, D embedding.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...methods.training.loop import AttentionInFloat32
from ...methods.upscaling.low_resolution import augmented, network_range, shrink
from .captions import captions
from .render import render
from .scene import local_generator, sample_scene
from .tokenizer import MAX_LENGTH, encode, save_tokenizer
from .train_t2i import DROP_PROMPT, TEXT_WIDTH
from .train_upscaler_adapters import train_adapters
from .train_upscaler_vae import train_vae
from .training import (
    TrainingRun,
    WeightAverage,
    bfloat16_autocast,
    cosine_rate,
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
SCHEDULER_CONFIG: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
LOW_RES_SCHEDULER_CONFIG: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "scaled_linear",
}
BATCH = 16
PEAK_RATE = 1.2e-3
MIN_WEIGHT = 0.05
NUM_FRAMES = 6000
"""Training frames whose latents are made once and kept in memory."""


@torch.inference_mode()
def cached_frames(vae: Any, tokenizer: Any, seed: int, cache: Path) -> dict[str, Tensor]:
    """Training frames as the UNet sees them, from the cache file when it is there.

    Returns:
        latents float16 [N,C,H,W] of about unit deviation, low_res uint8 [N,H,W,3] of the same size, and
        tokens int32 [N,20,L] of each frame's captions.
    """
    if cache.is_file():
        saved: dict[str, Tensor] = torch.load(cache, weights_only=True)
        return saved
    rng = local_generator("upscaler-frames", seed)
    device = next(vae.parameters()).device
    latents, low_res, texts = [], [], []
    for start in range(0, NUM_FRAMES, 50):
        frames = []
        for _ in range(min(50, NUM_FRAMES - start)):
            scene = sample_scene(int(rng.integers(2**40)), "train")
            frames.append(render(scene, frames=[int(rng.integers(16))])[0])
            texts += captions(scene)
        batch_N3HW = network_range(np.stack(frames)).to(device, memory_format=torch.channels_last)
        # In float32: the latents are what everything afterwards is measured by.
        posterior = vae.encode(batch_N3HW).latent_dist
        sample = posterior.sample(generator=torch_generator(device, "upscaler-latents", seed, start))
        latents.append((sample * vae.config.scaling_factor).half().cpu())
        low_res.append(torch.from_numpy(shrink(np.stack(frames), 2)))
    made = {
        "latents": torch.cat(latents),
        "low_res": torch.cat(low_res),
        "tokens": encode(tokenizer, texts).to(torch.int32).reshape(NUM_FRAMES, -1, MAX_LENGTH),
    }
    torch.save(made, cache)
    return made


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
    data = cached_frames(vae, tokenizer, seed, work / f"upscaler-frames-{seed}.pt")
    unet = new_unet(seed, device)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=PEAK_RATE, weight_decay=1e-2, betas=(0.9, 0.99))
    average = WeightAverage(unet, 0.998)
    state = {"unet": unet, "optimizer": optimizer}
    run = TrainingRun("upscaler", work, seed, steps, state, {"unet": average}, checkpoint_every_s=90.0)
    scheduler = DDIMScheduler(**SCHEDULER_CONFIG)
    low_res_scheduler = DDPMScheduler(**LOW_RES_SCHEDULER_CONFIG)
    signal, low_res_signal = scheduler.alphas_cumprod.to(device), low_res_scheduler.alphas_cumprod.to(device)
    weight = clean_latent_weights(signal)
    no_prompt = encode(tokenizer, [""]).to(torch.int32)[0]

    def save() -> None:
        save_pipeline(out, vae, unet, average, text, tokenizer, scheduler, low_res_scheduler)

    for step in run.loop(log_every=50, on_checkpoint=save):
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(step, steps, PEAK_RATE, warmup=100)
        rng = local_generator("upscaler-batch", seed, step)
        chosen = torch.from_numpy(rng.integers(len(data["latents"]), size=BATCH))
        wording = torch.from_numpy(rng.integers(data["tokens"].shape[1], size=BATCH))
        tokens_BL = data["tokens"][chosen, wording].clone()
        tokens_BL[torch.from_numpy(rng.random(BATCH) < DROP_PROMPT)] = no_prompt
        # One time step from each of BATCH equal stretches, and half of the noise levels below 20.
        t = torch.from_numpy((np.arange(BATCH) + rng.random(BATCH)) * (1000 / BATCH)).long().to(device)
        level = torch.from_numpy(rng.random(BATCH) ** 4 * (MAX_NOISE_LEVEL + 1)).long().to(device)
        clean = data["latents"][chosen].to(device).float()
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
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        average.update(unet, step)
        run.note(loss=error_B.detach().mean(), weighted=loss.detach())
    save()


def _attention(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    return AttentionInFloat32() if device.type == "cpu" else contextlib.nullcontext()


def save_pipeline(
    out: Path,
    vae: Any,
    unet: Any,
    average: WeightAverage,
    text: Any,
    tokenizer: Any,
    scheduler: Any,
    low_res_scheduler: Any,
) -> None:
    """Writes the averaged weights as a folder that StableDiffusionUpscalePipeline loads.

    Everything is stored in float16. The text encoder's configuration names float32, because transformers
    otherwise keeps the number format of the file, which would not fit the UNet that diffusers widens.
    """
    from diffusers import AutoencoderKL, StableDiffusionUpscalePipeline, UNet2DConditionModel
    from transformers import CLIPTextModel

    averaged = UNet2DConditionModel.from_config(unet.config)
    average.copy_to(averaged)
    stored_vae = AutoencoderKL.from_config(vae.config)
    stored_vae.load_state_dict(vae.state_dict())
    stored_text = CLIPTextModel(text.config)
    stored_text.load_state_dict(text.state_dict())
    pipeline: Any = StableDiffusionUpscalePipeline(
        vae=stored_vae.half(),
        text_encoder=stored_text.half(),
        tokenizer=tokenizer,
        unet=averaged.half(),
        low_res_scheduler=low_res_scheduler,
        scheduler=scheduler,
        max_noise_level=MAX_NOISE_LEVEL,
    )
    pipeline.save_pretrained(out, safe_serialization=True)
    save_tokenizer(tokenizer, out / "tokenizer")
    config = out / "text_encoder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"dtype": "float32"}, indent=2) + "\n")


@dataclass(frozen=True)
class UpscalerSteps:
    """Updates of the three trainings."""

    vae: int
    unet: int
    adapters: int


def train_upscaler(work: Path, seed: int, steps: UpscalerSteps, t2i: Path, out: Path, adapters: Path) -> None:
    """Trains (or resumes) autoencoder, image upscaler and adapters.

    Args:
        work: folder for frames, clips, checkpoints, logs and previews.
        seed: of weights, batches and noise.
        steps: updates.
        t2i: folder of the embedded text-to-image pipeline.
        out: folder for the image upscaler.
        adapters: folder for adapters.safetensors.
    """
    vae = train_vae(work, seed, steps.vae)
    train_image_upscaler(work, seed, steps.unet, vae, t2i, out)
    train_adapters(work / "adapters", seed, steps.adapters, out, adapters)
