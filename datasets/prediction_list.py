"""What the data sets of text-video prediction have in common: a list of clips, of which a part is taken.

A clip has one caption. Its first frames are given to the method, the rest is predicted. The subset is drawn
as `webvid` draws it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from pydantic import Field

from ..core.contracts import FrozenConfig
from ..core.errors import DatasetError
from ..core.types import ClipRef, Sample
from .lists.annotation import is_missing
from .sample_list import ListedDataset, natural_rank, shuffled_rank


class PredictionListConfig(FrozenConfig):
    """What every data set of text-video prediction is asked.

    Attributes:
        root: folder of the data set.
        num_context_frames: first frames of a clip that the method is given.
        subset: how many clips to draw, None for all.
        order: "shuffled" (seeded; every prefix is a random subset) or "id".
        seed: chooses the subset and the order.
        skip_missing: leave out clips that are not there (or dead links, or empty) before the subset is drawn;
            the fingerprint then follows what is there.
        video_root: where the clips lie, when not in their place in `root`.
    """

    root: str = Field(min_length=1)
    num_context_frames: int = Field(default=2, ge=1)
    subset: int | None = Field(default=None, ge=1)
    order: Literal["shuffled", "id"] = "shuffled"
    seed: int = 0
    skip_missing: bool = False
    video_root: str | None = None


class ListedClip(NamedTuple):
    """One clip of a list."""

    sample: Sample
    """Its id is unique within the split; its prompt may be blank, it is then left out."""
    path: Path
    """Where it lies, as its reference says."""
    where: str
    """Its place in the annotation file, for messages."""


@dataclass(frozen=True)
class Listing:
    """A list of clips as it was read.

    Attributes:
        clips: in the order of the file.
        notes: what a reader should know of how it was read, one sentence each.
    """

    clips: list[ListedClip]
    notes: tuple[str, ...] = ()


class PredictionDataset(ListedDataset):
    """A list of clips as samples of text-video prediction, in a fixed order.

    Opening reads the annotation and draws the subset. A damaged or too short clip fails when it is read.
    """

    task: ClassVar[str] = "prediction"
    config: PredictionListConfig

    @abstractmethod
    def _read(self) -> Listing:
        """The clips of the split.

        Raises:
            DatasetError: the annotation is missing or malformed.
        """

    def _clip(self, id: str, prompt: str, source: str, reference: ClipRef, where: str) -> ListedClip:
        """A clip of the list, with the first frames that are given.

        Args:
            source: the video that it is cut from, or its own id.
            where: its place in the annotation file.
        """
        given = self.config.num_context_frames
        return ListedClip(Sample(id, prompt, source, reference, given), reference.path, where)

    def __len__(self) -> int:
        return len(self._clips)

    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know about this list, one sentence each."""
        return self._selection.notes

    def _samples(self) -> Iterator[Sample]:
        return (clip.sample for clip in self._clips)

    @property
    def _clips(self) -> list[ListedClip]:
        return self._selection.clips

    def _require_clips(self) -> None:
        self._require_any(self._clips)

    def _require_any(self, clips: Sequence[ListedClip]) -> None:
        if clips and not any(self._is_there(clip.path) for clip in clips):
            raise DatasetError(
                f"{self.what}, split {self.split!r}: no clip of the list is there; expected "
                f"{str(clips[0].path)!r} ({clips[0].where})",
                self.hint,
            )

    @cached_property
    def _selection(self) -> Listing:
        """The clips that are taken, in order, and what is to be said of the choice."""
        config = self.config
        read = self._read()
        notes = list(read.notes)
        distinct = _distinct(read.clips)
        total = len(read.clips)
        if len(distinct) < total:
            notes.append(f"{total - len(distinct)} of {total} entries repeat another one and are left out")
        clips = [clip for clip in distinct if not is_missing(clip.sample.prompt)]
        if len(clips) < len(distinct):
            notes.append(
                f"{len(distinct) - len(clips)} of {total} clips are left out: their caption is blank"
            )
        if not clips:
            raise DatasetError(
                f"{self.what}, split {self.split!r}: the list has no clip with a caption",
                "the annotation may be incomplete: copy it again",
            )
        if config.skip_missing:
            self._require_any(clips)
            usable = {path: self._is_usable(path) for path in dict.fromkeys(clip.path for clip in clips)}
            there = [clip for clip in clips if usable[clip.path]]
            if len(there) < len(clips):
                notes.append(f"{len(clips) - len(there)} of {total} clips are left out: they are missing")
            if not there:
                raise DatasetError(
                    f"{self.what}, split {self.split!r}: every clip is a dead link or empty, such as "
                    f"{str(clips[0].path)!r} ({clips[0].where})",
                    self.hint,
                )
            clips = there
        clips = sorted(clips, key=lambda clip: shuffled_rank(config.seed, clip.sample.id))
        if config.subset is not None and len(clips) < config.subset:
            notes.append(
                f"a subset of {config.subset} was asked for; there are {len(clips)} clips, all are taken"
            )
        clips = clips[: config.subset]
        if config.order == "id":
            clips.sort(key=lambda clip: natural_rank(clip.sample.id))
        return Listing(clips, tuple(notes))


def _distinct(clips: Iterable[ListedClip]) -> list[ListedClip]:
    """The clips, each once.

    Raises:
        DatasetError: an id stands there twice with another content.
    """
    seen: dict[str, ListedClip] = {}
    for clip in clips:
        sample = clip.sample
        before = seen.setdefault(sample.id, clip)
        if sample != before.sample:
            raise DatasetError(
                f"{clip.where}: the clip {sample.id!r} stands in {before.where} too, with another caption or "
                f"window ({sample.prompt!r:.60}, {before.sample.prompt!r:.60})",
                "delete one of the two entries",
            )
    return list(seen.values())
