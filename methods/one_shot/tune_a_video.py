"""Tune-A-Video: an image model learns the motion of one clip and plays it to another prompt.

Source: Wu et al., "Tune-A-Video: One-Shot Tuning of Image Diffusion Models for Text-to-Video Generation"
(ICCV 2023), and the authors' released code (Apache-2.0); none of it was copied.

1. Inflation (section 3.2, `methods.one_shot.inflated_unet`): the image model's UNet sees a clip.
2. Tuning (section 3.3, `methods.one_shot.tuning`): the queries of self- and cross-attention and the new temporal
   attention learn the reference clip with its own prompt.
3. Inversion (section 3.3, `methods.stable_diffusion.inversion`): the tuned UNet follows DDIM backwards from the reference
   to noise, with an empty prompt and without guidance.
4. Sampling: DDIM from this noise, with guidance by the edited prompt.

The tuning artifact holds what was trained and the inverted latents (`methods.one_shot.session`). Guidance and
negative prompt are no part of a tuning.

Published settings are presets (`PRESETS`). Uncertain, and therefore settings:
- the paper's guidance scale, optimiser, gradient clipping and number format: those of the released code;
- whether the norm before temporal attention trains ("norm_temp" in `inflation.trains`), and its output's
  initial bias (`inflation.temporal_bias`); the released code: it does not, and it is random;
- the filter that resizes frames (`methods.one_shot.reference_latents`).

Deviations: the frozen weights are in the pipeline's number format (float16 on a GPU), where the released code
keeps them in float32 and multiplies in float16; inversion is right for networks that predict the velocity,
where the released code takes any prediction for noise; samplers use the settings of `methods.stable_diffusion.ddim`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ...core.contracts import Session
from ...core.types import Conditioning, Resources, WeightsRef
from ..stable_diffusion.formats import STABLE_DIFFUSION
from .inflation_config import InflationConfig
from .one_shot import OneShotConfig

PRESETS: dict[str, dict[str, Any]] = {
    "released": {},
    "paper": {"num_frames": 32, "frames": "uniform"},
    "sprites": {
        "num_frames": 16,
        "stride": 1,
        "num_steps": 20,
        "guidance_scale": 4.0,
        "tuning": {"steps": 80, "learning_rate": 1e-3, "gradient_checkpointing": False},
    },
}
"""What differs from the defaults, which are the released configuration: 24 frames at stride 2.

"paper" is section 5.1: 32 frames, spread uniformly. "sprites" is for the embedded pipeline and was found by
trial (`worlds.sprites.edit_quality`): its UNet is so small that few updates at a high learning rate do, and
strong guidance moves the sprite.
"""


class TuneAVideo:
    """Tune-A-Video: an image model learns the motion of one clip and plays it to another prompt."""

    class Config(OneShotConfig):
        """Settings of Tune-A-Video. What a run file leaves out is the preset's; the defaults that are written
        here are those of "released"."""

        presets = PRESETS

        inflation: InflationConfig = InflationConfig()
        """How the UNet is inflated, and what of it trains."""

    name: ClassVar[str] = "tune-a-video"
    version: ClassVar[str] = "1"
    conditioning: ClassVar[Conditioning] = Conditioning.TEXT_AND_REFERENCE

    def __init__(self, config: Config) -> None:
        self.config = config

    def resources(self) -> Resources:
        """One GPU where there is one. Memory depends on the pipeline and is not known before it is loaded."""
        return Resources(num_gpus=1.0, num_cpus=1.0, vram_gib=None)

    def weights(self) -> tuple[WeightsRef, ...]:
        return (WeightsRef("pipeline", self.config.weights, STABLE_DIFFUSION),)

    def tuning_config(self) -> dict[str, Any]:
        """The part of the configuration that a tuning depends on (JSON-able).

        For `core.keys.tune_key`, as `method_key` of it: then other guidance or edits find the same tuning.
        """
        return tuning_settings(self.config)

    def reference_frames(self) -> int | None:
        """How many first frames of the reference are read; None where they are spread over all of it."""
        return self.config.reference_frames()

    def source_frames(self) -> dict[str, Any]:
        """Which frames of the reference a clip stands beside."""
        return self.config.source_frames()

    def load(self, device: str) -> Session:
        from .tune_a_video_session import TuneAVideoSession

        return TuneAVideoSession(self.config, device)


def tuning_settings(config: TuneAVideo.Config) -> dict[str, Any]:
    """Settings on which the artifact of a tuning depends, but for where the weights lie."""
    return config.tuning_settings()
