"""Decoding exact frames of a video file, by timestamp, with PyAV.

One decoding pass over the frames that are needed and those before them down to the last key frame.
Frames are RGB as the file declares them (matrix and range; untagged files count as BT.601 limited
range, FFmpeg's rule), turned as its display matrix says. Pixel aspect ratios are left as they are, and of
interlaced files both fields of a frame stay in it, as the `ffmpeg` command has them (`docs/videos.md`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from av.video.frame import VideoFrame

from ...core.errors import TooShortError, VideoError
from ...core.types import ClipRef, Frames
from .file import DisorderedTimesError, frame_times, open_frames
from .frame_selection import TOLERANCE_S, AtRate, Every, Shown, in_window
from .pictures import RgbReader
from .reading import MAX_CLIP_BYTES, Reading, clip_of


def decode_file(
    ref: ClipRef, readings: Sequence[Reading], max_bytes: int = MAX_CLIP_BYTES
) -> list[Frames | VideoError]:
    """Several choices of frames of one window, from one decoding pass.

    Each reading gets the bytes that it gets alone. Decoding stops behind the last frame that any of them
    wants; a frame that several want is converted once; no other frame is kept.

    Args:
        ref: the file and its window in seconds since the start of the file's video.
        readings: at least one.
        max_bytes: a reading whose frames take more memory is refused (4 GiB): at its first frame where it
            names their number, when the limit is reached where it wants all.

    Returns:
        for each reading its frames, uint8 RGB [T,H,W,3], or the error that concerns it alone: too few frames,
        too much memory, or damage behind the last frame of the others.

    Raises:
        VideoError: the window is out of range.
    """
    _check_window(ref)
    results = _decode(ref, readings, max_bytes, by_order=False)
    again = [index for index, result in enumerate(results) if isinstance(result, DisorderedTimesError)]
    if again:
        mended = _decode(ref, [readings[index] for index in again], max_bytes, by_order=True)
        for index, result in zip(again, mended, strict=True):
            results[index] = result
    return results


def _decode(
    ref: ClipRef, readings: Sequence[Reading], max_bytes: int, by_order: bool
) -> list[Frames | VideoError]:
    """As `decode_file`, with the frames' own times or by order, for which a `DisorderedTimesError` asks."""
    end_s = None if ref.end_s is None else Fraction(ref.end_s)
    results: dict[int, Frames | VideoError] = {}
    starts: dict[int, Fraction | None] = {}
    window: list[Shown[None]] | None = None
    for index, reading in enumerate(readings):
        try:
            if reading.start != "first" and window is None:
                window = _timestamps(ref, end_s, by_order)
            starts[index] = _first_time(ref, reading, end_s, window)
        except VideoError as error:
            results[index] = error
    has_window = (ref.start_s, ref.end_s) != (None, None)
    source = _Source(ref.path, has_window, end_s, by_order)
    for index, choice in _choices(source, readings, starts, max_bytes).items():
        results[index] = _clip(ref, readings[index], choice)
    return [results[index] for index in range(len(readings))]


_TOO_SHORT_HINT = "the file may be cut off; or ask for fewer frames, or leave the video out"
_TOO_LARGE_HINT = "cut the video, or measure it with metrics that read its first frames only"


def _timestamps(ref: ClipRef, end_s: Fraction | None, by_order: bool) -> list[Shown[None]]:
    """The times of the frames of the window."""
    start_s = None if ref.start_s is None else Fraction(ref.start_s)
    return list(in_window(frame_times(ref.path, by_order), start_s, end_s))


def _first_time(
    ref: ClipRef, reading: Reading, end_s: Fraction | None, window: Sequence[Shown[None]] | None
) -> Fraction | None:
    """Where the clip's first frame may begin, in seconds; None for the start of the file.

    Raises:
        VideoError: a seeded start is wanted, and the window is too short for any.
    """
    if reading.start == "first":
        return None if ref.start_s is None else Fraction(ref.start_s)
    assert window is not None
    drawn = reading.drawn_start(window, end_s)
    if drawn is None:
        raise TooShortError(
            f"{_name(ref)} has {len(window)} frames, too few for {reading.num_frames} ({reading})",
            reading.shortage_hint(),
        )
    return drawn


class _Source(NamedTuple):
    """What is decoded: a file, until `end_s`; `by_order` see `file.decode`."""

    path: Path
    has_window: bool
    end_s: Fraction | None
    by_order: bool


def _choices(
    source: _Source,
    readings: Sequence[Reading],
    starts: Mapping[int, Fraction | None],
    max_bytes: int,
) -> dict[int, _Choice]:
    """What each reading gets: from one decoding pass, where the file is sound.

    A seek serves where every reading begins later than the file does; a file that cannot be entered in the
    middle is read from its start. Where damage ends the common pass, the readings that are not done are read
    alone: what one gets by entering behind it must not depend on the others.
    """

    def read(indices: Collection[int], seek_s: Fraction | None) -> dict[int, _Choice]:
        choices = {}
        for index in indices:
            rule: Every[VideoFrame] | AtRate[VideoFrame] = readings[index].rule(source.end_s)
            timed = source.has_window or readings[index].fps is not None
            choices[index] = _Choice(rule, starts[index], readings[index].num_taken, max_bytes, timed)
        _pass(source, list(choices.values()), seek_s)
        return choices

    if not starts:
        return {}
    if source.by_order:  # frames are counted from the first one
        return read(starts, None)
    known = [start_s for start_s in starts.values() if start_s]
    earliest = min(known) if len(known) == len(starts) else None
    found = read(starts, earliest)
    broken = [index for index, choice in found.items() if choice.is_broken]
    if len(starts) > 1:
        for index in broken:
            alone = read([index], starts[index])[index] if starts[index] else found[index]
            if not alone.is_broken:
                found[index] = alone
        broken = [index for index in broken if found[index].is_broken]
    return found | read(broken, None) if broken and earliest is not None else found


