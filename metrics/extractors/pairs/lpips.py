"""The extractor of LPIPS: how unlike two frames are to AlexNet.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (2018), version 0.1,
on AlexNet: the variant that the authors recommend for comparing methods. There are no default weights: a
random AlexNet would give numbers that look like LPIPS.

Constructing is cheap; torch is imported by `load`.

Shape suffixes: B frames at once, T frames, C channels, H height, W width.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from ....core.contracts import FrozenConfig
from ....core.errors import WeightsError
from ....core.types import Features, Frames, Resources, WeightsRef
from ....core.weights import resolve
from ...protocol import Protocol
from ...settings import PairSettings
from ..transformers_folder import missing_reason
from ..weights_formats import LPIPS
from .frames import PairResize, check_pair, frame_pairs

if TYPE_CHECKING:
    from .lpips_network import LpipsNetwork

MIN_SIDE = 31
"""Below this nothing is left after AlexNet's second pooling."""

_GPU_BATCH = 16
"""Frames in one forward pass on a GPU, never across clips."""


class LpipsFrames:
    """LPIPS of every frame: (generated, reference) clips uint8 -> float32 [T]."""

    class Config(FrozenConfig):
        weights: str = ""
        """Folder or file, see `lpips_weights`; there is no default."""
        resize: PairResize = PairSettings().resize

    name: ClassVar[str] = "lpips"
    version: ClassVar[str] = "1"
    modality: ClassVar[str] = "pair"
    weights_role: ClassVar[str] = "lpips"

    def __init__(self, config: Config) -> None:
        self.config = config

    @classmethod
    def from_protocol(cls, protocol: Protocol, weights: str | None = None) -> Self:
        """The extractor with the parts of the protocol that its features depend on, and no others."""
        return cls(cls.Config(weights=weights or "", resize=protocol.pair.resize))

    @staticmethod
    def describe(protocol: Protocol) -> str:
        """For signatures: what the features depend on."""
        return f"{protocol.pair.describe()}|lpips:0.1,alex"

    def parameters(self) -> Mapping[str, Any]:
        """What the features depend on besides the clips and the weights' content."""
        return self.config.model_dump(mode="json", exclude={"weights"})

    def resources(self) -> Resources:
        return Resources(vram_gib=2.0)

    def weights(self) -> tuple[WeightsRef, ...]:
        return (WeightsRef(self.weights_role, self.config.weights, LPIPS),)

    @classmethod
    def available(cls, location: str | None) -> str | None:
        """None, or why the extractor cannot be used with the weights at this location (None for none)."""
        return missing_reason(cls.weights_role, LPIPS, location)

    def load(self, device: str) -> LpipsSession:
        from .lpips_weights import load_lpips

        reason = self.available(self.config.weights or None)
        if reason is not None:
            raise WeightsError(f"{self.name}: {reason}")
        return LpipsSession(load_lpips(resolve(self.config.weights, LPIPS)).to(device), self.config, device)


class LpipsSession:
    """The network on a device. On the CPU every frame is a forward pass, so that its value depends on no
    other; on a GPU the frames of a clip are batched, and values agree to rounding."""

    def __init__(self, network: LpipsNetwork, config: LpipsFrames.Config, device: str) -> None:
        self._network, self._config, self._device = network, config, device
        self._batch = 1 if device == "cpu" else _GPU_BATCH

    def extract(self, inputs: Sequence[tuple[Frames, Frames]]) -> list[Features]:
        """LPIPS float32 [T] of each pair, in order.

        Raises:
            MetricError: clips of the wrong type, of differing numbers of frames, too small, or of differing
                sizes where the protocol refuses that.
        """
        return [self._extract(pair) for pair in inputs]

    def _extract(self, pair: tuple[Frames, Frames]) -> Features:
        clips = check_pair(pair, self._config.resize, who="LPIPS", min_side=MIN_SIDE)
        frames = frame_pairs(*clips)
        values: list[np.ndarray] = []
        while block := list(itertools.islice(frames, self._batch)):
            values.append(self._forward(*(np.stack(side) for side in zip(*block, strict=True))))
        return np.concatenate(values)

    def _forward(self, ours_BHWC: np.ndarray, theirs_BHWC: np.ndarray) -> np.ndarray:
        import torch

        from ..precision import reference_precision

        with reference_precision(self._device):
            ours_BCHW, theirs_BCHW = (
                torch.from_numpy(frames).to(self._device).permute(0, 3, 1, 2).contiguous() / 127.5 - 1.0
                for frames in (ours_BHWC, theirs_BHWC)
            )
            distance_B: np.ndarray = self._network(ours_BCHW, theirs_BCHW).float().cpu().numpy()
            return distance_B
