"""Reading a reference clip, whether it is a video file or a folder of pictures.

A file's window is in seconds, a folder's in frame numbers: those in the pictures' names, so that the numbers
of an annotation are taken literally, whatever number the first picture has.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...core.errors import TooShortError, VideoError
from ...core.file_digests import FileDigests
from ...core.hashing import digest
from ...core.types import ClipRef, Frames
from .decoding import decode_file
from .digest import video_digest
from .file import DAMAGED_HINT, open_frames
from .frame_folder import decode_folder, frame_files
from .picture_file import read_picture
from .pictures import RgbReader
from .reading import MAX_CLIP_BYTES, Reading


def is_folder(ref: ClipRef) -> bool:
    """Whether a clip is a folder of pictures; of a path that is not there, whether one is meant."""
    if os.path.exists(ref.path):  # noqa: PTH110 - Path's raises for a name that no system accepts
        return ref.path.is_dir()
    return (ref.first_frame, ref.last_frame, ref.fps) != (None, None, None)


def read_clips(
    ref: ClipRef, readings: Sequence[Reading], max_bytes: int = MAX_CLIP_BYTES
) -> list[Frames | VideoError]:
    """Several choices of frames of one clip; what several of them want is decoded once.

    Of a folder, `ref.fps` is its rate: without one, a reading's rate is not applied, and every picture counts
    as one frame. A file states its own.

    Args:
        ref: the clip and its window.
        readings: at least one.
        max_bytes: a reading whose frames take more memory is refused (4 GiB).

    Returns:
        for each reading its frames, uint8 RGB [T,H,W,3], or the error that concerns it alone.

    Raises:
        VideoError: the window is out of range or of the wrong kind, or the folder's rate is out of range.
    """
    _check_window(ref)
    if is_folder(ref):
        return decode_folder(ref, readings, max_bytes)
    return decode_file(ref, readings, max_bytes)


def read_clip(
    ref: ClipRef,
    num_frames: int | None = None,
    stride: int | None = None,
    fps: float | None = None,
    start: Literal["first"] | int = "first",
    frames: Literal["exact", "seer"] = "exact",
    num_given: int = 0,
) -> Frames:
    """Frames of a clip, uint8 RGB [T,H,W,3].

    Args:
        ref: the clip and its window.
        num_frames, stride, fps, start, frames, num_given: as in `Reading`. The stride is the caller's, also
            where `ref` has one for the blend.

    Raises:
        VideoError: missing, empty, not a video, audio only, damaged, a frame of the window is not there,
            fewer frames than asked for, more than fit into memory, or an argument out of range.
    """
    reading = Reading(num_frames, stride, fps, start, frames, num_given)
    (clip,) = read_clips(ref, [reading])
    if isinstance(clip, VideoError):
        raise clip
    return clip


def reference_clip(ref: ClipRef, num_frames: int | None) -> Frames:
    """The first frames of a clip as they are stored, uint8 RGB [T,H,W,3].

    Args:
        ref: the clip and its window.
        num_frames: T, or fewer where the clip is shorter; None for all of them.

    Raises:
        VideoError: as `read_clip`, save for a clip that is too short.
    """
    try:
        return read_clip(ref, num_frames)
    except TooShortError:
        return read_clip(ref)


@dataclass(frozen=True)
class ClipInfo:
    """What a clip says of itself.

    Attributes:
        fps: average frames per second; None when unknown, as of every folder of pictures.
        width, height: of the frames as `read_clip` gives them, in pixels.
        interlaced: whether the first frame is marked as two fields of different times.
    """

    fps: float | None
    width: int
    height: int
    interlaced: bool = False


def probe(path: Path) -> ClipInfo:
    """Rate and size of a video file or a folder of pictures; decodes one frame.

    Raises:
        VideoError: missing, empty, not a video, audio only, or its first frame cannot be decoded.
    """
    if path.is_dir():
        height, width = read_picture(frame_files(path)[0]).shape[:2]
        return ClipInfo(None, width, height)
    with open_frames(path, by_order=True) as video:
        first = next(video.frames, None)
        if first is None:
            raise VideoError(f"{str(path)!r} holds no frame", DAMAGED_HINT)
        height, width = RgbReader().rgb(path, first.frame).shape[:2]
        rate = None if video.rate is None else float(video.rate)
        return ClipInfo(rate, width, height, bool(first.frame.interlaced_frame))


def clip_digest(ref: ClipRef, files: FileDigests) -> str:
    """Digest of a clip's content: of the whole file (see `video_digest`), or of the names and
    contents of the window's pictures.

    The window of a file and the rate of a folder do not enter: they are no content.

    Raises:
        OSError: a file or picture cannot be read.
        VideoError: the folder cannot be read, a frame of its window is missing, or the window is of the wrong
            kind.
    """
    _check_window(ref)
    if is_folder(ref):
        pictures = frame_files(ref.path, ref.first_frame, ref.last_frame)
        return digest([[picture.name, files.digest(picture)] for picture in pictures])
    return video_digest(ref.path, files)


def _check_window(ref: ClipRef) -> None:
    """Refuse a window that would be passed over."""
    if is_folder(ref):
        if ref.start_s is not None or ref.end_s is not None:
            raise VideoError(
                f"{str(ref.path)!r} is a folder of frames; its window is in frame numbers, not in seconds "
                f"(got {ref.start_s} s to {ref.end_s} s)",
                "use first_frame and last_frame",
            )
    elif ref.first_frame is not None or ref.last_frame is not None:
        raise VideoError(
            f"{str(ref.path)!r} is a file; its window is in seconds, not in frame numbers "
            f"(got {ref.first_frame} to {ref.last_frame})",
            "use start_s and end_s",
        )
