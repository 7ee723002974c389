"""The extractor of FVD's and KVD's features: I3D logits of a clip.

Unterthiner et al., "Towards Accurate Generative Models of Video" (2018), as run by the reference
implementation: frames to 224 pixels and [-1, 1], logits averaged over time, no softmax. Every choice
on the way (resize, frames, BatchNorm epsilon) is the protocol's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from ....core.contracts import Extractor, ExtractorSession, FrozenConfig
from ....core.errors import MetricError
from ....core.types import Features, Frames, Resources
from ....core.weights import resolve, split_pin
from ...settings import I3dSettings, ResizeStep
from ..backbone import check_frames, reference_precision, resize_frames
from .weights import I3D, detect_format, load_i3d, load_i3d_program

if TYPE_CHECKING:
    from .network import I3dProgram, InceptionI3d

MIN_FRAMES = 9
"""The network's last pool spans two positions in time, which 8 frames do not give."""

_GPU_BATCH = 16
"""Clips in one forward pass on a GPU; about 0.1 GiB of activations each at full size."""


class I3dLogits(Extractor):
    """I3D logits: video [T, H, W, 3] uint8 -> float32 [K]."""

    class Config(FrozenConfig):
        """Weights, and the protocol's settings from frames to logits."""

        weights: str = "sprites/i3d"
        """Folder, state-dict file, or pinned TorchScript file; see `weights`."""
        num_frames: int | None = Field(default=16, ge=1)
        """The first so many frames are read and fewer are refused; None reads all there are."""
        resize: tuple[ResizeStep, ...] = I3dSettings().resize
        batchnorm_epsilon: float = 1e-3

    name: ClassVar[str] = "i3d"
    version: ClassVar[str] = "1"
    modality: ClassVar[str] = "video"
    weights_format = I3D

    @classmethod
    def protocol_settings(cls, protocol: Any) -> dict[str, Any]:
        """Frames, resize and epsilon."""
        return {
            "num_frames": protocol.sampling.num_frames,
            "resize": protocol.i3d.resize,
            "batchnorm_epsilon": protocol.i3d.batchnorm_epsilon,
        }

    @classmethod
    def describe(cls, protocol: Any) -> str:
        """Resize and epsilon."""
        settings: I3dSettings = protocol.i3d
        return settings.describe()

    def resources(self) -> Resources:
        """One GPU; activations take most of the memory."""
        return Resources(vram_gib=4.0)

    def load(self, device: str) -> I3dSession:
        """The network, or the program where the location pins one.

        Raises:
            MetricError: the protocol measures fewer frames than the network needs.
        """
        if self.config.num_frames is not None and self.config.num_frames < MIN_FRAMES:
            raise MetricError(
                f"I3D needs at least {MIN_FRAMES} frames, the protocol measures {self.config.num_frames}",
                f"set sampling.num_frames to {MIN_FRAMES} or more, or leave out FVD and KVD",
            )
        path, epsilon = resolve(self.config.weights, I3D), self.config.batchnorm_epsilon
        network: InceptionI3d | I3dProgram
        if detect_format(path) == "torchscript":
            network = load_i3d_program(path, split_pin(self.config.weights)[1], epsilon)
        else:
            network = load_i3d(path, epsilon)
        return I3dSession(network.to(device), self.config, device)


class I3dSession(ExtractorSession):
    """The network on a device.

    On the CPU every clip is its own forward pass: by a batch's size kernels choose their order of summation,
    so its neighbours would change a clip's last bits. On a GPU clips of one length are batched.
    """

    min_frames = MIN_FRAMES

    def __init__(self, network: InceptionI3d | I3dProgram, config: I3dLogits.Config, device: str) -> None:
        self._network, self._config, self._device = network, config, device
        self._batch = 1 if device == "cpu" else _GPU_BATCH

    def extract(self, inputs: Sequence[Frames]) -> list[Features]:
        """Logits float32 [K] of each clip, in order.

        Raises:
            MetricError: a clip is not uint8 [T, H, W, 3], or has too few frames.
        """
        clips = [self._cut(clip) for clip in inputs]
        features: list[Features | None] = [None] * len(clips)
        by_length: dict[int, list[int]] = {}
        for index, clip in enumerate(clips):
            by_length.setdefault(len(clip), []).append(index)
        for indices in by_length.values():
            for start in range(0, len(indices), self._batch):
                chosen = indices[start : start + self._batch]
                for index, row in zip(chosen, self._forward([clips[i] for i in chosen]), strict=True):
                    features[index] = row
        return [row for row in features if row is not None]

    def _cut(self, clip: Frames) -> Frames:
        wanted = self._config.num_frames
        check_frames(clip, min_frames=max(MIN_FRAMES, wanted or 0), who=f"I3D ({wanted or 'all'} frames)")
        return clip[:wanted]

    def _forward(self, clips: Sequence[Frames]) -> np.ndarray:
        import torch

        with reference_precision(self._device):
            frames = [resize_frames(clip, self._config.resize, 224, self._device) for clip in clips]
            video_BCTHW = torch.stack(frames).transpose(1, 2) / 127.5 - 1.0
            logits_BK: np.ndarray = self._network(video_BCTHW).float().cpu().numpy()
            return logits_BK
