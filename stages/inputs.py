"""What extractors read: windows of videos and of folders of frames, stored clips and texts.

Inputs are small and travel to workers; `read_inputs` turns them into frames. Several inputs of one video
(the choices of frames of several protocols) are served by one decoding pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..core.errors import MetricError, TooShortError
from ..core.frame_choice import chosen_frames, frames_needed
from ..core.records import ClipRecord
from ..core.store import Store
from ..core.types import ClipRef, Frames
from ..datasets.video import Reading, read_clips, reference_clip


@dataclass(frozen=True)
class VideoInput:
    """Some frames of a window of a video file or of a folder of pictures.

    Attributes:
        may_be_short: whether a video with fewer frames than the reading wants gives those it has, as long as
            one follows the given ones.
    """

    ref: ClipRef
    reading: Reading
    may_be_short: bool = False


@dataclass(frozen=True)
class StoredInput:
    """A clip of the store."""

    record: ClipRecord


@dataclass(frozen=True)
class SourceInput:
    """The frames of a reference that a tuned method took: frame by frame what its clips were made from.

    Attributes:
        choice: keyword arguments of `core.frame_choice.chosen_frames`.
    """

    ref: ClipRef
    choice: tuple[tuple[str, Any], ...]


Input = SourceInput | VideoInput | StoredInput | str
"""A string is a text."""

Content = Frames | str

PREDICTED_HINT = (
    "of predicted clips `--protocol predicted` measures 14 frames after the given ones, as stored"
)


@dataclass(frozen=True)
class Cut:
    """Which of the frames that were read an extractor gets.

    Attributes:
        skip: how many first frames are left out (the context of a prediction task).
        num_frames: how many are taken after them; None for all.
        fill: where there are fewer, the last one is repeated.
        may_be_short: where there are fewer, those there are will do.
        every: of the frames behind the skipped ones, every so many.
    """

    skip: int = 0
    num_frames: int | None = None
    fill: bool = False
    may_be_short: bool = False
    every: int = 1

    @property
    def num_needed(self) -> int:
        """A clip of fewer frames is refused."""
        any_will_do = self.num_frames is None or self.fill or self.may_be_short
        return self.skip + (1 if any_will_do else self.num_frames or 0)

    def of(self, frames: Frames) -> Frames:
        """The frames [T, H, W, 3] that are measured.

        Raises:
            MetricError: there are too few.
        """
        if len(frames) <= self.skip:
            raise MetricError(
                f"the clip has {len(frames)} frames, of which the first {self.skip} are the given ones",
                "leave it out, or name fewer context frames",
            )
        kept = frames[self.skip :: self.every]
        if self.num_frames is None:
            return kept
        if len(kept) < self.num_frames:
            if self.may_be_short and not self.fill:
                return kept
            if not self.fill:
                given = f" after the {self.skip} given ones" if self.skip else ""
                raise MetricError(
                    f"the clip has {len(kept)} frames{given}, the protocol measures {self.num_frames}",
                    "use longer clips, a protocol of fewer frames, or one with `short_clips: repeat-last` "
                    "(`reelbench evaluate --allow-small`), which repeats the last frame and marks the number"
                    + (f"; {PREDICTED_HINT}" if self.skip else ""),
                )
            missing = self.num_frames - len(kept)
            kept = np.concatenate([kept, np.repeat(kept[-1:], missing, axis=0)])
        return kept[: self.num_frames]


def read_inputs(inputs: Sequence[Input], store: Store | None) -> list[Content | Exception]:
    """The content of each input, in order; for one that cannot be read, the error.

    Args:
        store: where stored clips are; None when there is no `StoredInput`.
    """
    contents: list[Content | Exception | None] = [None] * len(inputs)
    by_clip: dict[ClipRef, list[int]] = {}
    for index, source in enumerate(inputs):
        if isinstance(source, VideoInput):
            by_clip.setdefault(source.ref, []).append(index)
        else:
            contents[index] = _read_one(source, store)
    for ref, indices in by_clip.items():
        videos = [source for source in inputs if isinstance(source, VideoInput) and source.ref == ref]
        for index, content in zip(indices, _read_video(ref, videos), strict=True):
            contents[index] = content
    return [content for content in contents if content is not None]


def _read_source(source: SourceInput) -> Frames:
    choice = dict(source.choice)
    frames = reference_clip(source.ref, frames_needed(**choice))
    return frames[chosen_frames(len(frames), **choice)]


def _read_one(source: SourceInput | StoredInput | str, store: Store | None) -> Content | Exception:
    try:
        if isinstance(source, str):
            return source
        if isinstance(source, SourceInput):
            return _read_source(source)
        assert store is not None, "a stored clip needs its store"
        return store.clips.load(source.record)
    except Exception as error:  # recorded as this input's failure; the others go on
        return error


def _read_video(ref: ClipRef, videos: Sequence[VideoInput]) -> list[Frames | Exception]:
    try:
        readings = list(dict.fromkeys(video.reading for video in videos))
        read = dict(zip(readings, read_clips(ref, readings), strict=True))
        frames: list[Frames | Exception] = [read[video.reading] for video in videos]
    except Exception as error:
        frames = [error] * len(videos)
    for index, video in enumerate(videos):
        # A blend already takes all frames, so it is too short only if nothing is left to predict.
        is_exact = video.reading.frames == "exact"
        if video.may_be_short and is_exact and isinstance(frames[index], TooShortError):
            try:
                (again,) = read_clips(ref, [_all_of(video.reading)])
                frames[index] = again
            except Exception as error:
                frames[index] = error
    return frames


def _all_of(reading: Reading) -> Reading:
    """The reading without its length."""
    return replace(reading, num_frames=None, start="first")
