"""The extractors of the CLIP metrics: features of frames and of captions.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (2021), by
open_clip. Features are L2-normalised, so that a cosine is an inner product. Frames are resized as the
protocol says and normalised with the model's own mean and deviation.

Captions have three extractors on one model, so that one run can have all metrics: `clip_text` (CLIPSIM),
`clip_text_depicts` (CLIPScore, which puts words of its own before the caption), and `clip_text_scaled`
(textual alignment, in the model's own logits).

Constructing is cheap; torch and open_clip are imported by `load`.

Shape suffixes: T frames, D feature dimension.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import model_validator

from ...core.contracts import FrozenConfig
from ...core.errors import MetricError
from ...core.types import Features, Frames, Resources, WeightsRef
from ..protocol import Protocol
from ..settings import ClipSettings, ResizeStep
from .clip_model import ClipModel, load_clip, split_location, weights_ref

_FRAMES_AT_ONCE = 16
"""Frames in one forward pass: bounds memory for long clips. Fixed, and never across clips."""


class _ClipConfig(FrozenConfig):
    weights: str = "sprites/clip"
    """A location of `clip_model`: folder, hub id, or "ViT-B-32:openai"."""
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


class _Clip:
    """What the two extractors have in common."""

    Config: ClassVar[type[Any]]
    weights_role: ClassVar[str] = "clip"
    config: Any

    def parameters(self) -> Mapping[str, Any]:
        """What the features depend on besides the input and the weights' content."""
        return self.config.model_dump(mode="json", exclude={"weights"})

    def resources(self) -> Resources:
        return Resources(vram_gib=2.0)

    def weights(self) -> tuple[WeightsRef, ...]:
        return (weights_ref(self.weights_role, self.config.architecture, self.config.weights),)


class ClipImage(_Clip):
    """CLIP features of every frame: video [T, H, W, 3] uint8 -> float32 [T, D], rows of length 1."""

    class Config(_ClipConfig):
        resize: tuple[ResizeStep, ...] = ClipSettings().resize

    name: ClassVar[str] = "clip_image"
    version: ClassVar[str] = "1"
    modality: ClassVar[str] = "video"

    def __init__(self, config: Config) -> None:
        self.config = config

    @classmethod
    def from_protocol(cls, protocol: Protocol, weights: str | None = None) -> Self:
        """The extractor with the parts of the protocol that its features depend on, and no others."""
        return cls(cls.Config(weights=weights or cls.Config().weights, resize=protocol.clip.resize))

    @staticmethod
    def describe(protocol: Protocol) -> str:
        """For signatures: what the features depend on."""
        return protocol.clip.describe_image()

    def load(self, device: str) -> ClipImageSession:
        return ClipImageSession(
            load_clip(self.config.architecture, self.config.weights, device), self.config.resize, device
        )


class ClipImageSession:
    """One forward pass for at most 16 frames of one clip: a clip's features depend on that clip only."""

    def __init__(self, model: ClipModel, resize: Sequence[ResizeStep], device: str) -> None:
        self._model, self._resize, self._device = model, tuple(resize), device

    def extract(self, inputs: Sequence[Frames]) -> list[Features]:
        """Unit features float32 [T, D] of each clip, in order.

        Raises:
            MetricError: a clip is not uint8 [T, H, W, 3] with at least one frame.
        """
        return [self._extract_one(clip) for clip in inputs]

    def _extract_one(self, clip: Frames) -> Features:
        import numpy as np
        import torch

        from .precision import reference_precision
        from .preprocess import check_frames, resize_frames

        check_frames(clip, who="CLIP")
        mean_C11 = torch.tensor(self._model.mean, device=self._device).view(3, 1, 1)
        std_C11 = torch.tensor(self._model.std, device=self._device).view(3, 1, 1)
        parts = []
        with reference_precision(self._device):
            for start in range(0, len(clip), _FRAMES_AT_ONCE):
                frames = resize_frames(
                    clip[start : start + _FRAMES_AT_ONCE], self._resize, self._model.image_size, self._device
                )
                encoded_TD = self._model.network.encode_image((frames / 255.0 - mean_C11) / std_C11)
                parts.append(torch.nn.functional.normalize(encoded_TD.float(), dim=-1).cpu().numpy())
        return np.concatenate(parts)


