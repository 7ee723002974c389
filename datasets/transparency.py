"""Whether a video file is transparent, and the digest of its content, which depends on that.

Folders of pictures need none of this: transparent pictures were refused before there was a rule.
"""

from __future__ import annotations

from pathlib import Path

from ..core.errors import VideoError
from ..core.file_digests import FileDigests
from ..core.hashing import digest
from ..core.transparency import TRANSPARENCY_RULE
from .video_file import decode, open_video
from .video_pictures import RgbReader


def video_digest(path: Path, files: FileDigests) -> str:
    """sha256 of a file's content; of a video that is transparent somewhere, joined with the rule by which it
    is read, so that what was made of it under another rule is not served.

    Raises:
        OSError: the file cannot be read.
    """
    content = files.digest(path)
    if files.fact(path, "transparent", lambda: "yes" if is_transparent(path) else "no") == "no":
        return content
    return digest({"file": content, "transparency": TRANSPARENCY_RULE})


def is_transparent(path: Path) -> bool:
    """Whether any pixel of a video is not opaque; of a file that cannot be read, none is.

    Where the first frame has no transparency at all (few codecs have), no further frame is decoded.
    """
    with path.open("rb") as file:
        start = file.read(12)
    if start[4:8] == b"ftyp" and start[8:] != b"qt  ":  # MP4: spares opening ten thousand files
        return False
    reader = RgbReader()
    try:
        with open_video(path) as (container, stream):
            for shown in decode(path, container, stream, by_order=True):
                alpha_HW = reader.alpha(path, shown.frame)
                if alpha_HW is None or alpha_HW.min() < 1:
                    return alpha_HW is not None
    except VideoError:
        pass  # told when it is read
    return False
