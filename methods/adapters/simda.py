"""SimDA: text-to-video by small adapters on a frozen text-to-image model.

Source: Xing et al., "SimDA: Simple Diffusion Adapter for Efficient Video Generation" (CVPR 2024). No code was
copied; the authors' repository has no licence and holds the editing half only, no text-to-video weights.

1. The image model gets spatial and temporal adapters (`methods.adapters.adapters`) and latent-shift attention
   (`methods.adapters.latent_shift`): 24.86 million trained parameters on Stable Diffusion 1.x.
2. The adapters, and nothing else, are trained on captioned videos (`methods.training.adapters`).
3. A clip is DDIM from independent noise in all frames, with the adapters in place.

The adapters' file says how they were built (which form of latent-shift attention, which bottlenecks), so
these are no settings here unless there is no file: then `preset` and `seed_of_adapters` say what untrained
adapters look like, which is what tuning on one video starts from.

Uncertain: the published model's DDIM steps and guidance scale for text-to-video (50 and 7.5 are assumed, as
Stable Diffusion is commonly run), and its frame rate. It makes 16 frames of 256 by 256 pixels.

The embedded adapters ("sprites/simda") have a layout prior besides, which is not the paper's (see
`methods.adapters.layout_prior`), and wider bottlenecks.

Deviations: in `methods.adapters.adapters` and `methods.adapters.latent_shift`. The super-resolution stage follows any
method (`methods.upscaling.upscaler`); editing by tuning on one video is `methods.adapters.simda_edit`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ...core.contracts import Session
from ...core.types import Conditioning, Resources, WeightsRef
from ..stable_diffusion.config import PipelineConfig
from ..stable_diffusion.formats import STABLE_DIFFUSION
from ..weights_file import ADAPTERS

if TYPE_CHECKING:
    import torch

    from ..stable_diffusion.guidance import Denoiser


class SimDA:
    """SimDA: text-to-video by small trained adapters on a frozen text-to-image model."""

    class Config(PipelineConfig):
        """Settings of SimDA. `num_steps` 50 and `guidance_scale` 7.5 are assumed; the paper names neither."""

        adapters: str | None = "sprites/simda"
        """Where trained adapters lie: a file, a folder with adapters.safetensors, or a name below the weights
        root. They belong to the pipeline that they were trained on; the default to the embedded one. None is
        untrained adapters: the image model, but for latent-shift attention."""

        preset: Literal["paper", "released"] = "paper"
        """What untrained adapters are: the paper's text-to-video model, or the released editing code's
        (its latent-shift attention, group norms over all frames). Adapters from a file say it themselves."""

        seed_of_adapters: int = 0
        """Of the initial values of untrained adapters."""

        num_frames: int = Field(default=16, ge=1)
        """Frames of a clip; the paper's models make 16."""

    name: ClassVar[str] = "simda"
    version: ClassVar[str] = "1"
    conditioning: ClassVar[Conditioning] = Conditioning.TEXT

    def __init__(self, config: Config) -> None:
        self.config = config

    def resources(self) -> Resources:
        """One GPU where there is one. Memory depends on the pipeline and is not known before it is loaded."""
        return Resources(num_gpus=1.0, num_cpus=1.0, vram_gib=None)

    def weights(self) -> tuple[WeightsRef, ...]:
        pipeline = WeightsRef("pipeline", self.config.weights, STABLE_DIFFUSION)
        if self.config.adapters is None:
            return (pipeline,)
        return (pipeline, WeightsRef("adapters", self.config.adapters, ADAPTERS))

    def load(self, device: str) -> Session:
        from .simda_session import SimdaSession

        return SimdaSession(self.config, device)


def sample_latents(denoiser: Denoiser, config: SimDA.Config, seed: int) -> torch.Tensor:
    """Latents of a clip, float32 [T,C,H,W]; the adapters are in the denoiser's UNet already."""
    from ..noise import independent_noise

    noise_TCHW = independent_noise(seed, config.num_frames, denoiser.latent_shape_CHW)
    return denoiser.denoise(noise_TCHW, denoiser.schedule.timesteps)
