"""Exact frames of a video file, by timestamp, with PyAV.

One decoding pass over the frames that are needed and those before them down to the last key frame.
Frames are RGB as the file declares them (matrix and range; untagged files count as BT.601 limited
range, FFmpeg's rule, with its default bilinear chroma), turned as its display matrix says. Pixel
aspect ratios and interlacing are left as they are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.video.frame import VideoFrame

from ..core.errors import VideoError
from ..core.types import ClipRef, Frames
from .frame_selection import TOLERANCE_S, at_rate, every, in_window, random_start
from .video_file import DAMAGED_HINT, RgbReader, decode, open_video, seek, timestamps


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says of itself.

    Attributes:
        duration_s: seconds, None when the container does not say.
        fps: average frames per second, None when unknown.
        num_frames: None when the container does not say (Matroska, WebM).
        width, height: of the frames as `read_clip` gives them, in pixels.
        codec: FFmpeg's name of the codec ("h264").
    """

    duration_s: float | None
    fps: float | None
    num_frames: int | None
    width: int
    height: int
    codec: str


def probe(path: Path) -> VideoInfo:
    """Duration, rate, frame count and size; decodes one frame.

    Raises:
        VideoError: missing, empty, not a video, audio only, or its first frame cannot be decoded.
    """
    with open_video(path) as (container, stream):
        first = next(decode(path, container, stream), None)
        if first is None:
            raise VideoError(f"{str(path)!r} holds no frame", DAMAGED_HINT)
        height, width = RgbReader().rgb(path, first.frame).shape[:2]
        duration_s: float | None = None
        if stream.duration is not None and stream.time_base is not None:
            duration_s = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            duration_s = container.duration / av.time_base
        fps = float(stream.average_rate) if stream.average_rate else None
        return VideoInfo(duration_s, fps, stream.frames or None, width, height, stream.codec_context.name)


def read_clip(
    ref: ClipRef,
    num_frames: int | None = None,
    stride: int | None = None,
    fps: float | None = None,
    start: Literal["first"] | int = "first",
    num_threads: int = 1,
) -> Frames:
    """Frames of a clip, uint8 RGB [T,H,W,3].

    Without `fps`, frames are counted as stored: every `stride`-th. With `fps`, frame k is the one on
    screen k * stride / fps seconds after the first, by the timestamps, whatever the stored rate
    (frames repeat when `fps` is above it); so `stride` counts frames of the resampled video.

    The first frame is the first one that begins at or after the window's start.

    Args:
        ref: the file and its window in seconds since the start of the file's video.
        num_frames: T; None for all frames of the window.
        stride: at least 1; None is 1.
        fps: resample to this rate; None keeps the stored frames.
        start: "first", or a seed that draws the first frame uniformly among those that leave room for
            the clip. Derive it per sample (`core.seeds.derive_seed`). The whole file is then read once
            more, but not decoded, for its timestamps.
        num_threads: decoder threads; many videos side by side want 1.

    Raises:
        VideoError: missing, empty, not a video, audio only, damaged, fewer frames than asked for, or
            an argument out of range.
    """
    _check_arguments(ref, num_frames, stride, fps, start)
    step = 1 if stride is None else stride
    step_s = None if fps is None else step / Fraction(fps).limit_denominator(100_000)
    start_s = None if ref.start_s is None else Fraction(ref.start_s)
    end_s = None if ref.end_s is None else Fraction(ref.end_s)
    rule = f"stride {step}" + (f" at {fps:g} fps" if fps is not None else "")

    if start != "first":
        assert num_frames is not None  # checked above
        with open_video(ref.path) as (container, stream):
            window = list(in_window(timestamps(ref.path, container, stream), start_s, end_s))
        start_s = random_start(window, num_frames, step, step_s, end_s, start)
        if start_s is None:
            raise VideoError(
                f"{_name(ref)} has {len(window)} frames, too few for {num_frames} ({rule})", _TOO_SHORT_HINT
            )

    window_of = _Window(ref.path, start_s, end_s, step, step_s, num_frames, num_threads)
    frames = window_of.read_sought() if start_s else None
    if frames is None:
        frames = window_of.read(sought=False)
    assert frames is not None
    if not frames:
        raise VideoError(f"{_name(ref)} holds no frame", _TOO_SHORT_HINT)
    if num_frames is not None and len(frames) < num_frames:
        raise VideoError(
            f"{_name(ref)} gives {len(frames)} of the {num_frames} frames asked for ({rule})", _TOO_SHORT_HINT
        )
    return np.stack(frames)


_TOO_SHORT_HINT = "the file may be cut off; or ask for fewer frames, or leave the video out"


@dataclass(frozen=True)
class _Window:
    """One clip to be read: the arguments of `read_clip` made exact."""

    path: Path
    start_s: Fraction | None
    end_s: Fraction | None
    step: int
    step_s: Fraction | None
    num_frames: int | None
    num_threads: int

    def read_sought(self) -> list[np.ndarray] | None:
        """The frames, decoded from the key frame before the window; None when that does not work."""
        try:
            return self.read(sought=True)
        except VideoError:
            # Some files cannot be entered in the middle. Whether this one is damaged is told by
            # reading it from the start.
            return None

    def read(self, sought: bool) -> list[np.ndarray] | None:
        """At most `num_frames` pictures [H,W,3]; None when the seek landed behind the start."""
        with open_video(self.path, self.num_threads) as (container, stream):
            frames = decode(self.path, container, stream)
            if sought:
                assert self.start_s is not None
                first = next(frames, None) if seek(container, stream, self.start_s) else None
                if first is None or first.start_s > self.start_s + TOLERANCE_S:
                    return None
                frames = itertools.chain([first], frames)
            inside = in_window(frames, self.start_s, self.end_s)
            if self.step_s is None:
                chosen = every(inside, self.step)
            else:
                chosen = at_rate(inside, self.step_s, self.end_s)
            return self._pictures(itertools.islice(chosen, self.num_frames))

    def _pictures(self, chosen: Iterator[VideoFrame]) -> list[np.ndarray]:
        reader = RgbReader()
        pictures: list[np.ndarray] = []
        last: VideoFrame | None = None
        for frame in chosen:
            # A frame that is shown twice is converted once.
            picture = pictures[-1] if frame is last else reader.rgb(self.path, frame)
            last = frame
            if pictures and picture.shape != pictures[0].shape:
                raise VideoError(
                    f"{str(self.path)!r} changes its size from {_size(pictures[0])} to {_size(picture)}",
                    "leave it out",
                )
            pictures.append(picture)
        return pictures


def _check_arguments(
    ref: ClipRef, num_frames: int | None, stride: int | None, fps: float | None, start: str | int
) -> None:
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
    for name, value in (("start_s", ref.start_s), ("end_s", ref.end_s)):
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise VideoError(f"{name} of the window must be a time of 0 s or later, got {value}")
    if ref.start_s is not None and ref.end_s is not None and ref.end_s <= ref.start_s:
        raise VideoError(f"the window must end after it starts, got {ref.start_s} s to {ref.end_s} s")


def _name(ref: ClipRef) -> str:
    if ref.start_s is None and ref.end_s is None:
        return repr(str(ref.path))
    end = "its end" if ref.end_s is None else f"{ref.end_s:g} s"
    return f"{str(ref.path)!r} from {ref.start_s or 0:g} s to {end}"


def _size(picture_HWC: np.ndarray) -> str:
    return f"{picture_HWC.shape[1]} x {picture_HWC.shape[0]}"
