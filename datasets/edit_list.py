"""Videos with edited captions: what the editing data sets have in common.

A sample is a (video, edit). The edits of a video share its source, so that a method is tuned on it once, and
standard errors are clustered on it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
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


class EditingDataset(ListedDataset):
    """Videos with edited captions as editing samples, in a fixed order.

    A sample is a (video, edit): its id is video ":" edit ("bear:object"), its prompt the edited caption, its
    source the video. Order: the videos as they first stand in the file of captions, or in the shuffled order
    of `seed`, in which a prefix is a random subset of them. The edits of a video follow each other: a limit
    then takes few videos, and each of them is tuned on once.
    """

    task: ClassVar[str] = "editing"

    @abstractmethod
    def _read_edits(self) -> list[Sample]:
        """The wanted edits of the wanted videos, those of a video after each other, in the order of the file.

        Raises:
            DatasetError: the captions are missing or malformed.
        """

    def _edit(
        self, video: str, folder: Path, source_prompt: str, id: str, kind: EditKind, prompt: str
    ) -> Sample:
        """The sample of one edited caption.

        Args:
            video: its name, unique within the data set. folder: of its frames. source_prompt: what it shows.
            id: unique among the edits of the video.
        """
        return Sample(
            id=f"{video}:{id}",
            prompt=prompt,
            source=video,
            reference=ClipRef(folder, fps=self.config.fps),
            source_prompt=source_prompt,
            edit=kind,
        )

    def __len__(self) -> int:
        return len(self._edits)

    def _samples(self) -> Iterator[Sample]:
        return iter(self._edits)

    def _require_clips(self) -> None:
        num_videos, missing = len({edit.source for edit in self._edits}), self.missing()
        if num_videos and len(missing) == num_videos:
            raise DatasetError(
                f"{self.what}: no video of the list is there; expected folders of frames such as "
                f"{str(missing[0])!r}",
                self.hint,
            )

    @cached_property
    def _edits(self) -> list[Sample]:
        edits = self._read_edits()
        if self.config.order == "shuffled":
            edits.sort(key=lambda edit: shuffled_rank(self.config.seed, edit.source))
        return edits
