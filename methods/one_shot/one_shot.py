"""What one-shot methods share: a video model is tuned on one clip, and edits start from its inversion.

Tune-A-Video and SimDA's editing mode differ in the video model only. The rest is that of Wu et al.,
"Tune-A-Video" (ICCV 2023), section 3.3, which SimDA's released editing code took over: tuning on the
reference with its own prompt (`methods.one_shot.tuning`), DDIM inversion by the tuned network, with an empty prompt
and without guidance (`methods.stable_diffusion.inversion`), and DDIM from the inverted latents with guidance by the
edited prompt. The session is in `methods.one_shot.session`.

As DDIM adds no noise, the seed of a sample has no effect where sampling starts from the inverted latents;
the seed of the tuning has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from ..stable_diffusion.config import PipelineConfig
from .config import TuningConfig

if TYPE_CHECKING:
    import torch

    from ..stable_diffusion.guidance import Denoiser

SAMPLING_ONLY = frozenset({"preset", "weights", "guidance_scale", "negative_prompt", "begin_with"})
"""Settings that a tuning and its artifact do not depend on; the place of the weights is none of them either,
as keys have their content."""


class OneShotConfig(PipelineConfig):
    """Settings of a one-shot method. What a run file leaves out is the preset's; the defaults that are
    written here are those of Tune-A-Video's released code."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """What differs from the defaults, by the preset's name."""

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
    """What sampling begins with: the inverted latents, or independent noise, as the results of Tune-A-Video's
    authors of before February 2023 did."""

    tuning: TuningConfig = TuningConfig()
    """The training on the reference."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in_the_preset(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        # A preset of another name or type is refused by the field itself.
        return _merged(cls.presets.get(str(given.get("preset", "released")), {}), given)

    def reference_frames(self) -> int | None:
        """How many first frames of a reference are read at most; None where they are spread over all."""
        from ..frames import frames_needed

        return frames_needed(**self.source_frames())

    def source_frames(self) -> dict[str, Any]:
        """Which frames of a reference a clip stands beside: arguments of `frame_choice.chosen_frames`."""
        return {
            "num_frames": self.num_frames,
            "choice": self.frames,
            "start": self.start,
            "stride": self.stride,
        }

    def tuning_settings(self) -> dict[str, Any]:
        """Settings on which the artifact of a tuning depends (JSON-able), but for where weights lie."""
        return self.model_dump(mode="json", exclude=set(SAMPLING_ONLY))


def _merged(preset: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given over what the preset says, section by section."""
    merged = {**preset, **given}
    for name, value in preset.items():
        if isinstance(value, Mapping) and isinstance(given.get(name), Mapping):
            merged[name] = _merged(value, given[name])
    return merged


def sample_latents(
    denoiser: Denoiser, config: OneShotConfig, seed: int, inverted_TCHW: torch.Tensor | None = None
) -> torch.Tensor:
    """Latents of a clip, float32 [T,C,H,W]; the denoiser's UNet is a tuned video model already.

    Args:
        inverted_TCHW: what sampling begins with; None is independent noise.
    """
    from ..noise import independent_noise

    if inverted_TCHW is None:
        inverted_TCHW = independent_noise(seed, config.num_frames, denoiser.latent_shape_CHW)
    return denoiser.denoise(inverted_TCHW, denoiser.schedule.timesteps)