class ClipText(_Clip):
    """CLIP features of a caption: text -> float32 [D] of length 1.

    A caption of more tokens than the model takes is cut by the tokenizer, as the published scripts do.
    """

    class Config(_ClipConfig):
        prompt_prefix: str = ""
        """Put before every caption."""

    name: ClassVar[str] = "clip_text"
    version: ClassVar[str] = "1"
    modality: ClassVar[str] = "text"

    def __init__(self, config: Config) -> None:
        self.config = config

    @classmethod
    def from_protocol(cls, protocol: Protocol, weights: str | None = None) -> Self:
        """The extractor with the parts of the protocol that its features depend on, and no others."""
        return cls(
            cls.Config(weights=weights or cls.Config().weights, prompt_prefix=protocol.clip.prompt_prefix)
        )

    @staticmethod
    def describe(protocol: Protocol) -> str:
        """For signatures: what the features depend on."""
        return protocol.clip.describe_text()

    def load(self, device: str) -> ClipTextSession:
        return ClipTextSession(
            load_clip(self.config.architecture, self.config.weights, device),
            self.config.prompt_prefix,
            device,
        )


DEPICTS = "A photo depicts "
"""What CLIPScore puts before a caption (Hessel et al. 2021, section 3)."""


class ClipTextDepicts(ClipText):
    """CLIP features of "A photo depicts <caption>", as CLIPScore has it: text -> float32 [D] of length 1.

    The protocol's own prefix has no effect here.
    """

    class Config(ClipText.Config):
        prompt_prefix: str = DEPICTS

    name: ClassVar[str] = "clip_text_depicts"
    version: ClassVar[str] = "1"

    @classmethod
    def from_protocol(cls, protocol: Protocol, weights: str | None = None) -> Self:
        """The extractor; no setting of the protocol acts on it."""
        del protocol
        return cls(cls.Config(weights=weights or cls.Config().weights))

    @staticmethod
    def describe(protocol: Protocol) -> str:
        """For signatures: what the features depend on."""
        return protocol.clip.model_copy(update={"prompt_prefix": DEPICTS}).describe_text()


class ClipTextScaled(ClipText):
    """CLIP features of a caption times the model's own exp(logit_scale): text -> float32 [D].

    Their inner product with a frame's unit features is the model's logit (`logits_per_image`); the length
    is about 100 for OpenAI's models.
    """

    name: ClassVar[str] = "clip_text_scaled"
    version: ClassVar[str] = "1"

    @staticmethod
    def describe(protocol: Protocol) -> str:
        """For signatures: what the features depend on."""
        prefix = protocol.clip.describe_text()
        return f"{prefix}|scale:model" if prefix else "scale:model"

    def load(self, device: str) -> ClipTextSession:
        model = load_clip(self.config.architecture, self.config.weights, device)
        return ClipTextSession(model, self.config.prompt_prefix, device, scale=model.scale)


class ClipTextSession:
    """One forward pass for each caption, so that its features depend on that caption only."""

    def __init__(self, model: ClipModel, prompt_prefix: str, device: str, scale: float = 1.0) -> None:
        self._model, self._prefix, self._device, self._scale = model, prompt_prefix, device, scale

    def extract(self, inputs: Sequence[str]) -> list[Features]:
        """Features float32 [D] of each caption, of length `scale`, in order.

        Raises:
            MetricError: an input is not a string.
        """
        return [self._extract_one(text) for text in inputs]

    def _extract_one(self, text: str) -> Features:
        import torch

        from .precision import reference_precision

        if not isinstance(text, str):
            raise MetricError(f"CLIP takes captions as strings, got {type(text).__name__}")
        with reference_precision(self._device):
            tokens = self._model.tokenizer([self._prefix + text]).to(self._device)
            encoded_BD = self._model.network.encode_text(tokens)
            unit_D = torch.nn.functional.normalize(encoded_BD.float(), dim=-1)[0]
            return (unit_D * self._scale if self._scale != 1.0 else unit_D).cpu().numpy()
