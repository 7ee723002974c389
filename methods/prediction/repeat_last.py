"""Repeat the last given frame: the floor of text-video prediction that knows no motion.

Nothing moves, so that pixel metrics near the given frames are good, and FVD is not.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ...core.contracts import Session
from ...core.types import Conditioning, Frames, Resources, WeightsRef
from .floors import FloorConfig, FloorSession


class RepeatLastFrame:
    """Repeats the last given frame: the floor of text-video prediction that knows no motion."""

    class Config(FloorConfig):
        """Settings of the floor."""

    name: ClassVar[str] = "repeat-last-frame"
    version: ClassVar[str] = "1"
    conditioning: ClassVar[Conditioning] = Conditioning.TEXT_AND_FRAMES

    def __init__(self, config: Config) -> None:
        self.config = config

    def resources(self) -> Resources:
        """No GPU."""
        return Resources(num_gpus=0.0)

    def weights(self) -> tuple[WeightsRef, ...]:
        """None."""
        return ()

    def load(self, device: str) -> Session:
        return FloorSession(self.name, self.config, repeat_last)


def repeat_last(given_THW3: Frames, num_frames: int) -> Frames:
    """The last of the given frames so many times, uint8 [num_frames,H,W,3]."""
    return np.repeat(given_THW3[-1:], num_frames, axis=0)
