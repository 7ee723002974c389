"""Each run's results have a folder of their own, and `latest` names the one that was finished last."""

from __future__ import annotations

import datetime
import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reelbench.core.errors import StoreError
from reelbench.core.run_folders import (
    find_results,
    holds_results,
    new_results,
    results_dir,
    run_ids,
    share_equal_files,
)

NIGHT = datetime.datetime(2026, 11, 27, 3, 0, 0, tzinfo=datetime.UTC)
ID = "20261127T030000Z"


def write(run_dir: Path, text: str = "rows", started: datetime.datetime = NIGHT) -> Path:
    with new_results(run_dir, started) as results:
        (results.folder / "tables").mkdir()
        (results.folder / "tables" / "runs.parquet").write_text(text)
        (results.folder / "report.html").write_text("page")
        results.finish()
    return results.folder


def text_of(folder: Path) -> str:
    return (folder / "tables" / "runs.parquet").read_text()


def test_each_run_has_its_own_folder_and_latest_is_the_newest(tmp_path: Path) -> None:
    run_dir = tmp_path / "demo"
    assert not holds_results(run_dir)
    assert not results_dir(run_dir).exists()
    first = write(run_dir, "first")
    second = write(run_dir, "second", NIGHT + datetime.timedelta(days=1))
    assert [first.name, second.name] == run_ids(run_dir) == [ID, "20261128T030000Z"]
    assert results_dir(run_dir) == second
    assert text_of(run_dir / "latest") == "second"
    assert str((run_dir / "latest").readlink()) == second.name  # relative: the output can be moved
    assert text_of(results_dir(run_dir, ID)) == "first"
    assert results_dir(run_dir, "latest") == second
    with pytest.raises(StoreError, match="20261127T030001Z") as error:
        results_dir(run_dir, "20261127T030001Z")
    assert error.value.hint == f"2 are there, the newest are {second.name}, {ID}"
    with pytest.raises(StoreError, match=ID):
        results_dir(tmp_path / "other", ID)


def test_runs_that_start_in_one_second_keep_apart(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda number: write(tmp_path, str(number)), range(12)))
    assert len(set(folders)) == 12
    assert sorted(text_of(folder) for folder in folders) == sorted(map(str, range(12)))
    assert run_ids(tmp_path) == [ID, *(f"{ID}-{number}" for number in range(2, 13))]
    assert results_dir(tmp_path) in folders


def test_what_is_not_finished_is_no_result(tmp_path: Path) -> None:
    before = write(tmp_path, "whole")
    with new_results(tmp_path, NIGHT) as results:
        (results.folder / "tables").mkdir()
    assert run_ids(tmp_path) == [before.name]
    assert sorted(path.name for path in tmp_path.iterdir()) == [ID, "latest"]
    # What a kill leaves has no id.
    (tmp_path / ".0123456789ab.tmp" / "tables").mkdir(parents=True)
    assert results_dir(tmp_path) == before


def test_without_links_latest_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "symlink", refuse)
    monkeypatch.setattr(os, "link", refuse)
    write(tmp_path, "first")
    second = write(tmp_path, "second")
    share_equal_files(second)
    assert (tmp_path / "latest").read_text() == f"{second.name}\n"
    assert results_dir(tmp_path) == second


@pytest.mark.parametrize("latest", ["gone", "../elsewhere", "", None])
def test_where_latest_is_wrong_the_newest_is_read(tmp_path: Path, latest: str | None) -> None:
    write(tmp_path, "first")
    second = write(tmp_path, "second")
    (tmp_path / "latest").unlink()
    if latest is not None:
        (tmp_path / "latest").write_text(latest)
    assert results_dir(tmp_path) == second


def test_results_of_earlier_versions_are_read_and_then_moved(tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    tables.mkdir()
    (tables / "runs.parquet").write_text("old")
    (tmp_path / "report.html").write_text("old page")
    (tmp_path / "notes.txt").write_text("mine")
    os.utime(tables / "runs.parquet", (NIGHT.timestamp(), NIGHT.timestamp()))
    assert holds_results(tmp_path)
    assert results_dir(tmp_path) == tmp_path
    new = write(tmp_path, "new", NIGHT + datetime.timedelta(days=1))
    assert run_ids(tmp_path) == [ID, new.name]
    assert text_of(results_dir(tmp_path, ID)) == "old"
    assert (results_dir(tmp_path, ID) / "report.html").read_text() == "old page"
    assert sorted(path.name for path in tmp_path.iterdir()) == [ID, new.name, "latest", "notes.txt"]
    assert results_dir(tmp_path) == new


def test_the_tables_of_an_evaluation_stay(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "runs.parquet").write_text("evaluation")
    (tmp_path / "inputs.json").write_text("{}")
    new = write(tmp_path)
    assert text_of(tmp_path) == "evaluation"
    assert results_dir(tmp_path) == new


def test_a_copy_of_latest_is_kept_as_results(tmp_path: Path) -> None:
    first = write(tmp_path, "first")
    (tmp_path / "latest").unlink()
    (tmp_path / "latest" / "tables").mkdir(parents=True)
    (tmp_path / "latest" / "tables" / "runs.parquet").write_text("copied")
    second = write(tmp_path, "second")
    assert results_dir(tmp_path) == second
    assert {text_of(tmp_path / name) for name in run_ids(tmp_path)} == {"first", "copied", "second"}
    assert first.is_dir()


def test_equal_files_of_two_nights_take_their_space_once(tmp_path: Path) -> None:
    first, second = write(tmp_path, "same"), write(tmp_path, "same")
    (second / "report.html").write_text("another page")
    share_equal_files(second)
    shared = [(first / name).samefile(second / name) for name in ("tables/runs.parquet", "report.html")]
    assert shared == [True, False]


def test_what_stands_in_the_place_of_latest_does_not_end_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "latest").mkdir()
    (tmp_path / "latest" / "notes.txt").write_text("mine")
    first = write(tmp_path, "first")
    assert (tmp_path / "latest").resolve() == first
    [aside] = tmp_path.glob("latest.*.aside")
    assert (aside / "notes.txt").read_text() == "mine"
    assert f"is kept as {aside.name}\n" in capsys.readouterr().err

    # A mount point, say, cannot be replaced.
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(os, "replace", refuse)
    second = write(tmp_path, "second", NIGHT + datetime.timedelta(days=1))
    assert text_of(second) == "second"
    said = capsys.readouterr().err
    assert "latest cannot be made to name these results (Device or resource busy)" in said
    assert str(second) in said
    assert [path.name for path in tmp_path.glob(".*.tmp")] == []


def test_results_are_found_by_the_folder_of_a_run_of_its_results_or_of_the_tables(tmp_path: Path) -> None:
    run_dir = tmp_path / "demo"
    folder = write(run_dir)
    (folder / "tables" / "summary.parquet").write_text("rows")
    for place in (run_dir, folder, run_dir / "latest", folder / "tables", run_dir / "latest" / "tables"):
        found = find_results(place)
        assert found.folder.resolve() == folder
        assert found.tables.resolve() == folder / "tables"
    alone = tmp_path / "recorded"
    alone.mkdir()
    (alone / "summary.parquet").write_text("rows")
    assert find_results(alone).folder == find_results(alone).tables == alone
    for place, why in (
        (tmp_path / "none", "not there"),
        (tmp_path, "no results"),
        (folder / "report.html", "a file"),
    ):
        with pytest.raises(StoreError, match=why):
            find_results(place)
