"""The super-resolution stage of SimDA: a latent image upscaler with adapters enlarges a clip.

Source: Xing et al., "SimDA: Simple Diffusion Adapter for Efficient Video Generation" (CVPR 2024), section
3.4. No code was copied; neither code nor weights of this stage were published.

1. The image upscaler is a latent diffusion model: the low-resolution picture, with noise of some level, is
   concatenated to the noisy latents, which have its size; the level is a class label
   (`methods.upscaling.pipeline`). The factor is that of the VAE.
2. It gets SimDA's adapters and latent-shift attention (`methods.adapters.adapters`), of which nothing but the
   adapters is trained, on clips (`methods.training.upscaler`). The low-resolution clip is concatenated frame
   by frame.
3. A clip is DDIM from independent noise in all frames, with guidance.

Known of the published stage: 256 to 1024 pixels, noise augmentation with conditioning on its level, the same
adapters. Not known, and settings here: the image upscaler (presumably the x4 upscaler of Stable Diffusion 2;
any folder of its format is loaded), the noise level, whether the frames of a clip share their augmentation
noise, DDIM steps, guidance scale, and how the adapters were trained.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ...core.contracts import FrozenConfig, Upscaler, UpscalerSession
from ...core.errors import VideoError
from ...core.types import Dtype, Frames, WeightsRef
from ...core.weights import resolve
from ..pipelines import GuidedPrompts
from ..stable_diffusion.ddim import Denoiser
from ..weights_file import ADAPTERS, adapter_weights
from .pipeline import UPSCALER, UpscalePipeline, load_upscaler

if TYPE_CHECKING:
    from ..adapters.adapters import Adapters


class LatentUpscaler(Upscaler):
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

    config: Config
    name: ClassVar[str] = "latent-upscaler"
    version: ClassVar[str] = "1"

    def weights(self) -> tuple[WeightsRef, ...]:
        """The image upscaler, and the adapters where there are any."""
        upscaler = WeightsRef("upscaler", self.config.weights, UPSCALER)
        return (upscaler, *adapter_weights(self.config.adapters))

    def load(self, device: str) -> UpscalerSession:
        """See `LatentUpscalerSession`."""
        return LatentUpscalerSession(self.config, device)


class LatentUpscalerSession(UpscalerSession):
    """Loads an image upscaler and adapters and enlarges clips.

    Args:
        config: of the upscaler.
        device: "cpu", "cuda" or "cuda:0".

    Raises:
        WeightsError: upscaler or adapters are missing, malformed or do not fit each other.
        RunFileError: the upscaler does not know the noise level, or its schedule has fewer steps.
    """

    def __init__(self, config: LatentUpscaler.Config, device: str) -> None:
        from ..adapters.adapters import load_adapters

        self._config = config
        self.pipeline = load_upscaler(config.weights, device=device, dtype=config.dtype)
        self.pipeline.checked_level(config.noise_level)
        self.schedule = self.pipeline.schedule(config.num_steps).for_sampling()
        self.adapters: Adapters | None = None
        if config.adapters is not None:
            adapters = load_adapters(resolve(config.adapters, ADAPTERS), self.pipeline.unet.network)
            self.adapters = adapters.ready(self.pipeline.device, self.pipeline.dtype)
        self._prompts = GuidedPrompts(self.pipeline, config.guidance_scale, config.negative_prompt)

    @property
    def factor(self) -> int:
        """Pixels of the result for one of the low resolution, along each axis."""
        return self.pipeline.factor

    def upscale(self, frames: Frames, prompt: str, seed: int) -> Frames:
        """A clip at the upscaler's factor; it depends on the arguments alone.

        Args:
            frames: uint8 [T,h,w,3].

        Returns:
            uint8 [T,H,W,3].

        Raises:
            RunFileError: the size of the frames does not fit the upscaler.
            VideoError: they are no frames.
            ClipRefusedError: the result holds NaN.
        """
        import torch

        with torch.inference_mode():
            return upscale_clip(
                self.pipeline, self.adapters, self._config, self._prompts, frames, prompt, seed
            )

    def describe(self) -> dict[str, Any]:
        """Facts for the record: factor, trained parameters, number format, prompts that were too long."""
        return {
            "factor": self.factor,
            "trainable_parameters": 0 if self.adapters is None else self.adapters.num_parameters,
            "dtype": str(self.pipeline.dtype).removeprefix("torch."),
            "truncated_prompts": self._prompts.num_truncated,
        }


def upscale_clip(
    pipeline: UpscalePipeline,
    adapters: Adapters | None,
    config: LatentUpscaler.Config,
    prompts: GuidedPrompts,
    frames_Thw3: Frames,
    prompt: str,
    seed: int,
) -> Frames:
    """Enlarge one clip, without gradients: see `LatentUpscalerSession.upscale`.

    Args:
        adapters: placed and in the pipeline's number format; None for the image upscaler on each frame.
        prompts: of the pipeline, with the guidance scale and the negative prompt of `config`.
    """
    import torch

    from ..noise import independent_noise
    from .low_resolution import augmentation_noise, augmented, network_range

    if (
        frames_Thw3.dtype != np.uint8
        or frames_Thw3.ndim != 4
        or frames_Thw3.shape[-1] != 3
        or not len(frames_Thw3)
    ):
        raise VideoError(
            f"a clip to upscale must be uint8 [T,h,w,3] of at least one frame, not {frames_Thw3.dtype} "
            f"{list(frames_Thw3.shape)}"
        )
    num_frames, height, width, _ = frames_Thw3.shape
    sized = pipeline.at(height, width)
    shape_CHW, schedule = sized.latent_shape_CHW, sized.schedule(config.num_steps)

    # 1. The low resolution with its augmentation noise.
    low_res = network_range(frames_Thw3)
    noise = augmentation_noise(low_res.shape, config.low_res_noise, seed)
    level_T = torch.full((num_frames,), config.noise_level)
    low_res = augmented(low_res, noise, level_T, torch.tensor(sized.low_res_alphas_cumprod))

    with contextlib.ExitStack() as places:
        # 2. The UNet sees it, and its adapters are in place.
        places.enter_context(sized.unet.conditioned(low_res.to(sized.device), level_T.to(sized.device)))
        if adapters is not None:
            halves = prompts.halves(prompt)
            places.enter_context(adapters.attached(sized.unet.network, num_frames, height, width, halves))

        # 3. DDIM from independent noise in all frames, with guidance.
        denoiser = Denoiser(sized.unet, schedule, prompts(prompt), config.guidance_scale, shape_CHW)
        latents_TChw = denoiser.denoise(independent_noise(seed, num_frames, shape_CHW))
    return sized.decode(latents_TChw)
