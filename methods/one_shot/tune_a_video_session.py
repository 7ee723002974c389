"""Tune-A-Video with its pipeline on a device: an inflated UNet as the model of a one-shot session.

Apart from `tune_a_video`, because a method file imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import torch
from torch import nn

from .inflated_unet import Inflation
from .session import OneShotSession, VideoModel
from .tune_a_video import TuneAVideo

FORMAT = "reelbench-tune-a-video-1"
"""Written into every artifact; another number is another layout."""


class TuneAVideoSession(OneShotSession):
    """Loads a pipeline, tunes on references, and makes one clip after the other from an artifact.

    Args:
        config: of the method.
        device: "cpu", "cuda" or "cuda:0".

    Raises:
        WeightsError: the pipeline is missing, malformed or has a UNet that cannot be inflated.
        RunFileError: `inflation.trains` names something that the UNet does not have.
    """

    method: ClassVar[str] = TuneAVideo.name
    format: ClassVar[str] = FORMAT

    def __init__(self, config: TuneAVideo.Config, device: str) -> None:
        super().__init__(config, device)
        self._inflation = config.inflation
        self._structure = Inflation(self.pipeline.unet, config.inflation, device="meta")

    def video_model(self, seed: int) -> VideoModel:
        """The inflated UNet; the seed is that of temporal attention."""
        unet = self.pipeline.unet
        return InflatedUNet(unet, Inflation(unet, self._inflation, seed), self._settings.num_frames)

    @property
    def trainable_parameters(self) -> int:
        """How many numbers a tuning trains."""
        return self._structure.num_parameters


class InflatedUNet:
    """An inflation with the UNet that it is for.

    Args:
        unet: of the pipeline.
        inflation: built for it.
        num_frames: of a clip.
    """

    def __init__(self, unet: Any, inflation: Inflation, num_frames: int) -> None:
        self._unet, self._inflation, self._num_frames = unet, inflation, num_frames

    @property
    def trained(self) -> Mapping[str, nn.Parameter]:
        return self._inflation.trained

    def attached(self, prompts: Sequence[str]) -> AbstractContextManager[None]:
        """Prompts reach the UNet by its cross-attention; inflation has no other use for them."""
        return self._inflation.attached(self._unet, self._num_frames)

    def to(self, dtype: torch.dtype) -> None:
        self._inflation.to(dtype)

    def stored(self) -> dict[str, torch.Tensor]:
        return dict(self._inflation.trained)

    def load(self, tensors: Mapping[str, torch.Tensor], source: str) -> None:
        self._inflation.load(tensors, source)
