"""DAVIS with a file of edited captions: the layout, the lists, the captions, and what is refused."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from pydantic import ValidationError

from reelbench.core.errors import DatasetError
from reelbench.core.types import ClipRef
from reelbench.datasets.davis import COLUMNS, Davis
from reelbench.datasets.video import read_clip

EDITS = [
    ("bear", "a bear walks on rocks", "object", "a lion walks on rocks"),
    ("swan", "a swan swims in a river", "style", "a swan swims in a river, comic style"),
    ("bear", "a bear walks on rocks", "background", "a bear walks on snow"),
    ("bear", "a bear walks on rocks", "object", "a dog walks on rocks"),
    ("boat", "a boat on a lake", "multiple", "a car on a road"),
]
IDS = ["bear:object", "bear:background", "bear:object-2", "swan:style", "boat:multiple"]


def write_csv(root: Path, rows: list[tuple[str, ...]], header: tuple[str, ...] = COLUMNS) -> None:
    with (root / "edits.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("bear", "swan", "boat"):
        folder = tmp_path / "JPEGImages" / "480p" / name
        folder.mkdir(parents=True)
        for index in range(3):
            Image.new("RGB", (16, 12), (40 * index, 0, 0)).save(folder / f"{index:05d}.jpg")
    lists = tmp_path / "ImageSets" / "2017"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("swan\nbear\ncamel\n")
    write_csv(tmp_path, EDITS)
    return tmp_path


def open_(root: Path, **config: Any) -> Davis:
    return Davis(Davis.Config(root=str(root), **config))


def ids(data: Davis) -> list[str]:
    return [sample.id for sample in data]


def test_samples_are_gathered_by_video_in_the_order_of_the_captions(root: Path) -> None:
    data = open_(root, fps=24.0)
    assert ids(data) == IDS
    assert len(data) == 5
    assert (data.split, data.task, data.missing(), data.notes()) == ("all", "editing", [], ())
    sample = next(iter(data))
    assert (sample.source, sample.edit) == ("bear", "object")
    assert (sample.prompt, sample.source_prompt) == ("a lion walks on rocks", "a bear walks on rocks")
    assert sample.reference == ClipRef(root / "JPEGImages/480p/bear", fps=24.0)
    assert read_clip(sample.reference).shape == (3, 12, 16, 3)


def test_yaml_says_the_same_as_csv(root: Path) -> None:
    entries = [dict(zip(COLUMNS, row, strict=True)) for row in EDITS]
    (root / "edits.yaml").write_text(yaml.safe_dump(entries))
    data = open_(root, prompts="edits.yaml")
    assert list(data) == list(open_(root))
    assert data.fingerprint() == open_(root, prompts=str(root / "edits.yaml")).fingerprint()


def test_a_list_leaves_out_the_other_videos_and_says_so(root: Path) -> None:
    data = open_(root, list="2017/val")
    assert ids(data) == IDS[:4]
    assert data.split == "2017-val"
    assert data.notes() == (
        "1 of 3 videos of the list have no edited captions",
        "1 videos with edited captions are not in the list and left out",
    )
    assert data.fingerprint() != open_(root).fingerprint()


def test_lists_of_2016_have_a_frame_a_line(root: Path) -> None:
    lines = [
        f"/JPEGImages/480p/swan/{index:05d}.jpg /Annotations/480p/swan/{index:05d}.png" for index in range(3)
    ]
    (root / "ImageSets" / "480p").mkdir()
    (root / "ImageSets" / "480p" / "val.txt").write_text("\n".join(lines))
    assert ids(open_(root, list="480p/val")) == ["swan:style"]


def test_the_shuffled_order_keeps_the_edits_of_a_video_together(root: Path) -> None:
    orders = {tuple(ids(open_(root, order="shuffled", seed=seed))) for seed in range(8)}
    assert len(orders) > 1
    for order in orders:
        assert sorted(order) == sorted(IDS)
        first = order.index("bear:object")
        assert order[first : first + 3] == tuple(IDS[:3])


def test_kinds_are_chosen_and_ids_stay(root: Path) -> None:
    assert ids(open_(root, edits=["object", "multiple"])) == ["bear:object", "bear:object-2", "boat:multiple"]


def test_missing_videos_are_listed_and_a_wrong_folder_is_refused(root: Path) -> None:
    (root / "JPEGImages/480p/swan").rename(root / "elsewhere")
    assert open_(root).missing() == [root / "JPEGImages/480p/swan"]
    data = open_(root, resolution="Full-Resolution")
    assert len(data.missing()) == 3
    assert len(data.fingerprint()) == 64
    with pytest.raises(DatasetError, match="no video of the list is there; expected folders of frames"):
        iter(data)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("../bear", "x", "object", "y"), "line 2: video '../bear' is not a plain name"),
        (("bear", "x", "colour", "y"), "line 2: edit 'colour' is not one of style, object"),
        (("boat", "a ship", "object", "y"), "line 7: the source prompt of 'boat' differs"),
    ],
)
def test_malformed_captions(root: Path, row: tuple[str, str, str, str], message: str) -> None:
    write_csv(root, [row, *EDITS])
    with pytest.raises(DatasetError, match=message):
        len(open_(root))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", r"line 1, column 5: not valid YAML"),
        ("bear: x", "expected a list at the top, got an object"),
        ("", "expected a list at the top, got null"),
        ("- bear", "entry 0: expected an object"),
        ("- {video: bear, source_prompt: x, edit: object}", "entry 0: the field 'prompt' is missing"),
        ("- {video: bear, source_prompt: x, edit: object, prompt: 3}", "entry 0: 'prompt' must be a string"),
        ("- !!python/object/apply:os.getcwd []", "not valid YAML"),
    ],
)
def test_malformed_yaml(root: Path, text: str, message: str) -> None:
    (root / "edits.yml").write_text(text)
    with pytest.raises(DatasetError, match=message):
        len(open_(root, prompts="edits.yml"))


def test_files_that_are_not_there_or_of_the_wrong_kind(root: Path) -> None:
    with pytest.raises(DatasetError, match=r"nothing\.csv' does not exist") as caught:
        len(open_(root, prompts="nothing.csv"))
    assert "video, source_prompt, edit, prompt" in str(caught.value.hint)
    (root / "edits.txt").touch()
    with pytest.raises(DatasetError, match=r"is none of \.csv, \.tsv, \.xlsx, \.yaml"):
        len(open_(root, prompts="edits.txt"))
    with pytest.raises(DatasetError, match=r"cannot read the list .*2017/test\.txt"):
        len(open_(root, list="2017/test"))
    (root / "ImageSets/2017/val.txt").write_text("\n")
    with pytest.raises(DatasetError, match="names no video"):
        len(open_(root, list="2017/val"))
    (root / "ImageSets/2017/val.txt").write_text("camel\n")
    with pytest.raises(DatasetError, match=r"has no edit of the wanted kinds .* of a video of the list"):
        len(open_(root, list="2017/val"))


@pytest.mark.parametrize(
    "config", [{"list": "../val"}, {"resolution": ".."}, {"list": "/etc"}, {"edits": []}]
)
def test_settings_out_of_range(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Davis.Config(root="x", **config)


@pytest.mark.parametrize(
    ("name", "delimiter"), [("edits.csv", ";"), ("edits.csv", "\t"), ("edits.tsv", "\t")]
)
def test_sheets_with_other_delimiters(root: Path, name: str, delimiter: str) -> None:
    (root / "edits.csv").unlink()
    with (root / name).open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([COLUMNS, *EDITS])
    assert ids(open_(root)) == IDS


def test_a_workbook(root: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    (root / "edits.csv").unlink()
    book = openpyxl.Workbook()
    for row in (COLUMNS, *EDITS):
        book.active.append(row)
    book.save(root / "edits.xlsx")
    assert ids(open_(root)) == ids(open_(root, prompts="edits.xlsx")) == IDS


def test_edits_that_stand_there_twice_count_once_and_are_said(root: Path) -> None:
    write_csv(root, [*EDITS, EDITS[0], EDITS[3], EDITS[0]])
    data = open_(root)
    assert ids(data) == IDS
    assert data.notes() == ("3 edits repeat another one and are left out",)


def test_edits_without_a_caption_are_left_out_and_said(root: Path) -> None:
    blank = [("bear", "a bear", "style", text) for text in ("", "nan")] + [("bear", " ", "style", "x")]
    write_csv(root, [*EDITS, *blank])
    entries = [dict(zip(COLUMNS, row, strict=True)) for row in EDITS]
    entries += [
        {**entries[0], "prompt": None},
        {**entries[0], "source_prompt": None},
        {**entries[0], "prompt": "nan"},
    ]
    (root / "edits.yaml").write_text(yaml.safe_dump(entries))
    for prompts in ("edits.csv", "edits.yaml"):
        data = open_(root, prompts=prompts)
        assert ids(data) == IDS
        assert data.notes() == ("3 edits are left out: one of their captions is blank",)


BOMB = "- &a [x]\n" + "".join(
    f"- &b{i} [" + ", ".join(["*a" if i == 0 else f"*b{i - 1}"] * 9) + "]\n" for i in range(30)
)
"""YAML of 2 kB that has 9^30 leaves when it is written out."""

MERGE_BOMB = "- &b0 {k: v}\n" + "".join(
    f"- &b{i} {{<<: [" + ", ".join([f"*b{i - 1}"] * 9) + "]}\n" for i in range(1, 41)
)
"""The same with keys that are merged: 9^40 of them, all alike."""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- {1: a, null: b, [x]: c}\n", "not valid YAML|the field 'video' is missing"),
        ("- {1: a, null: b, true: c}\n", "entry 0: the field 'video' is missing"),
        (
            "- {video: 0x" + "f" * 6000 + "}\n",
            "entry 0: 'video' must be a string, got a whole number a number of",
        ),
        ("- {video: 2001-13-45}\n", "not valid YAML"),
        ("[" * 3000, "not valid YAML"),
        (f"{BOMB}- {{video: *b29}}\n", "aliases .* repeat more than"),
        (f"- {{video: a, x: {{y: &a [x]}}}}\n{BOMB.replace('&a [x]', '*a')}", "aliases .* repeat more than"),
        (f"{MERGE_BOMB}- {{<<: *b40, video: bear}}\n", "aliases .* repeat more than"),
        ("- &top {video: *top}\n", "line 1, column 16: not valid YAML .*inside of what it repeats"),
    ],
)
def test_yaml_that_would_exhaust_the_machine_is_refused(root: Path, text: str, message: str) -> None:
    (root / "edits.yaml").write_text(text)
    with pytest.raises(DatasetError, match=message) as caught:
        len(open_(root, prompts="edits.yaml"))
    assert len(str(caught.value)) < 1000


def test_merged_keys_mean_what_they_did(root: Path) -> None:
    lines = ["- &base", "  video: bear", "  source_prompt: a bear", "  edit: object", "  prompt: a lion"]
    lines += ["- <<: *base", "  prompt: a dog", "- <<: [{edit: style}, *base]", "  prompt: drawn", ""]
    (root / "edits.yaml").write_text("\n".join(lines))
    data = open_(root, prompts="edits.yaml")
    assert [(s.id, s.prompt) for s in data] == [
        ("bear:object", "a lion"),
        ("bear:object-2", "a dog"),
        ("bear:style", "drawn"),
    ]
