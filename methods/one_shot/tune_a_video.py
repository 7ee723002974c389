"""Tune-A-Video: an image model learns the motion of one clip and plays it to another prompt.

Source: Wu et al., "Tune-A-Video: One-Shot Tuning of Image Diffusion Models for Text-to-Video Generation"
(ICCV 2023), and the authors' released code (Apache-2.0); none of it was copied.

The image model's UNet is inflated to see a clip (section 3.2, `methods.one_shot.inflated_unet`). Then the
queries of self- and cross-attention and the new temporal attention learn the reference clip with its own
prompt (section 3.3). Tuning, inversion and sampling are those of `methods.one_shot.method`.

Published settings are presets (`PRESETS`). The released code trains less than it names: its gradient
checkpointing leaves the queries and the temporal attention of the down blocks as they were, which `trains:
released`, of the preset "released", repeats (`methods.one_shot.config.Trains`).

Uncertain, and therefore settings:
- the paper's guidance scale, optimiser, gradient clipping and number format: those of the released code;
- whether the norm before temporal attention trains ("norm_temp" in `inflation.trains`), and its output's
  initial bias (`inflation.temporal_bias`); the released code: it does not, and it is random;
- the filter that resizes frames (`methods.one_shot.tuning.encode_reference`).

Deviations: the frozen weights are in the pipeline's number format (float16 on a GPU), where the released code
keeps them in float32 and multiplies in float16; inversion is right for networks that predict the velocity,
where the released code takes any prediction for noise; the sampler has the settings of
`methods.stable_diffusion.ddim`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ...core.contracts import Session
from .config import InflationConfig, OneShotConfig, learned_in_released_code
from .method import OneShotMethod, OneShotSession, VideoModel

if TYPE_CHECKING:
    from torch import nn

PRESETS: dict[str, dict[str, Any]] = {
    "released": {"trains": "released"},
    "paper": {"num_frames": 32, "frames": "uniform"},
    "sprites": {
        "num_frames": 16,
        "stride": 1,
        "num_steps": 20,
        "guidance_scale": 4.0,
        "tuning": {"steps": 80, "learning_rate": 1e-3, "gradient_checkpointing": False},
    },
}
"""What differs from the defaults, which are the released configuration: 24 frames at stride 2. "released"
also trains only what learns in the released code (`methods.one_shot.config.Trains`).

"paper" is section 5.1: 32 frames, spread uniformly. "sprites" is for the embedded pipeline and was found by
trial (`worlds.sprites.edit_quality`): its UNet is so small that few updates at a high learning rate do, and
strong guidance moves the sprite.
"""


class TuneAVideo(OneShotMethod):
    """Tune-A-Video: an image model learns the motion of one clip and plays it to another prompt."""

    class Config(OneShotConfig):
        """Settings of Tune-A-Video. What a run file leaves out is the preset's; the defaults that are written
        here are those of "released", but for `trains`."""

        presets = PRESETS

        inflation: InflationConfig = InflationConfig()
        """How the UNet is inflated, and what of it trains."""

    config: Config
    name: ClassVar[str] = "tune-a-video"
    version: ClassVar[str] = "1"

    def load(self, device: str) -> Session:
        """See `TuneAVideoSession`."""
        return TuneAVideoSession(self.config, device)


class TuneAVideoSession(OneShotSession):
    """A pipeline whose inflated UNet is tuned on references.

    Raises:
        WeightsError: as `OneShotSession`; the UNet may be one that cannot be inflated.
        RunFileError: `inflation.trains` names something that the UNet does not have, or that `trains:
            released` does not know.
    """

    method: ClassVar[str] = TuneAVideo.name
    format: ClassVar[str] = "reelbench-tune-a-video-1"
    _config: TuneAVideo.Config

    def __init__(self, config: TuneAVideo.Config, device: str) -> None:
        from .inflated_unet import Inflation

        super().__init__(config, device)
        structure = Inflation(self.pipeline.unet, config.inflation, device="meta")
        self.trainable_parameters = sum(p.numel() for p in self._learned(structure.trained).values())

    def _learned(self, trained: Mapping[str, nn.Parameter]) -> Mapping[str, nn.Parameter]:
        return trained if self._config.trains == "all" else learned_in_released_code(trained)

    def video_model(self, seed: int) -> VideoModel:
        """The inflated UNet; the seed is that of temporal attention."""
        from .inflated_unet import Inflation

        unet = self.pipeline.unet
        inflation = Inflation(unet, self._config.inflation, seed)
        return VideoModel(
            trained=self._learned(inflation.trained),
            # Prompts reach the UNet by its cross-attention; inflation has no other use for them.
            attached=lambda prompts: inflation.attached(unet, self._config.num_frames),
            to=inflation.to,
            stored=lambda: inflation.trained,
            load=inflation.load,
        )