def _pass(source: _Source, choices: Sequence[_Choice], seek_s: Fraction | None) -> None:
    """Show the frames of the file to all choices, until they are done; marks those that damage cut short."""
    try:
        with open_frames(source.path, source.by_order, seek_s) as video:
            if not video.is_timed:
                for choice in choices:
                    choice.error = choice.error or (_untimed(source.path) if choice.needs_times else None)
            pictures = _Pictures(source.path)
            for shown in in_window(video.frames, None, source.end_s):
                for choice in choices:
                    choice.see(shown, pictures)
                if all(choice.is_done for choice in choices):
                    break
                pictures.forget()
            for choice in choices:
                choice.end(pictures)
    except VideoError as error:
        for choice in choices:
            if not choice.is_done:
                choice.error, choice.is_broken = error, True


def _untimed(path: Path) -> VideoError:
    return VideoError(
        f"{str(path)!r} states no frame rate, so it cannot be told which of its frames belong to a time",
        "put it into a container with its rate: ffmpeg -framerate 24 -i IN -c copy OUT.mkv",
    )


class _Pictures:
    """RGB pictures of the frames in hand: a frame that is wanted several times is converted once."""

    def __init__(self, path: Path) -> None:
        self._path, self._reader = path, RgbReader()
        self._kept: dict[int, tuple[VideoFrame, np.ndarray]] = {}
        self._used: set[int] = set()

    def of(self, frame: VideoFrame) -> np.ndarray:
        """uint8 [H,W,3]."""
        key = id(frame)
        if key not in self._kept:
            self._kept[key] = (frame, self._reader.rgb(self._path, frame))
        self._used.add(key)
        return self._kept[key][1]

    def forget(self) -> None:
        """Drop the pictures that the last step did not use: by rate, only the newest can be wanted again."""
        self._kept = {key: kept for key, kept in self._kept.items() if key in self._used}
        self._used.clear()


@dataclass
class _Choice:
    """What one reading has got so far."""

    rule: Every[VideoFrame] | AtRate[VideoFrame]
    start_s: Fraction | None
    num_frames: int | None
    max_bytes: int
    needs_times: bool
    pictures: list[np.ndarray] = field(default_factory=list)
    error: VideoError | None = None
    is_broken: bool = False
    num_seen: int = 0
    first_s: Fraction | None = None
    last_s: Fraction = Fraction(0)
    """The span of the frames that were seen, for messages."""

    @property
    def is_done(self) -> bool:
        """Whether no further frame is wanted."""
        return self.error is not None or len(self.pictures) == self.num_frames

    def see(self, shown: Shown[VideoFrame], pictures: _Pictures) -> None:
        """Take from the next frame in order of time, and from the one before it, what the rule says."""
        if not self.is_done and (self.start_s is None or shown.start_s >= self.start_s - TOLERANCE_S):
            self.num_seen += 1
            self.first_s = shown.start_s if self.first_s is None else self.first_s
            self.last_s = shown.end_s
            self._take(self.rule.see(shown), pictures)

    def end(self, pictures: _Pictures) -> None:
        """There are no more frames."""
        if not self.is_done:
            self._take(self.rule.end(), pictures)

    def _take(self, frames: Iterable[VideoFrame], pictures: _Pictures) -> None:
        for frame in frames:
            if self.is_done:
                return
            try:
                picture = pictures.of(frame)
            except VideoError as error:
                self.error = error
                return
            if self.pictures and picture.shape != self.pictures[0].shape:
                self.error = VideoError(
                    f"the video changes its size from {_size(self.pictures[0])} to {_size(picture)}",
                    "leave it out",
                )
            elif (len(self.pictures) + 1) * picture.nbytes > self.max_bytes:
                self.error = VideoError(
                    f"the clip has more than {len(self.pictures)} frames of {_size(picture)}, which is all "
                    f"that {self.max_bytes / 2**30:g} GiB hold",
                    _TOO_LARGE_HINT,
                )
            elif self.num_frames is not None and self.num_frames * picture.nbytes > self.max_bytes:
                self.error = VideoError(
                    f"{self.num_frames} frames of {_size(picture)} take more than "
                    f"{self.max_bytes / 2**30:g} GiB",
                    _TOO_LARGE_HINT,
                )
            else:
                self.pictures.append(picture)


def _clip(ref: ClipRef, reading: Reading, choice: _Choice) -> Frames | VideoError:
    """The clip of a reading, or why there is none."""
    pictures = choice.pictures
    if choice.error is not None:
        if isinstance(choice.error, DisorderedTimesError):
            return choice.error
        message = choice.error.message
        named = message if str(ref.path) in message else f"{_name(ref)}: {message}"
        return VideoError(named, choice.error.hint)
    if not pictures:
        return VideoError(f"{_name(ref)} holds no frame", _TOO_SHORT_HINT)
    if (shortage := reading.shortage(len(pictures))) is not None:
        length_s = None if choice.first_s is None else float(choice.last_s - choice.first_s)
        lasts = f" ({choice.num_seen} frames in {length_s:.2f} s)" if reading.fps and length_s else ""
        return TooShortError(f"{_name(ref)}{lasts} {shortage}", reading.shortage_hint())
    return clip_of(reading, pictures)


def _check_window(ref: ClipRef) -> None:
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
