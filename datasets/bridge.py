"""BridgeData (v1) in Seer's layout: a robot arm in toy kitchens, clips as folders of pictures.

Ebert et al.: Bridge data, boosting generalization of robotic skills with cross-domain datasets, RSS 2022. The
original release is another tree (see `bridge_conversion`). Seer's layout (marks: see `docs/methods.md`):

    path_id_bridgedata.txt           a JSON list of "<task>/<n>" (or one a line), shuffled already; in Seer's
                                     repository under dataset/: 25,083 clips of 110 tasks [C]
    rawframes/<task>/<n>/            img_00001.jpg, img_00002.jpg, ...

Split. The first int(0.8 * length) entries are "train", the rest "val" [C]: 20,066 and 5,017 of Seer's list. A
list that is made by `bridge_conversion` gives another split: how Seer numbered the clips is not known [?].

Text. The task's name without "_distractors", "_" and "-" as spaces [C].

Frames. In the order of their numbers (Seer's is that of an unsorted listing). The window begins with
`first_frame`, so that a missing picture is noticed. The robot's rate is 5 Hz in v2, of v1 it is not sure [U]:
`fps` is None unless it is set, and a protocol's frame rate is then not applied.

Given frames. Seer's checkpoint is given 1 of 16 frames [C].
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from ..core.errors import DatasetError, VideoError
from ..core.types import ClipRef
from .lists.annotation import expanded, find_file, load_json_list, plain_name, shown
from .lists.text_file import read_text
from .prediction_list import Listing, PredictionDataset, PredictionListConfig
from .video import frame_files

PATH_LIST = "path_id_bridgedata.txt"
_LIST_FOLDERS = ("", "dataset", "annotations")
_FRAMES = "rawframes"
_TRAIN_SHARE = 0.8


class Bridge(PredictionDataset):
    """BridgeData as samples of text-video prediction.

    A sample's id and source are its entry of the path list. Order and subset: see `prediction_list`. Opening
    reads the path list; iterating lists the tasks' folders until a clip is found, and that clip's folder.
    """

    name: ClassVar[str] = "bridge"
    what: ClassVar[str] = "BridgeData"
    hint: ClassVar[str] = (
        "convert the original release with `python -m reelbench.datasets.bridge_conversion`, or set "
        "`video_root` to the folder of the tasks' folders"
    )

    class Config(PredictionListConfig):
        """Where BridgeData lies and which part of it is meant; see `PredictionListConfig`.

        Attributes:
            num_context_frames: 1, as of Seer's checkpoint.
            split: "train" or "val", cut from the path list.
            path_list: the path list, relative to `root` or absolute; None looks for it in `root`.
            first_frame: number of a clip's first picture.
            fps: frames per second of the clips, None where it is not known.
            video_root: the folder of the tasks' folders, when it is not `root`/rawframes.
        """

        num_context_frames: int = Field(default=1, ge=1)
        split: Literal["train", "val"] = "val"
        path_list: str | None = Field(default=None, min_length=1)
        first_frame: int = Field(default=1, ge=0)
        fps: float | None = Field(default=None, ge=1e-3, le=1000)

    config: Bridge.Config

    def _require_clips(self) -> None:
        super()._require_clips()
        self._check_numbers()

    @cached_property
    def _video_root(self) -> Path:
        given = self.config.video_root
        return self._root / _FRAMES if given is None else expanded(given)

    def _read(self) -> Listing:
        path = self._path_list()
        entries = _entries(path)
        cut = int(_TRAIN_SHARE * len(entries))
        is_train = self.config.split == "train"
        clips = []
        for index, entry in enumerate(entries):
            where = f"{path}, entry {index}"
            task, number = _clip_path(entry, where)  # all are checked, whichever part is taken
            if (index < cut) == is_train:
                folder = self._video_root / task / number
                reference = ClipRef(folder, first_frame=self.config.first_frame, fps=self.config.fps)
                id = f"{task}/{number}"
                clips.append(self._clip(id, task_text(task), id, reference, where))
        other = set(entries[cut:] if is_train else entries[:cut])
        shared = sum(clip.sample.id in other for clip in clips)
        return Listing(clips, (f"{shared} clips stand in the other split, too",) if shared else ())

    def _path_list(self) -> Path:
        if self.config.path_list is None:
            return find_file(self._root, (PATH_LIST,), _LIST_FOLDERS, self.what)
        return self._root / expanded(self.config.path_list)

    def _check_numbers(self) -> None:
        """Refuse pictures before `first_frame`, which the window would pass over, by the first clip there."""
        there = (clip.path for clip in self._clips if self._is_there(clip.path))
        folder = next(there)
        try:
            numbers = re.findall(r"\d+", frame_files(folder)[0].stem)
        except VideoError:
            return  # that clip alone, and it fails when it is read
        first = int(numbers[-1]) if numbers else self.config.first_frame
        if first != self.config.first_frame:
            raise DatasetError(
                f"{self.what}: the pictures of {str(folder)!r} are numbered from {first}, not from "
                f"{self.config.first_frame}",
                f"set first_frame: {first}, or copy the folder again if its start is missing",
            )


def _entries(path: Path) -> list[Any]:
    """The path list: JSON as in Seer's repository, or a path a line, as its ending says."""
    text = read_text(path)
    if text.lstrip()[:1] in ("", "[", "{", '"'):
        return load_json_list(path, "clip paths")
    return [line.strip() for line in text.splitlines() if line.strip()]


def task_text(task: str) -> str:
    """What a task's folder says: "put_pot_in_sink_distractors" to "put pot in sink"."""
    return task.replace("_distractors", "").replace("_", " ").replace("-", " ").strip()


def _clip_path(entry: object, where: str) -> tuple[str, str]:
    """(task, n) of an entry of the path list."""
    text = (
        entry.removeprefix("./").removeprefix(f"{_FRAMES}/").removesuffix("/")
        if isinstance(entry, str)
        else ""
    )
    parts = text.split("/")
    if len(parts) != 2:
        raise DatasetError(
            f"{where}: expected a path of the form task/n, got {shown(entry)}",
            f"the list is Seer's {PATH_LIST}, or what `bridge_conversion` writes",
        )
    task, number = (plain_name(part, "clip path", where) for part in parts)
    return task, number
