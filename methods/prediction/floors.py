"""The floors of text-video prediction: no networks, no text, only the given frames.

A method that does not beat a floor has learned nothing about motion. Here are what floors share and the
simplest one, the repeated last frame; the other one is in `methods.prediction.constant_velocity`.

Shape suffixes: T frames, H height, W width, 3 RGB.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from ...core.contracts import FrozenConfig, Method, Session
from ...core.types import Conditioning, Frames, Resources, Sample
from ..frames import frames_at_size, given_frames
from ..pipelines import ClipSession


class FloorConfig(FrozenConfig):
    """Settings of a floor."""

    num_frames: int = Field(default=16, ge=2)
    """Frames of a clip, the given ones included."""

    height: int | None = Field(default=None, ge=1)
    """Height of the clip in pixels; None keeps the given frames' size. A comparison with a model of smaller
    frames is fair at the model's size only: sharper frames alone are a better FVD and PSNR."""

    width: int | None = Field(default=None, ge=1)
    """Width of the clip in pixels; set together with `height`."""

    @model_validator(mode="after")
    def _both_sides(self) -> Self:
        if (self.height is None) != (self.width is None):
            raise ValueError(
                f"height is {self.height} and width is {self.width}: set both, or neither to keep the size"
            )
        return self


class Floor(Method):
    """A method that makes clips from the given frames alone; seeds change nothing."""

    Config = FloorConfig
    conditioning: ClassVar[Conditioning] = Conditioning.TEXT_AND_FRAMES
    config: FloorConfig

    @abstractmethod
    def predict(self, given_THW3: Frames, num_frames: int) -> Frames:
        """So many frames after the given ones, uint8 [num_frames,H,W,3]."""

    def resources(self) -> Resources:
        """No GPU."""
        return Resources(num_gpus=0.0)

    def load(self, device: str) -> Session:
        """Loads nothing: a floor has no weights."""
        return FloorSession(self.name, self.config, self.predict, self.min_context_frames)


class RepeatLastFrame(Floor):
    """Repeats the last given frame: the floor of text-video prediction that knows no motion.

    Nothing moves, so that pixel metrics near the given frames are good, and FVD is not.
    """

    name: ClassVar[str] = "repeat-last-frame"
    version: ClassVar[str] = "1"

    def predict(self, given_THW3: Frames, num_frames: int) -> Frames:
        """Repeats the last given frame."""
        return np.repeat(given_THW3[-1:], num_frames, axis=0)


class FloorSession(ClipSession):
    """Makes clips of the size of the given frames or, resized at the end and cropped at the centre as models
    do with what they read, of the settings.

    Args:
        name, config: of the method.
        predict: see `Floor.predict`.
        at_least: how many frames must be given.
    """

    def __init__(
        self, name: str, config: FloorConfig, predict: Callable[[Frames, int], Frames], at_least: int
    ) -> None:
        self._name, self._config = name, config
        self._predict, self._at_least = predict, at_least

    def _clip(self, sample: Sample, seed: int) -> Frames:
        config = self._config
        given_THW3 = given_frames(sample, self._name, config.num_frames, self._at_least)
        more_THW3 = self._predict(given_THW3, config.num_frames - len(given_THW3))
        clip_THW3: Frames = np.concatenate([given_THW3, more_THW3])
        if config.height is None or config.width is None:
            return clip_THW3
        if clip_THW3.shape[1:3] == (config.height, config.width):
            return clip_THW3
        return frames_at_size(clip_THW3, config.height, config.width)
