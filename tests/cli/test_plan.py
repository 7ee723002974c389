"""`plan`, `status` and `doctor` on an output folder in which nothing has run."""

from __future__ import annotations

import contextlib
import fcntl
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reelbench.cli.main import app
from reelbench.cli.plan import duration_text, plan_data, print_plan, size_text
from reelbench.cli.run import _print_plan
from reelbench.core.planner import make_plan
from reelbench.core.run_file_loading import load_run_file
from reelbench.core.store import Store
from reelbench.datasets.video import default_codec
from reelbench.stages.sample import sample_shards
from reelbench.stages.work import WorkerContext


@pytest.fixture
def run_file(write_run_file: Callable[..., Path], tmp_path: Path) -> Path:
    """A run of which one of three clips is there."""
    path = write_run_file(limit=3)
    run = load_run_file(path)
    store = Store(run.store_dir, default_codec())
    (cell,) = make_plan(run, store).cells
    sample_shards(cell, 1)[0].run(WorkerContext(store, "cpu"))
    return path


def test_the_plan_counts_what_is_missing(run_file: Path) -> None:
    result = CliRunner().invoke(app, ["plan", str(run_file)])
    assert result.exit_code == 0, result.output
    assert "3 clips: 1 done, 2 missing (about" in result.output


def test_the_plan_as_json(run_file: Path) -> None:
    result = CliRunner().invoke(app, ["plan", str(run_file), "--json", "--limit", "2"])
    data = json.loads(result.output)
    assert data["num_samples"] == 2
    assert data["num_missing"] == 1
    (cell,) = data["cells"]
    assert (cell["method"], cell["dataset"], cell["seed"]) == ("drift", "words", 0)
    assert (cell["num_done"], cell["num_missing"], cell["num_failed"]) == (1, 1, 0)
    assert cell["estimate_s"] > 0
    assert cell["estimate_bytes"] > 0


def test_the_plan_says_what_methods_and_data_sets_say_of_themselves(
    run_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = load_run_file(run_file)
    planned = make_plan(run, Store(run.store_dir, default_codec()))
    monkeypatch.setattr(planned.datasets[0].plugin, "notes", lambda: ("2 rows are left out",))
    monkeypatch.setattr(planned.methods[0].plugin, "notes", lambda: "a single sentence", raising=False)
    assert plan_data(planned, 1)["notes"] == ["drift: a single sentence", "words: 2 rows are left out"]
    print_plan(planned)
    assert "drift: a single sentence\nwords: 2 rows are left out" in capsys.readouterr().out


@pytest.mark.parametrize("options", [["--limit", "1000"], []])
def test_a_limit_above_what_a_data_set_holds_is_told(
    write_run_file: Callable[..., Path], options: list[str]
) -> None:
    path = write_run_file(limit=None if options else 1000)
    said = "limit: of the 1000 samples asked for, words holds 12"
    assert said in CliRunner().invoke(app, ["plan", str(path), *options]).output
    data = json.loads(CliRunner().invoke(app, ["plan", str(path), *options, "--json"]).output)
    assert data["notes"] == [said]
    assert "limit" not in CliRunner().invoke(app, ["plan", str(path), "--limit", "12"]).output


def test_the_run_tells_it_too(
    write_run_file: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _print_plan(load_run_file(write_run_file(limit=13)))
    assert "of the 13 samples asked for, words holds 12" in capsys.readouterr().out


@pytest.mark.parametrize("address", ["garbage", "127.0.0.1:99999"])
@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_ray_address_that_is_none_is_told_before_anything_starts(
    write_run_file: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    address: str,
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    path = write_run_file(executor="auto")
    result = CliRunner().invoke(app, [command, str(path)])
    assert f"RAY_ADDRESS={address} has no host and port" in result.stderr
    assert not (tmp_path / "out" / "prefect").exists()


def test_without_timings_there_is_no_estimate(write_run_file: Callable[..., Path]) -> None:
    result = CliRunner().invoke(app, ["plan", str(write_run_file())])
    assert "12 missing (no estimate yet" in result.output


def test_the_status_shows_progress_from_the_store(run_file: Path) -> None:
    result = CliRunner().invoke(app, ["status", str(run_file)])
    assert result.exit_code == 0, result.output
    assert "3 clips: 1 done, 2 missing" in result.output
    assert "No tables in" in result.output
    assert "going on" not in result.output


def test_the_doctor_says_what_is_wrong(
    write_run_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = {"name": "msrvtt", "config": {"root": str(tmp_path / "nothing")}}
    path = write_run_file(
        datasets=[missing],
        methods=[{"name": "zs3"}, {"name": "zs2", "config": {"num_stepz": 3}}, {"name": "ddim-frames"}],
        metrics=["fvd", "fdv", "pickscore"],
        weights={"i3d": "./no-such-weights"},
    )
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    result = CliRunner().invoke(app, ["doctor", str(path), "--output", str(tmp_path)])
    assert result.exit_code == 1
    lines = {line.partition(":")[0]: line for line in result.output.splitlines()}
    # All that is wrong, whatever else is.
    bad = "\n".join(line for line in result.output.splitlines() if line.startswith(("✗", "    ")))
    for said in (
        "did you mean 'zs2'",
        "did you mean 'num_steps'",
        "did you mean 'fvd'",
        f"{tmp_path / 'nothing'}",
        "no weights at",
        "pickscore: no weights are named",
    ):
        assert said in bad, bad
    for good in ("Python", "prefect", "ray", "mlflow", "torch", "CPU", "Prefect"):
        assert f"✓ {good}" in lines, result.output


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0 s"), (89, "89 s"), (600, "10 min"), (9000, "2.5 h")])
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("num_bytes", "text"), [(12, "12 B"), (2048, "2.0 KiB"), (3.5 * 2**20, "3.5 MiB"), (2**31, "2.0 GiB")]
)
def test_sizes(num_bytes: float, text: str) -> None:
    assert size_text(num_bytes) == text


def test_a_report_of_a_run_that_was_never_started_says_so(
    write_run_file: Callable[..., Path], tmp_path: Path
) -> None:
    result = CliRunner().invoke(app, ["report", str(write_run_file(limit=2))])
    assert result.exit_code == 1
    assert "nothing of the run 'tiny' is made yet" in result.stderr
    assert "none of its 2 clips" in result.stderr
    assert "-> reelbench run " in result.stderr
    assert not (tmp_path / "out" / "tiny").exists()


@pytest.mark.parametrize(
    ("state", "end", "is_locked", "said"),
    [
        ("Running", None, False, "Running, but not running any more (killed?), started"),
        ("Running", None, True, "Running, started"),
        ("Completed", "2026-01-02 03:09:05", False, "Completed, started"),
    ],
)
def test_the_status_of_a_killed_run(
    run_file: Path, tmp_path: Path, state: str, end: str | None, is_locked: bool, said: str
) -> None:
    folder = tmp_path / "out" / "prefect"
    folder.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(folder / "prefect.db")) as database, database:
        database.execute("create table flow_run (name, state_name, start_time, end_time, created)")
        row = ("calm-owl", state, "2026-01-02 03:04:05", end, 1)
        database.execute("insert into flow_run values (?, ?, ?, ?, ?)", row)
    with (folder / "lock").open("w") as lock:
        if is_locked:
            fcntl.flock(lock, fcntl.LOCK_EX)
        result = CliRunner().invoke(app, ["status", str(run_file)])
    assert f"Last run: calm-owl, {said} 2026-01-02 03:04:05" in result.output
    assert ("A run is going on" in result.output) is is_locked
