"""The settings of one-shot methods: tuning, inflation, and what a clip is made from. No torch is imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import Field, model_validator

from ...core.contracts import FrozenConfig
from ...core.errors import RunFileError, WeightsError
from ..stable_diffusion.pipeline import PipelineConfig

_Parameter = TypeVar("_Parameter")

OutputBias = Literal["random", "zero"]

Trains = Literal["all", "released"]
"""What learns of the parts that a method sets out to train: all, or what does in the released code.

All released configurations (showlab/Tune-A-Video @ 7d4a89a, ChenHsing/SimDA @ 14e0bed) switch gradient
checkpointing on. It is the reentrant kind, which gives no gradient to what is inside unless one of its inputs
needs one. Checkpointed are the ResNet blocks and transformers of the down and up blocks, not those of the
middle block; and the latents, the time embedding and the text need no gradient. So nothing in the down blocks
learns. The middle block does, and behind it every input needs a gradient: the up blocks learn. SimDA's
checkpointed branch leaves out the temporal adapters besides, so that those of the up blocks do not learn.

Weight decay does not reach what has no gradient: it stays as it was to the last bit. At the size of Stable
Diffusion 1.x 48,545,600 of 74,354,880 numbers (70 of 112 tensors) of Tune-A-Video learn, and 9,752,480 of
24,855,680 (86 of 224) of SimDA."""


class TuningConfig(FrozenConfig):
    """Settings of a tuning. The defaults are those of Tune-A-Video's released code; the paper gives steps and
    learning rate and leaves the others open."""

    steps: int = Field(default=500, ge=1)
    """Updates."""

    learning_rate: float = Field(default=3e-5, gt=0, allow_inf_nan=False)
    """Constant."""

    weight_decay: float = Field(default=1e-2, ge=0, allow_inf_nan=False)
    """Of AdamW."""

    betas: tuple[float, float] = (0.9, 0.999)
    """Of AdamW."""

    epsilon: float = Field(default=1e-8, gt=0)
    """Of AdamW."""

    max_gradient_norm: float = Field(default=1.0, gt=0)
    """Longer gradients are shortened to this."""

    precision: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    """Number format of the networks' products; "auto" is that in which the pipeline is loaded."""

    gradient_checkpointing: bool = True
    """Compute activations again in the backward pass: less memory, more time, the same numbers."""


class InflationConfig(FrozenConfig):
    """What inflation does, and which weights a tuning trains. The defaults are the released code's."""

    keys: Literal["first-and-previous", "own"] = "first-and-previous"
    """Frames that self-attention takes keys and values from; "own" is the image model's attention."""

    group_norm: Literal["clip", "frame"] = "clip"
    """Over what the ResNet blocks' group norms take their statistics."""

    temporal_attention: bool = True
    """Whether transformer blocks get temporal attention."""

    temporal_bias: OutputBias = "random"
    """Initial bias of temporal attention's output. Random in the released code; the paper does not say."""

    trains: tuple[str, ...] = Field(default=("attn1.to_q", "attn2.to_q", "attn_temp"), min_length=1)
    """Ends of the names of the modules that are trained. By the paper: the queries of self- and
    cross-attention, and temporal attention. Whether the norm before it ("norm_temp") is meant as well is not
    said; the released code leaves it out."""


_NO_VALUE = object()

SAMPLING_ONLY = frozenset({"preset", "weights", "guidance_scale", "negative_prompt", "begin_with"})
"""Settings that a tuning and its artifact do not depend on; the place of the weights is none of them either,
as keys have their content."""


class OneShotConfig(PipelineConfig):
    """Settings of a one-shot method. What a run file leaves out is the preset's; the defaults that are
    written here are those of Tune-A-Video's released code, but for `trains`."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """What differs from the defaults, by the preset's name."""

    younger: ClassVar[Mapping[str, Any]] = {**PipelineConfig.younger, "trains": "all"}

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

    trains: Trains = "all"
    """What of the trained parts learns: "all", or what learns in the released code, whose gradient
    checkpointing leaves the down blocks without gradients; "released" in the preset of that name, which is
    the one of a run file that names none."""

    tuning: TuningConfig = TuningConfig()
    """The training on the reference."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in_the_preset(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        # A preset of another name or type is refused by the field itself.
        return _merged(cls.presets.get(str(given.get("preset", "released")), {}), given)

    def tuning_settings(self) -> dict[str, Any]:
        """Settings on which the artifact of a tuning depends (JSON-able), but for where weights lie."""
        data = self.model_dump(mode="json", exclude=set(SAMPLING_ONLY))
        # Without the preset it does not matter either where a setting comes from.
        return {name: value for name, value in data.items() if self.younger.get(name, _NO_VALUE) != value}

    def not_given(self, name: str) -> Any:
        """What a setting is where nobody gives it: the preset's, if that has it."""
        return self.presets.get(self.preset, {}).get(name, super().not_given(name))


def _merged(preset: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given over what the preset says, section by section."""
    merged = {**preset, **given}
    for name, value in preset.items():
        if isinstance(value, Mapping) and isinstance(given.get(name), Mapping):
            merged[name] = _merged(value, given[name])
    return merged


_HAS_NO_GRADIENT = "down_blocks."
_LEARNS_FIRST = "mid_block."
_KNOWN = (_HAS_NO_GRADIENT, _LEARNS_FIRST, "up_blocks.")


def learned_in_released_code(trained: Mapping[str, _Parameter]) -> dict[str, _Parameter]:
    """Those of the trained parameters that learn in the released code.

    Args:
        trained: by the names of a diffusers UNet, inside its ResNet blocks and transformers.

    Raises:
        RunFileError: one lies elsewhere, where it would let what comes after it learn; the released code
            trains nothing there.
        WeightsError: none is in the middle block, so the released code would train nothing.
    """
    outside = [
        name
        for name in trained
        if not name.startswith(_KNOWN) or not {"attentions", "resnets"} & set(name.split("."))
    ]
    if outside:
        raise RunFileError(
            f"trains: released is about ResNet blocks and transformers, and {outside[0]} is in none",
            "set trains: all, or leave it out of inflation.trains",
        )
    learned = {name: value for name, value in trained.items() if not name.startswith(_HAS_NO_GRADIENT)}
    check_that_the_middle_learns(name.startswith(_LEARNS_FIRST) for name in learned)
    return learned


def check_that_the_middle_learns(in_the_middle: Iterable[bool]) -> None:
    """Raises WeightsError if nothing that is trained lies in the middle block: then nothing would learn."""
    if not any(in_the_middle):
        raise WeightsError(
            "the middle block of this UNet has nothing that is trained, so the released code would train "
            "nothing at all",
            "set trains: all",
        )
