"""The settings that every method on a CogVideoX pipeline has, and what such a pipeline must be (no torch)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from ...core.contracts import FrozenConfig
from ...core.types import Dtype
from ...core.weights_format import SCHEDULER, TOKENIZER, PipelineFolder, network, text_encoder

FRAMES_PER_LATENT = 4
"""Frames that the VAE of every published CogVideoX merges into one latent frame."""


class CogVideoXConfig(FrozenConfig):
    """How a clip is sampled from a CogVideoX pipeline.

    The defaults of `num_steps` and `guidance_scale` are those of diffusers' pipeline; FCA's own are not
    known. The setting is called `base`, not `weights`: a run file's `weights: {pipeline: ...}` is a
    text-to-image pipeline, which would not fit.
    """

    base: str = "sprites/cogvideox"
    """Where the pipeline lies: a diffusers folder, a name below the weights root, or a hub id."""

    num_frames: int = Field(default=16, ge=1)
    """Frames of a clip, given ones included. CogVideoX was trained on 49 (1.5: 81); text-video prediction
    makes 16, or 12 in Seer's tables."""

    height: int | None = Field(default=None, ge=8)
    """Height of a frame in pixels; None takes the size that the transformer was trained at."""

    width: int | None = Field(default=None, ge=8)
    """Width of a frame in pixels; None takes the size that the transformer was trained at."""

    num_steps: int = Field(default=50, ge=1, le=1000)
    """Steps of the sampler."""

    guidance_scale: float = Field(default=6.0, ge=1.0, allow_inf_nan=False)
    """Weight of classifier-free guidance; 1.0 switches it off and halves the work."""

    dynamic_guidance: bool = False
    """Whether the scale rises over the run, see `methods.cogvideox.session.Guidance`."""

    negative_prompt: str = ""
    """What guidance leads away from."""

    sampler: Literal["auto", "ddim", "dpm"] = "auto"
    """"ddim" adds no noise, "dpm" (DPM-Solver++ with noise) does; "auto" is the checkpoint's own."""

    dtype: Dtype = "auto"
    """Number format of the networks; "auto" is float32 on a CPU, and on a GPU float16 for sin-cos positions
    (2B) and bfloat16 for rotary ones (5B, 1.5)."""


def _text_to_video_fault(configs: Mapping[str, Mapping[str, Any]]) -> str | None:
    return _cogvideox_fault(configs, "a text-to-video", 1)


def _image_to_video_fault(configs: Mapping[str, Mapping[str, Any]]) -> str | None:
    return _cogvideox_fault(configs, "an image-to-video", 2)


def _cogvideox_fault(configs: Mapping[str, Mapping[str, Any]], model: str, halves: int) -> str | None:
    takes, gives = (configs["transformer"].get(f"{side}_channels", 16) for side in ("in", "out"))
    latents = configs["vae"].get("latent_channels", 16)
    if takes != halves * latents or gives != latents:
        return (
            f"the transformer takes {takes} channels and gives {gives}, the VAE has {latents}: not {model} "
            f"model, which takes {halves * latents}"
        )
    # The VAE's blocks halve the number of frames until the ratio is reached, or until there are no more.
    blocks = len(configs["vae"].get("block_out_channels", range(4)))
    merged = min(int(configs["vae"].get("temporal_compression_ratio", 4)), 2 ** (blocks - 1))
    if merged != FRAMES_PER_LATENT:
        return (
            f"the VAE merges {merged} frames into one latent frame; only {FRAMES_PER_LATENT} are known here, "
            "as in every published CogVideoX, whose VAE has at least three blocks"
        )
    return None


_COGVIDEOX_PARTS = {
    "transformer": network("CogVideoXTransformer3DModel"),
    "vae": network("AutoencoderKLCogVideoX"),
    "text_encoder": text_encoder("T5EncoderModel"),
    "tokenizer": TOKENIZER,
    "scheduler": SCHEDULER,
}

COGVIDEOX = PipelineFolder(
    "a CogVideoX pipeline (text to video)",
    parts=_COGVIDEOX_PARTS,
    fault=_text_to_video_fault,
    pipeline_class="CogVideoXPipeline",
)

COGVIDEOX_I2V = PipelineFolder(
    "a CogVideoX pipeline (image to video)",
    parts=_COGVIDEOX_PARTS,
    fault=_image_to_video_fault,
    pipeline_class="CogVideoXImageToVideoPipeline",
)
