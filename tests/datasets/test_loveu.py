"""LOVEU-TGVE-2023 as released: the sheet, the parts, and what is wrong with copies of it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from reelbench.core.errors import DatasetError
from reelbench.core.types import ClipRef
from reelbench.datasets.loveu import COLUMNS, LoveuTgve
from reelbench.datasets.video import Reading, read_clip
from reelbench.stages.inputs import VideoInput, read_inputs

VIDEOS = {
    "DAVIS_480p": ["gold-fish", "stunt"],
    "youtube_480p": ["salsa"],
    "videvo_480p": ["swans", "lotus"],
}
HEADINGS = {"DAVIS_480p": "DAVIS Videos:", "youtube_480p": "Youtube Videos:", "videvo_480p": "Videvo Videos:"}
KINDS = ("style", "object", "background", "multiple")


def captions(video: str) -> list[str]:
    return [f"the {video}", *(f"the {video}, other {kind}" for kind in KINDS)]


def sheet_rows() -> list[list[str]]:
    """The rows as in the release: a heading before each part, a blank row after it."""
    rows: list[list[str]] = []
    for part, names in VIDEOS.items():
        rows += [[HEADINGS[part], *[""] * 5], *([name, *captions(name)] for name in names), [""] * 6]
    return rows[:-1]


def write_sheet(
    root: Path,
    rows: list[list[str]],
    header: tuple[str, ...] = COLUMNS,
    name: str = "LOVEU-TGVE-2023_Dataset.csv",
) -> Path:
    with (root / name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return root / name


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for part, names in VIDEOS.items():
        for name in names:
            folder = tmp_path / part / "480p_frames" / name
            folder.mkdir(parents=True)
            for index in range(3):
                Image.new("RGB", (16, 16), (40 * index, 0, 0)).save(folder / f"{index:05d}.jpg", quality=95)
    write_sheet(tmp_path, sheet_rows())
    return tmp_path


def open_(root: Path, **config: Any) -> LoveuTgve:
    return LoveuTgve(LoveuTgve.Config(root=str(root), **config))


def ids(data: LoveuTgve) -> list[str]:
    return [sample.id for sample in data]


def test_a_sample_is_a_video_with_one_of_its_edits(root: Path) -> None:
    sample = list(open_(root))[2]
    assert sample.id == "gold-fish:background"
    assert sample.source == "gold-fish"
    assert sample.prompt == "the gold-fish, other background"
    assert sample.source_prompt == "the gold-fish"
    assert sample.edit == "background"
    assert sample.reference == ClipRef(root / "DAVIS_480p/480p_frames/gold-fish")
    assert read_clip(sample.reference).shape == (3, 16, 16, 3)


def test_samples_follow_the_sheet_and_headings_are_none(root: Path) -> None:
    data = open_(root)
    names = [name for names in VIDEOS.values() for name in names]
    assert ids(data) == [f"{name}:{kind}" for name in names for kind in KINDS]
    assert len(data) == 20
    assert (data.split, data.task, data.missing(), data.notes()) == ("test", "editing", [], ())


def test_parts_and_edits_are_chosen(root: Path) -> None:
    assert ids(open_(root, parts=["videvo_480p"], edits=["multiple", "style"])) == [
        "swans:style",
        "swans:multiple",
        "lotus:style",
        "lotus:multiple",
    ]
    wrong: dict[str, Any]
    for wrong in ({"edits": ["colour"]}, {"edits": []}, {"parts": ["DAVIS"]}, {"fps": 0.0}):
        with pytest.raises(ValidationError):
            open_(root, **wrong)


def test_the_shuffled_order_moves_videos_and_keeps_their_edits_together(root: Path) -> None:
    orders = {tuple(ids(open_(root, order="shuffled", seed=seed))) for seed in range(5)}
    assert len(orders) > 1
    for order in orders:
        assert sorted(order) == sorted(ids(open_(root)))
        sources = [id.split(":")[0] for id in order]
        assert all(len(set(sources[start : start + 4])) == 1 for start in range(0, 20, 4))


def test_a_missing_video_moves_nothing_in_the_shuffled_order(root: Path) -> None:
    before = ids(open_(root, order="shuffled"))
    write_sheet(root, [row for row in sheet_rows() if row[0] != "salsa"])
    assert ids(open_(root, order="shuffled")) == [id for id in before if not id.startswith("salsa")]


def test_the_fingerprint_needs_no_videos_and_follows_every_caption(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bare = tmp_path_factory.mktemp("bare")
    write_sheet(bare, sheet_rows())
    fingerprint = open_(root).fingerprint()
    assert open_(bare).fingerprint() == fingerprint
    assert open_(root, fps=8.0).fingerprint() == fingerprint
    for column in (1, 2):  # what the video shows, and an edit of it
        rows = sheet_rows()
        rows[1][column] = "something else"
        write_sheet(bare, rows)
        assert open_(bare).fingerprint() != fingerprint


def test_a_rate_is_passed_on_where_one_is_given(root: Path) -> None:
    assert {sample.reference.fps for sample in open_(root, fps=24.0)} == {24.0}  # type: ignore[union-attr]


def test_missing_videos_are_listed_and_an_empty_folder_is_refused(root: Path) -> None:
    (root / "DAVIS_480p/480p_frames/stunt").rename(root / "elsewhere")
    data = open_(root)
    assert data.missing() == [root / "DAVIS_480p/480p_frames/stunt"]
    assert len(list(data)) == 20
    with pytest.raises(DatasetError, match=r"no video of the list is there; expected .*480p_frames"):
        iter(open_(root, video_root=str(root / "nowhere")))


def test_a_video_root_beside_the_sheet(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    bare = tmp_path_factory.mktemp("bare")
    write_sheet(bare, sheet_rows())
    assert open_(bare, video_root=str(root)).missing() == []


@pytest.mark.parametrize("name", ["LOVEU-TGVE_2023_data.csv", "LOVEU-TGVE-2023_data.csv"])
def test_names_under_which_the_sheet_goes(root: Path, name: str) -> None:
    (root / "LOVEU-TGVE-2023_Dataset.csv").rename(root / name)
    assert len(open_(root)) == 20


def test_a_folder_above_the_release(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    above = tmp_path_factory.mktemp("above")
    (above / "loveu-tgve-2023").symlink_to(root)
    assert open_(above).missing() == []


def test_columns_are_found_by_name_in_any_case_order_and_spacing(root: Path) -> None:
    order = [5, 0, 3, 1, 4, 2]
    header = tuple(COLUMNS[i].upper().replace(" ", "  ") + " " for i in order)
    write_sheet(root, [[row[i] for i in order] for row in sheet_rows()], header)
    sample = list(open_(root))[1]
    assert (sample.id, sample.prompt) == ("gold-fish:object", "the gold-fish, other object")
    write_sheet(root, sheet_rows(), tuple(name.replace("GT ", "") for name in COLUMNS))
    with pytest.raises(DatasetError, match="the column 'Our GT caption' is missing") as caught:
        len(open_(root))
    assert caught.value.hint == "rename 'Our caption' to 'Our GT caption'"


@pytest.mark.parametrize("name", ["LOVEU-TGVE_2023_data.xlsx", "LOVEU-TGVE-2023_Dataset (1).xlsx"])
def test_the_workbook_of_the_release_is_read_as_its_csv(root: Path, name: str) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    expected = open_(root).fingerprint()
    (root / "LOVEU-TGVE-2023_Dataset.csv").unlink()
    with pytest.raises(DatasetError, match=r"LOVEU-TGVE-2023_Dataset\.csv or .* is missing"):
        len(open_(root))
    book = openpyxl.Workbook()
    for row in (COLUMNS, *sheet_rows()):
        book.active.append([cell or None for cell in row])
    book.save(root / name)
    assert open_(root).fingerprint() == expected
    assert open_(root).missing() == []
    assert len(open_(root, parts=["youtube_480p"])) == 4
    (root / name).write_bytes(b"PK")
    with pytest.raises(DatasetError, match="cannot be read as a workbook") as caught:
        len(open_(root))
    assert "save it again as .xlsx, or as CSV (UTF-8)" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("delimiter", "name"), [(";", "LOVEU-TGVE-2023_Dataset.csv"), ("\t", "LOVEU-TGVE-2023_Dataset.tsv")]
)
def test_sheets_saved_with_other_delimiters(root: Path, delimiter: str, name: str) -> None:
    expected = open_(root).fingerprint()
    (root / "LOVEU-TGVE-2023_Dataset.csv").unlink()
    with (root / name).open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([COLUMNS, *sheet_rows()])
    assert open_(root).fingerprint() == expected


def test_a_sheet_that_pandas_wrote_has_nan_for_nothing(root: Path) -> None:
    expected = open_(root).fingerprint()
    write_sheet(root, [[cell or "nan" for cell in row] for row in sheet_rows() if any(row)])
    assert open_(root).fingerprint() == expected


def test_a_row_that_stands_there_twice_counts_once_and_is_said(root: Path) -> None:
    rows = sheet_rows()
    write_sheet(root, [*rows, rows[-1]])
    assert len(open_(root)) == 20
    assert open_(root).notes() == ("1 rows repeat another one and are left out",)


def test_videos_stand_in_for_folders_of_frames_that_are_not_there(root: Path) -> None:
    for path in (root / "DAVIS_480p/480p_frames/stunt").iterdir():
        path.unlink()
    (root / "DAVIS_480p/480p_frames/stunt").rmdir()
    (root / "DAVIS_480p/480p_videos").mkdir()
    for name in ("stunt", "gold-fish"):
        (root / "DAVIS_480p/480p_videos" / f"{name}.mp4").touch()
    data = open_(root)
    paths = {sample.source: sample.reference.path for sample in data if sample.reference}
    assert paths["stunt"] == root / "DAVIS_480p/480p_videos/stunt.mp4"
    assert paths["gold-fish"] == root / "DAVIS_480p/480p_frames/gold-fish"
    assert data.missing() == []


def test_a_sheet_without_headings_finds_its_videos_but_not_their_parts(root: Path) -> None:
    write_sheet(root, [row for row in sheet_rows() if row[1]])
    data = open_(root)
    assert data.missing() == []
    assert len(data) == 20
    with pytest.raises(DatasetError, match="no heading above 'gold-fish' says which part"):
        len(open_(root, parts=["videvo_480p"]))


def test_blank_captions_are_left_out_and_said(root: Path) -> None:
    rows = sheet_rows()
    rows[1][2] = " "
    rows[2][1:] = [""] * 5
    write_sheet(root, rows)
    data = open_(root)
    assert len(data) == 20 - 1 - 4
    assert data.notes() == (
        "1 rows are left out: they have no captions",
        "1 edits are left out: their caption is blank",
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["../../x", *captions("x")], "line 2: Video name '../../x' is not a plain name"),
        (["/etc", *captions("x")], "Video name '/etc' is not a plain name"),
        (["..", *captions("x")], "Video name '..' is not a plain name"),
        (["", *captions("x")], "Video name '' is not a plain name"),
        (["swans", *captions("x")], "line 11: the video 'swans' stands in line 2 too, with another caption"),
        (["swans", *captions("swans")], "line 11: .* stands in line 2 too, with another heading above it"),
        (["x", "", *captions("x")[1:]], "'x' has edited captions and no 'Our GT caption'"),
    ],
)
def test_malformed_rows(root: Path, row: list[str], message: str) -> None:
    write_sheet(root, [row, *sheet_rows()])
    with pytest.raises(DatasetError, match=message):
        len(open_(root))


def test_a_sheet_without_any_caption(root: Path) -> None:
    write_sheet(root, [[heading, *[""] * 5] for heading in HEADINGS.values()])
    with pytest.raises(DatasetError, match="no rows with captions"):
        len(open_(root))


def test_real_footage_is_read_through_the_stages(real_loveu: Path) -> None:
    data = open_(real_loveu)
    samples = list(data)
    assert len(samples) == 8
    assert data.missing() == []
    assert {sample.source: sample.source_prompt for sample in samples} == {
        "bikes": "a white bus drives along a road, seen from above",
        "carphone": "a man in a suit talks in a car",
    }
    inputs = [VideoInput(sample.reference, Reading(num_frames=16)) for sample in samples[::4]]
    bikes, carphone = read_inputs(inputs, None)
    assert isinstance(bikes, np.ndarray)
    assert isinstance(carphone, np.ndarray)
    assert (bikes.shape, carphone.shape) == ((16, 272, 272, 3), (16, 144, 144, 3))
    for clip in (bikes, carphone):
        assert clip.std() > 20  # a photograph, neither grey nor black
        steps = np.abs(np.diff(clip.astype(int), axis=0)).mean(axis=(1, 2, 3))
        assert 0.2 < steps.mean() < 20  # it moves, without cuts
