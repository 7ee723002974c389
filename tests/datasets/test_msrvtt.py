"""MSR-VTT in its published layout."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
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
        (["ret0,msr1,video1,  "], "has a header but no rows with a sentence"),
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
    with pytest.raises(DatasetError, match=r"list '1k-A': MSRVTT_JSFUSION_test\.csv or .* is missing"):
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
        ({"videos": [{**ENTRY, "video_id": 7.5}]}, r"videos\[0\]: video_id 7.5 is not a plain name"),
        ({"videos": [ENTRY, ENTRY]}, r"videos\[1\]: the clip 'video1' stands there twice"),
        ({"videos": [{**ENTRY, "video_id": "../../x"}]}, r"videos\[0\]: video_id '../../x' is not"),
        ({"videos": [{**ENTRY, "video_id": "/etc/x"}]}, "is not a plain name"),
        ({"videos": [ENTRY, {"video_id": "video2"}]}, r"videos\[1\]: the field 'split' is missing"),
        ({"videos": [{"video_id": "video1"}]}, "by their numbers none of its 1 clips is of split 'test'"),
        (
            {"videos": [{"video_id": "clip1"}]},
            "no split is marked, and 'clip1' is none of video0 to video9999",
        ),
        ({"videos": [{**ENTRY, "split": "valid"}]}, "no clip of split 'test'; splits there: valid"),
        (
            {"sentences": [{**SENTENCE, "video_id": "video1"}]},
            "none of the 2 clips of split 'test' has a cap",
        ),
        ({"sentences": [{**SENTENCE, "caption": " "}]}, "none of the 2 clips of split 'test' has a caption"),
        ({"sentences": [{**SENTENCE, "video_id": "../../x"}]}, r"sentences\[0\]: video_id '../../x' is not"),
        ({"sentences": [{"video_id": "video7010", "sen_id": 1}]}, r"sentences\[0\]: the field 'caption'"),
        ({"sentences": [{**SENTENCE, "caption": 5}]}, "'caption' must be a string"),
        ({"sentences": [{**SENTENCE, "sen_id": 1.5}]}, "'sen_id' must be a whole"),
        ({"sentences": [{**SENTENCE, "caption": "a\0b"}]}, "holds a NUL"),
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


def test_clips_without_a_caption_are_left_out_and_said(root: Path) -> None:
    info = make_info(range(7010, 7013), "test", captions_each=2)
    info["sentences"][0]["caption"], info["sentences"][1]["caption"] = "", " "
    del info["sentences"][2:4]
    (root / "test_videodatainfo.json").write_text(json.dumps(info))
    assert sources(open_(root)) == ["video7012"]
    assert open_(root).notes() == (
        "2 blank captions are left out",
        "2 of 3 clips are left out: they have no caption",
    )


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


# Other forms of the same captions, as they go round


def captions_of(data: MsrVtt) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for sample in data:
        found.setdefault(sample.source, []).append(sample.prompt)
    return found


NUMBERS = (0, 6512, 6513, 7009, 7010, 9999)
TEXTS = {f"video{number}": [f"a dog, no. {number}", f"зверь {number}"] for number in NUMBERS}
OFFICIAL = {"train": NUMBERS[:2], "validate": NUMBERS[2:4], "test": NUMBERS[4:]}
ROWS = [{"video_id": clip, "caption": text} for clip, texts in TEXTS.items() for text in texts]
FORMS = {
    "MSR_VTT.json": {
        "info": {},
        "images": [{"id": clip} for clip in TEXTS],
        "annotations": [
            {"caption": row["caption"], "id": index, "image_id": row["video_id"]}
            for index, row in enumerate(ROWS)
        ],
    },
    "all_train.json": {
        "videos": [{"video_id": clip, "split": "train"} for clip in TEXTS],
        "sentences": [{**row, "sen_id": index} for index, row in enumerate(ROWS)],
    },
    "no_videos.json": {"sentences": [{**row, "sen_id": index} for index, row in enumerate(ROWS)]},
    "one_caption_each.json": ROWS,
    "many_captions.json": [{"video": f"{clip}.mp4", "caption": texts} for clip, texts in TEXTS.items()],
    "golden.json": [{"video_id": clip, "golden_caption": texts} for clip, texts in TEXTS.items()],
    "alpro.json": [
        {"clip_name": row["video_id"], "caption": row["caption"], "sen_id": index}
        for index, row in enumerate(ROWS)
    ],
    "by_clip.json": TEXTS,
    "by_split.json": {
        {"validate": "val"}.get(split, split): [row for row in ROWS if int(row["video_id"][5:]) in numbers]
        for split, numbers in OFFICIAL.items()
    },
}


def open_form(root: Path, name: str, **config: Any) -> MsrVtt:
    (root / "TestVideo").mkdir(exist_ok=True)
    return open_(root, annotation=name, captions="all", order="id", **config)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("split", OFFICIAL)
def test_every_form_gives_the_captions_of_the_official_split(tmp_path: Path, name: str, split: str) -> None:
    (tmp_path / name).write_text(json.dumps(FORMS[name]))
    data = open_form(tmp_path, name, split=split)
    assert captions_of(data) == {f"video{number}": TEXTS[f"video{number}"] for number in OFFICIAL[split]}
    assert len({sample.id for sample in data}) == 4
    by_number = "the split is told by the clips' numbers"
    assert [by_number in note for note in data.notes()] == [True] * (name != "by_split.json")


def test_what_other_programs_write_for_no_caption_is_none(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("video_id,caption\nvideo7010,nan\nvideo7010,a dog\nvideo7011,NaN\n")
    data = open_form(tmp_path, "list.csv")
    assert captions_of(data) == {"video7010": ["a dog"]}
    assert data.notes()[1:] == (
        "2 blank captions are left out",
        "1 of 2 clips are left out: they have no caption",
    )


def test_a_column_of_splits_is_read(tmp_path: Path) -> None:
    rows = [{"video_id": "video7010", "caption": "a", "split": "train"}]
    rows += [
        {"video_id": f"video{n}", "caption": "b", "split": split} for n, split in ((1, "TEST"), (2, " Test"))
    ]
    (tmp_path / "list.json").write_text(json.dumps(rows))
    table = "\n".join(",".join(row.values()) for row in rows)
    (tmp_path / "list.csv").write_text("video_id,caption,split\n" + table)
    (tmp_path / "list.tsv").write_text(("video_id,caption,split\n" + table).replace(",", "\t"))
    for name in ("list.json", "list.csv", "list.tsv"):
        data = open_form(tmp_path, name)
        assert sources(data) == ["video1", "video2"]
        assert data.notes() == ()
        assert sources(open_form(tmp_path, name, split="train")) == ["video7010"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "video1,a,test\nvideo1,b,train",
            "line 3: the clip 'video1' is of split 'train', and above of 'test'",
        ),
        ("video1,a,test\nvideo2,b,", "some clips have a split and some have none, such as 'video2'"),
    ],
)
def test_splits_that_contradict_or_lack_are_refused(tmp_path: Path, rows: str, message: str) -> None:
    (tmp_path / "list.csv").write_text(f"video_id,caption,split\n{rows}\n")
    with pytest.raises(DatasetError, match=message) as caught:
        len(open_form(tmp_path, "list.csv"))
    assert caught.value.hint


@pytest.mark.parametrize("form", ["{}", "{}.0", "{}.mp4", " {}"])
def test_ids_are_numbers_in_every_form(tmp_path: Path, form: str) -> None:
    expected = {"video7010": ["a"], "video7011": ["b"]}
    ids = [form.format(number) for number in (7010, 7011)]
    (tmp_path / "list.csv").write_text(f"video_id,caption\n{ids[0]},a\n{ids[1]},b\n")
    assert captions_of(open_form(tmp_path, "list.csv")) == expected
    for given in (ids, [7010, 7011], [7010.0, 7011.0]):
        sentences = [
            {"video_id": id, "caption": text, "sen_id": 0} for id, text in zip(given, "ab", strict=True)
        ]
        videos = [{"video_id": id, "split": "test"} for id in given]
        (tmp_path / "info.json").write_text(json.dumps({"videos": videos, "sentences": sentences}))
        assert captions_of(open_form(tmp_path, "info.json")) == expected


def test_missing_captions_are_left_out_alike_in_every_form(tmp_path: Path) -> None:
    texts = ["a dog", "", " ", None, float("nan"), "nan", "None"]
    release: dict[str, Any] = make_info(range(7010, 7011), "test", captions_each=len(texts))
    for entry, text in zip(release["sentences"], texts, strict=True):
        entry["caption"] = text
    rows = [{"video_id": "video7010", "caption": text} for text in texts]
    forms = {"r.json": release, "l.json": rows, "m.json": [{"video_id": "video7010", "caption": texts}]}
    forms["c.json"] = {"video7010": texts}
    for name, content in forms.items():
        (tmp_path / name).write_text(json.dumps(content))
        data = open_form(tmp_path, name)
        assert captions_of(data) == {"video7010": ["a dog"]}
        assert "6 blank captions are left out" in data.notes()


def test_a_1k_a_list_leaves_out_clips_without_a_sentence(root: Path) -> None:
    rows = "key,vid_key,video_id,sentence\nret0,m,video7012,a\nret1,m,video3,nan\nret2,m,video7013,\n"
    (root / "MSRVTT_JSFUSION_test.csv").write_text(rows)
    data = open_(root, list="1k-A")
    assert sources(data) == ["video7012"]
    assert data.notes() == ("2 of 3 clips are left out: they have no caption",)


def test_sentences_of_clips_that_are_not_listed_are_counted(root: Path) -> None:
    info = make_info(range(7010, 7012), "test")
    info["sentences"] += [{"video_id": "video9999", "caption": "x", "sen_id": n} for n in range(3)]
    (root / "test_videodatainfo.json").write_text(json.dumps(info))
    assert open_(root).notes() == ("3 sentences are left out: their clip is not among `videos`",)


def test_lines_of_json_parquet_and_tables_are_read_as_the_list_is(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(json.dumps(ROWS))
    expected = open_form(tmp_path, "list.json").fingerprint()
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "list.parquet")
    for name, delimiter in (("list.csv", ","), ("semicolons.csv", ";"), ("list.tsv", "\t")):
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["video_id", "caption"], delimiter=delimiter)
            writer.writeheader()
            writer.writerows(ROWS)
    for name in ("list.jsonl", "list.parquet", "list.csv", "semicolons.csv", "list.tsv"):
        assert open_form(tmp_path, name).fingerprint() == expected


def test_the_file_in_the_form_of_coco_is_found_where_the_release_is_not_there(root: Path) -> None:
    (root / "test_videodatainfo.json").unlink()
    (root / "annotation").mkdir()
    (root / "annotation" / "MSR_VTT.json").write_text(json.dumps(FORMS["MSR_VTT.json"]))
    assert set(sources(open_(root))) == {"video7010", "video9999"}


@pytest.mark.parametrize("sentences", [{}, {"sentences": []}, {"sentences": None}])
def test_the_challenges_list_without_sentences_is_called_that(root: Path, sentences: dict[str, Any]) -> None:
    info = {"videos": make_info(range(7010, 7012), "test")["videos"], **sentences}
    (root / "test_videodatainfo.json").write_text(json.dumps(info))
    with pytest.raises(
        DatasetError, match="2 clips and no sentences: it is the list that the challenge"
    ) as caught:
        len(open_(root))
    assert "MSRVTT_data.json" in str(caught.value.hint)
    (root / "test_videodatainfo.json").rename(root / "test_videodatainfo_nosen_2017.json")
    with pytest.raises(DatasetError, match=r"nosen_2017\.json' is the challenge's list"):
        len(open_(root))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "MSRVTT_JSFUSION_test.csv",
            "key;vid_key;video_id;sentence\nret0;msr3;video3;a\nret1;msr9;video9;b\n",
        ),
        ("MSRVTT_JSFUSION_test.csv", "video_id,caption\r\nvideo3.mp4,a\r\nvideo9.mp4,b\r\n"),
        (
            "msrvtt_ret_test1k.json",
            '[{"video": "video3.mp4", "caption": "a"}, {"video": "video9.mp4", "caption": "b"}]',
        ),
        (
            "msrvtt_test_1k.json",
            '[{"video_id": "video3", "caption": ["a"]}, {"video_id": "video9", "caption": ["b"]}]',
        ),
        (
            "retrieval.jsonl",
            '{"caption": "a", "clip_name": "video3", "retrieval_key": "ret0"}\n'
            '{"caption": "b", "clip_name": "video9", "retrieval_key": "ret1"}\n',
        ),
    ],
)
def test_variants_of_the_1k_a_list(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / name).write_text(content)
    config = {"annotation": name} if name == "retrieval.jsonl" else {}
    data = open_(tmp_path, list="1k-A", order="id", **config)
    assert [(s.source, s.prompt) for s in data] == [("video3", "a"), ("video9", "b")]


def test_a_list_of_several_captions_is_not_taken_for_1k_a(tmp_path: Path) -> None:
    (tmp_path / "many.json").write_text(json.dumps(FORMS["many_captions.json"]))
    with pytest.raises(DatasetError, match="entry 0: the clip 'video0' stands there twice") as caught:
        len(open_(tmp_path, list="1k-A", annotation="many.json"))
    assert "one caption a clip" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            [{"video_id": "../../etc/x", "caption": "a"}],
            "entry 0: video_id '../../etc/x' is not a plain name",
        ),
        ([{"video_id": "/etc/x.mp4", "caption": "a"}], "is not a plain name"),
        ([{"video_id": "C:\\x", "caption": "a"}], "is not a plain name"),
        ([{"video_id": "v" * 5000, "caption": "a"}], "is not a plain name"),
        ([{"video_id": True, "caption": "a"}], "video_id True is not a plain name"),
        ([{"clip": "video1", "caption": "a"}], "entry 0: no clip; there: clip, caption"),
        ([{"video_id": "video1", "title": "a"}], "entry 0: no caption; there: video_id, title"),
        (
            [{"video_id": "video1", "caption": 7}],
            "entry 0: the caption must be a string, got a whole number 7",
        ),
        ([{"video_id": "video1", "caption": "\ud83d"}], "half a surrogate pair"),
        ([["video1", "a"]], "entry 0: expected an object"),
        ([], "holds no caption"),
        ({}, "holds no caption"),
        ({"a": 1}, "expected videos and sentences, annotations, or a list"),
        ("x", "expected videos and sentences, annotations, or a list"),
        (
            {"annotations": [{"image_id": "../x", "caption": "a"}]},
            r"annotations\[0\]: video_id '../x' is not",
        ),
        ({"../x": "a"}, r"clip\[0\]: video_id '../x' is not a plain name"),
        ([{**ROWS[0], "split": "test"}, ROWS[2]], "some clips have a split and some have none"),
        ([{**ROWS[0], "sen_id": 1}, ROWS[1]], "entry 1: other captions of 'video0' have a sen_id"),
    ],
)
def test_lists_that_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    (tmp_path / "list.json").write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=message) as caught:
        len(open_form(tmp_path, "list.json", split="train"))
    assert str(tmp_path / "list.json") in caught.value.message
    assert len(str(caught.value)) < 700
