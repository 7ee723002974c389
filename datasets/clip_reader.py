"""Which frames of a data set's clips a training reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..core.errors import RunFileError, TooShortError, VideoError
from ..core.types import Frames, Sample
from .video import read_clip

FramesRead = Literal["first", "spread", "seer"]


@dataclass(frozen=True)
class ClipReader:
    """Which frames of a sample's reference make a clip. It should be what the benchmark reads.

    Attributes:
        frames: "first" takes the first ones; "spread" spreads them over the whole clip; "seer" blends all to
            so many, as a protocol of `frames: seer` does, at the stride of the sample's clip.
        stride: of "first": every so many frames.
        fps: of "first" and "spread": the clip is resampled to this rate first; None keeps the stored frames.

    Raises:
        RunFileError: a stride or a rate is given where it would not be applied.
    """

    frames: FramesRead = "first"
    stride: int | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.stride is not None and self.frames != "first":
            raise RunFileError(f"a stride is of the first frames, not of {self.frames!r}; got {self.stride}")
        if self.fps is not None and self.frames == "seer":
            raise RunFileError(f"'seer' blends all frames, whatever their rate; got {self.fps:g} fps")

    def __str__(self) -> str:
        return f"{self.frames}, stride {self.stride}, fps {self.fps}"

    def __call__(self, sample: Sample, num_frames: int) -> Frames:
        """The frames of a sample's clip, uint8 [num_frames,H,W,3].

        Raises:
            VideoError: there is no reference, or it cannot be read, or is too short.
        """
        ref, given = sample.reference, sample.num_context_frames
        if ref is None:
            raise VideoError(f"the sample {sample.id!r} has no clip", "train on a data set with videos")
        if self.frames == "first":
            return read_clip(ref, num_frames, self.stride, self.fps, num_given=given)
        if self.frames == "seer":
            return read_clip(ref, num_frames, ref.blend_stride, frames="seer", num_given=given)
        frames_THW3 = read_clip(ref, fps=self.fps, num_given=given)
        if len(frames_THW3) < num_frames:
            raise TooShortError(f"{len(frames_THW3)} frames, too few for {num_frames}")
        return frames_THW3[np.rint(np.linspace(0, len(frames_THW3) - 1, num_frames)).astype(int)]
