"""The settings of text-video prediction: of a clip, of what FCA adds to its base, of the LoRA (no torch)."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from ...core.contracts import FrozenConfig
from ..cogvideox.config import CogVideoXConfig
from ..weights_file import trained_parameters

FCA_FILE = trained_parameters("fca.safetensors", "reelbench-fca-1")
"""Files of FCA's trained parameters."""

LORA_FILE = trained_parameters("lora.safetensors", "reelbench-cogvideox-lora-1")
"""Files of the LoRA's trained parameters."""

ContextEncoding = Literal["each", "repeat", "together"]
"""How the given frames become latents, see `methods.prediction.session.encode_given`."""

Granularity = Literal["frame", "latent"]
"""What has text embeddings of its own: every frame of the clip, or every latent frame."""


class PredictionConfig(CogVideoXConfig):
    """How a clip is predicted from its first frames and a prompt."""

    num_frames: int = Field(default=16, ge=2)
    """Frames of a clip, given ones included. More than the method makes in one pass are rolled forward: the
    last frames so far are given to the next pass."""

    show_given: bool = True
    """Whether a clip begins with the given frames themselves (resized to the pipeline's frames), as in Seer's
    protocol, or with what the method made of them."""


class FcaConfig(FrozenConfig):
    """The structure of FCA. It is written into the file of the trained parameters.

    Known of the paper: an attention block beside the frozen attention of every layer; frame-wise text
    embeddings from a module of the Q-Former kind in every layer; latents of the initial frames; masked
    cross-attention. Everything else here is our choice, and is named as one.
    """

    num_frames: int = Field(default=16, ge=8)
    """Frames of a clip, given ones included; 8k or 8k+1. The paper's clips have 16."""

    text: Literal["frame-wise", "shared", "off"] = "frame-wise"
    """Frame-wise text conditioning: embeddings for each frame that only the tokens of that frame see; the
    same embeddings without the mask; or none (ablation)."""

    text_of: Granularity = "frame"
    """Choice: what has embeddings of its own, each frame or each latent frame."""

    queries: int = Field(default=4, ge=1)
    """Choice: learned queries, and so embeddings, for each of them."""

    text_width: float = Field(default=0.25, gt=0, le=1)
    """Choice: width of the text modules over the width of the transformer."""

    text_heads: int = Field(default=4, ge=1)
    """Choice: attention heads of the text modules."""

    text_from: Literal["encoder", "layer"] = "encoder"
    """Choice: whether the text modules read the text encoder's tokens, the same in every layer, or the
    layer's own text tokens, which change with the noise."""

    text_sees_frames: bool = True
    """Whether the text modules read the given frames besides the text. Uncertain: the paper's figure shows a
    vision transformer there; here it is the features that the attention reads."""

    initial_frames: Literal["base", "patches", "off"] = "base"
    """Features of the given frames that the attention reads: of the frozen transformer, which is shown their
    latents as a clip without noise, layer by layer; their embedded patches alone; or none (ablation).
    Uncertain: one summary of the paper names a frozen copy of the transformer."""

    context_encoding: ContextEncoding = "each"
    """Choice: how the given frames become latents."""

    into: Literal["video", "text", "both"] = "video"
    """Which tokens query the attention beside the layer's: where the conditioning is injected. The paper
    compares places; which ones is not known."""

    start: Literal["copy", "random"] = "copy"
    """Choice: whether queries, keys and values start as copies of the frozen layer's, or at random. The
    output starts at zero either way."""

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if self.text == "off" and self.initial_frames == "off":
            raise ValueError(
                "text and initial_frames are both 'off': FCA has nothing to condition on; switch one on"
            )
        if self.num_frames % 8 not in (0, 1):
            raise ValueError(
                f"num_frames is {self.num_frames}; the VAE gives back 8k or 8k+1 frames (8, 9, 16, 17, ...)"
            )
        return self


class LoraSettings(FrozenConfig):
    """What the LoRA is. It is written into the file of the trained parameters."""

    num_frames: int = Field(default=16, ge=8)
    """Frames of a clip in one pass, given ones included."""

    rank: int = Field(default=64, ge=1)
    """Choice: of the updates."""

    alpha: float = Field(default=64.0, gt=0)
    """Choice: updates are scaled by alpha / rank."""

    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    """Choice: the linear layers of every attention that are updated."""

    context_encoding: ContextEncoding = "each"
    """Choice: how the given frames become latents."""
