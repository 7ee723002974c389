"""Animated pictures: which they are, and the frames of animated WebP, which FFmpeg does not read.

Pictures and animations share endings (`.webp`, `.png`, `.avif`), so their first bytes decide. Animated PNG
and AVIF are videos to FFmpeg. Of WebP, Pillow (libwebp) lays each part of the canvas over what the frame
before left of it, as the format says; the times are the file's own. A frame of no time is shown for a tenth
of a second, as browsers show it, and as FFmpeg reads GIF.
"""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from PIL import Image

from ...core.errors import VideoError
from .bounds import refuse_large
from .frame_selection import Shown

ANIMATION_SUFFIXES = frozenset({".webp", ".png", ".avif"})
_NO_TIME_MS = 100


def is_animation(path: Path) -> bool:
    """Whether a file of a picture's ending is animated; False for one that cannot be read."""
    start = _start(path, 4096)
    return (
        _is_webp(start)
        or start[4:12] == b"ftypavis"
        or (start[:8] == b"\x89PNG\r\n\x1a\n" and b"acTL" in start.partition(b"IDAT")[0])
    )


def is_animated_webp(path: Path) -> bool:
    """Whether a file, whatever its ending, is animated WebP; False for one that cannot be read."""
    return _is_webp(_start(path, 21))


def _start(path: Path, num_bytes: int) -> bytes:
    """The first bytes of a file; none where it cannot be read. A pipe is not waited for."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            return file.read(num_bytes) or b""
    except (OSError, ValueError):
        return b""


def _is_webp(start: bytes) -> bool:
    return start[:4] + start[8:16] == b"RIFFWEBPVP8X" and len(start) > 20 and bool(start[20] & 2)


def has_gif_trailer(path: Path) -> bool | None:
    """Whether the blocks of a GIF go on to its trailer (GIF89a, sections 15 to 27); None where they are not
    blocks."""
    data = path.read_bytes()

    def table_size(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    try:
        at = 13 + table_size(data[10])
        while data[at] != 0x3B:
            if data[at] == 0x2C:
                at += 11 + table_size(data[at + 9])
            elif data[at] == 0x21:
                at += 2
            else:
                return None
            while data[at]:
                at += 1 + data[at]
            at += 1
    except IndexError:
        return False
    return True


def webp_frames(path: Path) -> Iterator[Shown[VideoFrame]]:
    """The whole pictures of an animated WebP, RGBA, with their times.

    Raises:
        VideoError: cut off, damaged, or without a frame.
    """
    data = path.read_bytes()
    durations_ms = _webp_durations_ms(path, data)
    start_s = Fraction(0)
    try:
        with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
            for index, duration_ms in enumerate(durations_ms):
                image.seek(index)
                frame = VideoFrame.from_ndarray(np.asarray(image.convert("RGBA")), format="rgba")
                end_s = start_s + Fraction(duration_ms, 1000)
                yield Shown(start_s, end_s, frame)
                start_s = end_s
    except Exception as error:  # Pillow lets through whatever damaged bytes lead it to
        if isinstance(error, VideoError):
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise VideoError(
            f"{str(path)!r} is not a readable animation ({reason})",
            "the file may be damaged: copy it again, or leave it out",
        ) from error


def webp_times(path: Path) -> list[Shown[None]]:
    """The times of the frames of an animated WebP.

    Raises:
        VideoError: cut off, or without a frame.
    """
    durations_ms = _webp_durations_ms(path, path.read_bytes())
    ends = [Fraction(end, 1000) for end in itertools.accumulate(durations_ms)]
    return [Shown(start_s, end_s, None) for start_s, end_s in zip([Fraction(0), *ends], ends, strict=False)]


def _webp_durations_ms(path: Path, data: bytes) -> list[int]:
    """How long each frame of an animated WebP is shown: 24 bits behind its place and size, chunk by chunk."""
    refuse_large(path, *(int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27)))
    durations_ms, at = [], 12
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + size > len(data):
            break
        if kind == b"ANMF":
            durations_ms.append(int.from_bytes(data[at + 20 : at + 23], "little") or _NO_TIME_MS)
        at += 8 + size + size % 2
    if at < len(data) or int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise VideoError(
            f"{str(path)!r} is cut off after {len(durations_ms)} frames",
            "the file may be cut off or damaged: copy it again, or leave it out",
        )
    if not durations_ms:
        raise VideoError(f"{str(path)!r} holds no frame", "leave it out")
    return durations_ms
