"""What no file may make its reader do: wait for ever, or take all memory."""

from __future__ import annotations

from pathlib import Path

from ...core.errors import VideoError

MAX_PIXELS = 2**25
"""Of one picture: 8K (7680 x 4320) has 33.2 million, this is 33.6. A few bytes can state any size."""

LIMITS = {"max_pixels": str(MAX_PIXELS)}
"""For FFmpeg's decoders."""


def refuse_large(path: Path, width: int, height: int) -> None:
    """Refuse pictures that no clip has, before memory is taken for them.

    Raises:
        VideoError: more than MAX_PIXELS.
    """
    if width * height > MAX_PIXELS:
        raise VideoError(
            f"{str(path)!r} has pictures of {width} x {height}, more than {MAX_PIXELS:,} pixels",
            "the file may be damaged; else make it smaller (ffmpeg -i IN -vf scale=1920:-2 OUT)",
        )


def refuse_special(path: Path) -> None:
    """Refuse pipes, devices and sockets, which may never end; a path that is not there passes.

    Raises:
        VideoError: it is no regular file.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise VideoError(f"{str(path)!r} is a pipe or a device, not a file", "leave it out")
