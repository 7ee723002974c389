"""WebVid in its published layout."""

from __future__ import annotations

import csv
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from reelbench.core import registry
from reelbench.core.contracts import Dataset
from reelbench.core.errors import DatasetError
from reelbench.datasets.webvid import WebVid

COLUMNS = ("videoid", "contentUrl", "duration", "page_dir", "name")


def write_list(path: Path, rows: list[dict[str, str]], columns: tuple[str, ...] = COLUMNS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8", errors="surrogatepass") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def make_rows(count: int) -> list[dict[str, str]]:
    return [
        {
            "videoid": str(1000 + index),
            "contentUrl": f"https://www.example.com/{index}.mp4",
            "duration": "PT00H00M15S",
            "page_dir": f"{index // 10 * 10:06d}_{index // 10 * 10 + 10:06d}",
            "name": f"Clip {index}, seen from above",
        }
        for index in range(count)
    ]


def make_root(root: Path, count: int = 60, name: str = "results_2M_val.csv") -> Path:
    rows = make_rows(count)
    write_list(root / name, rows)
    for row in rows:
        folder = root / "videos" / row["page_dir"]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{row['videoid']}.mp4").write_bytes(b"x")
    return root


def open_(root: Path, **config: Any) -> WebVid:
    return WebVid(WebVid.Config(root=str(root), **config))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_root(tmp_path / "webvid")


def ids(data: WebVid) -> list[str]:
    return [sample.id for sample in data]


def test_it_is_the_registered_data_set(root: Path) -> None:
    assert registry.get("datasets", "webvid") is WebVid
    data = open_(root)
    assert isinstance(data, Dataset)
    assert (data.name, data.task, data.split) == ("webvid", "text-to-video", "2M-val")
    assert data.config.subset == 4476


def test_captions_and_paths(root: Path) -> None:
    sample = next(iter(open_(root, order="id")))
    assert (sample.id, sample.source, sample.prompt) == ("1000", "1000", "Clip 0, seen from above")
    assert sample.reference is not None
    assert sample.reference.path == root / "videos" / "000000_000010" / "1000.mp4"


@pytest.mark.parametrize("name", ["2M-val", "2M-train", "10M-val", "10M-train"])
def test_each_list_has_its_file(tmp_path: Path, name: str) -> None:
    root = make_root(tmp_path, 5, f"results_{name.replace('-', '_')}.csv")
    data = open_(root, list=name)
    assert (len(data), data.split) == (5, name)


def test_the_order_of_columns_and_rows_is_free(root: Path) -> None:
    expected = open_(root, subset=20).fingerprint()
    write_list(root / "results_2M_val.csv", make_rows(60)[::-1], COLUMNS[::-1])
    assert open_(root, subset=20).fingerprint() == expected


def test_a_subset_is_drawn_by_seed_and_smaller_ones_are_part_of_larger_ones(root: Path) -> None:
    twenty, thirty = ids(open_(root, subset=20)), ids(open_(root, subset=30))
    assert len(set(twenty)) == 20
    assert thirty[:20] == twenty
    assert ids(open_(root, subset=None))[:30] == thirty
    other = ids(open_(root, subset=20, seed=1))
    assert set(other) != set(twenty)
    by_id = ids(open_(root, subset=20, order="id"))
    assert by_id == sorted(twenty, key=int)
    assert [s.id for s in islice(open_(root, subset=20), 7)] == twenty[:7]


def test_the_draw_never_changes(root: Path) -> None:
    # Stored results hang on it.
    assert ids(open_(root, subset=4)) == ["1035", "1042", "1045", "1029"]


def test_a_short_list_is_taken_whole_and_said(root: Path) -> None:
    data = open_(root)
    assert len(data) == 60
    assert data.notes() == ("a subset of 4476 was asked for; there are 60 rows, all are taken",)
    assert open_(root, subset=60).notes() == open_(root, subset=None).notes() == ()


def test_dead_videos_stay_in_the_list_unless_left_out(root: Path) -> None:
    everything = open_(root, subset=None)
    fingerprint, order = everything.fingerprint(), ids(everything)
    dead = [root / "videos" / "000000_000010" / f"{videoid}.mp4" for videoid in (1002, 1007)]
    for path in dead:
        path.unlink()
    for path in (root / "videos" / "000050_000060").iterdir():
        path.unlink()
    (root / "videos" / "000050_000060").rmdir()
    kept = open_(root, subset=None)
    assert kept.fingerprint() == fingerprint
    assert len(kept.missing()) == 12
    assert set(dead) < set(kept.missing())
    skipping = open_(root, subset=None, skip_missing=True)
    gone = {"1002", "1007", *(str(1050 + i) for i in range(10))}
    assert ids(skipping) == [videoid for videoid in order if videoid not in gone]
    assert skipping.missing() == []
    assert skipping.notes() == ("12 of 60 rows are left out: their video is missing",)
    dead[0].symlink_to(root / "nowhere.mp4")
    dead[1].touch()
    assert open_(root, subset=None, skip_missing=True).notes() == skipping.notes()
    assert len(open_(root, subset=40, skip_missing=True)) == 40


@pytest.mark.parametrize("sub", ["metadata", "WebVid"])
def test_lists_in_common_folders(root: Path, sub: str) -> None:
    (root / sub).mkdir()
    (root / "results_2M_val.csv").rename(root / sub / "results_2M_val.csv")
    assert len(open_(root)) == 60


def test_page_folders_in_the_root_or_elsewhere(root: Path, tmp_path: Path) -> None:
    for folder in (root / "videos").iterdir():
        folder.rename(root / folder.name)
    (root / "videos").rmdir()
    assert open_(root).missing() == []
    root.joinpath("results_2M_val.csv").rename(tmp_path / "results_2M_val.csv")
    assert open_(tmp_path, video_root=str(root)).missing() == []


def test_missing_things_are_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"WebVid, list '10M-train': results_10M_train\.csv is missing"):
        len(open_(root, list="10M-train"))
    with pytest.raises(DatasetError, match="does not exist"):
        len(open_(tmp_path / "nowhere"))
    (root / "videos").rename(root / "clips")
    data = open_(root)
    assert len(data.missing()) == len(data) == 60
    with pytest.raises(
        DatasetError, match=r"no video of the list in .*; expected files such as 0000\d0_0000"
    ):
        iter(data)
    with pytest.raises(DatasetError, match="no video of the list"):
        len(open_(root, skip_missing=True))
    assert open_(root, video_root=str(root / "clips")).missing() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"videoid": "../../x"}, "line 3: videoid '../../x' is not a plain name"),
        ({"videoid": "a/b"}, "line 3: videoid 'a/b' is not a plain name"),
        ({"videoid": "C:\\x"}, "line 3: videoid .* is not a plain name"),
        ({"videoid": "1" * 5000}, "line 3: videoid '1111.* is not a plain name"),
        ({"name": "a\ud83d"}, "line 3: not UTF-8"),
        ({"page_dir": "../000000_000010"}, "line 3: page_dir .* is not a plain name"),
        ({"page_dir": "/etc"}, "page_dir '/etc' is not a plain name"),
        ({"page_dir": ".."}, "page_dir '..' is not a plain name"),
    ],
)
@pytest.mark.parametrize("subset", [None, 4476])
def test_malformed_rows(root: Path, changes: dict[str, str], message: str, subset: int | None) -> None:
    rows = make_rows(5)
    rows[1].update(changes)
    write_list(root / "results_2M_val.csv", rows)
    with pytest.raises(DatasetError, match=message):
        len(open_(root, subset=subset))


