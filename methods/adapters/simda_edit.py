"""SimDA's one-shot editing: adapters learn the motion of one clip and play it to another prompt.

Source: Xing et al., "SimDA: Simple Diffusion Adapter for Efficient Video Generation" (CVPR 2024), its part on
editing, and the authors' released editing code, of which nothing was copied: it has no licence.

The way is Tune-A-Video's (`methods.one_shot.one_shot`), with SimDA's adapters (`methods.adapters.adapters`) in the place of the
inflated UNet: they are tuned on the reference with its own prompt, the tuned model inverts the reference by
DDIM with an empty prompt and without guidance, and edits are DDIM from there, with guidance. By default the
adapters begin untrained, as the image model; they may begin as adapters that were trained for text-to-video.

The tuning artifact holds the adapters (a layout prior that they may have among them) and the inverted latents
(`methods.one_shot.session`). Guidance and negative prompt are no part of a tuning.

Published settings are presets (`PRESETS`). Uncertain, and therefore settings:
- the paper's frames, learning rate, guidance scale, optimiser and number format: those of the released code;
- whether the paper's editing model is its text-to-video model (`form`, which "paper" assumes); the released
  code has another form of latent-shift attention, and shares the group norms' statistics over all frames;
- the filter that resizes frames (`methods.one_shot.reference_latents`).

Deviations: all adapters train, also with gradient checkpointing, where the released code then leaves out the
temporal adapters of all blocks but the middle one; the frozen weights are in the pipeline's number format;
those of `methods.adapters.adapters` and `methods.adapters.latent_shift`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from ...core.contracts import Session
from ...core.types import Conditioning, Resources, WeightsRef
from ..one_shot.config import TuningConfig
from ..one_shot.one_shot import OneShotConfig
from ..stable_diffusion.formats import STABLE_DIFFUSION
from ..weights_file import ADAPTERS

PRESETS: dict[str, dict[str, Any]] = {
    "released": {"tuning": {"steps": 300, "learning_rate": 5e-5}},
    "paper": {"form": "paper", "tuning": {"steps": 200, "learning_rate": 5e-5}},
    "sprites": {
        "num_frames": 16,
        "start": 0,
        "stride": 1,
        "num_steps": 20,
        "guidance_scale": 4.0,
        "adapters": "sprites/simda",
        "tuning": {"steps": 60, "learning_rate": 5e-4, "gradient_checkpointing": False},
    },
}
"""What differs from the defaults, which are the released configuration: 24 frames from index 16 on at stride
2, 300 updates. Its tuning is repeated, so that a run file which gives a part of it gets the other parts.

"paper" is 200 updates. "sprites" is for the embedded pipeline and was found by trial
(`worlds.sprites.edit_quality`): few updates at a high learning rate, weaker guidance, and adapters that were
trained for text-to-video to begin with.
"""


class SimDAEdit:
    """SimDA's one-shot editing: adapters learn the motion of one clip and play it to another prompt."""

    class Config(OneShotConfig):
        """Settings of SimDA's editing mode. What a run file leaves out is the preset's; the defaults that are
        written here are those of "released"."""

        presets = PRESETS

        start: int = Field(default=16, ge=0)
        """First frame that is taken."""

        tuning: TuningConfig = TuningConfig(steps=300, learning_rate=5e-5)
        """The training on the reference."""

        adapters: str | None = None
        """Where trained adapters lie that a tuning begins with: a file, a folder with adapters.safetensors,
        or a name below the weights root. They belong to the pipeline that they were trained on. None begins
        with untrained ones."""

        form: Literal["released", "paper"] = "released"
        """What untrained adapters are: the released editing code's, or the paper's text-to-video model.
        Adapters from a file say it themselves."""

        def tuning_settings(self) -> dict[str, Any]:
            """As of all one-shot methods; of the adapters it counts whether there are any, as keys have their
            content."""
            return {**super().tuning_settings(), "adapters": self.adapters is not None}

    name: ClassVar[str] = "simda-edit"
    version: ClassVar[str] = "1"
    conditioning: ClassVar[Conditioning] = Conditioning.TEXT_AND_REFERENCE

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

    def tuning_config(self) -> dict[str, Any]:
        """The part of the configuration that a tuning depends on (JSON-able)."""
        return self.config.tuning_settings()

    def reference_frames(self) -> int | None:
        """How many first frames of the reference are read; None where they are spread over all of it."""
        return self.config.reference_frames()

    def source_frames(self) -> dict[str, Any]:
        """Which frames of the reference a clip stands beside."""
        return self.config.source_frames()

    def load(self, device: str) -> Session:
        from .simda_edit_session import SimDAEditSession

        return SimDAEditSession(self.config, device)
