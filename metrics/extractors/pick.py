"""The extractors of PickScore: features of frames and captions by its CLIP.

Kirstain et al., "Pick-a-Pic: An Open Dataset of User Preferences for Text-to-Image Generation" (2023): CLIP
ViT-H/14 tuned to predict which of two pictures people prefer. The weights are a transformers CLIP folder
(or hub id) with its tokenizer and processor. There are no default weights: a random or another CLIP would
give numbers that look like PickScore.

Frames are resized as the protocol's `clip` section says and normalised as the folder's processor does.
Constructing is cheap; torch and transformers are imported by `load`.

Shape suffixes: T frames, D feature dimension.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ...core.contracts import FrozenConfig
from ...core.errors import MetricError, WeightsError
from ...core.types import Features, Frames, Resources, WeightsRef
from ...core.weights import resolve
from ...core.weights_view import loaded_files
from ..protocol import Protocol
from ..settings import ClipSettings, ResizeStep
from .transformers_folder import load_model, missing_reason, read_mean_and_std
from .weights_formats import PICKSCORE

_FRAMES_AT_ONCE = 16
"""Frames in one forward pass: bounds memory for long clips. Fixed, and never across clips."""


class _Pick:
    """What the two extractors have in common."""

    Config: ClassVar[type[Any]]
    weights_role: ClassVar[str] = "pickscore"
    config: Any

    def parameters(self) -> Mapping[str, Any]:
        """What the features depend on besides the input and the weights' content."""
        return self.config.model_dump(mode="json", exclude={"weights"})

    def resources(self) -> Resources:
        return Resources(vram_gib=6.0)

    def weights(self) -> tuple[WeightsRef, ...]:
        return (WeightsRef(self.weights_role, self.config.weights, PICKSCORE),)

    @classmethod
    def available(cls, location: str | None) -> str | None:
        """None, or why the extractor cannot be used with the weights at this location (None for none)."""
        return missing_reason(cls.weights_role, PICKSCORE, location)


class PickImage(_Pick):
    """PickScore's features of every frame: video [T, H, W, 3] uint8 -> float32 [T, D], rows of length 1."""

    class Config(FrozenConfig):
        weights: str = ""
        """Folder or hub id; there is no default."""
        resize: tuple[ResizeStep, ...] = ClipSettings().resize

    name: ClassVar[str] = "pick_image"
    version: ClassVar[str] = "1"
    modality: ClassVar[str] = "video"

    def __init__(self, config: Config) -> None:
        self.config = config

    @classmethod
    def from_protocol(cls, protocol: Protocol, weights: str | None = None) -> Self:
        """The extractor with the parts of the protocol that its features depend on, and no others."""
        return cls(cls.Config(weights=weights or "", resize=protocol.clip.resize))

    @staticmethod
    def describe(protocol: Protocol) -> str:
        """For signatures: what the features depend on."""
        return protocol.clip.describe_image()

    def load(self, device: str) -> PickImageSession:
        return PickImageSession(_load(self.config.weights, device), self.config.resize, device)


class PickText(_Pick):
    """PickScore's features of a caption times exp(logit_scale): text -> float32 [D].

    The caption is taken as it is; one of more tokens than the model takes (77) is cut, as the published
    script does.
    """

    class Config(FrozenConfig):
        weights: str = ""
        """Folder or hub id; there is no default."""

    name: ClassVar[str] = "pick_text"
    version: ClassVar[str] = "1"
    modality: ClassVar[str] = "text"

    def __init__(self, config: Config) -> None:
        self.config = config

    @classmethod
    def from_protocol(cls, protocol: Protocol, weights: str | None = None) -> Self:
        """The extractor; no setting of the protocol acts on it."""
        del protocol
        return cls(cls.Config(weights=weights or ""))

    @staticmethod
    def describe(protocol: Protocol) -> str:
        """For signatures: what the features depend on."""
        del protocol
        return "scale:model"

    def load(self, device: str) -> PickTextSession:
        return PickTextSession(_load(self.config.weights, device), device)


