"""What the extractors of video transformers (VideoMAE, V-JEPA 2) share: configuration, loading, one pass.

A clip is resized as the protocol's section says, scaled to 0 to 1, normalised by the model's own mean and
deviation unless the protocol says none, and goes through the network alone. Features are what FVD, KVD or
JEDi's MMD is then computed on. There are no default weights.

Shape suffixes: B batch, T frames, C channels, H height, W width, D feature dimension.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from ...core.contracts import Extractor, ExtractorSession, FrozenConfig
from ...core.errors import MetricError, WeightsError
from ...core.types import Features, Frames, Resources
from ...core.weights import resolve
from ...core.weights_format import WeightsFormat
from ..settings import ResizeStep, VideoFeatureSettings
from .backbone import check_frames, normalise, reference_precision, resize_frames

if TYPE_CHECKING:
    from torch import Tensor

NO_NORMALISATION = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
"""A mean and deviation that leave values 0 to 1 as they are."""


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


class VideoTransformerExtractor(Extractor):
    """Base of the extractors; a subclass loads its network. Its name is its section of the protocol."""

    class Config(FrozenConfig):
        """The weights, and the protocol's settings from frames to pixels."""

        weights: str = ""
        """Folder or hub id; there is no default."""
        num_frames: int = Field(default=16, ge=1)
        """The first so many frames are read and fewer are refused; the model must take this number."""
        resize: tuple[ResizeStep, ...] = VideoFeatureSettings().resize
        normalise: bool = True
        """By the model's own mean and deviation; otherwise values stay 0 to 1."""

    modality: ClassVar[str] = "video"
    weights_format: ClassVar[WeightsFormat]

    @classmethod
    def protocol_settings(cls, protocol: Any) -> dict[str, Any]:
        """Frames, resize and normalisation."""
        settings: VideoFeatureSettings = getattr(protocol, cls.name)
        return {
            "num_frames": protocol.sampling.num_frames,
            "resize": settings.resize,
            "normalise": settings.normalise == "model",
        }

    @classmethod
    def describe(cls, protocol: Any) -> str:
        """Resize and normalisation."""
        settings: VideoFeatureSettings = getattr(protocol, cls.name)
        return settings.describe()

    def resources(self) -> Resources:
        """One GPU, for a network up to ViT-g/14."""
        return Resources(vram_gib=8.0)

    def load(self, device: str) -> VideoTransformerSession:
        """The network on a device.

        Raises:
            WeightsError: no weights are named or found, or they are another network's.
            MetricError: the model does not take so many frames.
        """
        reason = self.available(self.config.weights)
        if reason is not None:
            raise WeightsError(f"{self.name}: {reason}")
        network = self.load_network(resolve(self.config.weights, self.weights_format), device)
        return VideoTransformerSession(network, self.config, self.name, device)

    @abstractmethod
    def load_network(self, path: Path, device: str) -> VideoTransformer:
        """The network of the weights at `path`; errors as those of `load`."""

    def check_num_frames(self, *, exactly: int | None = None, at_most: int = 0, multiple_of: int = 1) -> None:
        """Refuse a number of frames that the loaded model cannot take.

        Args:
            exactly: the only number that the model takes, None where it takes several.
            at_most, multiple_of: what it takes otherwise.

        Raises:
            MetricError: naming both numbers.
        """
        wanted = self.config.num_frames
        if exactly is not None:
            fits, allowed = wanted == exactly, f"exactly {exactly}"
        else:
            fits = wanted <= at_most and wanted % multiple_of == 0
            allowed = f"multiples of {multiple_of} up to {at_most}"
        if not fits:
            raise MetricError(
                f"{self.name}: the protocol measures {wanted} frames, this model takes {allowed}",
                "set sampling.num_frames in the protocol, or give weights of a model for that many frames",
            )


class VideoTransformerSession(ExtractorSession):
    """One forward pass for each clip, so that its features depend on that clip only."""

    def __init__(
        self, network: VideoTransformer, config: VideoTransformerExtractor.Config, who: str, device: str
    ) -> None:
        self._network, self._config, self._who, self._device = network, config, who, device

    def extract_one(self, item: Frames) -> Features:
        """Features float32 [D] of a clip.

        Raises:
            MetricError: it is not uint8 [T, H, W, 3], or has too few frames.
        """
        network, wanted = self._network, self._config.num_frames
        check_frames(item, min_frames=wanted, who=self._who)
        with reference_precision(self._device):
            frames_TCHW = resize_frames(item[:wanted], self._config.resize, network.image_size, self._device)
            pixels_TCHW = normalise(frames_TCHW, network.mean, network.std)
            features_D: np.ndarray = network.features(pixels_TCHW[None])[0].float().cpu().numpy()
            return features_D
