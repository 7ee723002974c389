"""The super-resolution stage of SimDA: a latent image upscaler with adapters enlarges a clip.

Source: Xing et al., "SimDA: Simple Diffusion Adapter for Efficient Video Generation" (CVPR 2024), section
3.4. No code was copied; neither code nor weights of this stage were published.

1. The image upscaler is a latent diffusion model: the low-resolution picture, with noise of some level, is
   concatenated to the noisy latents, which have its size; the level is a class label
   (`methods.upscaling.pipeline`). The factor is that of the VAE.
2. It gets SimDA's adapters and latent-shift attention (`methods.adapters.adapters`), of which nothing but the adapters
   is trained, on clips (`methods.training.upscaler`). The low-resolution clip is concatenated frame by frame.
3. A clip is DDIM from independent noise in all frames, with guidance.

Known of the published stage: 256 to 1024 pixels, noise augmentation with conditioning on its level, the same
adapters. Not known, and settings here: the image upscaler (presumably the x4 upscaler of Stable Diffusion 2;
any folder of its format is loaded), the noise level, whether the frames of a clip share their augmentation
noise, DDIM steps, guidance scale, and how the adapters were trained.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ...core.contracts import FrozenConfig, UpscalerSession
from ...core.types import Dtype, Resources, WeightsRef
from ..stable_diffusion.formats import UPSCALER
from ..weights_file import ADAPTERS


class LatentUpscaler:
    """SimDA's super-resolution stage: a latent image upscaler with adapters enlarges a clip."""

    class Config(FrozenConfig):
        """Settings of the stage. The published values are not known; the defaults are for the embedded
        upscaler. Those of diffusers for the x4 upscaler are `num_steps` 75, `guidance_scale` 9.0 and
        `noise_level` 20."""

        weights: str = "sprites/upscaler"
        """Where the image upscaler lies: a diffusers folder, a name below the weights root, or a hub id."""

        adapters: str | None = "sprites/upscaler-simda"
        """Where trained adapters lie: a file, a folder with adapters.safetensors, or a name below the weights
        root. They belong to the image upscaler that they were trained on. None is the image upscaler on each
        frame by itself."""

        num_steps: int = Field(default=10, ge=1, le=999)
        """DDIM steps."""

        guidance_scale: float = Field(default=1.0, ge=1.0, allow_inf_nan=False)
        """Weight of classifier-free guidance; 1.0 switches it off and halves the work."""

        negative_prompt: str = ""
        """What guidance leads away from."""

        noise_level: int = Field(default=0, ge=0)
        """Noise on the low-resolution clip, as a timestep of the upscaler's own schedule for it. More noise
        hides more of a generated clip's faults, and of its content."""

        low_res_noise: Literal["shared", "per-frame"] = "per-frame"
        """Whether all frames of a clip get the same augmentation noise or each its own."""

        dtype: Dtype = "auto"
        """Number format of UNet and text encoder; "auto" is float16 on a GPU and float32 on a CPU."""

    name: ClassVar[str] = "latent-upscaler"
    version: ClassVar[str] = "1"

    def __init__(self, config: Config) -> None:
        self.config = config

    def resources(self) -> Resources:
        """One GPU where there is one. Memory depends on the upscaler and is not known before it is loaded."""
        return Resources(num_gpus=1.0, num_cpus=1.0, vram_gib=None)

    def weights(self) -> tuple[WeightsRef, ...]:
        upscaler = WeightsRef("upscaler", self.config.weights, UPSCALER)
        if self.config.adapters is None:
            return (upscaler,)
        return (upscaler, WeightsRef("adapters", self.config.adapters, ADAPTERS))

    def load(self, device: str) -> UpscalerSession:
        from .session import LatentUpscalerSession

        return LatentUpscalerSession(self.config, device)
