"""The clips of a report's folder: `clips/<digest>.mp4`, so that it can be moved, zipped and served alone.

Previews of the store are hard links, which take no space; they are copied where the file system has no links.
A user's own file is copied where it is small: a link would change when the file is edited in place, and keep
its space when it is deleted. Of larger ones, of what no browser plays, and of the references of a run (a
window of a longer video) a small preview is made once, and linked from the results before. Names are digests:
neither a sample's id nor a label becomes one.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ...core.atomic_write import write_text_atomic
from ...core.errors import VideoError
from ...core.hashing import digest
from ...core.run_folders import run_ids
from ...core.types import ClipRef, Frames
from ..pages.run_clips import locate
from ..tables.run_tables import Row

PLAYED = (".mp4", ".webm", ".gif", ".webp", ".png")
"""Suffixes of what browsers show."""

_MADE = "made.json"
_NAME_CHARACTERS = 24
_MOST_COPIED_BYTES = 2 * 2**20
"""A larger file that is not linked gets a preview: clips that are measured may be gigabytes elsewhere."""
_MOST_FRAMES, _FOLDER_FPS = 128, 8.0
"""What is shown of a clip of unknown length, and the rate of a folder of frames without one."""
_NUM_RESULTS_SEARCHED = 3


@dataclass(frozen=True)
class Wanted:
    """A clip to show.

    Attributes:
        row: of the `clips` table, status "done".
        num_frames, fps: of a reference without a preview: how much of it is shown, and at which rate; None
            for as it is.
    """

    row: Row
    num_frames: int | None = None
    fps: float | None = None

    @property
    def stem(self) -> str:
        """The name of its file, without the suffix."""
        row = self.row
        shown = [] if row["preview"] else [self.num_frames, self.fps]
        content = [row["side"], row["clip_key"], row["content_digest"] or row["path"], *shown]
        return digest(content)[:_NAME_CHARACTERS]


@dataclass(frozen=True)
class ShownClip:
    """A clip in the folder, or the words that stand in its place.

    Attributes:
        name: of the file, "" where there is none.
        num_frames, fps, width, height: as far as they are known without opening it.
        motion: of a preview that was made for the folder: mean absolute change from frame to frame, 0 to 255.
    """

    name: str = ""
    words: str = ""
    num_frames: int | None = None
    fps: float | None = None
    width: int | None = None
    height: int | None = None
    motion: float | None = None


def place_clips(wanted: Sequence[Wanted], tables_folder: Path, folder: Path) -> list[ShownClip]:
    """Put the files of clips into a folder; what is in it and not wanted is deleted.

    Args:
        folder: `<results>/report/clips`.

    Returns:
        for each clip where it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    placing = _Placing(tables_folder, folder)
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # decoding and encoding leave Python's lock
        shown = list(threads.map(placing.place, wanted))
    made = {clip.name: asdict(clip) for clip in shown if clip.name and clip.motion is not None}
    write_text_atomic(folder / _MADE, json.dumps(made, sort_keys=True))
    kept = {_MADE, *(clip.name for clip in shown)}
    for path in folder.iterdir():
        if path.name not in kept and path.is_file():
            path.unlink()
    return shown


