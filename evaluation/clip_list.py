"""The clips in a folder: video files and folders of pictures, by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..core.errors import EvaluationError
from ..datasets.lists.annotation import expanded
from ..datasets.lists.text_file import is_file, is_folder
from ..datasets.video import ANIMATION_SUFFIXES, PICTURE_SUFFIXES, is_animation

VIDEO_SUFFIXES = frozenset(
    [
        ".264",
        ".265",
        ".3g2",
        ".3gp",
        ".apng",
        ".asf",
        ".avc",
        ".avi",
        ".divx",
        ".dv",
        ".f4v",
        ".flv",
        ".gif",
        ".h264",
        ".h265",
        ".hevc",
        ".ivf",
        ".m1v",
        ".m2t",
        ".m2ts",
        ".m2v",
        ".m4v",
        ".mjpeg",
        ".mjpg",
        ".mk3d",
        ".mkv",
        ".mov",
        ".mp2v",
        ".mp4",
        ".mpe",
        ".mpeg",
        ".mpg",
        ".mpv",
        ".mts",
        ".mxf",
        ".nut",
        ".obu",
        ".ogg",
        ".ogm",
        ".ogv",
        ".qt",
        ".rm",
        ".rmvb",
        ".trp",
        ".ts",
        ".vob",
        ".webm",
        ".wmv",
        ".xvid",
        ".y4m",
    ]
)
"""Endings of videos; of `ANIMATION_SUFFIXES` the content decides."""

SIDE_SUFFIXES = frozenset(
    [
        ".csv",
        ".html",
        ".json",
        ".jsonl",
        ".log",
        ".md",
        ".npy",
        ".npz",
        ".parquet",
        ".pdf",
        ".pt",
        ".py",
        ".safetensors",
        ".srt",
        ".tsv",
        ".txt",
        ".vtt",
        ".wav",
        ".yaml",
        ".yml",
    ]
) | {""}
"""Endings of what may lie beside clips without being taken for one."""


@dataclass(frozen=True)
class StoredClip:
    """A clip on disk.

    Attributes:
        name: its path below the folder, with "/" between parts, without a video's suffix (which folders of
            frames carry too, where they are called after the video that they were cut from).
        path: the file, or the folder of pictures.
        kind: which of the two.
    """

    name: str
    path: Path
    kind: Literal["video", "frames"]


def find_clips(folder: Path) -> dict[str, StoredClip]:
    """The clips in a folder and below it, by name, sorted.

    Every video file and every animated picture is a clip, and so is every folder that holds pictures itself
    and no video (pictures beside videos are posters). Hidden files and folders are left out. Links are
    followed, and a clip is called by the path that leads to it, so two links to one file are two clips.

    Raises:
        EvaluationError: no such folder, no clip in it, two clips of one name (a.mp4 and a.mkv), a folder that
            cannot be listed, or a name that is not UTF-8.
    """
    folder = expanded(str(folder))
    if not is_folder(folder):
        what = "is a file, not a folder" if is_file(folder) else "does not exist"
        raise EvaluationError(
            f"the folder of clips {str(folder)!r:.400} {what}", "give the folder that holds the videos"
        )
    found: dict[str, StoredClip] = {}
    for clip in _walk(folder, "", ()):
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


def other_files(folder: Path) -> list[str]:
    """Names of files in a folder and below it that are no clips by their endings and may have been meant as
    such, sorted."""
    folder, found = expanded(str(folder)), []
    for above, _, names in os.walk(folder):
        endings = {name: Path(name).suffix.lower() for name in names if name[0] != "."}
        known = VIDEO_SUFFIXES | PICTURE_SUFFIXES | SIDE_SUFFIXES | ANIMATION_SUFFIXES
        found += [
            str(Path(above, name).relative_to(folder)) for name in names if endings.get(name, "") not in known
        ]
    return sorted(found)


def _walk(folder: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[StoredClip]:
    """The clips in a folder and below it.

    Args:
        prefix: of their names, "" or ending in "/".
        above: device and inode of each folder on the way; a link back to one of them is not followed.
    """
    try:
        stat = folder.stat()
        here = (stat.st_dev, stat.st_ino)
        if here in above:
            return
        with os.scandir(folder) as entries:
            listed = sorted((entry.name, _is_folder(entry)) for entry in entries if entry.name[0] != ".")
    except OSError as error:
        raise EvaluationError(f"cannot list the folder {str(folder)!r}: {error.strerror}") from error
    has_pictures = has_videos = False
    animated: dict[str, bool] = {}
    for name, holds_more in listed:
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 - ten thousand Paths take a second
        if holds_more:
            yield from _walk(folder / name, f"{prefix}{name}/", (*above, here))
        elif suffix.lower() in VIDEO_SUFFIXES or _is_animation(folder / name, suffix.lower(), animated):
            has_videos = True
            yield StoredClip(_readable(folder, prefix + stem), folder / name, "video")
        elif suffix.lower() in PICTURE_SUFFIXES:
            has_pictures = True
    if has_pictures and not has_videos:
        # The folder that was given has no name below itself; it is called as it was called.
        name = prefix.rstrip("/") or Path(os.path.abspath(folder)).name  # noqa: PTH100 - resolves no link
        yield StoredClip(_readable(folder, without_video_suffix(name)), folder, "frames")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder; a link that leads round in a circle is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_animation(path: Path, suffix: str, animated: dict[str, bool]) -> bool:
    """Whether a picture is animated. Where the first of an ending in a folder is not, it is a folder of
    frames; they may be ten thousand, and no other is looked at.

    Args:
        animated: by ending, what was found of the first.
    """
    if suffix not in ANIMATION_SUFFIXES or not animated.get(suffix, True):
        return False
    found = is_animation(path)
    animated.setdefault(suffix, found)
    return found


def without_video_suffix(name: str) -> str:
    """The name without its ending where that is a video's.

    >>> without_video_suffix("a.MP4"), without_video_suffix("take.2")
    ('a', 'take.2')
    """
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - a name, not a path
    return stem if suffix.lower() in VIDEO_SUFFIXES else name


def _readable(folder: Path, name: str) -> str:
    """The name, which tables and captions can hold only as text."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise EvaluationError(
            f"{str(folder)!r}: the file name {name!r} is not UTF-8", "rename it (for example with convmv)"
        ) from None
    return name
