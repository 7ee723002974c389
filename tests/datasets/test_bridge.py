"""BridgeData in Seer's layout: the path list and its cut, the text of a task, frames in order, bad input."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reelbench.core import registry
from reelbench.core.contracts import Dataset
from reelbench.core.errors import DatasetError, TooShortError, VideoError
from reelbench.datasets.bridge import PATH_LIST, Bridge, task_text
from reelbench.datasets.video import read_clip
from reelbench.worlds.sprites.layouts import FRAMES_PER_SECOND
from reelbench.worlds.sprites.prediction_layouts import bridge_layout


def write_clip(folder: Path, num_frames: int, first: int = 1) -> None:
    """Pictures whose grey is ten times their number."""
    folder.mkdir(parents=True)
    for number in range(first, first + num_frames):
        Image.new("RGB", (8, 8), (10 * number,) * 3).save(folder / f"img_{number:05d}.jpg", quality=100)


def make_root(root: Path, count: int = 11) -> Path:
    (root / "rawframes").mkdir(parents=True)
    paths = [f"put_pot_in_sink_distractors/{i}" for i in range(count)]
    (root / PATH_LIST).write_text(json.dumps(paths))
    for path in paths:
        (root / "rawframes" / path).mkdir(parents=True)
    return root


def open_(root: Path, **config: Any) -> Bridge:
    return Bridge(Bridge.Config(root=str(root), **config))


def ids(data: Bridge) -> list[str]:
    return [sample.id for sample in data]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path / "bridge")


def test_it_is_the_registered_data_set(root: Path) -> None:
    assert registry.get("datasets", "bridge") is Bridge
    data = open_(root)
    assert isinstance(data, Dataset)
    assert (data.name, data.task, data.split) == ("bridge", "prediction", "val")


def test_the_first_eighty_percent_of_the_list_rounded_down_are_the_training_split(root: Path) -> None:
    train, val = ids(open_(root, split="train", order="id")), ids(open_(root, order="id"))
    assert [int(id.split("/")[1]) for id in train] == list(range(8))
    assert [int(id.split("/")[1]) for id in val] == [8, 9, 10]


def test_the_cut_gives_the_published_numbers_for_a_list_of_the_published_length(tmp_path: Path) -> None:
    root = make_root(tmp_path, 1)
    (root / PATH_LIST).write_text(json.dumps([f"t/{i}" for i in range(25_083)]))
    (len_train, len_val) = (len(open_(root, split=split)) for split in ("train", "val"))
    assert (len_train, len_val) == (20_066, 5_017)


@pytest.mark.parametrize(
    ("task", "text"),
    [
        ("put_pot_in_sink_distractors", "put pot in sink"),
        ("put_corn_in_pan_which-is_on_stove_distractors", "put corn in pan which is on stove"),
        ("turn_lever_vertical_to-front", "turn lever vertical to front"),
        ("pick_up_violet_Allen_key", "pick up violet Allen key"),
    ],
)
def test_the_text_is_the_name_of_the_task(task: str, text: str) -> None:
    assert task_text(task) == text


def test_a_sample_is_a_folder_its_task_and_one_given_frame(root: Path) -> None:
    sample = next(iter(open_(root, order="id", fps=5)))
    assert (sample.id, sample.source) == ("put_pot_in_sink_distractors/8",) * 2
    assert (sample.prompt, sample.num_context_frames) == ("put pot in sink", 1)
    assert sample.reference is not None
    assert sample.reference.path == root / "rawframes" / "put_pot_in_sink_distractors" / "8"
    assert (sample.reference.first_frame, sample.reference.fps) == (1, 5.0)
    assert next(iter(open_(root))).reference.fps is None


def test_frames_come_in_the_order_of_their_numbers_wherever_the_listing_has_them(root: Path) -> None:
    folder = root / "rawframes" / "put_pot_in_sink_distractors" / "8"
    folder.rmdir()
    write_clip(folder, 12)
    # More digits than the others: by name it would come between 1 and 2.
    (folder / "img_00011.jpg").rename(folder / "img_000011.jpg")
    frames = read_clip(next(iter(open_(root, order="id"))).reference)
    assert frames[:, 0, 0, 0].tolist() == [10 * number for number in range(1, 13)]


def test_a_frame_that_is_missing_in_the_middle_is_named(root: Path) -> None:
    folder = root / "rawframes" / "put_pot_in_sink_distractors" / "8"
    folder.rmdir()
    write_clip(folder, 6)
    (folder / "img_00004.jpg").unlink()
    reference = next(iter(open_(root, order="id"))).reference
    with pytest.raises(VideoError, match="lacks frame 4"):
        read_clip(reference, 2)


def test_a_clip_of_too_few_frames_an_empty_and_a_missing_one_fail_alone(root: Path) -> None:
    tasks = root / "rawframes" / "put_pot_in_sink_distractors"
    for number in (8, 10):
        (tasks / str(number)).rmdir()
    write_clip(tasks / "8", 3)
    data = open_(root, order="id")
    assert data.missing() == [tasks / "10"]
    short, empty, gone = (sample.reference for sample in data)
    with pytest.raises(TooShortError, match="gives 3 of the 4 frames asked for"):
        read_clip(short, 4)
    with pytest.raises(VideoError, match="holds no picture"):
        read_clip(empty, 4)
    with pytest.raises(VideoError, match=r"/10"):
        read_clip(gone, 4)
    assert ids(open_(root, skip_missing=True, order="id"))[-1].endswith("/9")


def test_pictures_before_the_first_frame_are_not_passed_over(root: Path) -> None:
    folder = root / "rawframes" / "put_pot_in_sink_distractors" / "8"
    folder.rmdir()
    write_clip(folder, 4, first=0)
    with pytest.raises(DatasetError, match="are numbered from 0, not from 1") as caught:
        iter(open_(root, order="id"))
    assert "first_frame: 0" in str(caught.value.hint)
    assert read_clip(next(iter(open_(root, order="id", first_frame=0))).reference)[0].max() == 0


def test_the_list_in_its_other_places_and_frames_elsewhere(root: Path, tmp_path: Path) -> None:
    (root / "dataset").mkdir()
    (root / PATH_LIST).rename(root / "dataset" / PATH_LIST)
    assert len(open_(root)) == 3
    (root / "dataset" / PATH_LIST).rename(tmp_path / "mine.json")
    assert len(open_(root, path_list=str(tmp_path / "mine.json"))) == 3
    (root / "rawframes").rename(tmp_path / "frames")
    data = open_(root, path_list="../mine.json", video_root=str(tmp_path / "frames"))
    assert data.missing() == []
    with pytest.raises(DatasetError, match=rf"{re.escape(PATH_LIST)} is missing"):
        len(open_(root))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("../../etc/8", "entry 1: expected a path of the form task/n, got '../../etc/8'"),
        ("../8", r"entry 1: clip path '\.\.' is not a plain name"),
        ("/etc", "entry 1: clip path '' is not a plain name"),
        ("put_pot", "entry 1: expected a path of the form task/n"),
        (7, "entry 1: expected a path of the form task/n, got 7"),
    ],
)
def test_malformed_paths_are_refused_in_either_split(root: Path, entry: int | str, message: str) -> None:
    (root / PATH_LIST).write_text(json.dumps(["t/1", entry, "t/2"]))
    for split in ("train", "val"):
        with pytest.raises(DatasetError, match=message):
            len(open_(root, split=split))


def test_a_list_that_names_clips_that_are_not_there(root: Path) -> None:
    (root / PATH_LIST).write_text(json.dumps([f"other_task/{i}" for i in range(5)]))
    with pytest.raises(
        DatasetError, match=r"no clip of the list is there; expected .*other_task/4"
    ) as caught:
        iter(open_(root))
    assert "bridge_conversion" in str(caught.value.hint)


def test_clips_that_stand_in_both_splits_are_said(root: Path) -> None:
    (root / PATH_LIST).write_text(json.dumps(["t/0", "t/1", "t/2", "t/3", "t/1"]))
    assert open_(root).notes() == ("1 clips stand in the other split, too",)


def test_sprites_in_this_layout_are_read(tmp_path: Path) -> None:
    texts, folders = bridge_layout({"train": 9, "validate": 9, "test": 1}, 0)
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    for name, folder in folders.items():
        folder.write(tmp_path / name)
    train, val = open_(tmp_path, split="train", fps=FRAMES_PER_SECOND), open_(tmp_path)
    assert (len(train), len(val)) == (4, 1)
    assert train.missing() == val.missing() == []
    sample = next(iter(val))
    (shown,) = [folder for name, folder in folders.items() if name.endswith(sample.id)]
    assert read_clip(sample.reference).shape == (shown.clips[0].num_frames, 64, 64, 3)
    assert shown.clips[0].scene.main.colour in sample.prompt
    assert np.ptp(read_clip(sample.reference, 16)) > 100


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("form", ["{}", "rawframes/{}", "./{}/"])
def test_a_path_a_line_is_the_same_list(root: Path, form: str, end: str) -> None:
    expected = open_(root).fingerprint()
    paths = json.loads((root / PATH_LIST).read_text())
    (root / PATH_LIST).write_text("".join(form.format(path) + end for path in paths), newline="")
    assert open_(root).fingerprint() == expected
    assert open_(root).missing() == []


@pytest.mark.parametrize(
    "path", ["../../etc/passwd", "/etc/passwd", "a/../b", "a/..", "C:\\x/1", "a" * 300 + "/1"]
)
def test_a_line_never_leads_out_of_the_folder(root: Path, path: str) -> None:
    (root / PATH_LIST).write_text(f"a/1\n{path}\n")
    with pytest.raises(DatasetError, match=r"entry 1: (expected a path of the form task/n|clip path)"):
        len(open_(root))
