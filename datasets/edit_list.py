"""Videos with edited captions: what the editing data sets have in common.

One video has a caption of what it shows and several edited ones, each of a kind. A sample is a (video, edit);
the edits of a video share its source, so that a method that is tuned on the video is tuned once, and standard
errors are clustered on it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from ..core.contracts import FrozenConfig
from ..core.errors import DatasetError
from ..core.types import ClipRef, Sample
from .sample_list import ListedDataset, shuffled_rank

EditKind = Literal["style", "object", "background", "multiple"]
EDIT_KINDS: tuple[EditKind, ...] = ("style", "object", "background", "multiple")
"""The kinds of LOVEU-TGVE-2023, in the order of its sheet."""


class EditingConfig(FrozenConfig):
    """What every editing data set is asked.

    Attributes:
        root: folder of the data set.
        edits: the kinds of edits to take.
        order: "file" (as the file of captions lists them) or "shuffled" (seeded).
        seed: chooses the shuffled order.
        fps: frames per second of the frames, None where it is not known: a protocol's frame rate is then
            not applied, and frames are counted as they are.
    """

    root: str = Field(min_length=1)
    edits: tuple[EditKind, ...] = Field(default=EDIT_KINDS, min_length=1)
    order: Literal["file", "shuffled"] = "file"
    seed: int = 0
    fps: float | None = Field(default=None, ge=1e-3, le=1000)


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


class EditingDataset(ListedDataset):
    """Videos with edited captions as editing samples, in a fixed order.

    A sample is a (video, edit): its id is video ":" edit ("bear:object"), its prompt the edited caption, its
    source the video. Order: the videos as they first stand in the file of captions, or in the shuffled order
    of `seed`, in which a prefix is a random subset of them. The edits of a video follow each other: a limit
    then takes few videos, and each of them is tuned on once.
    """

    task: ClassVar[str] = "editing"
    hint: ClassVar[str]
    """What to do where no video is there."""

    @abstractmethod
    def _read_videos(self) -> list[EditedVideo]:
        """The wanted videos with their wanted edits, in the order of the file.

        Raises:
            DatasetError: the captions are missing or malformed.
        """

    def __len__(self) -> int:
        return sum(len(video.edits) for video in self._videos)

    def _samples(self) -> Iterator[Sample]:
        for video in self._videos:
            reference = ClipRef(video.folder, fps=self.config.fps)
            for edit in video.edits:
                yield Sample(
                    id=f"{video.name}:{edit.id}",
                    prompt=edit.prompt,
                    source=video.name,
                    reference=reference,
                    source_prompt=video.source_prompt,
                    edit=edit.kind,
                )

    def _require_clips(self) -> None:
        videos = self._videos
        if videos and not any(self._is_there(video.folder) for video in videos):
            raise DatasetError(
                f"{self.what}: no video of the list is there; expected folders of frames such as "
                f"{str(videos[0].folder)!r}",
                self.hint,
            )

    @cached_property
    def _videos(self) -> list[EditedVideo]:
        videos = self._read_videos()
        if self.config.order == "shuffled":
            videos.sort(key=lambda video: shuffled_rank(self.config.seed, video.name))
        return videos
