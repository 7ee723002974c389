"""SimDA: text-to-video by small adapters on a frozen text-to-image model.

Source: Xing et al., "SimDA: Simple Diffusion Adapter for Efficient Video Generation" (CVPR 2024). No code was
copied; the authors' repository has no licence and holds the editing half only, no text-to-video weights.

1. The image model gets spatial and temporal adapters and latent-shift attention (`methods.adapters.layers`;
   `methods.adapters.adapters` says where they sit): 24.86 million trained parameters on Stable Diffusion 1.x.
2. The adapters, and nothing else, are trained on captioned videos (`methods.training.adapters`).
3. A clip is DDIM from independent noise in all frames, with the adapters in place.

The adapters' file says how they were built (which form of latent-shift attention, which bottlenecks), so
these are settings only where there is no file: then `preset` and `seed_of_adapters` say what untrained
adapters look like, which is what tuning on one video starts from.

Uncertain: the published model's DDIM steps and guidance scale for text-to-video (50 and 7.5 are assumed, as
Stable Diffusion is commonly run), and its frame rate. It makes 16 frames of 256 by 256 pixels.

The embedded adapters ("sprites/simda") have a layout prior besides, which is not the paper's (see
`methods.adapters.layout_prior`), and wider bottlenecks.

Deviations: in `methods.adapters.adapters` and `methods.adapters.layers`. The super-resolution stage follows
any method (`methods.upscaling.upscaler`); editing by tuning on one video is `methods.adapters.simda_edit`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ...core.contracts import Session
from ...core.types import Frames, Sample, WeightsRef
from ...core.weights import resolve
from ..pipelines import MakeClip
from ..stable_diffusion.pipeline import PipelineConfig, StableDiffusionMethod, StableDiffusionSession
from ..weights_file import ADAPTERS, adapter_weights


class SimDA(StableDiffusionMethod):
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

    config: Config
    name: ClassVar[str] = "simda"
    version: ClassVar[str] = "1"

    def weights(self) -> tuple[WeightsRef, ...]:
        """The pipeline, and the adapters where there are any."""
        return super().weights() + adapter_weights(self.config.adapters)

    def load(self, device: str) -> Session:
        """See `SimDASession`."""
        return SimDASession(self.config, device)


class SimDASession(StableDiffusionSession):
    """A pipeline whose UNet has adapters.

    Args:
        config: of the method.
        device: "cpu", "cuda" or "cuda:0".

    Raises:
        WeightsError: the pipeline or the adapters are missing, malformed or do not fit each other.
    """

    _config: SimDA.Config

    def __init__(self, config: SimDA.Config, device: str) -> None:
        from .adapters import PRESETS, Adapters, load_adapters

        super().__init__(config, device)
        if config.adapters is None:
            adapters = Adapters(self.pipeline.unet, PRESETS[config.preset], config.seed_of_adapters)
        else:
            adapters = load_adapters(resolve(config.adapters, ADAPTERS), self.pipeline.unet)
        self.adapters = adapters.ready(self.pipeline.device, self.pipeline.dtype)
        self.trainable_parameters = adapters.num_parameters

    def clip_maker(self, artifact: bytes | None) -> MakeClip:
        """DDIM from independent noise, with the adapters in place; see `ClipSession.clip_maker`.

        Args:
            artifact: adapters tuned on a reference (`adapters_to_bytes`), which stand in for those of the
                configuration in this call; None for these.
        """
        import torch

        from ..noise import independent_noise
        from .adapters import adapters_from_bytes

        pipeline, num_frames = self.pipeline, self._config.num_frames
        adapters = self.adapters
        if artifact is not None:
            tuned = adapters_from_bytes(artifact, pipeline.unet, "the tuned adapters")
            adapters = tuned.ready(pipeline.device, pipeline.dtype)
        shape_CHW = pipeline.latent_shape_CHW

        @torch.inference_mode()
        def clip(sample: Sample, seed: int) -> Frames:
            noise_TCHW = independent_noise(seed, num_frames, shape_CHW)
            with adapters.attached(
                pipeline.unet, num_frames, *shape_CHW[1:], self.prompts.halves(sample.prompt)
            ):
                latents_TCHW = self.denoiser(sample.prompt).denoise(noise_TCHW)
            return pipeline.decode(latents_TCHW)

        return clip
