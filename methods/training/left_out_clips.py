"""The clips of a data set that a training could not use, reported at its end and kept in its work folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...core.atomic_write import write_text_atomic

FILE_NAME = "left-out.jsonl"
"""In a work folder: one object for each clip that is left out, with id, frames and reason."""

_NUM_SHOWN = 10


@dataclass(frozen=True)
class LeftOutClip:
    """One clip that is not trained on.

    Attributes:
        id: of the sample.
        frames: the reading in which it is left out; another one may have it.
        reason: why, as the reader said it.
    """

    id: str
    frames: str
    reason: str


def left_out_clips(parts: Mapping[str, Sequence[Path]]) -> list[LeftOutClip]:
    """What the part files of `prediction_clips` say is left out.

    Args:
        parts: the files of each reading, by its name.
    """
    from safetensors import safe_open

    found = []
    for frames, paths in parts.items():
        for path in paths:
            with safe_open(path, framework="pt") as file:
                rows = json.loads(file.metadata()["left_out"])
            found += [LeftOutClip(id, frames, reason) for id, reason in rows]
    return found


def write_left_out(work: Path, clips: Sequence[LeftOutClip]) -> None:
    """Write the list into a work folder, empty where nothing is left out."""
    lines = [json.dumps({"id": c.id, "frames": c.frames, "reason": c.reason}) + "\n" for c in clips]
    write_text_atomic(work / FILE_NAME, "".join(lines))


def left_out_text(clips: Sequence[LeftOutClip], num_samples: int, work: Path) -> str:
    """The list for a terminal: how many of the data set's clips, the first ones with their reasons, where all
    are listed, and how to try them again."""
    num = len({clip.id for clip in clips})
    lines = [f"[left out] {num} of {num_samples} clips of the data set, listed in {work / FILE_NAME}"]
    lines += [f"  {clip.id} ({clip.frames} frames): {clip.reason}" for clip in clips[:_NUM_SHOWN]]
    if len(clips) > _NUM_SHOWN:
        lines.append(f"  and {len(clips) - _NUM_SHOWN} more")
    # The clips are part of what a checkpoint belongs to.
    lines.append("  -> mended ones are read by a training in another work folder")
    return "\n".join(lines)
