"""What the extractors of video transformers (VideoMAE, V-JEPA 2) share: configuration, loading, one pass.

A clip is resized as the protocol's section says, scaled to 0 to 1, normalised by the model's own mean and
deviation unless the protocol says none, and goes through the network alone. Features are what FVD, KVD or
JEDi's MMD is then computed on. There are no default weights.

Shape suffixes: B batch, T frames, C channels, H height, W width, D feature dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from ...core.contracts import FrozenConfig
from ...core.errors import MetricError, WeightsError
from ...core.types import Features, Frames, Resources, WeightsRef
from ...core.weights_format import WeightsFormat
from ..settings import ResizeStep, VideoFeatureSettings
from .transformers_folder import missing_reason

if TYPE_CHECKING:
    from torch import Tensor


class VideoTransformerConfig(FrozenConfig):
    weights: str = ""
    """Folder or hub id; there is no default."""
    num_frames: int = Field(default=16, ge=1)
    """The first so many frames are read and fewer are refused; the model must take this number."""
    resize: tuple[ResizeStep, ...] = VideoFeatureSettings().resize
    normalise: bool = True
    """By the model's own mean and deviation; otherwise values stay 0 to 1."""


@dataclass(frozen=True)
class VideoTransformer:
    """A loaded network.

    Attributes:
        features: pixels [1, T, C, H, W] -> features [1, D].
        image_size: side of the square input in pixels.
        mean, std: for values 0 to 1.
    """

    features: Callable[[Tensor], Tensor]
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class VideoTransformerExtractor:
    """Base of the extractors; a subclass loads its network."""

    Config: ClassVar[type[VideoTransformerConfig]] = VideoTransformerConfig
    name: ClassVar[str]
    weights_role: ClassVar[str]
    modality: ClassVar[str] = "video"
    format: ClassVar[WeightsFormat]
    """What the weights must be."""

    def __init__(self, config: VideoTransformerConfig) -> None:
        self.config = config

    def parameters(self) -> Mapping[str, Any]:
        """What the features depend on besides the clip and the weights' content."""
        return self.config.model_dump(mode="json", exclude={"weights"})

    def resources(self) -> Resources:
        return Resources(vram_gib=8.0)

    def weights(self) -> tuple[WeightsRef, ...]:
        return (WeightsRef(self.weights_role, self.config.weights, self.format),)

    @classmethod
    def available(cls, location: str | None) -> str | None:
        """None, or why the extractor cannot be used with the weights at this location (None for none)."""
        return missing_reason(cls.weights_role, cls.format, location)

    def load(self, device: str) -> VideoTransformerSession:
        reason = self.available(self.config.weights or None)
        if reason is not None:
            raise WeightsError(f"{self.name}: {reason}")
        return VideoTransformerSession(self._load(device), self.config, self.name, device)

    def _load(self, device: str) -> VideoTransformer:
        raise NotImplementedError


class VideoTransformerSession:
    """One forward pass for each clip, so that its features depend on that clip only."""

    def __init__(
        self, network: VideoTransformer, config: VideoTransformerConfig, who: str, device: str
    ) -> None:
        self._network, self._config, self._who, self._device = network, config, who, device

    def extract(self, inputs: Sequence[Frames]) -> list[Features]:
        """Features float32 [D] of each clip, in order.

        Raises:
            MetricError: a clip is not uint8 [T, H, W, 3], or has too few frames.
        """
        return [self._extract_one(clip) for clip in inputs]

    def _extract_one(self, clip: Frames) -> Features:
        import torch

        from .precision import reference_precision
        from .preprocess import check_frames, resize_frames

        wanted = self._config.num_frames
        check_frames(clip, min_frames=wanted, who=self._who)
        with reference_precision(self._device):
            frames_TCHW = resize_frames(
                clip[:wanted], self._config.resize, self._network.image_size, self._device
            )
            pixels_TCHW = frames_TCHW / 255.0
            if self._config.normalise:
                mean_C11 = torch.tensor(self._network.mean, device=self._device).view(3, 1, 1)
                std_C11 = torch.tensor(self._network.std, device=self._device).view(3, 1, 1)
                pixels_TCHW = (pixels_TCHW - mean_C11) / std_C11
            features_D: np.ndarray = self._network.features(pixels_TCHW[None])[0].float().cpu().numpy()
            return features_D


def check_num_frames(who: str, wanted: int, *, exactly: int | None, at_most: int, multiple_of: int) -> None:
    """Refuse a number of frames that the loaded model cannot take.

    Args:
        wanted: what the protocol measures.
        exactly: the only number that the model takes, None where it takes several.
        at_most, multiple_of: what it takes otherwise.

    Raises:
        MetricError: naming both numbers.
    """
    if exactly is not None:
        fits, allowed = wanted == exactly, f"exactly {exactly}"
    else:
        fits = wanted <= at_most and wanted % multiple_of == 0
        allowed = f"multiples of {multiple_of} up to {at_most}"
    if not fits:
        raise MetricError(
            f"{who}: the protocol measures {wanted} frames, this model takes {allowed}",
            "set sampling.num_frames in the protocol, or give weights of a model for that many frames",
        )


def square_side(who: str, size: int | Sequence[int]) -> int:
    """The side of a model's square input.

    Raises:
        WeightsError: it is not square.
    """
    height, width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    if height != width:
        raise WeightsError(f"{who} takes {height}x{width} frames; only square inputs are supported")
    return height
