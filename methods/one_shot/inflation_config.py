"""The settings of inflation, apart from `inflated_unet` because a method file imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ...core.contracts import FrozenConfig

OutputBias = Literal["random", "zero"]


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
