"""The settings of tuning on one clip, apart from `tuning` because a method file imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ...core.contracts import FrozenConfig


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
