"""What is wanted of a clip, and what becomes of the frames that were taken: for files and folders alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from ...core.errors import VideoError
from ...core.types import Frames
from .frame_selection import AtRate, Every, Shown, T, random_start
from .temporal_interpolation import seer_frames, seer_squares

MAX_CLIP_BYTES = 4 * 2**30
"""A reading whose frames would take more memory than this is refused."""


@dataclass(frozen=True)
class Reading:
    """Which frames of a clip's window are wanted.

    Without `fps`, frames are counted as stored: every `stride`-th. With `fps`, frame k is the one on screen
    k * stride / fps seconds after the first, whatever the stored rate (frames repeat when `fps` is above it).
    The first frame is the first one that begins at or after the window's start.

    Attributes:
        num_frames: T; None for all frames of the window.
        stride: at least 1; None is 1.
        fps: resample to this rate, 0.001 to 1000; None keeps the stored frames.
        start: "first", or a seed that draws the first frame uniformly among those that leave room for the
            clip (which needs `num_frames`). Derive it per sample (`core.seeds.derive_seed`). A file is then
            read once more, but not decoded, for its timestamps.
        frames: "exact", or "seer": all frames of the window, or every `stride`-th, are blended to
            `num_frames` (`temporal_interpolation`). A shorter clip is no failure then: it ends in grey.
        blend_side: with "seer": the clip is squares of this side, as Seer measures it (`seer_squares`).
        num_given: so many first frames are given to a method that predicts the others. A window that gives no
            frame behind them is too short, whatever is made of short ones. Changes no frame.

    Raises:
        VideoError: a value is out of range, or values exclude each other.
    """

    num_frames: int | None = None
    stride: int | None = None
    fps: float | None = None
    start: Literal["first"] | int = "first"
    frames: Literal["exact", "seer"] = "exact"
    num_given: int = 0
    blend_side: int | None = None

    def __post_init__(self) -> None:
        num_frames, stride, fps, start = self.num_frames, self.stride, self.fps, self.start
        if num_frames is not None and num_frames < 1:
            raise VideoError(f"num_frames must be at least 1, got {num_frames}")
        if stride is not None and stride < 1:
            raise VideoError(f"stride must be at least 1, got {stride}")
        if fps is not None and not 1e-3 <= fps <= 1000:
            raise VideoError(f"fps must be from 0.001 to 1000, got {fps}")
        if isinstance(start, str) and start != "first":
            raise VideoError(f"start must be 'first' or a seed, got {start!r}")
        if start != "first" and num_frames is None:
            raise VideoError("a seeded start needs num_frames: all frames leave no choice of a start")
        if self.frames not in ("exact", "seer"):
            raise VideoError(f"frames must be 'exact' or 'seer', got {self.frames!r}")
        if self.frames == "seer" and (num_frames is None or fps is not None or start != "first"):
            raise VideoError(
                "frames 'seer' blends all frames to num_frames: it needs that, and neither fps nor a seeded "
                f"start; got num_frames {num_frames}, fps {fps}, start {start}"
            )
        if self.blend_side is not None and (self.frames != "seer" or self.blend_side < 1):
            raise VideoError(
                f"blend_side must be at least 1 and goes with frames 'seer'; got {self.blend_side}"
            )
        if self.num_given < 0 or (num_frames is not None and self.num_given >= num_frames):
            most = "" if num_frames is None else f" and less than num_frames, {num_frames}"
            raise VideoError(f"num_given must be at least 0{most}; got {self.num_given}")

    @property
    def num_taken(self) -> int | None:
        """How many frames of the window are taken; None for all of them."""
        return None if self.frames == "seer" else self.num_frames

    @property
    def step(self) -> int:
        """The stride as a number."""
        return 1 if self.stride is None else self.stride

    @property
    def step_s(self) -> Fraction | None:
        """Seconds from one frame to the next; None where frames are counted as stored."""
        return None if self.fps is None else self.step / exact_rate(self.fps)

    def rule(self, end_s: Fraction | None) -> Every[T] | AtRate[T]:
        """What chooses among the frames that are shown to it from the first one on, until `end_s`."""
        return Every(self.step) if self.step_s is None else AtRate(self.step_s, end_s)

    def drawn_start(self, window: Sequence[Shown[None]], end_s: Fraction | None) -> Fraction | None:
        """When the first frame of a seeded start begins, in seconds; None where the window is too short.

        Args:
            window: the frames of the window in order of time, which ends at `end_s`.
        """
        assert self.start != "first"
        assert self.num_frames is not None  # refused without it
        return random_start(window, self.num_frames, self.step, self.step_s, end_s, self.start)

    def shortage(self, found: int) -> str | None:
        """What is wrong with a window that gives so many frames, in words that follow its name; None where
        they are enough."""
        if 0 < found <= self.num_given:
            return (
                f"gives {found} frame{'s' if found > 1 else ''}, and the first {self.num_given} are for the "
                "method: none is left to predict"
            )
        if self.num_taken is not None and found < self.num_taken:
            return f"gives {found} of the {self.num_taken} frames asked for ({self})"
        return None

    def shortage_hint(self) -> str:
        """What to do about a sound window that gives too few frames."""
        if self.fps is None or self.num_taken is None:
            return "the file may be cut off; or ask for fewer frames, or leave the video out"
        length_s = float(self.num_taken * self.step / exact_rate(self.fps))
        return (
            f"{self.num_taken} frames at {self.fps / self.step:g} a second take {length_s:.3g} s of a clip; "
            "if the rate of generated clips is only a label, `--generated-rate stored` takes every stored "
            "frame; else take a protocol of their rate, or of fewer frames"
        )

    def __str__(self) -> str:
        return f"stride {self.step}" + (f" at {self.fps:g} fps" if self.fps is not None else "")


def exact_rate(fps: float) -> Fraction:
    """Frames per second as a fraction: 29.97 is 2997/100."""
    return Fraction(fps).limit_denominator(100_000)


def clip_of(reading: Reading, pictures: list[np.ndarray]) -> Frames:
    """The clip that a reading makes of the pictures [H,W,3] it took, uint8 [T,H,W,3]: of a file and of a
    folder alike, the one place where frames are blended. Empties the list."""
    clip_THW3 = stacked(pictures)
    if reading.frames == "exact":
        return clip_THW3
    assert reading.num_frames is not None  # a Reading without it is refused
    if reading.blend_side is not None:
        return seer_squares(clip_THW3, reading.num_frames, reading.blend_side)
    return seer_frames(clip_THW3, reading.num_frames)


def stacked(pictures: list[np.ndarray]) -> Frames:
    """The pictures as one array; empties the list, so that no clip is in memory twice."""
    clip = np.empty((len(pictures), *pictures[0].shape), np.uint8)
    pictures.reverse()
    for row_HWC in clip:
        row_HWC[...] = pictures.pop()
    return clip
