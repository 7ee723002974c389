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
    and no video (pictures beside videos are posters). Hidden files and folders are left out, and so are those
    whose name is not UTF-8; `other_files` names them.
    Links are followed, but not to a folder above the given one, and a clip is called by the path
    that leads to it, so two links to one file are two clips.

    Raises:
        EvaluationError: no such folder, no clip in it, two clips of one name (a.mp4 and a.mkv), a folder that
            cannot be listed.
    """
    folder = expanded(str(folder))
    if not is_folder(folder):
        what = "is a file, not a folder" if is_file(folder) else "does not exist"
        raise EvaluationError(
            f"the folder of clips {str(folder)!r:.400} {what}", "give the folder that holds the videos"
        )
    if not _is_utf8(str(folder)):
        raise EvaluationError(f"the name of the folder {_escaped(str(folder))} is not UTF-8", "rename it")
    found: dict[str, StoredClip] = {}
    for clip in _walk(folder, "", (), folder.resolve()):
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
    """Names of files in a folder and below it that are no clips and may have been meant as such, sorted: of
    unknown endings, videos without any, hidden videos, pictures beside a video that are not called as it is
    (one is a poster), and links to folders above.
    """
    folder, found = expanded(str(folder)), []
    root = folder.resolve()
    known = VIDEO_SUFFIXES | PICTURE_SUFFIXES | SIDE_SUFFIXES | ANIMATION_SUFFIXES
    for above, folders, names in os.walk(folder):
        here = Path(above).relative_to(folder)
        odd = [name for name in (*folders, *names) if not _is_utf8(name)]
        found += [f"{here / name} (its name is not UTF-8: rename it, as with convmv)" for name in odd]
        folders[:] = [name for name in folders if _is_utf8(name)]
        names = [name for name in names if _is_utf8(name)]
        is_hidden = any(part[0] == "." for part in here.parts)
        found += [
            f"{here / name} (a link to a folder above)"
            for name in folders
            if Path(above, name).is_symlink() and _leads_above(Path(above, name), root)
        ]
        videos, pictures = set(), []
        for name in names:
            stem, suffix = os.path.splitext(name)  # noqa: PTH122 - ten thousand Paths take a second
            suffix = suffix.lower()
            if is_hidden or name[0] == ".":
                if suffix in VIDEO_SUFFIXES and not name.startswith("._"):  # macOS keeps no videos in those
                    found.append(f"{here / name} (hidden)")
            elif suffix not in known:
                found.append(str(here / name))
            elif not suffix and _starts_as_video(Path(above, name)):
                found.append(f"{here / name} (a video without an ending)")
            elif suffix in VIDEO_SUFFIXES:
                videos.add(stem)
            elif suffix in PICTURE_SUFFIXES:
                pictures.append((stem, name))
        beside = sorted(name for stem, name in pictures if stem not in videos) if videos else []
        if len(beside) > 1:
            found.append(f"{here / beside[0]} and {len(beside) - 1} more pictures beside a video")
    return sorted(map(_escaped, found))


def linked_folders(folder: Path) -> list[str]:
    """Links in a folder and below it to folders elsewhere, whose clips are measured, too, sorted."""
    folder, found = expanded(str(folder)), []
    root = folder.resolve()
    for above, folders, _ in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "."]
        for path in (Path(above, name) for name in folders):
            if path.is_symlink() and not path.resolve().is_relative_to(root) and not _leads_above(path, root):
                found.append(f"{path.relative_to(folder)} -> {path.resolve()}")
    return sorted(found)


def _leads_above(link: Path, root: Path) -> bool:
    """Whether a link leads to a folder that holds the given one, and so the other side's clips, too."""
    return root.is_relative_to(link.resolve())


_STARTS = (
    b"\x1aE\xdf\xa3",
    b"OggS",
    b"FLV\x01",
    b"GIF8",
    b"\x00\x00\x01\xba",
    b"\x30\x26\xb2\x75",
    b"YUV4MPEG2",
)


def _starts_as_video(path: Path) -> bool:
    """Whether a file begins as Matroska, MP4, AVI, Ogg, FLV, GIF, MPEG, ASF or YUV4MPEG do."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            start = file.read(12)
    except OSError:
        return False
    return start.startswith(_STARTS) or start[4:8] == b"ftyp" or start[:4] + start[8:] == b"RIFFAVI "


def _walk(folder: Path, prefix: str, above: tuple[tuple[int, int], ...], root: Path) -> Iterator[StoredClip]:
    """The clips in a folder and below it.

    Args:
        prefix: of their names, "" or ending in "/".
        above: device and inode of each folder on the way; a link back to one of them is not followed.
        root: the folder that was given, without links; a link to one above it is not followed.
    """
    try:
        stat = folder.stat()
        here = (stat.st_dev, stat.st_ino)
        if here in above:
            return
        with os.scandir(folder) as entries:
            listed = sorted(
                (entry.name, _is_folder(entry), entry.is_symlink())
                for entry in entries
                if entry.name[0] != "." and _is_utf8(entry.name)
            )
    except OSError as error:
        raise EvaluationError(f"cannot list the folder {str(folder)!r}: {error.strerror}") from error
    has_pictures = has_videos = False
    animated: dict[str, bool] = {}
    for name, holds_more, is_link in listed:
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 - ten thousand Paths take a second
        if holds_more:
            if not (is_link and _leads_above(folder / name, root)):
                yield from _walk(folder / name, f"{prefix}{name}/", (*above, here), root)
        elif suffix.lower() in VIDEO_SUFFIXES or _is_animation(folder / name, suffix.lower(), animated):
            has_videos = True
            yield StoredClip(prefix + stem, folder / name, "video")
        elif suffix.lower() in PICTURE_SUFFIXES:
            has_pictures = True
    if has_pictures and not has_videos:
        # The folder that was given has no name below itself; it is called as it was called.
        name = prefix.rstrip("/") or Path(os.path.abspath(folder)).name  # noqa: PTH100 - resolves no link
        yield StoredClip(without_video_suffix(name), folder, "frames")


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


def _is_utf8(name: str) -> bool:
    """Whether tables and captions can hold the name."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escaped(name: str) -> str:
    """The name with bytes that are not UTF-8 as escapes."""
    return os.fsencode(name).decode(errors="backslashreplace")
