"""Tune-A-Video: an image model learns the motion of one clip and plays it to another prompt.

Source: Wu et al., "Tune-A-Video: One-Shot Tuning of Image Diffusion Models for Text-to-Video Generation"
(ICCV 2023), and the authors' released code (Apache-2.0); none of it was copied.

1. Inflation (section 3.2, `methods.inflated_unet`): the image model's UNet sees a clip.
2. Tuning (section 3.3, `methods.tuning`): the queries of self- and cross-attention and the new temporal
   attention learn the reference clip with its own prompt.
3. Inversion (section 3.3, `methods.ddim_inversion`): the tuned UNet follows DDIM backwards from the reference
   to noise, with an empty prompt and without guidance.
4. Sampling: DDIM from this noise, with guidance by the edited prompt.

The tuning artifact holds what was trained, in the number format of the pipeline, *and the inverted latents*
(float32, four numbers for each 8 by 8 patch of a frame): they follow from the tuning and the reference alone,
so all edits share them, and sampling needs no reference. Guidance and negative prompt are no part of a
tuning. As DDIM adds no noise, the seed of a sample has no effect where sampling starts from the inverted
latents; the seed of the tuning has.

Published settings are presets (`PRESETS`). Uncertain, and therefore settings:
- the paper's guidance scale, optimiser, gradient clipping and number format: those of the released code;
- whether the norm before temporal attention trains ("norm_temp" in `inflation.trains`), and its output's
  initial bias (`inflation.temporal_bias`); the released code: it does not, and it is random;
- the filter that resizes frames (`methods.reference_latents`).

Deviations: the frozen weights are in the pipeline's number format (float16 on a GPU), where the released code
keeps them in float32 and multiplies in float16; inversion is right for networks that predict the velocity,
where the released code takes any prediction for noise; samplers use the settings of `methods.ddim`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from ..core.contracts import Session
from ..core.types import Conditioning, Resources, WeightsRef
from .config import PipelineConfig
from .inflation_config import InflationConfig
from .tuning_config import TuningConfig

if TYPE_CHECKING:
    import torch

    from .guidance import Denoiser

PRESETS: dict[str, dict[str, Any]] = {
    "released": {},
    "paper": {"num_frames": 32, "frames": "uniform"},
    "sprites": {},
}
"""What differs from the defaults, which are the released configuration: 24 frames at stride 2.

"paper" is section 5.1: 32 frames, spread uniformly. "sprites" is for the embedded pipeline, found by trial.
"""


class TuneAVideo:
    """The method "tune-a-video"."""

    class Config(PipelineConfig):
        """Settings of Tune-A-Video. What a run file leaves out is the preset's; the defaults that are written
        here are those of "released"."""

        preset: Literal["released", "paper", "sprites"] = "released"
        """Where settings that are not given come from."""

        num_frames: int = Field(default=24, ge=1)
        """Frames that are taken of the reference, and frames of a clip."""

        frames: Literal["stride", "uniform"] = "stride"
        """How they are taken: at a fixed stride, or spread to the reference's end."""

        stride: int = Field(default=2, ge=1)
        """Frames of the reference from one to the next; not used by "uniform"."""

        start: int = Field(default=0, ge=0)
        """First frame that is taken."""

        guidance_scale: float = Field(default=12.5, ge=1.0, allow_inf_nan=False)
        """Weight of classifier-free guidance; 1.0 switches it off and halves the work."""

        begin_with: Literal["inversion", "noise"] = "inversion"
        """What sampling begins with: the inverted latents, or independent noise, as the authors' results of
        before February 2023 did."""

        tuning: TuningConfig = TuningConfig()
        """The training on the reference."""

        inflation: InflationConfig = InflationConfig()
        """How the UNet is inflated, and what of it trains."""

        @model_validator(mode="before")
        @classmethod
        def _fill_in_the_preset(cls, given: Any) -> Any:
            if not isinstance(given, Mapping):
                return given
            # A preset of another name or type is refused by the field itself.
            return _merged(PRESETS.get(str(given.get("preset", "released")), {}), given)

    name: ClassVar[str] = "tune-a-video"
    version: ClassVar[str] = "1"
    conditioning: ClassVar[Conditioning] = Conditioning.TEXT_AND_REFERENCE

    def __init__(self, config: Config) -> None:
        self.config = config

    def resources(self) -> Resources:
        """One GPU where there is one. Memory depends on the pipeline and is not known before it is loaded."""
        return Resources(num_gpus=1.0, num_cpus=1.0, vram_gib=None)

    def weights(self) -> tuple[WeightsRef, ...]:
        return (WeightsRef("pipeline", self.config.weights),)

    def tuning_config(self) -> dict[str, Any]:
        """The part of the configuration that a tuning depends on (JSON-able).

        For `core.keys.tune_key`, as `method_key` of it: then other guidance or edits find the same tuning.
        """
        return tuning_settings(self.config)

    def load(self, device: str) -> Session:
        from .tune_a_video_session import TuneAVideoSession

        return TuneAVideoSession(self.config, device)


def tuning_settings(config: TuneAVideo.Config) -> dict[str, Any]:
    """Settings on which the artifact of a tuning depends, but for where the weights lie."""
    sampling_only = {"preset", "weights", "guidance_scale", "negative_prompt", "begin_with"}
    return config.model_dump(mode="json", exclude=sampling_only)


def _merged(preset: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given over what the preset says, section by section."""
    merged = {**preset, **given}
    for name, value in preset.items():
        if isinstance(value, Mapping) and isinstance(given.get(name), Mapping):
            merged[name] = _merged(value, given[name])
    return merged


def sample_latents(
    denoiser: Denoiser, config: TuneAVideo.Config, seed: int, inverted_TCHW: torch.Tensor | None = None
) -> torch.Tensor:
    """Latents of a clip, float32 [T,C,H,W]; the denoiser's UNet is inflated and tuned already.

    Args:
        inverted_TCHW: what sampling begins with; None is independent noise.
    """
    from .noise import independent_noise

    if inverted_TCHW is None:
        inverted_TCHW = independent_noise(seed, config.num_frames, denoiser.latent_shape_CHW)
    return denoiser.denoise(inverted_TCHW, denoiser.schedule.timesteps)