def test_a_row_beyond_the_subset_is_checked_too(root: Path) -> None:
    rows = make_rows(50)
    rows[-1]["videoid"] = "../../x"
    write_list(root / "results_2M_val.csv", rows)
    with pytest.raises(DatasetError, match="line 51: videoid"):
        len(open_(root, subset=1))


def test_doubled_and_blank_rows_are_left_out_and_said(root: Path) -> None:
    rows = make_rows(10)
    rows[3]["name"] = " "
    write_list(root / "results_2M_val.csv", [*rows, rows[0]])
    data = open_(root, subset=None)
    assert len(data) == 9
    assert data.notes() == (
        "1 of 11 rows are left out: their caption is blank",
        "1 rows repeat another one and are left out",
    )


def test_malformed_lists(root: Path) -> None:
    path = root / "results_2M_val.csv"
    write_list(path, [], COLUMNS)
    with pytest.raises(DatasetError, match="has a header but no rows"):
        len(open_(root))
    path.write_text("videoid,contentUrl,duration,page_dir,names\n")
    with pytest.raises(DatasetError, match="the column 'name' is missing") as caught:
        len(open_(root))
    assert caught.value.hint == "rename 'names' to 'name'"
    path.write_text("")
    with pytest.raises(DatasetError, match="is empty; expected a header"):
        len(open_(root))
    rows = make_rows(2)
    for row in rows:
        row["name"] = ""
    write_list(path, rows)
    with pytest.raises(
        DatasetError, match=r"no row of .* can be used; 2 of 2 rows are left out: their caption is"
    ):
        len(open_(root))


