"""The settings that every method on a Stable Diffusion pipeline has.

Beside the class that reads a setting would be better still, but all methods share these, and a table in which
two rows differ in `num_steps` by accident would be worse.
"""

from __future__ import annotations

from pydantic import Field

from ...core.contracts import FrozenConfig
from ...core.types import Dtype


class PipelineConfig(FrozenConfig):
    """How a clip is sampled from a Stable Diffusion pipeline.

    The defaults of `num_steps` and `guidance_scale` are those of Stable Diffusion and of Text2Video-Zero.
    """

    weights: str = "pipeline"
    """Where the pipeline lies: a diffusers folder, a name below the weights root, or a hub id."""

    num_frames: int = Field(default=16, ge=1)
    """Frames of a clip. The papers make 8; the default is 16 because the I3D behind FVD needs at least 9."""

    height: int | None = Field(default=None, ge=8)
    """Height of a frame in pixels; None takes the size that the UNet was trained at."""

    width: int | None = Field(default=None, ge=8)
    """Width of a frame in pixels; None takes the size that the UNet was trained at."""

    num_steps: int = Field(default=50, ge=1, le=999)
    """DDIM steps."""

    guidance_scale: float = Field(default=7.5, ge=1.0, allow_inf_nan=False)
    """Weight of classifier-free guidance; 1.0 switches it off and halves the work."""

    negative_prompt: str = ""
    """What guidance leads away from."""

    dtype: Dtype = "auto"
    """Number format of the networks; "auto" is float16 on a GPU and float32 on a CPU."""
