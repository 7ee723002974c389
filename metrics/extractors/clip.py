"""The extractors of the CLIP metrics: features of frames and of captions.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (2021), by
open_clip. Features are L2-normalised, so that a cosine is an inner product. Frames are resized as the
protocol says and normalised with the model's own mean and deviation. CLIP-FID alone reads features at
their own length.

Captions have three extractors on one model: `clip_text` (CLIPSIM), `clip_text_depicts` (CLIPScore, which puts
words before the caption), and `clip_text_scaled` (textual alignment, in the model's own logits).

Shape suffixes: T frames, D feature dimension.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import model_validator

from ...core.contracts import Extractor, FrozenConfig
from ...core.types import Resources, WeightsRef
from ..settings import ClipSettings, ResizeStep
from .clip_model import ClipFrames, ClipImageSession, ClipModel, ClipTextSession, load_clip, shared_model
from .clip_weights import CLIP_FOLDER, split_location, weights_ref


class _ClipConfig(FrozenConfig):
    weights: str = "sprites/clip"
    """A location of `clip_weights`: folder, hub id, or "ViT-B-32:openai"."""
    architecture: str = ""
    """open_clip's name of the network, taken from `weights` where that has the form "name:tag"."""

    @model_validator(mode="after")
    def _split(self) -> Self:
        if not self.architecture:
            architecture, source = split_location(self.weights)
            if architecture:
                object.__setattr__(self, "architecture", architecture)
                object.__setattr__(self, "weights", source)
        return self


class _Clip(Extractor):
    version: ClassVar[str] = "1"
    weights_role: ClassVar[str] = "clip"
    weights_format = CLIP_FOLDER

    def resources(self) -> Resources:
        """One GPU, for a model up to ViT-L/14."""
        return Resources(vram_gib=2.0)

    def weights(self) -> tuple[WeightsRef, ...]:
        """A folder, or one checkpoint of the architecture."""
        return (weights_ref(self.weights_role, self.config.architecture, self.config.weights),)

    def _model(self, device: str) -> ClipModel:
        return shared_model(load_clip, self.config.architecture, self.config.weights, device)


class ClipImage(_Clip, ClipFrames):
    """CLIP features of every frame: video [T, H, W, 3] uint8 -> float32 [T, D], rows of length 1."""

    class Config(_ClipConfig):
        """The model, and how frames are resized for it."""

        resize: tuple[ResizeStep, ...] = ClipSettings().resize

    name: ClassVar[str] = "clip_image"


class ClipImageRaw(ClipImage):
    """CLIP features of every frame at their own length, for CLIP-FID: video -> float32 [T, D]."""

    name: ClassVar[str] = "clip_image_raw"

    @classmethod
    def describe(cls, protocol: Any) -> str:
        """The resize, and that features keep their length."""
        return f"{super().describe(protocol)}|length:own"

    def load(self, device: str) -> ClipImageSession:
        """As `ClipImage.load`, of features as the model gives them."""
        return ClipImageSession(self._model(device), self.config.resize, unit=False)


class ClipText(_Clip):
    """CLIP features of a caption: text -> float32 [D] of length 1.

    A caption of more tokens than the model takes is cut by the tokenizer, as the published scripts do.
    """

    class Config(_ClipConfig):
        """The model, and what it reads besides the caption."""

        prompt_prefix: str = ""
        """Put before every caption."""

    name: ClassVar[str] = "clip_text"
    modality: ClassVar[str] = "text"

    @classmethod
    def protocol_settings(cls, protocol: Any) -> dict[str, Any]:
        """The prefix."""
        return {"prompt_prefix": protocol.clip.prompt_prefix}

    @classmethod
    def describe(cls, protocol: Any) -> str:
        """The prefix, where there is one."""
        settings: ClipSettings = protocol.clip
        return settings.describe_text()

    def load(self, device: str) -> ClipTextSession:
        """A session on the model that all CLIP extractors share."""
        return ClipTextSession(self._model(device), self.config.prompt_prefix)


DEPICTS = "A photo depicts "
"""What CLIPScore puts before a caption (Hessel et al. 2021, section 3)."""


class ClipTextDepicts(ClipText):
    """CLIP features of "A photo depicts <caption>", as CLIPScore has it: text -> float32 [D] of length 1.

    The protocol's own prefix has no effect here.
    """

    class Config(ClipText.Config):
        """The model, with CLIPScore's prefix."""

        prompt_prefix: str = DEPICTS

    name: ClassVar[str] = "clip_text_depicts"

    @classmethod
    def protocol_settings(cls, protocol: Any) -> dict[str, Any]:
        """None."""
        return {}

    @classmethod
    def describe(cls, protocol: Any) -> str:
        """CLIPScore's prefix."""
        return ClipSettings(prompt_prefix=DEPICTS).describe_text()


class ClipTextScaled(ClipText):
    """CLIP features of a caption times the model's own exp(logit_scale): text -> float32 [D].

    Their inner product with a frame's unit features is the model's logit (`logits_per_image`); the length
    is about 100 for OpenAI's models.
    """

    name: ClassVar[str] = "clip_text_scaled"

    @classmethod
    def describe(cls, protocol: Any) -> str:
        """The prefix, and the scale."""
        prefix = super().describe(protocol)
        return f"{prefix}|scale:model" if prefix else "scale:model"

    def load(self, device: str) -> ClipTextSession:
        """As `ClipText.load`, of features in the model's logits."""
        return ClipTextSession(self._model(device), self.config.prompt_prefix, scaled=True)
