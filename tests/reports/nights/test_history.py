"""Values over the nights: only those of one protocol on the same samples belong together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from reelbench.cli.app import app
from reelbench.core.errors import UnknownNameError
from reelbench.core.run_folders import run_ids
from reelbench.core.run_record import RunRecord
from reelbench.core.tables import ClipRow, RunRow, SummaryRow, Tables
from reelbench.reports.nights.history import history_rows, read_history, selected
from reelbench.reports.nights.history_page import write_history_page


def night(
    folder: Path, value: float | None, num_clips: int, digest: str = "p" * 64, num_done: int | None = None
) -> Path:
    num_done = num_clips if num_done is None else num_done
    clips = [
        ClipRow(
            run="demo", side="generated", method="<b>", dataset="d", split="", sample_id=f"s{index}",
            source=f"s{index}", seed=0, clip_key=f"k{index}", status="done" if index < num_done else "failed",
        )
        for index in range(num_clips)
    ]  # fmt: skip
    summary = SummaryRow(
        run="demo", metric="fvd", label="FVD", unit="", higher_is_better=False, level="set", protocol="clean",
        protocol_digest=digest, method="<b>", method_name="b", method_version="1", method_config="{}",
        dataset="d", split="", conditioning="text", seed=None, num_seeds=1, value=value, n=num_done,
        num_failures=num_clips - num_done, coverage=num_done / num_clips, hardware="CPU",
    )  # fmt: skip
    run = RunRow(
        run="demo", run_key="k", run_file="{}", protocol="clean", protocol_digest=digest, weights="{}",
        num_clips=num_done, num_failures=num_clips - num_done, reelbench_version="0", library_versions="{}",
        hardware="CPU",
    )  # fmt: skip
    Tables(runs=[run], clips=clips, summary=[summary]).write(folder / "tables")
    return folder


def test_lines_join_what_can_be_compared_and_damaged_nights_are_named(tmp_path: Path) -> None:
    ids = [f"2026112{day}T030000Z" for day in range(1, 7)]
    sizes = [4, 4, 2, 4, 4, 4]
    folders = [
        night(tmp_path / name, None if index == 4 else float(index), sizes[index], "pq"[index == 3] * 64)
        for index, name in enumerate(ids)
    ]
    (folders[5] / "tables" / "summary.parquet").write_bytes(b"PAR1")
    (cell,), notes = read_history((name, path, None) for name, path in zip(ids, folders, strict=True))
    series = [point.series for point in cell.points]
    assert series[0] == series[1] == series[4]
    assert len({series[0], series[2], series[3]}) == 3
    assert [point.value for point in cell.points] == [0.0, 1.0, 2.0, 3.0, None]
    (note,) = notes
    assert note.startswith(f"{ids[5]} is left out")
    assert [row["value"] for row in history_rows([cell])] == [0.0, 1.0, 2.0, 3.0, None]
    with pytest.raises(UnknownNameError, match="unknown metric 'fvdd'"):
        selected([cell], metrics=["fvdd"])
    with pytest.raises(UnknownNameError, match="unknown method"):
        selected([cell], methods=["nope"])
    page = write_history_page("demo", [cell], tmp_path / "history.html", notes).read_text()
    assert f"{ids[5]} is left out" in page
    assert str(tmp_path) not in page
    assert page.count("<circle") == 4
    assert page.count('stroke="#99a"') == 1  # the first two alone are of one series
    assert "<b>FVD of &lt;b&gt; on d</b>" in page


@pytest.fixture
def history(
    write_run_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """The command over 30 nights; the run file's method cannot be loaded, and its data are away."""
    (tmp_path / "broken.py").write_text("def (")
    methods = [{"name": f"{tmp_path}/broken.py:Broken", "label": "broken"}]
    datasets = [{"name": "msrvtt", "config": {"root": f"{tmp_path}/away"}}]
    file = write_run_file(methods=methods, datasets=datasets, metrics=["nope"])
    for day in range(1, 31):
        night(tmp_path / "out" / "tiny" / f"202611{day:02}T030000Z", 5.0, 8, num_done=3 if day > 28 else 8)

    def run(*arguments: str, columns: int = 80) -> Result:
        monkeypatch.setenv("COLUMNS", str(columns))
        return CliRunner().invoke(app, ["history", str(file), *arguments])

    return run


def test_as_many_nights_are_shown_as_are_readable_and_no_plugin_is_loaded(
    history: Callable[..., Result], tmp_path: Path
) -> None:
    shown = history("--last", "30")
    assert shown.exit_code == 0, shown.output
    assert "11-30 03:00" in shown.stdout
    assert "(5) 3 of 8" in shown.stdout
    assert "30 nights, the last 3 shown; --csv or history.html for all" in shown.stdout
    assert max(map(len, shown.stdout.split("Page:")[0].splitlines())) <= 80
    wide = history("--last", "30", columns=800).stdout
    assert "11-01 03:00" in wide
    assert "nights, the last" not in wide
    page = tmp_path / "out" / "tiny" / "history.html"
    whole = page.read_text()
    assert history("--last", "30", "--metric", "fvd", "--method", "<b>").exit_code == 0
    assert page.read_text() == whole
    # A file that cannot be written costs no table.
    page.unlink()
    page.mkdir()
    refused = history()
    assert (refused.exit_code, "11-30" in refused.stdout) == (0, True)
    assert "history.html is not written: " in refused.stderr


def test_unknown_names_and_two_formats_are_refused(history: Callable[..., Result]) -> None:
    both = history("--csv", "--json")
    assert both.exit_code == 2
    unknown = history("--metric", "fdv")
    assert unknown.exit_code == 2
    assert "did you mean 'fvd'?" in unknown.stderr


def test_pruning_keeps_the_last_good_night_of_each_method(
    history: Callable[..., Result], tmp_path: Path
) -> None:
    pruned = history("--prune", "1")
    assert pruned.exit_code == 0, pruned.output
    assert pruned.stdout.count("deleted ") == 28
    assert "20261128T030000Z: the last good night of <b>" in pruned.stdout
    run_dir = tmp_path / "out" / "tiny"
    assert run_ids(run_dir) == ["20261128T030000Z", "20261130T030000Z"]
    # Tables that were only built again are no night: they push none out.
    RunRecord(is_night=False).write(night(run_dir / "20261201T030000Z", 5.0, 8))
    again = history("--prune", "1")
    assert "20261128T030000Z: the last good night of <b>" in again.stdout
    assert run_ids(run_dir) == ["20261128T030000Z", "20261130T030000Z", "20261201T030000Z"]
    assert "12-01" not in again.stdout
