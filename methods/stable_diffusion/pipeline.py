"""A Stable Diffusion pipeline, loaded from the diffusers folder format: text in, latents to frames.

What is read: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models" (CVPR 2022) in
the folder format of diffusers: Stable Diffusion 1.x, 2.x (also those that predict the velocity) and the
embedded pipeline of the Sprites world. The same code loads all of them. Pickled weights are never read, and
nothing is fetched here: a hub id is resolved to a local folder by `core.weights` first.

Deviations from diffusers' own pipeline: the safety checker is not loaded (it would blacken frames, which a
benchmark must see as they are); the sampler is ours (`methods.stable_diffusion.ddim`), on the checkpoint's betas.

Shape suffixes: T frames, C latent channels, H, W height and width (of latents or pixels), L text tokens, D
width of the text encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...core.errors import RunFileError, WeightsError
from ...core.types import Dtype, Frames
from ...core.weights import resolve
from ..pipelines import EncodedPrompt, loading, refuse_non_finite, spatial_factor, torch_device
from .ddim import DdimSchedule, schedule_of
from .formats import STABLE_DIFFUSION

_DECODED_PIXELS = 2**21
"""Pixels that the VAE decodes at once: 8 frames of 512 by 512. Bounds memory, and depends on the frame size
alone, so that a clip's numbers do not depend on the machine."""


@dataclass(frozen=True)
class StableDiffusion:
    """The networks of a pipeline on a device.

    Attributes:
        unet, vae, text_encoder, tokenizer: diffusers' and transformers' objects.
        alphas_cumprod: abar of every training timestep.
        prediction: "epsilon", "v_prediction" or "sample".
        device, dtype: where and in which number format the networks are.
        height, width: of the frames, in pixels.
    """

    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    alphas_cumprod: tuple[float, ...]
    prediction: str
    device: torch.device
    dtype: torch.dtype
    height: int
    width: int

    @property
    def latent_shape_CHW(self) -> tuple[int, int, int]:
        """Shape of one frame's latent."""
        factor = spatial_factor(self.vae)
        return (self.vae.config.latent_channels, self.height // factor, self.width // factor)

    def schedule(self, num_steps: int) -> DdimSchedule:
        """The DDIM schedule of this checkpoint."""
        return schedule_of(self.alphas_cumprod, self.prediction, num_steps)

    def encode_prompt(self, prompt: str) -> EncodedPrompt:
        """Text to hidden states; a prompt that is too long loses its end, as in every CLIP pipeline."""
        # A tokenizer without a limit of its own reports an astronomical one.
        length = min(self.tokenizer.model_max_length, self.text_encoder.config.max_position_embeddings)
        num_tokens = len(self.tokenizer(prompt, truncation=False, verbose=False).input_ids)
        tokens = self.tokenizer(
            prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
        mask = None
        if getattr(self.text_encoder.config, "use_attention_mask", False):
            mask = tokens.attention_mask.to(self.device)
        hidden = self.text_encoder(tokens.input_ids.to(self.device), attention_mask=mask)[0]
        return EncodedPrompt(embedding_LD=hidden[0].to(self.dtype), truncated=num_tokens > length)

    def decode(self, latents_TCHW: torch.Tensor) -> Frames:
        """Latents to frames, uint8 [T,H,W,3].

        Raises:
            ClipRefusedError: the latents or the decoded frames hold NaN or infinity.
        """
        refuse_non_finite(latents_TCHW, "the latents")
        latents_TCHW = latents_TCHW / self.vae.config.scaling_factor
        if getattr(self.vae.config, "shift_factor", None):
            latents_TCHW = latents_TCHW + self.vae.config.shift_factor
        chunk = max(1, _DECODED_PIXELS // (self.height * self.width))
        clips: list[np.ndarray] = []
        for part_TCHW in latents_TCHW.to(self.dtype).split(chunk):
            pixels_TCHW = self.vae.decode(part_TCHW, return_dict=False)[0].float()
            refuse_non_finite(pixels_TCHW, "the decoded frames")
            levels_TCHW = ((pixels_TCHW / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
            clips.append(levels_TCHW.permute(0, 2, 3, 1).cpu().numpy())
        return np.ascontiguousarray(np.concatenate(clips))


def load_pipeline(
    location: str, *, device: str, dtype: Dtype = "auto", height: int | None = None, width: int | None = None
) -> StableDiffusion:
    """Load a pipeline.

    Args:
        location: as `core.weights` describes it.
        device: "cpu", "cuda" or "cuda:0".
        dtype: "auto" is float16 on a GPU and float32 on a CPU.
        height, width: of the frames in pixels; None is the size that the UNet was trained at.

    Raises:
        WeightsError: the folder is not a Stable Diffusion pipeline; the message names what is missing.
        RunFileError: the size does not fit the VAE.
        ResourcesError: a GPU is asked for and there is none.
    """
    where = torch_device(device)
    number_format: torch.dtype
    if dtype == "auto":
        number_format = torch.float16 if where.type == "cuda" else torch.float32
    else:
        number_format = getattr(torch, dtype)
    folder = resolve(location, STABLE_DIFFUSION)
    pipe = _from_pretrained(folder, number_format)
    _check_scheduler(folder, pipe)
    for module in (pipe.unet, pipe.vae, pipe.text_encoder):
        module.to(where).requires_grad_(False).eval()
    height, width = _frame_size(pipe, height, width)
    return StableDiffusion(
        unet=pipe.unet,
        vae=pipe.vae,
        text_encoder=pipe.text_encoder,
        tokenizer=pipe.tokenizer,
        alphas_cumprod=tuple(pipe.scheduler.alphas_cumprod.double().tolist()),
        prediction=pipe.scheduler.config.get("prediction_type", "epsilon"),
        device=where,
        dtype=number_format,
        height=height,
        width=width,
    )


def _from_pretrained(folder: Path, dtype: torch.dtype) -> Any:
    from diffusers import StableDiffusionPipeline

    with loading(folder, STABLE_DIFFUSION, "StableDiffusionPipeline") as view:
        return StableDiffusionPipeline.from_pretrained(
            view,
            use_safetensors=True,
            local_files_only=True,
            dtype=dtype,
            safety_checker=None,
            feature_extractor=None,
            image_encoder=None,
            requires_safety_checker=False,
        )


def _check_scheduler(folder: Path, pipe: Any) -> None:
    if getattr(pipe.scheduler, "alphas_cumprod", None) is None:
        raise WeightsError(
            f"the scheduler in {folder} ({type(pipe.scheduler).__name__}) has no betas, so DDIM has no "
            "schedule",
            "give a pipeline whose scheduler is of the DDPM kind (PNDM, DDIM, Euler, DPM-Solver)",
        )


def _frame_size(pipe: Any, height: int | None, width: int | None) -> tuple[int, int]:
    factor = spatial_factor(pipe.vae)
    trained = pipe.unet.config.sample_size
    trained_height, trained_width = (trained, trained) if isinstance(trained, int) else tuple(trained)
    height = height or trained_height * factor
    width = width or trained_width * factor
    if height % factor or width % factor:
        raise RunFileError(
            f"frames of {height} by {width} pixels do not fit this VAE: both must be multiples of {factor}",
            "change height and width of the method in the run file, or leave them out",
        )
    return height, width
