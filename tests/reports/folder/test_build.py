"""The folder: its files, how they are named, and what building it again does."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from reelbench.core.run_folders import share_equal_files
from reelbench.datasets.video import probe, write_lossless
from reelbench.reports.folder.build import FILES, write_report_folder
from reelbench.reports.folder.clip_rows import as_script

from .conftest import HOSTILE, METHODS, write_run, write_videos

PROMPTS = ["a red circle", "a blue square", "a star", "a dot", "a line"]


def page_data(index: Path) -> dict[str, list[dict[str, object]]]:
    text = (index.parent / "data.js").read_text()
    data: dict[str, list[dict[str, object]]] = json.loads(
        text.removeprefix("window.reelbench = ").rstrip(";\n")
    )
    return data


def clip_files(index: Path) -> list[Path]:
    return sorted((index.parent / "clips").glob("*.mp4"))


def test_the_clips_are_links_named_by_digests(index: Path, videos: list[Path]) -> None:
    files = clip_files(index)
    assert len(files) == 48 * 4 - 9  # nine failed
    assert all(re.fullmatch(r"[0-9a-f]{24}\.mp4", file.name) for file in files)
    assert {file.stat().st_ino for file in files} == {video.stat().st_ino for video in videos}


def test_every_row_of_the_table_is_in_the_data(index: Path) -> None:
    data = page_data(index)
    assert data["methods"] == sorted(METHODS)
    assert len(data["rows"]) == 48
    assert {row["prompt"] for row in data["rows"]} >= set(HOSTILE)
    names = {file.name for file in clip_files(index)}
    shown = [clip for row in data["rows"] for clip in [row["reference"], *row["clips"]]]  # type: ignore[misc]
    assert {clip["f"] for clip in shown if "f" in clip} == names
    assert sum("e" in clip for clip in shown) == 9


def test_paths_of_this_machine_are_in_no_file(index: Path) -> None:
    for name in ("index.html", "data.js"):
        text = (index.parent / name).read_text()
        assert "/home/anna" not in text
        assert str(index.parent.parent) not in text
    assert ".../x.mkv" in (index.parent / "data.js").read_text()


def test_nothing_comes_from_elsewhere(index: Path) -> None:
    text = "".join(path.read_text() for path in index.parent.glob("*.*"))
    assert set(re.findall(r"https?://[^\s\"')]+", text)) <= {
        "http://www.w3.org/2000/svg",  # names, not addresses
        "http://www.w3.org/1999/xlink",
    }


def test_no_two_parts_of_the_page_have_one_name() -> None:
    """Sections that a run may lack, too: their templates are read, and not one page."""
    from reelbench.reports.folder import build
    from reelbench.reports.pages import html_report

    folder, pages = Path(build.__file__).parent, Path(html_report.__file__).parent
    text = (folder / "index.html.jinja").read_text() + (pages / "base.html.jinja").read_text()
    ids = re.findall(r' id="([\w-]+)"', text) + re.findall(r'pictures\("[^"]+", "([\w-]+)"', text)
    assert len(ids) > 30
    assert sorted(ids) == sorted(set(ids))


def test_building_again_writes_the_same_and_makes_nothing(index: Path) -> None:
    before = {path: (path.read_bytes(), path.stat().st_ino) for path in index.parent.rglob("*.mp4")}
    pages = {path.name: path.read_bytes() for path in index.parent.glob("*.*")}
    write_report_folder(index.parent.parent / "tables", index.parent.parent)
    assert {path.name: path.read_bytes() for path in index.parent.glob("*.*")} == pages
    assert {path: (path.read_bytes(), path.stat().st_ino) for path in before} == before


def test_clips_that_are_gone_from_the_tables_leave_the_folder(tmp_path: Path, videos: list[Path]) -> None:
    index = write_report_folder(write_run(tmp_path, videos, PROMPTS), tmp_path)
    assert len(clip_files(index)) == 19
    write_report_folder(write_run(tmp_path, videos, PROMPTS[:2]), tmp_path)
    assert len(clip_files(index)) == 8


def test_where_links_cannot_be_made_clips_are_copied(
    tmp_path: Path, videos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    index = write_report_folder(write_run(tmp_path, videos, PROMPTS), tmp_path)
    times = {file: file.stat().st_mtime_ns for file in clip_files(index)}
    assert len(times) == 19
    assert all(file.stat().st_nlink == 1 for file in times)
    inodes = [file.stat().st_ino for file in times]
    write_report_folder(tmp_path / "tables", tmp_path)
    assert [file.stat().st_ino for file in times] == inodes  # not copied again


def test_a_users_own_files_are_copied_where_they_are_small(
    tmp_path: Path, videos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Edited in place, they do not change a page that is there; deleted, they free their space."""
    own = [tmp_path / "mine" / f"{video.parent.name}.mp4" for video in videos]
    own[0].parent.mkdir()
    for video, mine in zip(videos, own, strict=True):
        shutil.copy(video, mine)
    index = write_report_folder(write_run(tmp_path, own, PROMPTS), tmp_path)
    files = clip_files(index)
    assert len(files) == 19
    assert {file.read_bytes() for file in files} == {video.read_bytes() for video in videos}
    assert all(file.stat().st_nlink == 1 for file in [*files, *own])

    files[0].unlink()
    os.link(own[0], files[0])  # as an earlier version left it
    write_report_folder(tmp_path / "tables", tmp_path)
    assert all(file.stat().st_nlink == 1 for file in [*files, *own])

    monkeypatch.setattr("reelbench.reports.folder.clip_files._MOST_COPIED_BYTES", 10)
    shutil.rmtree(index.parent)
    write_report_folder(tmp_path / "tables", tmp_path)
    assert [file.name for file in clip_files(index)] == [file.name for file in files]
    assert not {file.read_bytes() for file in clip_files(index)} & {mine.read_bytes() for mine in own}


