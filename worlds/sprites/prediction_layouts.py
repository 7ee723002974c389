"""Sprites in the layouts of two data sets of text-video prediction, whose clips are folders of pictures.

    bridge/              path_id_bridgedata.txt, rawframes/<task>/<n>/img_00001.jpg ...
    epic-kitchens/       epic-kitchens-100-annotations/EPIC_100_train.csv, EPIC_100_validation.csv,
                         EPIC_100_video_info.csv,
                         EPIC-KITCHENS/P01/rgb_frames/P01_01/frame_0000000001.jpg ...

The clips that are held out are of the world's test split: BridgeData's val, Epic-Kitchens' validation. (The
third layout, Something-Something V2, is in `layouts` and `write`.)

BridgeData. A task's folder is a caption with "_" for spaces. The published cut, the first 80% of the list,
needs four training clips to a held-out one: there are four times as many as `test` asks for.

Epic-Kitchens. A video is several clips one after another, so that actions begin in the middle of a folder.
Its rate is 8 frames a second: readers must be told, since the published names of videos mean 60 or 50.

Pictures are JPEG of the highest quality without chroma subsampling, which would smear edges.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .captions import captions
from .layouts import FRAMES_PER_SECOND, WorldClip, world_clips
from .render import render
from .scene import MOTIONS, SHAPES, Split

CLIPS_IN_A_VIDEO = 4
"""Actions of one Epic-Kitchens video."""
TRAIN_CLIPS_PER_TEST_CLIP = 4
"""In BridgeData's layout: 80% of the list."""
EPIC_COLUMNS = (
    "narration_id",
    "participant_id",
    "video_id",
    "narration_timestamp",
    "start_timestamp",
    "stop_timestamp",
    "start_frame",
    "stop_frame",
    "narration",
    "verb",
    "verb_class",
    "noun",
    "noun_class",
    "all_nouns",
    "all_noun_classes",
)


@dataclass(frozen=True)
class PictureFolder:
    """A folder of pictures to write.

    Attributes:
        clips: what it shows, one after another.
        pattern: the pictures' names, of their numbers from 1.
    """

    clips: tuple[WorldClip, ...]
    pattern: str

    def write(self, folder: Path) -> None:
        """Write the pictures, all or none."""
        frames = (frame for clip in self.clips for frame in render(clip.scene, clip.num_frames))
        pictures = {self.pattern.format(number): frame for number, frame in enumerate(frames, 1)}
        write_pictures(folder, pictures, quality=100, subsampling=0)


def write_pictures(folder: Path, pictures: Mapping[str, np.ndarray], **options: Any) -> None:
    """Write uint8 [H, W, 3] by their names, all or none; `options` are Pillow's."""
    from PIL import Image

    temporary = folder.with_name(folder.name + ".part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for name, picture in pictures.items():
        Image.fromarray(picture).save(temporary / name, **options)
    temporary.replace(folder)


Layout = tuple[dict[str, str], dict[str, PictureFolder]]
"""Texts by the name of their file, folders of pictures by their name; relative to the layout's folder."""


def bridge_layout(counts: Mapping[str, int], seed: int) -> Layout:
    """The files of BridgeData's layout: `test` held-out clips, and four times as many for training."""
    num_test = counts["test"]
    train = world_clips("bridge", "train", TRAIN_CLIPS_PER_TEST_CLIP * num_test, 0, seed)
    folders: dict[str, PictureFolder] = {}
    numbers: dict[str, int] = {}
    for clip in train + world_clips("bridge", "test", num_test, 0, seed):
        task = captions(clip.scene)[0].replace(" ", "_")
        number = numbers[task] = numbers.get(task, -1) + 1
        folders[f"{task}/{number}"] = PictureFolder((clip,), "img_{:05d}.jpg")
    texts = {"path_id_bridgedata.txt": json.dumps(list(folders))}
    return texts, {f"rawframes/{name}": folder for name, folder in folders.items()}


def epic_kitchens_layout(counts: Mapping[str, int], seed: int) -> Layout:
    """The files of Epic-Kitchens' layout, of `train` and `test`."""
    texts: dict[str, str] = {}
    folders: dict[str, PictureFolder] = {}
    info = ["video_id,duration,fps,resolution"]
    parts: tuple[tuple[str, Split, str], ...] = (("train", "train", "P01"), ("validation", "test", "P02"))
    for name, split, participant in parts:
        clips = world_clips("epic-kitchens", split, counts[split], 0, seed)
        rows = [",".join(EPIC_COLUMNS)]
        for start in range(0, len(clips), CLIPS_IN_A_VIDEO):
            in_video = clips[start : start + CLIPS_IN_A_VIDEO]
            video = f"{participant}_{start // CLIPS_IN_A_VIDEO + 1:02d}"
            rows += _epic_rows(participant, video, in_video)
            folder = f"EPIC-KITCHENS/{participant}/rgb_frames/{video}"
            folders[folder] = PictureFolder(tuple(in_video), "frame_{:010d}.jpg")
            duration_s = sum(clip.duration_s for clip in in_video)
            info.append(f"{video},{duration_s},{float(FRAMES_PER_SECOND)},64x64")
        texts[f"epic-kitchens-100-annotations/EPIC_100_{name}.csv"] = "\n".join(rows) + "\n"
    texts["epic-kitchens-100-annotations/EPIC_100_video_info.csv"] = "\n".join(info) + "\n"
    return texts, folders


PREDICTION_LAYOUTS: dict[str, Callable[[Mapping[str, int], int], Layout]] = {
    "bridge": bridge_layout,
    "epic-kitchens": epic_kitchens_layout,
}


def _epic_rows(participant: str, video: str, clips: Sequence[WorldClip]) -> list[str]:
    """The lines of the actions of a video."""
    rows = []
    first = 1
    for index, clip in enumerate(clips):
        last = first + clip.num_frames - 1
        scene = clip.scene
        start, stop = ((frame - 1) / FRAMES_PER_SECOND for frame in (first, last + 1))
        noun, noun_class = scene.main.shape, SHAPES.index(scene.main.shape)
        values = (
            f"{video}_{index}",
            participant,
            video,
            f"{_clock(start)}0",
            _clock(start),
            _clock(stop),
            first,
            last,
            captions(scene)[0],
            scene.motion.replace(" ", "-"),
            MOTIONS.index(scene.motion),
            noun,
            noun_class,
            f"['{noun}']",
            f"[{noun_class}]",
        )
        rows.append(",".join(map(str, values)))
        first = last + 1
    return rows


def _clock(seconds: float) -> str:
    """A time as HH:MM:SS.ss."""
    hundredths = round(seconds * 100)
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 100:02d}.{rest % 100:02d}"
