"""MSR-VTT in its published layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from reelbench.core import registry
from reelbench.core.contracts import Dataset
from reelbench.core.errors import DatasetError
from reelbench.datasets.msrvtt import MsrVtt


def make_info(numbers: range, split: str, captions_each: int = 20, first_sen_id: int = 0) -> dict[str, Any]:
    """The content of a videodatainfo JSON."""
    videos, sentences = [], []
    for position, number in enumerate(numbers):
        videos.append(
            {
                "category": 9,
                "url": "https://www.example.com/watch?v=x",
                "video_id": f"video{number}",
                "start time": 137.72,
                "end time": 149.44,
                "split": split,
                "id": number,
            }
        )
        for caption in range(captions_each):
            sentences.append(
                {
                    "caption": f"caption {caption} of clip {number}",
                    "video_id": f"video{number}",
                    "sen_id": first_sen_id + position * captions_each + caption,
                }
            )
    return {"info": {"year": "2016"}, "videos": videos, "sentences": sentences}


def make_root(root: Path, num_test: int = 40, **replace: Any) -> Path:
    """MSR-VTT with `num_test` test clips, 12 train and 5 validate clips; the videos are empty files."""
    root.mkdir(parents=True, exist_ok=True)
    test = {**make_info(range(7010, 7010 + num_test), "test", first_sen_id=1000), **replace}
    train, validate = (
        make_info(range(12), "train"),
        make_info(range(6513, 6518), "validate", first_sen_id=500),
    )
    train_val = {**train, **{key: train[key] + validate[key] for key in ("videos", "sentences")}}
    (root / "test_videodatainfo.json").write_text(json.dumps(test))
    (root / "train_val_videodatainfo.json").write_text(json.dumps(train_val))
    rows = [f"ret{i},msr{n},video{n},given caption {n}" for i, n in enumerate((7012, 3, 7030, 6514))]
    (root / "MSRVTT_JSFUSION_test.csv").write_text("\n".join(["key,vid_key,video_id,sentence", *rows, ""]))
    for folder, info in (("TestVideo", test), ("TrainValVideo", train_val)):
        (root / folder).mkdir(exist_ok=True)
        for entry in info["videos"]:
            (root / folder / f"{entry['video_id']}.mp4").touch()
    return root


def open_(root: Path, **config: Any) -> MsrVtt:
    return MsrVtt(MsrVtt.Config(root=str(root), **config))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path / "msrvtt")


def sources(data: MsrVtt) -> list[str]:
    return [sample.source for sample in data]


def test_it_is_the_registered_data_set(root: Path) -> None:
    assert registry.get("datasets", "msrvtt") is MsrVtt
    data = open_(root)
    assert isinstance(data, Dataset)
    assert (data.name, data.task, data.split) == ("msrvtt", "text-to-video", "test")


def test_one_caption_of_each_test_clip(root: Path) -> None:
    data = open_(root)
    samples = list(data)
    assert len(samples) == len(data) == 40
    assert {sample.source for sample in samples} == {f"video{n}" for n in range(7010, 7050)}
    for sample in samples:
        number = int(sample.source.removeprefix("video"))
        caption = int(sample.prompt.split()[1])
        assert sample.prompt == f"caption {caption} of clip {number}"
        assert sample.id == f"video{number}#{1000 + (number - 7010) * 20 + caption}"
        assert sample.reference is not None
        assert sample.reference.path == root / "TestVideo" / f"video{number}.mp4"
        # "start time" of the JSON belongs to the web video, not to the clip.
        assert (sample.reference.start_s, sample.reference.end_s) == (None, None)
    chosen = [int(sample.prompt.split()[1]) for sample in samples]
    assert len(set(chosen)) > 8  # spread over the twenty captions


def test_the_other_splits_are_found_through_the_video_id(root: Path) -> None:
    assert set(sources(open_(root, split="train"))) == {f"video{n}" for n in range(12)}
    validate = open_(root, split="validate")
    assert set(sources(validate)) == {f"video{n}" for n in range(6513, 6518)}
    sample = next(iter(validate))
    assert sample.reference is not None
    assert sample.reference.path.parent.name == "TrainValVideo"


def test_every_caption_in_rounds(root: Path) -> None:
    one, every = list(open_(root)), list(open_(root, captions="all"))
    assert len(every) == len({sample.id for sample in every}) == 800
    assert every[:40] == one
    for start in range(0, 800, 40):
        assert [sample.source for sample in every[start : start + 40]] == [sample.source for sample in one]


def test_order_by_id(root: Path) -> None:
    samples = list(open_(root, order="id", captions="all"))
    assert [sample.source for sample in samples[::20]] == [f"video{n}" for n in range(7010, 7050)]
    assert [sample.prompt for sample in samples[:3]] == [f"caption {i} of clip 7010" for i in range(3)]
    assert sources(open_(root, split="train", order="id"))[-3:] == ["video9", "video10", "video11"]


def test_the_seed_chooses_captions_and_order_and_nothing_else_does(root: Path) -> None:
    first, again, other = list(open_(root)), list(open_(root)), list(open_(root, seed=1))
    assert first == again
    assert [s.source for s in first] != [s.source for s in other]
    captions = [{s.source: s.id for s in samples} for samples in (first, other)]
    assert sum(captions[0][source] != captions[1][source] for source in captions[0]) > 30
    assert open_(root).fingerprint() == open_(root).fingerprint() != open_(root, seed=1).fingerprint()


def test_the_choice_never_changes(root: Path) -> None:
    # Stored results hang on it.
    assert [sample.id for sample in islice(open_(root), 3)] == [
        "video7026#1338",
        "video7033#1465",
        "video7024#1294",
    ]


def test_a_shorter_list_moves_nothing_else(tmp_path: Path) -> None:
    long = list(open_(make_root(tmp_path / "long", 40)))
    short = list(open_(make_root(tmp_path / "short", 25)))
    kept = [(s.id, s.prompt) for s in long if int(s.source.removeprefix("video")) < 7035]
    assert [(s.id, s.prompt) for s in short] == kept


def test_a_prefix_is_a_mixture_of_the_whole_list(tmp_path: Path) -> None:
    data = open_(make_root(tmp_path, 400))
    numbers = [int(sample.source.removeprefix("video")) for sample in islice(data, 60)]
    assert numbers != sorted(numbers)
    assert all(sum(low <= n < low + 100 for n in numbers) >= 5 for low in range(7010, 7410, 100))
    assert [s.id for s in islice(data, 10)] == [s.id for s in islice(data, 60)][:10]


def test_order_within_the_file_does_not_matter(root: Path, tmp_path: Path) -> None:
    info = make_info(range(7010, 7050), "test", first_sen_id=1000)
    other = make_root(tmp_path / "other", videos=info["videos"][::-1], sentences=info["sentences"][::-1])
    assert open_(other).fingerprint() == open_(root).fingerprint()


def test_the_fingerprint_is_of_the_list_not_of_the_folder(root: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    root.rename(moved)
    before = open_(moved).fingerprint()
    assert before == open_(make_root(tmp_path / "again")).fingerprint()
    assert len({open_(moved, **c).fingerprint() for c in ({}, {"split": "train"}, {"list": "1k-A"})}) == 3


# 1k-A


def test_1k_a_has_its_own_captions_and_mixes_the_splits(root: Path) -> None:
    data = open_(root, list="1k-A", order="id")
    assert data.split == "1k-A"
    assert [(s.id, s.prompt) for s in data] == [
        ("video3#ret1", "given caption 3"),
        ("video6514#ret3", "given caption 6514"),
        ("video7012#ret0", "given caption 7012"),
        ("video7030#ret2", "given caption 7030"),
    ]
    folders = [s.reference.path.parent.name for s in data if s.reference]
    assert folders == ["TrainValVideo", "TrainValVideo", "TestVideo", "TestVideo"]
    assert data.missing() == []


def test_1k_a_excludes_what_it_does_not_have(root: Path) -> None:
    with pytest.raises(ValidationError, match="the 1k-A list has no split 'train'"):
        MsrVtt.Config(root="x", list="1k-A", split="train")
    with pytest.raises(ValidationError, match="one caption a clip"):
        MsrVtt.Config(root="x", list="1k-A", captions="all")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["ret0,msr1,../../x,a"], "line 2: video_id '../../x' is not a plain name"),
        (["ret0,msr1,video1,a", "ret1,msr1,video1,b"], "line 3: the clip 'video1' stands there twice"),
        (["ret0,msr1,video1,  "], "line 2: the sentence of 'video1' is blank"),
        ([], "has a header but no rows"),
    ],
)
def test_broken_1k_a(root: Path, rows: list[str], message: str) -> None:
    path = root / "MSRVTT_JSFUSION_test.csv"
    path.write_text("\n".join(["key,vid_key,video_id,sentence", *rows, ""]))
    with pytest.raises(DatasetError, match=message):
        len(open_(root, list="1k-A"))


# Layouts


@pytest.mark.parametrize("sub", ["annotation", "train_val_annotation", "msrvtt_data"])
def test_annotations_in_common_folders(root: Path, sub: str) -> None:
    expected = open_(root).fingerprint()
    (root / sub).mkdir()
    (root / "test_videodatainfo.json").rename(root / sub / "test_videodatainfo.json")
    assert open_(root).fingerprint() == expected


def test_the_merged_file_serves_when_the_published_ones_are_not_there(root: Path) -> None:
    expected = [open_(root, split=split).fingerprint() for split in ("test", "train", "validate")]
    parts = [root / "train_val_videodatainfo.json", root / "test_videodatainfo.json"]
    loaded = [json.loads(path.read_text()) for path in parts]
    merged = {key: loaded[0][key] + loaded[1][key] for key in ("videos", "sentences")}
    (root / "MSRVTT_data.json").write_text(json.dumps(merged))
    for path in parts:
        path.unlink()
    assert [open_(root, split=split).fingerprint() for split in ("test", "train", "validate")] == expected


@pytest.mark.parametrize("folder", ["videos/TestVideo", "videos/all", "videos", "MSRVTT/TestVideo"])
def test_videos_in_common_folders(root: Path, folder: str) -> None:
    (root / folder).parent.mkdir(exist_ok=True)
    (root / "TestVideo").rename(root / folder)
    data = open_(root)
    assert {s.reference.path.parent for s in data if s.reference} == {root / folder}
    assert data.missing() == []


@pytest.mark.parametrize("inner", ["", "TestVideo"])
def test_videos_elsewhere(root: Path, tmp_path: Path, inner: str) -> None:
    target = tmp_path / "fast disk" / inner
    target.parent.mkdir(parents=True, exist_ok=True)
    (root / "TestVideo").rename(target)
    data = open_(root, video_root=str(tmp_path / "fast disk"))
    assert {s.reference.path.parent for s in data if s.reference} == {target}
    assert data.missing() == []


def test_home_folder_is_expanded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root.parent))
    assert len(open_(Path("~") / root.name)) == 40


# Missing things


def test_missing_videos_are_listed_and_change_nothing(root: Path) -> None:
    before = open_(root).fingerprint()
    (root / "TestVideo" / "video7013.mp4").unlink()
    (root / "TestVideo" / "video7031.mp4").unlink()
    data = open_(root, order="id")
    assert data.missing() == [root / "TestVideo" / "video7013.mp4", root / "TestVideo" / "video7031.mp4"]
    assert len(list(data)) == 40
    assert open_(root).fingerprint() == before
    assert len(open_(root, captions="all").missing()) == 2


def test_missing_test_videos_are_expected_in_their_own_folder(root: Path) -> None:
    for path in (root / "TestVideo").iterdir():
        path.unlink()
    (root / "TestVideo").rmdir()
    assert open_(root).missing()[0].parent == root / "TestVideo"


def test_no_video_folder_at_all(root: Path) -> None:
    for folder in ("TestVideo", "TrainValVideo"):
        (root / folder).rename(root / f"not{folder}")
    data = open_(root)
    assert len(data) == 40
    assert len(data.missing()) == 40
    assert data.fingerprint()
    with pytest.raises(
        DatasetError, match=r"no folder of videos in .*; looked for TestVideo/, TrainValVideo/"
    ):
        iter(data)


def test_a_video_root_that_is_not_there(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"the video root folder '.*nothing' does not exist"):
        iter(open_(root, video_root=str(tmp_path / "nothing")))


def test_missing_files_are_named(root: Path, tmp_path: Path) -> None:
    (root / "test_videodatainfo.json").unlink()
    with pytest.raises(DatasetError, match=r"split 'test': test_videodatainfo\.json") as caught:
        len(open_(root))
    assert str(root / "test_videodatainfo.json") in str(caught.value.hint)
    (root / "train_val_videodatainfo.json").unlink()
    with pytest.raises(DatasetError, match=r"split 'train': train_val_videodatainfo\.json"):
        len(open_(root, split="train"))
    (root / "MSRVTT_JSFUSION_test.csv").unlink()
    with pytest.raises(DatasetError, match=r"MSRVTT_JSFUSION_test\.csv is missing"):
        len(open_(root, list="1k-A"))
    with pytest.raises(DatasetError, match="does not exist"):
        len(open_(tmp_path / "nowhere"))


# Malformed files

ENTRY = {"video_id": "video1", "split": "test"}
SENTENCE = {"video_id": "video7010", "sen_id": 1, "caption": "a dog"}


@pytest.mark.parametrize(
    ("replace", "message"),
    [
        ({"videos": "x"}, "'videos' must be a list, got a string"),
        ({"videos": [ENTRY, 3]}, r"videos\[1\]: expected an object, got a whole number"),
        ({"videos": [{**ENTRY, "video_id": 7}]}, r"videos\[0\]: 'video_id' must be a string"),
        ({"videos": [ENTRY, ENTRY]}, r"videos\[1\]: the clip 'video1' stands there twice"),
        ({"videos": [{**ENTRY, "video_id": "../../x"}]}, r"videos\[0\]: video_id '../../x' is not"),
        ({"videos": [{**ENTRY, "video_id": "/etc/x"}]}, "is not a plain name"),
        ({"videos": [{"video_id": "video1"}]}, "the field 'split' is missing"),
        ({"videos": [{**ENTRY, "split": "valid"}]}, "no clip of split 'test'; splits there: valid"),
        ({"videos": []}, "no clip of split 'test'; splits there: none"),
        ({"sentences": []}, "the clip 'video7010' .* has no caption"),
        ({"sentences": [{"video_id": "video7010", "sen_id": 1}]}, r"sentences\[0\]: the field 'caption'"),
        ({"sentences": [{**SENTENCE, "caption": 5}]}, "'caption' must be a string"),
        ({"sentences": [{**SENTENCE, "sen_id": "1"}]}, "'sen_id' must be a whole"),
        ({"sentences": [SENTENCE] * 2}, "sen_id 1 stands there twice"),
        ({"sentences": [{**SENTENCE, "caption": "\ud800"}]}, "half a surrogate"),
    ],
)
def test_malformed_json_content(tmp_path: Path, replace: dict[str, Any], message: str) -> None:
    root = tmp_path / "r"
    make_root(root)
    info = {**make_info(range(7010, 7012), "test"), **replace}
    (root / "test_videodatainfo.json").write_text(json.dumps(info))
    with pytest.raises(DatasetError, match=message) as caught:
        len(open_(root))
    assert "test_videodatainfo.json" in caught.value.message


def test_blank_captions_are_left_out_and_said(root: Path) -> None:
    info = make_info(range(7010, 7012), "test")
    info["sentences"][3]["caption"] = "  "
    (root / "test_videodatainfo.json").write_text(json.dumps(info))
    data = open_(root, captions="all")
    assert len(data) == 39
    assert data.notes() == ("1 blank captions are left out",)
    assert open_(root, split="train").notes() == ()


def test_captions_in_any_script_and_of_any_length_come_through_as_they_are(root: Path) -> None:
    captions = ["一只狗在跑 🐕", "собака бежит", "كلب يجري", " a dog\truns \n", "word " * 500]
    info = make_info(range(7010, 7011), "test", captions_each=len(captions))
    for entry, caption in zip(info["sentences"], captions, strict=True):
        entry["caption"] = caption
    (root / "test_videodatainfo.json").write_text(json.dumps(info, ensure_ascii=False), "utf-8-sig")
    data = open_(root, order="id", captions="all")
    assert [sample.prompt for sample in data] == captions
    assert len(data.fingerprint()) == 64


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValidationError, match="captoins"):
        MsrVtt.Config(root="x", captoins="all")  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        MsrVtt.Config(root="")


# Cost


def test_constructing_reads_nothing() -> None:
    assert open_(Path("/nowhere")).split == "test"


def test_opening_costs_the_same_number_of_look_ups_for_ten_thousand_clips(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count_file_system_calls: Callable[[pytest.MonkeyPatch], list[str]],
) -> None:
    counts = []
    for num_clips in (10, 10_000):
        root = tmp_path / str(num_clips)
        root.mkdir()
        info = make_info(range(num_clips), "test", captions_each=2)
        (root / "test_videodatainfo.json").write_text(json.dumps(info))
        (root / "TestVideo").mkdir()
        with monkeypatch.context() as patch:
            calls = count_file_system_calls(patch)
            data = open_(root)
            assert len(list(data)) == len(data) == len(data.missing()) == num_clips
            data.fingerprint()
            counts.append(len(calls))
    assert counts[0] == counts[1] < 50