class _Placing:
    def __init__(self, tables_folder: Path, folder: Path) -> None:
        self._tables_folder, self._folder = tables_folder, folder
        results = folder.parent.parent
        earlier = [name for name in run_ids(results.parent) if name != results.name]
        self._folders = [
            folder,
            *(
                results.parent / name / folder.parent.name / folder.name
                for name in earlier[: -_NUM_RESULTS_SEARCHED - 1 : -1]
            ),
        ]
        self._made: dict[str, ShownClip] = {}
        for place in reversed(self._folders):
            with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
                data = json.loads((place / _MADE).read_text(encoding="utf-8"))
                self._made |= {name: ShownClip(**clip) for name, clip in data.items()}

    def place(self, wanted: Wanted) -> ShownClip:
        """Put one clip into the folder."""
        try:
            return self._whole(wanted) or self._preview(wanted)
        except (VideoError, OSError, ValueError) as error:
            why = error.message if isinstance(error, VideoError) else str(error)
            return ShownClip(words=why.partition("\n")[0] or type(error).__name__)

    def _whole(self, wanted: Wanted) -> ShownClip | None:
        """The clip's own file, where browsers play it and it takes no space, or little."""
        row = wanted.row
        source = locate(row["preview"], self._tables_folder)
        if source is None or source.suffix.lower() not in PLAYED or not source.is_file():
            return None
        name = wanted.stem + source.suffix.lower()
        is_of_store = source.name == "preview.mp4" and source.with_name("record.json").is_file()
        if not _place(source, self._folder / name, _MOST_COPIED_BYTES, may_link=is_of_store):
            return None
        return ShownClip(
            name,
            num_frames=row["num_frames"],
            fps=row["fps"],
            width=row["width"],
            height=row["height"],
        )

    def _preview(self, wanted: Wanted) -> ShownClip:
        """A preview that is made for the folder, or was for the results before."""
        name = wanted.stem + ".mp4"
        if name in self._made:
            for place in self._folders:
                if (place / name).is_file() and _place(place / name, self._folder / name):
                    return self._made[name]
        source = locate(wanted.row["path"], self._tables_folder)
        if source is None:
            return ShownClip(words="its file is not there")
        from ...datasets.video import write_preview

        frames = _frames(source, wanted)
        fps = wanted.fps or wanted.row["fps"] or _FOLDER_FPS
        write_preview(self._folder / name, frames, fps)
        num_frames, height, width = frames.shape[:3]
        return ShownClip(name, "", num_frames, fps, width, height, _motion(frames))


def _frames(source: Path, wanted: Wanted) -> Frames:
    from ...datasets.video import read_clip, read_lossless, reference_clip

    row = wanted.row
    if row["side"] == "generated" and source.suffix == ".mkv":
        with contextlib.suppress(VideoError):
            return read_lossless(source)
    reference = ClipRef(
        source,
        row["start_s"],
        row["end_s"],
        row["first_frame"],
        row["last_frame"],
        row["fps"] if source.is_dir() else None,
    )
    if wanted.fps is not None:
        with contextlib.suppress(VideoError):  # shorter at that rate than the clips are
            return read_clip(reference, num_frames=wanted.num_frames, fps=wanted.fps)
    return reference_clip(reference, wanted.num_frames or _MOST_FRAMES)


def _motion(frames_THWC: Frames) -> float:
    """Mean absolute change of a value from frame to frame, 0 to 255; 0 of a single frame."""
    if len(frames_THWC) < 2:
        return 0.0
    changes = [
        float(np.mean(np.abs(after.astype(np.int16) - before)))
        for before, after in itertools.pairwise(frames_THWC)
    ]
    return round(sum(changes) / len(changes), 4)


def _place(
    source: Path, target: Path, most_copied_bytes: float = float("inf"), may_link: bool = True
) -> bool:
    """Make `target` a name of the file `source`, else a copy if it is not too large; whether it is there."""
    source = source.resolve()  # of a symbolic link the file is meant
    with contextlib.suppress(OSError):
        there, wanted = target.stat(), source.stat()
        is_copy = (there.st_size, there.st_mtime_ns) == (wanted.st_size, wanted.st_mtime_ns)
        if may_link if os.path.samestat(there, wanted) else is_copy:
            return True
    temporary = target.with_name(f".{uuid.uuid4().hex[:12]}.tmp")
    try:
        if not (may_link and _link(source, temporary)):
            if source.stat().st_size > most_copied_bytes:
                return False
            shutil.copy2(source, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)  # where both were one file already, renaming does nothing
    return True


def _link(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except OSError:
        return False
    return True