def test_a_reference_without_a_preview_gets_one_as_long_as_the_clips(
    tmp_path: Path, videos: list[Path]
) -> None:
    """Its window of the source's video, at the rate of the clips beside it."""
    from reelbench.core.tables import read_table, write_table

    source = tmp_path / "source.mkv"
    frames = np.zeros((90, 24, 32, 3), np.uint8)
    frames[30:] = np.arange(60, dtype=np.uint8)[:, None, None, None] * 4  # what is shown begins at 1 s
    write_lossless(source, frames, 30.0)

    def results(run_id: str) -> Path:
        folder = tmp_path / "run" / run_id
        tables = write_run(folder, videos, PROMPTS)
        rows = read_table(tables, "clips").to_pylist()
        for row in rows:
            if row["side"] == "reference":
                row |= {"path": str(source), "preview": None, "start_s": 1.0, "content_digest": "c" * 64}
                row |= {"num_frames": None, "fps": None, "width": None, "height": None}
        write_table(tables, "clips", rows)
        return write_report_folder(tables, folder)

    index = results("20260101T000000Z")
    references = [row["reference"] for row in page_data(index)["rows"]]
    assert [(r["n"], r["r"], r["w"], r["h"]) for r in references] == [(16, 8.0, 32, 24)] * 5  # type: ignore[index]
    motions = [row["motion"] for row in page_data(index)["rows"]]
    assert motions == pytest.approx([15.0] * 5, abs=1.5)  # 30 / 8 frames, 4 each
    made = index.parent / "clips" / references[0]["f"]  # type: ignore[index]
    assert probe(made).fps == 8.0

    later = results("20260102T000000Z")  # the next night's folder shares what was made
    assert (later.parent / "clips" / made.name).samefile(made)
    assert page_data(later) == page_data(index)


def test_equal_pages_of_two_nights_take_their_space_once(tmp_path: Path, videos: list[Path]) -> None:
    first, second = (tmp_path / name for name in ("20260101T000000Z", "20260102T000000Z"))
    for folder in (first, second):
        write_report_folder(write_run(folder, videos, PROMPTS), folder)
    share_equal_files(second)
    assert all((first / name).samefile(second / name) for name in FILES)


def test_a_moved_folder_is_whole(tmp_path: Path, index: Path) -> None:
    moved = shutil.copytree(index.parent, tmp_path / "mailed")
    for row in page_data(moved / "index.html")["rows"]:
        for clip in row["clips"]:  # type: ignore[attr-defined]
            assert "f" not in clip or (moved / "clips" / clip["f"]).is_file()


def test_a_clip_whose_file_is_gone_is_words(tmp_path: Path) -> None:
    there = write_videos(tmp_path)
    tables = write_run(tmp_path / "run", there, PROMPTS)
    there[0].unlink()
    index = write_report_folder(tables, tmp_path / "run")
    said = [clip.get("e") for row in page_data(index)["rows"] for clip in row["clips"]]  # type: ignore[attr-defined]
    assert said.count("its file is not there") == 5


def test_a_run_without_clips_has_a_page(tmp_path: Path, videos: list[Path]) -> None:
    index = write_report_folder(write_run(tmp_path, videos, []), tmp_path)
    assert 'id="list"' not in index.read_text()
    assert page_data(index)["rows"] == []


def test_data_is_ascii_and_ends_no_script() -> None:
    text = as_script({"prompt": "</script> \u2028 \ud83c\udfac <!--"})
    assert text.isascii()
    assert "<" not in text
