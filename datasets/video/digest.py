"""The digest of a video file's content, joined with the rules by which it is read where those have changed.

Folders of pictures need none of this: transparent pictures were refused before there was a rule.
"""

from __future__ import annotations

from pathlib import Path

from av.stream import Disposition

from ...core.errors import VideoError
from ...core.file_digests import FileDigests
from ...core.hashing import digest
from ...core.transparency import TRANSPARENCY_RULE
from .animation import is_animated_webp
from .file import decode, open_frames, open_video
from .pictures import RgbReader, has_shared_chroma, interpolates_chroma

_ORDER_RULE = "by-order"
"""Frames of AVI files with B-frames, whose guessed times run backwards, are timed by their order."""

_CHROMA_RULE = "ffmpeg-bicubic"
"""Chroma is interpolated as the `ffmpeg` command does, not bilinearly from where the file says that it
lies, nor within the fields of interlaced frames. Most files (8-bit 4:2:0 of even height) are read as
ever."""


_STREAM_RULE = "largest"
"""Of several video streams the largest is read, not the first."""


def video_digest(path: Path, files: FileDigests) -> str:
    """sha256 of a file's content; joined with the rules by which it is read where those have changed, so that
    what was made under another one is not served: of a video that is transparent somewhere, whose frames
    are timed by order, or that `changed_conversions` names.

    Raises:
        OSError: the file cannot be read.
    """
    content = files.digest(path)
    rules = {}
    if files.fact(path, "transparent", lambda: "yes" if is_transparent(path) else "no") == "yes":
        rules["transparency"] = TRANSPARENCY_RULE
    if files.fact(path, "avi-b-frames", lambda: "yes" if is_avi_with_b_frames(path) else "no") == "yes":
        rules["times"] = _ORDER_RULE
    changed = files.fact(path, "conversions", lambda: ",".join(changed_conversions(path)))
    if "chroma" in changed:
        rules["chroma"] = _CHROMA_RULE
    if "stream" in changed:
        rules["stream"] = _STREAM_RULE
    return digest({"file": content, **rules}) if rules else content


def is_transparent(path: Path) -> bool:
    """Whether any pixel of a video is not opaque; of a file that cannot be read, none is.

    Where the first frame has no transparency at all (few codecs have), no further frame is decoded.
    """
    start = _start(path)
    if start[4:8] == b"ftyp" and start[8:] not in (
        b"qt  ",
        b"avis",
    ):  # MP4: spares opening ten thousand files
        return False
    reader = RgbReader()
    try:
        with open_frames(path, by_order=True) as video:
            for shown in video.frames:
                alpha_HW = reader.alpha(path, shown.frame)
                if alpha_HW is None or alpha_HW.min() < 1:
                    return alpha_HW is not None
    except VideoError:
        pass  # told when it is read
    return False


def is_avi_with_b_frames(path: Path) -> bool:
    """Whether a file is AVI, which stores no times for showing, and its frames are not stored in the order in
    which they are shown; of a file that cannot be read, they are."""
    start = _start(path)
    if (start[:4], start[8:]) != (b"RIFF", b"AVI "):
        return False
    try:
        with open_video(path) as (_, stream):
            return bool(stream.codec_context.has_b_frames)
    except VideoError:
        return False


def changed_conversions(path: Path) -> list[str]:
    """How the pixels of a file are made otherwise than by earlier versions: "chroma" where its first frame is
    such that the way of interpolating matters, "stream" where another one than the first is read; nothing of
    a file that cannot be read, and of animations that earlier versions refused."""
    if is_animated_webp(path):
        return []
    changed = []
    try:
        with open_video(path) as (container, stream):
            pictures = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
            if stream.index != pictures[0].index:
                changed.append("stream")
            for shown in decode(path, container, stream, by_order=True):
                shape, height = shown.frame.format, shown.frame.height
                if interpolates_chroma(shape, height) or (
                    shown.frame.interlaced_frame and has_shared_chroma(shape)
                ):
                    changed.append("chroma")
                break
    except VideoError:
        pass  # told when it is read
    return changed


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(12)