class PickImageSession:
    """One forward pass for at most 16 frames of one clip: a clip's features depend on that clip only."""

    def __init__(self, model: PickModel, resize: Sequence[ResizeStep], device: str) -> None:
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

        check_frames(clip, who="PickScore")
        mean_C11 = torch.tensor(self._model.mean, device=self._device).view(3, 1, 1)
        std_C11 = torch.tensor(self._model.std, device=self._device).view(3, 1, 1)
        parts = []
        with reference_precision(self._device):
            for start in range(0, len(clip), _FRAMES_AT_ONCE):
                frames = resize_frames(
                    clip[start : start + _FRAMES_AT_ONCE], self._resize, self._model.image_size, self._device
                )
                pixels = (frames / 255.0 - mean_C11) / std_C11
                encoded_TD = self._model.network.get_image_features(pixel_values=pixels).pooler_output
                parts.append(torch.nn.functional.normalize(encoded_TD, dim=-1).cpu().numpy())
        return np.concatenate(parts)


class PickTextSession:
    """One forward pass for each caption, so that its features depend on that caption only."""

    def __init__(self, model: PickModel, device: str) -> None:
        self._model, self._device = model, device

    def extract(self, inputs: Sequence[str]) -> list[Features]:
        """Features float32 [D] of each caption, of length exp(logit_scale), in order.

        Raises:
            MetricError: an input is not a string.
        """
        return [self._extract_one(text) for text in inputs]

    def _extract_one(self, text: str) -> Features:
        import torch

        from .precision import reference_precision

        if not isinstance(text, str):
            raise MetricError(f"PickScore takes captions as strings, got {type(text).__name__}")
        tokens = self._model.tokenizer(
            [text], truncation=True, max_length=self._model.max_tokens, return_tensors="pt"
        ).to(self._device)
        with reference_precision(self._device):
            encoded_BD = self._model.network.get_text_features(
                input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
            ).pooler_output
            unit_D = torch.nn.functional.normalize(encoded_BD, dim=-1)[0]
            return (unit_D * self._model.network.logit_scale.exp()).cpu().numpy()


@dataclass(frozen=True, eq=False)
class PickModel:
    """A loaded transformers CLIP in evaluation mode, float32.

    Attributes:
        network: transformers' CLIPModel.
        tokenizer: of the folder.
        max_tokens: of a caption, its begin and end marks among them.
        image_size: side of the square input in pixels.
        mean, std: of the folder's processor, values 0 to 1.
    """

    network: Any
    tokenizer: Any
    max_tokens: int
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


# The two sessions of one process share a loaded model; it goes when the last of them does.
_loaded: weakref.WeakValueDictionary[tuple[str, str], PickModel] = weakref.WeakValueDictionary()


def _load(location: str, device: str) -> PickModel:
    reason = _Pick.available(location or None)
    if reason is not None:
        raise WeightsError(f"PickScore: {reason}")
    model = _loaded.get((location, device))
    if model is None:
        model = _loaded[location, device] = _load_folder(location, device)
    return model


def _load_folder(location: str, device: str) -> PickModel:
    from transformers import AutoTokenizer, CLIPModel

    folder = resolve(location, PICKSCORE)
    mean, std = read_mean_and_std(folder)
    network = load_model(CLIPModel, folder, PICKSCORE)
    try:
        with loaded_files(folder, PICKSCORE) as view:
            tokenizer = AutoTokenizer.from_pretrained(
                str(view), local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # many kinds; all mean that the tokenizer's files are not there
        raise WeightsError(
            f"{folder} holds no tokenizer that transformers can load ({type(error).__name__})",
            "save the tokenizer into the folder too (vocab.json, merges.txt or tokenizer.json)",
        ) from error
    return PickModel(
        network=network.to(device),
        tokenizer=tokenizer,
        max_tokens=int(network.config.text_config.max_position_embeddings),
        image_size=int(network.config.vision_config.image_size),
        mean=mean,
        std=std,
    )
