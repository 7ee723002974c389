"""Epic-Kitchens-100: columns by name, windows with both ends, the rate of the released frames, bad input."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from reelbench.core import registry
from reelbench.core.contracts import Dataset
from reelbench.core.errors import DatasetError, TooShortError, VideoError
from reelbench.datasets.epic_kitchens import EpicKitchens100
from reelbench.datasets.video import read_clip
from reelbench.worlds.sprites.prediction_layouts import EPIC_COLUMNS, epic_kitchens_layout

VIDEO = "EPIC-KITCHENS/P01/rgb_frames/P01_11"


def make_row(index: int, start: int | str, stop: int | str, **changes: str) -> dict[str, str]:
    row = dict.fromkeys(EPIC_COLUMNS, "0") | {
        "narration_id": f"P01_11_{index}",
        "participant_id": "P01",
        "video_id": "P01_11",
        "start_frame": str(start),
        "stop_frame": str(stop),
        "narration": f"take plate no. {index}",
        "all_nouns": "['plate', 'cup']",  # a comma within quotes
    }
    return row | changes


ROWS = [make_row(0, 1, 5), make_row(1, 4, 12), make_row(2, 20, 23), make_row(3, 9, 9)]


def write_list(root: Path, rows: list[dict[str, str]], columns: tuple[str, ...] = EPIC_COLUMNS) -> None:
    root.mkdir(parents=True, exist_ok=True)
    with (root / "EPIC_100_validation.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def make_root(root: Path, num_frames: int = 15) -> Path:
    """A video whose pictures are ten times their number in grey."""
    write_list(root, ROWS)
    (root / VIDEO).mkdir(parents=True)
    for number in range(1, num_frames + 1):
        Image.new("RGB", (8, 8), (10 * number,) * 3).save(
            root / VIDEO / f"frame_{number:010d}.jpg", quality=100
        )
    return root


def open_(root: Path, **config: Any) -> EpicKitchens100:
    return EpicKitchens100(EpicKitchens100.Config(root=str(root), **config))


def ids(data: EpicKitchens100) -> list[str]:
    return [sample.id for sample in data]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path / "epic")


def test_it_is_the_registered_data_set(root: Path) -> None:
    assert registry.get("datasets", "epic-kitchens-100") is EpicKitchens100
    data = open_(root)
    assert isinstance(data, Dataset)
    assert (data.name, data.task, data.split) == ("epic-kitchens-100", "prediction", "validation")


def test_a_sample_is_an_action_of_a_video(root: Path) -> None:
    samples = list(open_(root, order="id"))
    assert [sample.id for sample in samples] == [f"P01_11_{index}" for index in range(4)]
    assert {sample.source for sample in samples} == {"P01_11"}
    assert (samples[1].prompt, samples[1].num_context_frames) == ("take plate no. 1", 1)
    reference = samples[1].reference
    assert reference is not None
    assert (reference.path, reference.first_frame, reference.last_frame) == (root / VIDEO, 4, 12)


def test_the_first_and_the_last_frame_of_a_window_both_belong_to_it(root: Path) -> None:
    reference = list(open_(root, order="id"))[1].reference
    frames = read_clip(reference)
    assert frames[:, 0, 0, 0].tolist() == [10 * number for number in range(4, 13)]


@pytest.mark.parametrize(("video", "fps"), [("P01_11", 60.0), ("P01_101", 50.0), ("kitchen", None)])
def test_the_released_frames_have_the_rate_of_their_year(root: Path, video: str, fps: float | None) -> None:
    write_list(root, [make_row(0, 1, 5, video_id=video)])
    (root / VIDEO).rename((root / VIDEO).with_name(video))
    assert next(iter(open_(root))).reference.fps == fps
    assert next(iter(open_(root, fps=8))).reference.fps == 8.0
    assert next(iter(open_(root, fps=None))).reference.fps is None


def test_rates_out_of_range_are_refused() -> None:
    for fps in (0, -1, 5000, "native"):
        with pytest.raises(ValidationError):
            EpicKitchens100.Config(root="x", fps=fps)


def test_columns_are_found_by_name(root: Path) -> None:
    expected = open_(root).fingerprint()
    write_list(root, ROWS[::-1], EPIC_COLUMNS[::-1])
    assert open_(root).fingerprint() == expected
    write_list(root, ROWS, tuple(name for name in EPIC_COLUMNS if name != "stop_frame"))
    with pytest.raises(DatasetError, match="line 1: the column 'stop_frame' is missing"):
        len(open_(root))


def test_an_action_without_a_frame_to_predict_stays_in_the_list_and_fails_when_it_is_read(root: Path) -> None:
    short = list(open_(root, order="id"))[3]
    assert (short.id, short.num_context_frames) == ("P01_11_3", 1)
    with pytest.raises(TooShortError, match=r"gives 1 frame, and the first 1 .*none is left to predict"):
        read_clip(short.reference, 16, num_given=1)


def test_frames_missing_in_a_folder_are_named(root: Path) -> None:
    (root / VIDEO / "frame_0000000004.jpg").unlink()
    first, _, third, _ = (sample.reference for sample in open_(root, order="id"))
    with pytest.raises(VideoError, match="lacks frame 4"):
        read_clip(first)
    with pytest.raises(VideoError, match="lacks frames 20 to 23"):  # behind the end of the folder
        read_clip(third)


def test_folders_without_the_level_of_the_authors_script(root: Path) -> None:
    (root / "EPIC-KITCHENS" / "P01").rename(root / "P01")
    (root / "EPIC-KITCHENS").rmdir()
    data = open_(root)
    assert data.missing() == []
    assert next(iter(data)).reference.path == root / "P01" / "rgb_frames" / "P01_11"


def test_annotations_in_their_own_folder_and_frames_elsewhere(root: Path, tmp_path: Path) -> None:
    (root / "epic-kitchens-100-annotations").mkdir()
    name = "EPIC_100_validation.csv"
    (root / name).rename(root / "epic-kitchens-100-annotations" / name)
    (root / "EPIC-KITCHENS").rename(tmp_path / "EPIC-KITCHENS")
    for folder in (tmp_path, tmp_path / "EPIC-KITCHENS"):
        assert open_(root, video_root=str(folder)).missing() == []


def test_frames_that_are_still_in_their_archive_are_said(root: Path) -> None:
    rows = [*ROWS, make_row(5, 1, 5, video_id="P01_12", narration_id="P01_12_0")]
    write_list(root, rows)
    (root / VIDEO).with_name("P01_12.tar").touch()
    data = open_(root)
    assert data.missing() == [(root / VIDEO).with_name("P01_12")]
    with pytest.raises(DatasetError, match="the frames of 1 videos of the list are not unpacked") as caught:
        iter(data)
    assert "tar -xf P01_12.tar -C P01_12" in str(caught.value.hint)
    assert len(list(open_(root, skip_missing=True))) == 4


def test_an_annotation_that_names_a_video_that_is_not_there(root: Path) -> None:
    write_list(root, [*ROWS, make_row(5, 1, 5, video_id="P01_12", narration_id="P01_12_0")])
    samples = list(open_(root, order="id"))
    with pytest.raises(VideoError, match="P01_12"):
        read_clip(samples[-1].reference)
    (root / VIDEO).rename(root / "away")
    with pytest.raises(DatasetError, match=r"no clip of the list is there; expected .*P01_11.*line 2"):
        iter(open_(root, order="id"))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (make_row(1, 0, 5), "line 3: the action must run from frame 1"),
        (make_row(1, 9, 4), "line 3: the action must run from frame 1 .*, got 9 to 4"),
        (make_row(1, "4.5", 9), "line 3: start_frame must be a frame number of at most 10 digits, got '4.5'"),
        (make_row(1, 4, "²"), "line 3: stop_frame must be a frame number"),
        (make_row(1, 4, 9, video_id="../x"), "line 3: video_id '../x' is not a plain name"),
        (make_row(1, 4, 9, participant_id="a/b"), "line 3: participant_id 'a/b' is not a plain name"),
        (make_row(1, 4, 9, narration_id=".."), r"line 3: narration_id '\.\.' is not a plain name"),
        (make_row(0, 4, 9), "line 3: the clip 'P01_11_0' stands in .*line 2 too, with another caption or"),
    ],
)
def test_malformed_rows(root: Path, row: dict[str, str], message: str) -> None:
    write_list(root, [ROWS[0], row])
    with pytest.raises(DatasetError, match=message):
        len(open_(root))


def test_missing_and_empty_lists(root: Path) -> None:
    with pytest.raises(DatasetError, match=r"split 'train': EPIC_100_train\.csv is missing"):
        len(open_(root, split="train"))
    write_list(root, [])
    with pytest.raises(DatasetError, match="has a header but no rows"):
        len(open_(root))
    with pytest.raises(ValidationError):
        open_(root, split="test")  # it has no narrations


def test_opening_lists_a_folder_for_each_participant_however_many_actions(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count_file_system_calls: Callable[[pytest.MonkeyPatch], list[str]],
) -> None:
    counts = []
    for count in (10, 5_000):
        root = make_root(tmp_path / str(count), 1)
        write_list(root, [make_row(i, i + 1, i + 9) for i in range(count)])
        with monkeypatch.context() as patch:
            calls = count_file_system_calls(patch)
            assert len(list(open_(root))) == count
        counts.append(len(calls))
    assert counts[0] == counts[1] < 20


def test_sprites_in_this_layout_are_read(tmp_path: Path) -> None:
    texts, folders = epic_kitchens_layout({"train": 2, "validate": 0, "test": 5}, 0)
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for name, folder in folders.items():
        folder.write(tmp_path / name)
    train, validation = open_(tmp_path, split="train", fps=8), open_(tmp_path, order="id", fps=8)
    assert (len(train), len(validation)) == (2, 5)
    assert train.missing() == validation.missing() == []
    in_order = [clip for folder in list(folders.values())[1:] for clip in folder.clips]
    for sample, clip in zip(validation, in_order, strict=True):
        assert clip.scene.main.colour in sample.prompt
        assert len(read_clip(sample.reference)) == clip.num_frames
    assert [sample.reference.first_frame for sample in validation][:2] == [1, 1 + in_order[0].num_frames]


def test_a_clip_says_how_many_of_its_frames_enter_seers_blend(root: Path) -> None:
    lengths = (2, 101, 200, 201, 300, 301, 2994)
    write_list(root, [make_row(i, 7, 6 + length) for i, length in enumerate(lengths)])
    # Seer: every floor((stop - start) / 100)-th frame from a difference of 100 on.
    strides = [sample.reference.blend_stride for sample in open_(root, order="id")]
    assert strides == [1, 1, 1, 2, 2, 3, 29]
    assert strides == [(length - 1) // 100 if length > 100 else 1 for length in lengths]


# Copies that people made


def test_a_copy_saved_with_semicolons_and_numbers_with_a_point_is_the_same_list(root: Path) -> None:
    expected = open_(root).fingerprint()
    path = root / "EPIC_100_validation.csv"
    rows = [{**row, **{key: f"{row[key]}.0" for key in ("start_frame", "stop_frame")}} for row in ROWS]
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, EPIC_COLUMNS, delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    data = open_(root, order="id")
    assert data.fingerprint() == open_(root, order="id").fingerprint()
    assert open_(root).fingerprint() == expected
    references = [sample.reference for sample in data]
    assert [(ref.first_frame, ref.last_frame) for ref in references if ref] == [
        (1, 5),
        (4, 12),
        (20, 23),
        (9, 9),
    ]


def test_repeated_rows_and_narrations_that_are_missing_are_left_out_and_said(root: Path) -> None:
    write_list(root, [*ROWS, ROWS[0], make_row(4, 1, 3, narration="nan"), make_row(5, 1, 3, narration="")])
    data = open_(root)
    assert len(data) == 4
    assert data.notes() == (
        "1 of 7 entries repeat another one and are left out",
        "2 of 7 clips are left out: their caption is blank",
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("EPIC_100_validation.pkl", r"EPIC_100_validation\.pkl' is a pickle, which is not loaded"),
        ("EPIC_train_action_labels.csv", "is a list of Epic-Kitchens-55, another data set"),
    ],
)
def test_a_file_that_people_have_instead_is_named(root: Path, name: str, message: str) -> None:
    (root / "EPIC_100_validation.csv").rename(root / name)
    with pytest.raises(DatasetError, match=message):
        len(open_(root))
