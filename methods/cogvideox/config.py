"""The settings that every method on a CogVideoX pipeline has."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ...core.contracts import FrozenConfig
from ..stable_diffusion.config import Dtype


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
    """Whether the scale rises over the run, see `methods.cogvideox.sampling.Guidance`."""

    negative_prompt: str = ""
    """What guidance leads away from."""

    sampler: Literal["auto", "ddim", "dpm"] = "auto"
    """"ddim" adds no noise, "dpm" (DPM-Solver++ with noise) does; "auto" is the checkpoint's own."""

    dtype: Dtype = "auto"
    """Number format of the networks; "auto" is float32 on a CPU, and on a GPU float16 for sin-cos positions
    (2B) and bfloat16 for rotary ones (5B, 1.5)."""
