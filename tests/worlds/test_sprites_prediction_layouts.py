"""Sprites as folders of pictures: what is written is what was drawn, and the splits are the world's."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from reelbench.worlds.sprites.prediction_layouts import (
    CLIPS_IN_A_VIDEO,
    PREDICTION_LAYOUTS,
    bridge_layout,
    epic_kitchens_layout,
)
from reelbench.worlds.sprites.render import render
from reelbench.worlds.sprites.scene import split_of

from .combinations import combination

COUNTS = {"train": 6, "validate": 0, "test": 5}


def test_pictures_decode_to_what_was_drawn(tmp_path: Path) -> None:
    _, folders = epic_kitchens_layout(COUNTS, 0)
    folder = next(iter(folders.values()))
    folder.write(tmp_path / "video")
    drawn = np.concatenate([render(clip.scene, clip.num_frames) for clip in folder.clips])
    paths = sorted((tmp_path / "video").iterdir())
    assert [path.name for path in paths[:2]] == ["frame_0000000001.jpg", "frame_0000000002.jpg"]
    read = np.stack([np.asarray(Image.open(path)) for path in paths])
    assert read.shape == drawn.shape
    assert np.abs(read.astype(int) - drawn).max() <= 6


def test_the_held_out_parts_are_of_the_test_split_of_the_world() -> None:
    for layout in PREDICTION_LAYOUTS.values():
        _, folders = layout(COUNTS, 0)
        clips = [clip for folder in folders.values() for clip in folder.clips]
        assert {clip.split for clip in clips} == {"train", "test"}
        assert all(split_of(*combination(clip.scene)) == clip.split for clip in clips)


def test_bridges_list_has_its_first_eighty_percent_of_the_training_split() -> None:
    for num_test in (1, 5, 13, 64):
        texts, folders = bridge_layout(COUNTS | {"test": num_test}, 0)
        listed = json.loads(texts["path_id_bridgedata.txt"])
        splits = [folders[f"rawframes/{path}"].clips[0].split for path in listed]
        cut = int(0.8 * len(listed))
        assert set(splits[:cut]) == {"train"}
        assert splits[cut:] == ["test"] * num_test


def test_epic_actions_follow_each_other_in_a_video() -> None:
    texts, folders = epic_kitchens_layout(COUNTS, 0)
    rows = texts["epic-kitchens-100-annotations/EPIC_100_validation.csv"].splitlines()
    windows = [tuple(map(int, row.split(",")[6:8])) for row in rows[1:]]
    assert len(windows) == COUNTS["test"]
    in_video = windows[:CLIPS_IN_A_VIDEO]
    assert in_video[0][0] == 1
    assert all(after[0] == before[1] + 1 for before, after in pairwise(in_video))
    video = folders["EPIC-KITCHENS/P02/rgb_frames/P02_01"]
    assert in_video[-1][1] == sum(clip.num_frames for clip in video.clips)


def test_a_seed_is_a_world_and_fewer_clips_are_a_prefix() -> None:
    texts, few = epic_kitchens_layout(COUNTS, 0)
    assert epic_kitchens_layout(COUNTS, 0) == (texts, few)
    assert epic_kitchens_layout(COUNTS, 1)[1] != few
    _, more = epic_kitchens_layout(COUNTS | {"train": 12}, 0)
    assert more["EPIC-KITCHENS/P01/rgb_frames/P01_01"] == few["EPIC-KITCHENS/P01/rgb_frames/P01_01"]