def test_captions_in_any_script_come_through(root: Path) -> None:
    captions = ["一只狗，在跑 🐕", 'say "hello", twice', "собака\nбежит", "word " * 500]
    rows = make_rows(len(captions))
    for row, caption in zip(rows, captions, strict=True):
        row["name"] = caption
    write_list(root / "results_2M_val.csv", rows)
    assert [sample.prompt for sample in open_(root, order="id")] == captions


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ValidationError):
        WebVid.Config(root="x", subset=0)
    with pytest.raises(ValidationError):
        WebVid.Config(root="x", list="3M-val")  # type: ignore[arg-type]


def test_opening_costs_the_same_number_of_look_ups_for_ten_thousand_rows(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    count_file_system_calls: Callable[[pytest.MonkeyPatch], list[str]],
) -> None:
    counts = []
    for count in (10, 10_000):
        root = tmp_path / str(count)
        write_list(root / "results_2M_val.csv", make_rows(count))
        (root / "videos" / "000000_000010").mkdir(parents=True)
        with monkeypatch.context() as patch:
            calls = count_file_system_calls(patch)
            data = open_(root, subset=None)
            assert len(list(data)) == len(data) == count
            data.fingerprint()
        counts.append(len(calls))
    assert counts[0] == counts[1] < 20


# What the released lists and their copies have


@pytest.mark.parametrize("nothing", ["", " ", "nan", "NaN", "None", "<NA>"])
@pytest.mark.parametrize("column", ["page_dir", "videoid"])
def test_rows_without_a_place_are_left_out_and_counted(root: Path, column: str, nothing: str) -> None:
    expected = ids(open_(root, subset=None))
    rows = make_rows(60)
    for row in (rows[3], rows[40]):
        row[column] = nothing
    rows[7]["name"] = nothing
    write_list(root / "results_2M_val.csv", rows)
    data = open_(root, subset=None)
    assert ids(data) == [id for id in expected if id not in ("1003", "1040", "1007")]
    assert sorted(data.notes()) == [
        "1 of 60 rows are left out: their caption is blank",
        "2 of 60 rows are left out: they have no videoid or no page_dir",
    ]


def test_a_list_of_which_nothing_is_left_says_why(root: Path) -> None:
    rows = make_rows(3)
    rows[0]["page_dir"], rows[1]["page_dir"], rows[2]["name"] = "nan", "", " "
    write_list(root / "results_2M_val.csv", rows)
    with pytest.raises(
        DatasetError,
        match=r"no row of .*results_2M_val.csv can be used; 2 of 3 rows are left out: they have no videoid "
        r"or no page_dir; 1 of 3 rows are left out: their caption is blank",
    ):
        len(open_(root))


@pytest.mark.parametrize("subset", [None, 5, 4476])
def test_a_video_that_is_named_again_in_another_way_is_taken_once_whatever_the_order(
    root: Path, subset: int | None
) -> None:
    rows = make_rows(6)
    again = {**rows[2], "name": "An earlier caption", "page_dir": "000000_000010"}
    found = []
    for order in ([*rows, again], [again, *rows[::-1]]):
        write_list(root / "results_2M_val.csv", order)
        data = open_(root, subset=subset)
        assert len(data) == min(6, subset or 6)
        found.append((data.fingerprint(), [note for note in data.notes() if "again" in note]))
    assert found[0] == found[1]
    if subset != 5:
        assert found[0][1] == ["1 rows name a video again, with another caption or page_dir: one is taken"]


def test_ids_that_became_decimal_numbers_are_read_as_they_were(root: Path) -> None:
    expected = open_(root).fingerprint()
    write_list(
        root / "results_2M_val.csv", [{**row, "videoid": f"{row['videoid']}.0"} for row in make_rows(60)]
    )
    assert open_(root).fingerprint() == expected
    assert open_(root).missing() == []


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_lists_saved_with_other_delimiters(root: Path, delimiter: str) -> None:
    expected = open_(root).fingerprint()
    with (root / "results_2M_val.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter=delimiter)
        writer.writeheader()
        writer.writerows(make_rows(60))
    assert open_(root).fingerprint() == expected


def test_the_parts_of_the_mirror_are_one_list(root: Path, tmp_path: Path) -> None:
    (root / "results_2M_val.csv").rename(root / "results_10M_val.csv")
    expected = open_(root, list="10M-val").fingerprint()
    (root / "results_10M_val.csv").unlink()
    rows = make_rows(60)
    for index in range(3):
        write_list(root / f"data/val/partitions/{index:04d}.csv", rows[20 * index : 20 * index + 20])
    assert open_(root, list="10M-val").fingerprint() == expected
    with pytest.raises(DatasetError, match=r"results_10M_train\.csv is missing"):
        len(open_(root, list="10M-train"))
