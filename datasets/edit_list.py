"""Videos with edited captions: what the editing data sets have in common.

One video has a caption of what it shows and several edited ones, each of a kind. A sample is a (video, edit);
the edits of a video share its source, so that a method that is tuned on the video is tuned once, and standard
errors are clustered on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..core.errors import DatasetError
from ..core.types import ClipRef, Sample
from .sample_list import shuffled_rank
from .video_folders import names_in

EditKind = Literal["style", "object", "background", "multiple"]
EDIT_KINDS: tuple[EditKind, ...] = ("style", "object", "background", "multiple")
"""The kinds of LOVEU-TGVE-2023, in the order of its sheet."""


@dataclass(frozen=True)
class Edit:
    """One edited caption.

    Attributes:
        id: unique among the edits of its video.
    """

    id: str
    kind: EditKind
    prompt: str


@dataclass(frozen=True)
class EditedVideo:
    """A video with its edits.

    Attributes:
        name: unique within the data set, safe as a file name.
        folder: of its frames.
        source_prompt: what it shows.
    """

    name: str
    folder: Path
    source_prompt: str
    edits: tuple[Edit, ...]


def ordered(
    videos: Sequence[EditedVideo], order: Literal["file", "shuffled"], seed: int
) -> list[EditedVideo]:
    """The videos as their file lists them, or in the shuffled order of a seed: a prefix is then a random
    subset of the videos."""
    if order == "file":
        return list(videos)
    return sorted(videos, key=lambda video: shuffled_rank(seed, video.name))


def edit_samples(videos: Iterable[EditedVideo], fps: float | None) -> Iterator[Sample]:
    """A sample for each edit, those of a video after each other.

    Args:
        fps: frames per second of the folders; None where it is not known.
    """
    for video in videos:
        reference = ClipRef(video.folder, fps=fps)
        for edit in video.edits:
            yield Sample(
                id=f"{video.name}:{edit.id}",
                prompt=edit.prompt,
                source=video.name,
                reference=reference,
                source_prompt=video.source_prompt,
                edit=edit.kind,
            )


class FrameFolders:
    """Which folders of frames are there, from one listing of each folder above them.

    Args:
        what: the data set's name, for error messages.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._listings: dict[Path, frozenset[str]] = {}

    def has(self, folder: Path) -> bool:
        """Whether it is there."""
        if folder.parent not in self._listings:
            self._listings[folder.parent] = names_in(folder.parent, self._what) or frozenset()
        return folder.name in self._listings[folder.parent]

    def missing(self, videos: Iterable[EditedVideo]) -> list[Path]:
        """The folders that are not there, in order."""
        return [video.folder for video in videos if not self.has(video.folder)]

    def require_any(self, videos: Sequence[EditedVideo], hint: str) -> None:
        """Check that the frames of at least one video are there.

        Raises:
            DatasetError: none are.
        """
        if videos and len(self.missing(videos)) == len(videos):
            raise DatasetError(
                f"{self._what}: no video of the list is there; expected folders of frames such as "
                f"{str(videos[0].folder)!r}",
                hint,
            )
