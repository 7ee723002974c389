"""Epic-Kitchens-100: cooking seen from the head, cut into narrated actions.

Damen et al.: Rescaling egocentric vision, IJCV 2022. Files as distributed (marks: see
`docs/methods.md`):

    EPIC_100_train.csv, EPIC_100_validation.csv
        15 columns, of which narration_id, participant_id, video_id, start_frame, stop_frame and narration are
        read by name; there is no column uid, though the README has had one [C]. The test split has no
        narrations, so it is not offered. 9,668 rows in validation [D], 67,217 in train [U].
    EPIC-KITCHENS/<participant_id>/rgb_frames/<video_id>/frame_0000000001.jpg
        distributed as rgb_frames/<video_id>.tar; unpacked without the folder EPIC-KITCHENS, too

Window. Frames are counted from 1 and named by their number; start_frame and stop_frame both belong to the
action: the authors' own reader and Seer's take range(start_frame, stop_frame + 1) [C].

Rate. EPIC_100_video_info.csv states the rate at which the camera recorded. The frames were extracted at one
rate for all: 60 per second of the videos of 2018 (PXX_YY), 50 of the later ones (PXX_1YY), as the authors say
in the issues of their repositories. Frames that were extracted in another way need `fps`.

Given frames. Seer's checkpoint is given 1 of 16 frames [C], reviewers say its paper used 12 [T]. Seer takes
every floor(length / 100)-th frame of long actions and blends them; see `temporal_interpolation`.
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from ..core.errors import DatasetError
from ..core.types import ClipRef
from .lists.annotation import caption_text, expanded, find_file, plain_name
from .lists.table_file import read_rows
from .prediction_list import Listing, PredictionDataset, PredictionListConfig
from .video import seer_stride

_COLUMNS = ("narration_id", "participant_id", "video_id", "start_frame", "stop_frame", "narration")
_ANNOTATION_FOLDERS = ("", "epic-kitchens-100-annotations", "annotations", "annotation")
_UNFIT = {
    "EPIC_100_*.pkl": "a pickle, which is not loaded: its CSV lies beside it in the release",
    "EPIC_train_action_labels.csv": "a list of Epic-Kitchens-55, another data set",
}
_NUMBER = re.compile(r"([0-9]{1,10})(\.0)?")
_FRAMES = "EPIC-KITCHENS"
_LATER_VIDEO = re.compile(r"P\d\d_1\d\d")
_FIRST_VIDEO = re.compile(r"P\d\d_\d\d")


class EpicKitchens100(PredictionDataset):
    """Epic-Kitchens-100 as samples of text-video prediction.

    A sample's id is its narration_id, its source the video that it is cut from. Order and subset: see
    `prediction_list`. Actions that are too short fail when they are read; Seer puts grey behind their end.

    Opening reads one CSV. Iterating lists a folder for each participant.
    """

    name: ClassVar[str] = "epic-kitchens-100"
    what: ClassVar[str] = "Epic-Kitchens-100"
    hint: ClassVar[str] = (
        f"unpack the frames there, or set `video_root` to the folder of the participants' folders "
        f"({_FRAMES} as the authors' script names it)"
    )

    class Config(PredictionListConfig):
        """Where Epic-Kitchens-100 lies and which part of it is meant; see `PredictionListConfig`.

        Attributes:
            num_context_frames: 1, as of Seer's checkpoint.
            split: the official split.
            fps: frames per second of the frames; "released" for those that the authors extracted (60 or 50,
                by the video's name); None where it is not known: a protocol's frame rate is then not applied.
            video_root: the folder of the participants' folders, or of EPIC-KITCHENS, when it is not `root`.
        """

        num_context_frames: int = Field(default=1, ge=1)
        split: Literal["train", "validation"] = "validation"
        fps: float | Literal["released"] | None = "released"

        @field_validator("fps")
        @classmethod
        def _rate_in_range(cls, fps: float | str | None) -> float | str | None:
            if isinstance(fps, float) and not 1e-3 <= fps <= 1000:
                raise ValueError(f"fps must be from 0.001 to 1000, got {fps}")
            return fps

    config: EpicKitchens100.Config

    def _require_clips(self) -> None:
        self._check_unpacked()
        super()._require_clips()

    @cached_property
    def _video_root(self) -> Path:
        base = self._root if self.config.video_root is None else expanded(self.config.video_root)
        return base / _FRAMES if (base / _FRAMES).is_dir() else base

    def _read(self) -> Listing:
        name = f"EPIC_100_{self.config.split}.csv"
        what = f"{self.what}, split {self.split!r}"
        path = find_file(self._root, (name,), _ANNOTATION_FOLDERS, what, _UNFIT)
        clips = []
        for line, (id, participant, video, start, stop, narration) in read_rows(path, _COLUMNS):
            where = f"{path}, line {line}"
            plain_name(id, "narration_id", where)
            folder = plain_name(participant, "participant_id", where)
            plain_name(video, "video_id", where)
            first, last = _window(start, stop, where)
            frames = self._video_root / folder / "rgb_frames" / video
            reference = ClipRef(
                frames,
                first_frame=first,
                last_frame=last,
                fps=self._fps(video),
                blend_stride=seer_stride(last - first + 1),
            )
            clips.append(self._clip(id, caption_text(narration, where).strip(), video, reference, where))
        if not clips:
            raise DatasetError(f"{path} has a header but no rows", "copy the file again")
        return Listing(clips)

    def _fps(self, video: str) -> float | None:
        if self.config.fps != "released":
            return self.config.fps
        if _LATER_VIDEO.fullmatch(video):
            return 50.0
        return 60.0 if _FIRST_VIDEO.fullmatch(video) else None

    def _check_unpacked(self) -> None:
        """Refuse videos whose frames are still in their archives."""
        folders = [path for path in self.missing() if self._is_there(path.with_name(f"{path.name}.tar"))]
        if folders:
            raise DatasetError(
                f"{self.what}: the frames of {len(folders)} videos of the list are not unpacked, such as "
                f"{str(folders[0])!r}.tar",
                f"unpack each into a folder of its name (mkdir {folders[0].name} && tar -xf "
                f"{folders[0].name}.tar -C {folders[0].name}), or leave them out with skip_missing",
            )


def _window(start: str, stop: str, where: str) -> tuple[int, int]:
    """(start_frame, stop_frame) of a row, both included, counted from 1."""
    numbers = []
    for name, text in (("start_frame", start), ("stop_frame", stop)):
        match = _NUMBER.fullmatch(text.strip())
        if match is None:
            raise DatasetError(
                f"{where}: {name} must be a frame number of at most 10 digits, got {text!r:.40}",
                "correct the line, or take it out",
            )
        numbers.append(int(match[1]))
    first, last = numbers
    if not 1 <= first <= last:
        raise DatasetError(
            f"{where}: the action must run from frame 1 or later to the same or a later one, got {first} to "
            f"{last}",
            "correct the line",
        )
    return first, last
