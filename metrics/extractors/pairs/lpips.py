"""The extractor of LPIPS: how unlike two frames are to AlexNet.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (2018), version 0.1,
on AlexNet: the variant that the authors recommend for comparing methods. There are no default weights: a
random AlexNet would give numbers that look like LPIPS.

Shape suffixes: B frames at once, T frames, C channels, H height, W width.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ....core.contracts import ExtractorSession
from ....core.errors import WeightsError
from ....core.types import Features, Resources
from ....core.weights import resolve
from ..backbone import reference_precision
from .frames import Pair, PairedExtractor, check_pair, frame_pairs
from .lpips_weights import LPIPS, load_lpips

if TYPE_CHECKING:
    from .lpips_network import LpipsNetwork

MIN_SIDE = 31
"""Below this nothing is left after AlexNet's second pooling."""

_GPU_BATCH = 16
"""Frames in one forward pass on a GPU, never across clips."""


class LpipsFrames(PairedExtractor):
    """LPIPS of every frame: (generated, reference) clips uint8 -> float32 [T]."""

    class Config(PairedExtractor.Config):
        """The weights, and the protocol's `pair` section."""

        weights: str = ""
        """Folder or file, see `lpips_weights`; there is no default."""

    name: ClassVar[str] = "lpips"
    version: ClassVar[str] = "1"
    weights_format = LPIPS

    @classmethod
    def describe(cls, protocol: Any) -> str:
        """What becomes of a reference of another size, and which LPIPS."""
        return f"{super().describe(protocol)}|lpips:0.1,alex"

    def resources(self) -> Resources:
        """One GPU."""
        return Resources(vram_gib=2.0)

    def load(self, device: str) -> LpipsSession:
        """The network on a device."""
        reason = self.available(self.config.weights)
        if reason is not None:
            raise WeightsError(f"{self.name}: {reason}")
        return LpipsSession(load_lpips(resolve(self.config.weights, LPIPS)).to(device), self.config, device)


class LpipsSession(ExtractorSession):
    """One forward pass a frame on the CPU, so that values are independent; batches of a clip on a GPU."""

    def __init__(self, network: LpipsNetwork, config: LpipsFrames.Config, device: str) -> None:
        self._network, self._config, self._device = network, config, device
        self._batch = 1 if device == "cpu" else _GPU_BATCH

    def extract_one(self, item: Pair) -> Features:
        """LPIPS float32 [T] of a pair.

        Raises:
            MetricError: clips of the wrong type, of differing numbers of frames, too small, or of differing
                sizes where the protocol refuses that.
        """
        clips = check_pair(item, self._config.resize, who="LPIPS", min_side=MIN_SIDE)
        frames = frame_pairs(*clips)
        values: list[np.ndarray] = []
        while block := list(itertools.islice(frames, self._batch)):
            values.append(self._forward(*(np.stack(side) for side in zip(*block, strict=True))))
        return np.concatenate(values)

    def _forward(self, ours_BHWC: np.ndarray, theirs_BHWC: np.ndarray) -> np.ndarray:
        import torch

        with reference_precision(self._device):
            ours_BCHW, theirs_BCHW = (
                torch.from_numpy(frames).to(self._device).permute(0, 3, 1, 2).contiguous() / 127.5 - 1.0
                for frames in (ours_BHWC, theirs_BHWC)
            )
            distance_B: np.ndarray = self._network(ours_BCHW, theirs_BCHW).float().cpu().numpy()
            return distance_B
