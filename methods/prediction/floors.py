"""What the floors of text-video prediction share: no networks, no text, only the given frames.

A floor keeps the others honest: a method that does not beat it has learned nothing about motion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from ...core.contracts import FrozenConfig
from ...core.types import Frames, Sample
from .given_frames import given_frames


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


class FloorSession:
    """Makes clips from the given frames alone.

    Args:
        name: of the method.
        config: of the method.
        predict: (given frames [k,H,W,3], how many more) -> the frames after them.
        at_least: how many frames must be given.
    """

    def __init__(
        self, name: str, config: FloorConfig, predict: Callable[[Frames, int], Frames], at_least: int = 1
    ) -> None:
        self._name, self._config = name, config
        self._predict, self._at_least = predict, at_least

    def tune(
        self, reference: Frames | None, prompt: str | None, seed: int, *, checkpoint: Path | None = None
    ) -> bytes | None:
        """Nothing is tuned."""
        return None

    def generate(
        self, samples: Sequence[Sample], artifact: bytes | None, seeds: Sequence[int]
    ) -> Iterator[Frames]:
        """One clip [T,H,W,3] uint8 for each sample, in order, lazily, of the size of the given frames
        or, resized at the end and cropped at the centre as models do with what they read, of the settings.

        Seeds change nothing.

        Raises:
            ValueError: the numbers of samples and seeds differ, or an artifact is given.
            DatasetError: on iteration; the sample gives too few frames.
        """
        if len(samples) != len(seeds):
            raise ValueError(f"{len(samples)} samples but {len(seeds)} seeds")
        if artifact is not None:
            raise ValueError("this method tunes nothing, but a tuning artifact was given")
        return map(self._clip, samples)

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        return {"trainable_parameters": 0, "truncated_prompts": 0}

    def _clip(self, sample: Sample) -> Frames:
        import numpy as np

        from ..frames import fit_frames

        given_THW3 = given_frames(sample, self._name, self._config.num_frames, self._at_least)
        more_THW3 = self._predict(given_THW3, self._config.num_frames - len(given_THW3))
        clip_THW3: Frames = np.concatenate([given_THW3, more_THW3])
        height, width = self._config.height, self._config.width
        if height is None or width is None or clip_THW3.shape[1:3] == (height, width):
            return clip_THW3
        fitted = fit_frames(clip_THW3, height, width).round().byte().permute(0, 2, 3, 1)
        return np.ascontiguousarray(fitted.numpy())
