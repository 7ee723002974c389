"""The clips in a folder: video files and folders of pictures, by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..core.errors import EvaluationError
from ..datasets.frame_folder import PICTURE_SUFFIXES

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".gif", ".flv", ".wmv", ".ts", ".ogv"}
)


@dataclass(frozen=True)
class StoredClip:
    """A clip on disk.

    Attributes:
        name: its path below the folder, without the suffix of a file, with "/" between parts.
        path: the file, or the folder of pictures.
        kind: which of the two.
    """

    name: str
    path: Path
    kind: Literal["video", "frames"]


def find_clips(folder: Path) -> dict[str, StoredClip]:
    """The clips in a folder and below it, by name, sorted.

    Every video file is a clip, and every folder that holds pictures itself. Hidden files and folders are left
    out.

    Raises:
        EvaluationError: no such folder, no clip in it, or two clips of one name (a.mp4 and a.mkv).
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise EvaluationError(
            f"the folder of clips {str(folder)!r} {what}", "give the folder that holds the videos"
        )
    found: dict[str, StoredClip] = {}
    for clip in _walk(folder):
        other = found.setdefault(clip.name, clip)
        if other is not clip:
            raise EvaluationError(
                f"{str(folder)!r} has two clips of the name {clip.name!r}: {other.path.name!r} and "
                f"{clip.path.name!r}",
                "keep one of them, or rename it",
            )
    if not found:
        raise EvaluationError(
            f"no clip in {str(folder)!r}",
            f"expected video files ({', '.join(sorted(VIDEO_SUFFIXES))}) or folders of pictures "
            f"({', '.join(sorted(PICTURE_SUFFIXES))})",
        )
    return dict(sorted(found.items()))


def _walk(folder: Path) -> Iterator[StoredClip]:
    root = str(folder)
    visited: set[str] = set()
    for where, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(where)
        if real in visited:  # a link that leads back
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = os.path.relpath(where, root)
        prefix = "" if below == "." else below.replace(os.sep, "/") + "/"
        has_pictures = False
        for name in files:
            if name.startswith("."):
                continue
            stem, dot, suffix = name.rpartition(".")
            kind = f"{dot}{suffix.lower()}"
            if kind in VIDEO_SUFFIXES:
                yield StoredClip(prefix + stem, Path(where, name), "video")
            elif kind in PICTURE_SUFFIXES:
                has_pictures = True
        if has_pictures:
            # The folder itself, where its pictures lie at the top, is one clip of its own name.
            yield StoredClip(prefix.rstrip("/") or folder.resolve().name, Path(where), "frames")
