"""Which of a video's frames make a clip: pure rules on timestamps.

Times are exact fractions of seconds since the start of the video. A frame is on screen from its own
timestamp to the next frame's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

from ...core.seeds import generator

T = TypeVar("T")

TOLERANCE_S = Fraction(1, 1000)
"""Containers round timestamps (Matroska: to 1 ms), so equality of times is meant within this."""


@dataclass(frozen=True)
class Shown(Generic[T]):
    """A frame with the time from which it is on screen, and until when by its own word.

    Attributes:
        start_s, end_s: seconds since the start of the video.
        frame: the picture, or None where only times are wanted.
    """

    start_s: Fraction
    end_s: Fraction
    frame: T


def in_window(
    frames: Iterable[Shown[T]], start_s: Fraction | None, end_s: Fraction | None
) -> Iterator[Shown[T]]:
    """The frames that begin in [start_s, end_s); stops at the first one behind it."""
    for shown in frames:
        if end_s is not None and shown.start_s >= end_s - TOLERANCE_S:
            return
        if start_s is None or shown.start_s >= start_s - TOLERANCE_S:
            yield shown


class Every(Generic[T]):
    """Frames 0, stride, 2 stride, ... of those that are shown to it one after the other."""

    def __init__(self, stride: int) -> None:
        self._stride, self._index = stride, -1

    def see(self, shown: Shown[T]) -> Iterator[T]:
        """The frames that are chosen now that `shown` is known."""
        self._index += 1
        if self._index % self._stride == 0:
            yield shown.frame

    def end(self) -> Iterator[T]:
        """The frames that are chosen now that there are no more."""
        return iter(())


class AtRate(Generic[T]):
    """The frame on screen at t0, t0 + step_s, ..., where t0 is when the first frame begins.

    The last frame counts until `end_s`, or until its own end when that comes first.
    """

    def __init__(self, step_s: Fraction, end_s: Fraction | None) -> None:
        self._step_s, self._end_s = step_s, end_s
        self._previous: Shown[T] | None = None
        self._due = Fraction(0)

    def see(self, shown: Shown[T]) -> Iterator[T]:
        """As for `Every`: the frame before, as often as it was due before `shown` begins."""
        previous, self._previous = self._previous, shown
        if previous is None:
            self._due = shown.start_s
            return
        yield from self._until(previous.frame, shown.start_s)

    def end(self) -> Iterator[T]:
        """As for `Every`: the last frame, as often as it is due while it lasts."""
        if self._previous is not None:
            last = self._previous.end_s
            yield from self._until(
                self._previous.frame, last if self._end_s is None else min(last, self._end_s)
            )

    def _until(self, frame: T, time_s: Fraction) -> Iterator[T]:
        while self._due < time_s - TOLERANCE_S:
            self._due += self._step_s
            yield frame


def random_start(
    window: Sequence[Shown[None]],
    num_frames: int,
    stride: int,
    step_s: Fraction | None,
    end_s: Fraction | None,
    seed: int,
) -> Fraction | None:
    """When the clip's first frame begins: uniform among the frames that leave room for the clip.

    Args:
        window: the frames of the window in order of time.
        num_frames, stride, step_s: as for `Every` (step_s None) or `AtRate`.
        end_s: end of the window.
        seed: of the draw.

    Returns:
        The time in seconds, None when no frame leaves room.
    """
    if not window:
        return None
    if step_s is None:
        num_possible = len(window) - (num_frames - 1) * stride
    else:
        last = window[-1].end_s if end_s is None else min(window[-1].end_s, end_s)
        latest = last - TOLERANCE_S - (num_frames - 1) * step_s
        num_possible = sum(shown.start_s < latest for shown in window)
    if num_possible < 1:
        return None
    return window[int(generator("clip start", seed).integers(num_possible))].start_s
