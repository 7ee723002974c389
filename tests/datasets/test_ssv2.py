"""Something-Something V2: its annotation files, the two kinds of prompts, the subset, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from reelbench.core import registry
from reelbench.core.contracts import Dataset
from reelbench.core.errors import DatasetError, TooShortError, VideoError
from reelbench.datasets.ssv2 import SomethingSomethingV2
from reelbench.datasets.video import read_clip
from reelbench.worlds.sprites.write import write_video, write_world

VIDEOS = "20bn-something-something-v2"


def make_entries(count: int, first: int = 1000) -> list[dict[str, Any]]:
    return [
        {
            "id": str(first + i),
            "label": f"putting a cup no. {i} onto a shelf",
            "template": "Putting [something] onto [something]",
            "placeholders": [f"a cup no. {i}", "a shelf"],
        }
        for i in range(count)
    ]


def make_root(root: Path, count: int = 40) -> Path:
    entries = make_entries(count)
    (root / VIDEOS).mkdir(parents=True)
    (root / "validation.json").write_text(json.dumps(entries))
    (root / "train.json").write_text(json.dumps(make_entries(7, 2000)))
    (root / "test.json").write_text(json.dumps([{"id": "3000"}, {"id": "3001"}]))
    (root / "test-answers.csv").write_text("3001;Folding something\n3000;Moving something, quickly\n")
    for entry in entries:
        (root / VIDEOS / f"{entry['id']}.webm").write_bytes(b"x")
    return root


def open_(root: Path, **config: Any) -> SomethingSomethingV2:
    return SomethingSomethingV2(SomethingSomethingV2.Config(root=str(root), **config))


def ids(data: SomethingSomethingV2) -> list[str]:
    return [sample.id for sample in data]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path / "ssv2")


def test_it_is_the_registered_data_set(root: Path) -> None:
    assert registry.get("datasets", "ssv2") is SomethingSomethingV2
    data = open_(root)
    assert isinstance(data, Dataset)
    assert (data.name, data.task, data.split) == ("ssv2", "prediction", "validation")


def test_a_sample_is_a_clip_its_label_and_two_given_frames(root: Path) -> None:
    sample = next(iter(open_(root, order="id")))
    assert (sample.id, sample.source, sample.prompt) == ("1000", "1000", "putting a cup no. 0 onto a shelf")
    assert sample.num_context_frames == 2
    assert sample.reference is not None
    assert sample.reference.path == root / VIDEOS / "1000.webm"
    assert next(iter(open_(root, num_context_frames=1))).num_context_frames == 1


def test_templates_as_prompts_are_another_list(root: Path) -> None:
    labels, templates = open_(root), open_(root, prompt="template")
    assert {sample.prompt for sample in templates} == {"Putting something onto something"}
    assert templates.split == "validation-template"
    assert ids(labels) == ids(templates)
    assert labels.fingerprint() != templates.fingerprint()


def test_the_test_split_has_templates_only(root: Path) -> None:
    (root / VIDEOS / "3000.webm").touch()
    data = open_(root, split="test", prompt="template", order="id")
    assert [sample.prompt for sample in data] == ["Moving something, quickly", "Folding something"]
    assert data.split == "test"
    with pytest.raises(ValidationError, match="no labels, only templates; set prompt: template"):
        open_(root, split="test")


def test_a_subset_is_drawn_by_seed_and_smaller_ones_are_part_of_larger_ones(root: Path) -> None:
    ten, twenty = ids(open_(root, subset=10)), ids(open_(root, subset=20))
    assert twenty[:10] == ten
    assert ids(open_(root))[:20] == twenty
    assert set(ids(open_(root, subset=10, seed=1))) != set(ten)
    assert ids(open_(root, subset=10, order="id")) == sorted(ten, key=int)
    entries = json.loads((root / "validation.json").read_text())
    (root / "validation.json").write_text(json.dumps(entries[::-1]))
    assert ids(open_(root, subset=10)) == ten


def test_the_draw_never_changes(root: Path) -> None:
    # Stored results hang on it.
    assert ids(open_(root, subset=4)) == ["1035", "1029", "1025", "1015"]


def test_a_short_list_is_taken_whole_and_said(root: Path) -> None:
    data = open_(root, subset=2048)
    assert len(data) == 40
    assert data.notes() == ("a subset of 2048 was asked for; there are 40 clips, all are taken",)
    assert open_(root).notes() == ()


def test_missing_clips_stay_in_the_list_unless_left_out(root: Path) -> None:
    order, fingerprint = ids(open_(root)), open_(root).fingerprint()
    gone = [root / VIDEOS / f"{id}.webm" for id in order[:3]]
    for path in gone:
        path.unlink()
    data = open_(root)
    assert data.fingerprint() == fingerprint
    assert data.missing() == gone
    skipping = open_(root, skip_missing=True)
    assert ids(skipping) == order[3:]
    assert skipping.notes() == ("3 of 40 clips are left out: they are missing",)
    assert len(open_(root, skip_missing=True, subset=37)) == 37


def test_dead_links_empty_files_and_folders_without_pictures_are_left_out_as_missing(root: Path) -> None:
    order = ids(open_(root))
    paths = [root / VIDEOS / f"{id}.webm" for id in order]
    for path in paths[:4]:
        path.unlink()
    paths[0].symlink_to(root / "gone.webm")
    paths[1].touch()
    paths[2].mkdir()
    paths[3].symlink_to(paths[4])
    data = open_(root, skip_missing=True)
    assert ids(data) == order[3:]
    assert data.notes() == ("3 of 40 clips are left out: they are missing",)
    for path in paths[4:]:
        path.write_bytes(b"")
    with pytest.raises(DatasetError, match="every clip is a dead link or empty, such as"):
        len(open_(root, skip_missing=True))


@pytest.mark.parametrize("folder", ["", "videos", f"videos/{VIDEOS}"])
def test_clips_in_common_folders(root: Path, folder: str) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    for path in list((root / VIDEOS).iterdir()):
        path.rename(root / folder / path.name)
    (root / VIDEOS).rmdir()
    assert open_(root).missing() == []


def test_annotations_and_clips_elsewhere(root: Path, tmp_path: Path) -> None:
    (root / "labels").mkdir()
    (root / "validation.json").rename(root / "labels" / "validation.json")
    assert len(open_(root)) == 40
    (root / VIDEOS).rename(tmp_path / "clips")
    assert open_(root, video_root=str(tmp_path / "clips")).missing() == []


def test_where_no_clip_is_there_the_expected_place_is_named(root: Path) -> None:
    (root / VIDEOS).rename(root / "elsewhere")
    data = open_(root, order="id")
    assert len(data) == 40
    with pytest.raises(DatasetError, match=rf"no clip of the list is there; expected .*{VIDEOS}/1000\.webm"):
        iter(data)
    with pytest.raises(DatasetError, match="no clip of the list is there"):
        len(open_(root, skip_missing=True))
    with pytest.raises(DatasetError, match=r"split 'train': no clip of the list is there"):
        iter(open_(root, split="train", order="id"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "../../x"}, "entry 1: id '../../x' is not a plain name"),
        ({"id": "a/b"}, "entry 1: id 'a/b' is not a plain name"),
        ({"id": 7.5}, "entry 1: id 7.5 is not a plain name"),
        ({"id": True}, "entry 1: id True is not a plain name"),
        ({"id": None}, "entry 1: id None is not a plain name"),
        ({"label": "\ud83d"}, "entry 1: the caption .* holds half a surrogate pair"),
        ({"label": 33}, "entry 1: 'label' must be a string, got a whole number 33"),
        ({"id": "1000"}, r"entry 1: the clip '1000' stands in .*entry 0 too, with another caption"),
    ],
)
def test_malformed_entries(root: Path, change: dict[str, Any], message: str) -> None:
    entries = make_entries(3)
    entries[1].update(change)
    (root / "validation.json").write_text(json.dumps(entries))
    with pytest.raises(DatasetError, match=message):
        len(open_(root))


def test_repeated_and_blank_entries_are_left_out_and_said(root: Path) -> None:
    entries = make_entries(5)
    entries = [*entries, *make_entries(8)[5:]]
    for entry, label in zip(entries[2:], (" ", None, "nan", float("nan")), strict=False):
        entry["label"] = label
    (root / "validation.json").write_text(json.dumps([*entries, entries[0]]))
    data = open_(root)
    assert len(data) == 4
    assert data.notes() == (
        "1 of 9 entries repeat another one and are left out",
        "4 of 9 clips are left out: their caption is blank",
    )


def test_malformed_files(root: Path) -> None:
    path = root / "validation.json"
    path.write_text('{"id": "1"}')
    with pytest.raises(DatasetError, match="expected a JSON list of entries with an id at the top"):
        len(open_(root))
    path.write_text('["1", "2"]')
    with pytest.raises(DatasetError, match="entry 0: expected an object, got '1'"):
        len(open_(root))
    path.write_text('[{"id": "1",\n "label": ')
    with pytest.raises(DatasetError, match=r"validation.json, line 2, column \d+: not valid JSON"):
        len(open_(root))
    path.write_text(" ")
    with pytest.raises(DatasetError, match="is empty"):
        len(open_(root))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DatasetError, match="not UTF-8"):
        len(open_(root))
    path.write_text("[]")
    with pytest.raises(DatasetError, match="has no clip with a caption"):
        len(open_(root))
    path.unlink()
    with pytest.raises(DatasetError, match=r"split 'validation': validation.json or .* is missing"):
        len(open_(root))
    (root / "test-answers.csv").write_text("3001;Folding something\n")
    with pytest.raises(DatasetError, match=r"entry 0: the clip '3000' has no template in test-answers.csv"):
        len(open_(root, split="test", prompt="template"))
    (root / "test-answers.csv").write_text("3001,Folding something\n")
    with pytest.raises(DatasetError, match="line 1: 1 field, the header has 2: 3001,Folding something"):
        len(open_(root, split="test", prompt="template"))


def test_clips_are_read_and_bad_ones_fail_alone(root: Path) -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 3), np.uint8).repeat(5, 0)
    write_video(root / VIDEOS / "1000.webm", drawn)
    (root / VIDEOS / "1001.webm").write_bytes(b"no video" * 50)
    refs = [sample.reference for sample in open_(root, order="id")]
    assert read_clip(refs[0], 5).shape == (5, 16, 16, 3)
    with pytest.raises(TooShortError, match=r"1000.webm.* gives 5 of the 6 frames asked for"):
        read_clip(refs[0], 6)  # given frames and predicted ones
    with pytest.raises(VideoError, match=r"1001\.webm"):
        read_clip(refs[1])
    (root / VIDEOS / "1002.webm").unlink()
    with pytest.raises(VideoError, match=r"1002\.webm"):
        read_clip(refs[2])


def test_sprites_in_this_layout_are_read(tmp_path: Path) -> None:
    write_world(tmp_path, ("ssv2",), {"train": 1, "validate": 1, "test": 2}, show_progress=False)
    for config, count in (({"split": "train"}, 1), ({"split": "test", "prompt": "template"}, 2)):
        data = open_(tmp_path / "ssv2", **config)
        samples = list(data)
        assert (len(samples), data.missing()) == (count, [])
        assert all("[" not in sample.prompt for sample in samples)
        assert read_clip(samples[0].reference, 16).shape == (16, 64, 64, 3)


def test_opening_costs_the_same_number_of_look_ups_for_ten_thousand_entries(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count_file_system_calls: Callable[[pytest.MonkeyPatch], list[str]],
) -> None:
    counts = []
    for count in (10, 10_000):
        root = tmp_path / str(count)
        (root / VIDEOS).mkdir(parents=True)
        (root / VIDEOS / "1000.webm").touch()
        (root / "validation.json").write_text(json.dumps(make_entries(count)))
        with monkeypatch.context() as patch:
            calls = count_file_system_calls(patch)
            data = open_(root)
            assert len(list(data)) == len(data) == count
            data.fingerprint()
            assert len(data.missing()) == count - 1
        counts.append(len(calls))
    assert counts[0] == counts[1] < 20


# Copies that people have


def mirror_entries(count: int) -> list[dict[str, Any]]:
    """Those of `make_entries` as the mirror on a hub has them."""
    return [
        {"video_id": entry["id"], "text": entry["label"], "label": 112, "placeholders": entry["placeholders"]}
        for entry in make_entries(count)
    ]


def test_the_older_names_of_the_lists(root: Path) -> None:
    for split in ("validation", "train", "test"):
        expected = open_(root, split=split, prompt="template").fingerprint()
        (root / f"{split}.json").rename(root / f"something-something-v2-{split}.json")
        assert open_(root, split=split, prompt="template").fingerprint() == expected
    (root / "something-something-v2-validation.json").rename(root / "something-something-v1-validation.json")
    with pytest.raises(DatasetError, match="is a list of version 1, another data set"):
        len(open_(root))


def test_ids_may_be_numbers(root: Path) -> None:
    expected = open_(root).fingerprint()
    for number in (int, float, lambda id: f"{id}.0"):
        entries = [{**entry, "id": number(entry["id"])} for entry in make_entries(40)]
        (root / "validation.json").write_text(json.dumps(entries))
        assert open_(root).fingerprint() == expected
        assert open_(root).missing() == []


def test_clips_that_were_converted_stand_beside_the_others(root: Path) -> None:
    expected = open_(root).fingerprint()
    (root / VIDEOS / "1000.webm").rename(root / VIDEOS / "1000.mp4")
    (root / VIDEOS / "1001.mp4").touch()
    (root / VIDEOS / "1002.webm").rename(root / VIDEOS / "1002.avi")
    (root / VIDEOS / "1003.webm").unlink()
    data = open_(root, order="id")
    paths = [sample.reference.path.name for sample in data if sample.reference]
    assert paths[:4] == ["1000.mp4", "1001.webm", "1002.avi", "1003.webm"]
    assert data.missing() == [root / VIDEOS / "1003.webm"]
    assert open_(root).fingerprint() == expected
    for path in (root / VIDEOS).iterdir():
        path.rename(path.with_suffix(".mp4"))
    assert len(open_(root).missing()) == 1


@pytest.mark.parametrize(
    "name", ["data/validation.json", "validation.jsonl", "validation-00000-of-00001.parquet"]
)
def test_the_mirror_on_a_hub(root: Path, name: str) -> None:
    (root / "data").mkdir()
    entries = mirror_entries(40)
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(entries), root / name)
    else:
        text = "\n".join(map(json.dumps, entries)) if name.endswith("l") else json.dumps(entries)
        (root / name).write_text(text)
    assert open_(root, annotation=name).fingerprint() == open_(root).fingerprint()
    with pytest.raises(DatasetError, match=r"prompt 'template': labels\.json or .* is missing"):
        len(open_(root, annotation=name, prompt="template"))
    (root / "labels.json").write_text(json.dumps({"Putting something onto something": "112"}))
    templates = open_(root, annotation=name, prompt="template")
    assert templates.fingerprint() == open_(root, prompt="template").fingerprint()
    (root / "labels.json").write_text(json.dumps({"Putting something onto something": "7"}))
    with pytest.raises(DatasetError, match=r"entry 0: the class '112' is not in labels\.json"):
        len(open_(root, annotation=name, prompt="template"))


def test_labels_that_are_missing_are_left_out_and_said(root: Path) -> None:
    entries = make_entries(5)
    entries[1]["label"], entries[2]["label"] = "", "NaN"
    (root / "validation.json").write_text(json.dumps(entries))
    assert len(open_(root)) == 3
    assert open_(root).notes() == ("2 of 5 clips are left out: their caption is blank",)


def test_ids_may_be_names_of_files(root: Path) -> None:
    entries = make_entries(40)
    expected = open_(root).fingerprint()
    for index, entry in enumerate(entries):
        entry["id"] += (".webm", ".MP4", "")[index % 3]
    (root / "validation.json").write_text(json.dumps(entries))
    assert open_(root).fingerprint() == expected
    assert open_(root).missing() == []
