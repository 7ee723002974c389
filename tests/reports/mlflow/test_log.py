"""Logging to a real MLflow store: what is in it, and that a second time adds nothing."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reelbench.core.errors import StoreError
from reelbench.core.tables import read_table, write_table
from reelbench.reports.mlflow import logging_process
from reelbench.reports.mlflow.log import log_run, set_damage_aside
from reelbench.reports.mlflow.place import Tracking
from reelbench.reports.mlflow.store import default_tracking_uri, mlflow_command, quiet_environment
from reelbench.reports.pages.html_report import write_html_report


@pytest.fixture
def tracking_uri(empty_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    uri = default_tracking_uri(tmp_path / "out")
    database = Path(uri.removeprefix("sqlite:///"))
    database.parent.mkdir(parents=True)
    shutil.copyfile(empty_mlflow, database)
    return uri


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_text("<p>report</p>", encoding="utf-8")
    return path


def snapshot(uri: str) -> dict[str, Any]:
    """All rows that a logging could add to, and all files with their times."""
    database = Path(uri.removeprefix("sqlite:///"))
    tables = ("experiments", "runs", "tags", "params", "metrics", "latest_metrics", "inputs", "datasets")
    with closing(sqlite3.connect(database)) as connection:
        rows: dict[str, Any] = {
            table: sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=str)
            for table in tables
        }
    rows["files"] = sorted(
        (str(path), path.stat().st_mtime_ns)
        for path in (database.parent / "artifacts").rglob("*")
        if path.is_file()
    )
    return rows


def client_of(uri: str) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri)


def test_a_parent_and_a_child_for_each_method(
    make_tables: Callable[..., Path], tracking_uri: str, report: Path
) -> None:
    prefect_page = "http://127.0.0.1:4200/runs/flow-run/1"
    parent_id = log_run(make_tables(), tracking_uri, "demo", report, prefect_page=prefect_page)
    client = client_of(tracking_uri)
    experiment = client.get_experiment_by_name("demo")
    runs = client.search_runs([experiment.experiment_id])
    children = {run.data.params["method"]: run for run in runs if run.info.run_id != parent_id}
    assert set(children) == {"ddim-frames", "text2video-zero", "zs2", "tune-a-video"}
    assert {run.data.tags["mlflow.parentRunId"] for run in children.values()} == {parent_id}
    states = {run.info.run_id: run.info.status for run in runs}
    assert states[parent_id] == "FAILED"  # as clips of one method did
    assert set(states.values()) == {"FINISHED", "FAILED"}

    # As the table's columns are called, and nothing else.
    data = children["ddim-frames"].data
    assert data.metrics == {
        "FVD": 298.1324,
        "FVD_se": 5.2719,
        "CLIPSIM": 0.294512,
        "CLIPSIM_se": 0.001234,
        "Sampling s per clip": 0.51,
        "Sampling s per clip_se": 0.0123,
    }
    assert (data.params["n"], data.params["coverage"], data.params["saw"]) == ("16", "1", "text")
    assert data.params["settings.scheduler.name"] == "ddim"
    assert data.params["protocol"].startswith("fvd-demo-16x64 (")
    assert data.tags["reelbench.protocol"] == "fvd-demo-16x64"
    assert data.tags["signature.FVD"].startswith("fvd|v1|")
    assert data.tags["weights.worlds/pipeline"] == "c" * 64
    # Held against the own references: a column of its own.
    assert {"FVD own references", "CLIPSIM"} <= set(children["tune-a-video"].data.metrics)
    assert "FVD" not in children["tune-a-video"].data.metrics

    parent = client.get_run(parent_id)
    assert parent.data.tags["reelbench.run_key"] == "a" * 64
    assert parent.data.tags["weights.worlds/pipeline"] == "c" * 64
    assert "255.1 ± 5.3" in parent.data.tags["mlflow.note.content"]
    assert f"page]({prefect_page})" in parent.data.tags["mlflow.note.content"]
    assert parent.data.tags["reelbench.prefect_run"] == prefect_page
    assert parent.data.metrics["sprites/FVD/zs2"] == 298.1324 - 2 * 21.5
    assert parent.data.metrics["difference/sprites/FVD/text2video-zero - zs2"] == 21.5
    assert parent.data.metrics["p_holm/sprites/FVD/text2video-zero - zs2"] == 0.3
    names = {file.path for file in client.list_artifacts(parent_id)}
    assert names == {"chart_sprites.svg", "clips", "comparison.md", "report.html", "tables"}
    assert len(client.list_artifacts(parent_id, "tables")) == 7
    of_child = client.list_artifacts(children["ddim-frames"].info.run_id)
    assert [file.path for file in of_child] == ["clips", "summary.json"]
    clips = client.list_artifacts(children["ddim-frames"].info.run_id, "clips")
    assert [file.path for file in clips] == ["clips/000.mp4", "clips/001.mp4", "clips/prompts.json"]
    assert not list(Path.cwd().iterdir()), "MLflow wrote into the working directory"


def test_logging_the_same_again_writes_nothing(
    make_tables: Callable[..., Path], tracking_uri: str, report: Path
) -> None:
    tables = make_tables()
    first = log_run(tables, tracking_uri, "demo", report)
    before = snapshot(tracking_uri)
    assert log_run(tables, tracking_uri, "demo", report) == first
    assert snapshot(tracking_uri) == before


def test_a_folder_that_was_moved_takes_its_artifacts_along(
    make_tables: Callable[..., Path], tracking_uri: str, report: Path, tmp_path: Path
) -> None:
    tables = make_tables()
    first = log_run(tables, tracking_uri, "demo", report)
    (tmp_path / "out" / "mlflow").rename(tmp_path / "moved")
    uri = f"sqlite:///{tmp_path / 'moved' / 'mlflow.db'}"
    report.write_text("<p>another report</p>", encoding="utf-8")
    # Another process: MLflow remembers the places of artifacts that it has written to.
    code = "import sys, pathlib; from reelbench.reports.mlflow.log import log_run; "
    code += "print(log_run(pathlib.Path(sys.argv[1]), sys.argv[2], 'demo', pathlib.Path(sys.argv[3])))"
    program = [sys.executable, "-c", code, str(tables), uri, str(report)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == first, done.stderr
    assert not (tmp_path / "out" / "mlflow").exists()
    (logged,) = (tmp_path / "moved" / "artifacts").glob(f"*/{first}/artifacts/report.html")
    assert logged.read_text() == "<p>another report</p>"


def test_a_logging_that_was_cut_off_is_finished(
    make_tables: Callable[..., Path], tracking_uri: str, report: Path
) -> None:
    tables = make_tables(videos=False)
    first = log_run(tables, tracking_uri, "demo", report)
    before = snapshot(tracking_uri)
    # As a kill leaves it: the end of the parent and of one child is missing.
    with closing(sqlite3.connect(tracking_uri.removeprefix("sqlite:///"))) as connection:
        connection.execute("DELETE FROM tags WHERE key = 'reelbench.artifacts'")
        connection.execute("UPDATE runs SET status = 'RUNNING', end_time = NULL")
        connection.execute("DELETE FROM metrics WHERE key LIKE 'FVD%'")
        connection.execute("DELETE FROM latest_metrics WHERE key LIKE 'FVD%'")
        connection.commit()
    assert log_run(tables, tracking_uri, "demo", report) == first
    after = snapshot(tracking_uri)
    assert {name: after[name] for name in before if name != "files"} == {
        name: before[name] for name in before if name != "files"
    }
    assert [name for name, _ in after["files"]] == [name for name, _ in before["files"]]


def test_a_new_report_replaces_the_old_one_in_the_same_run(
    make_tables: Callable[..., Path], tracking_uri: str, report: Path
) -> None:
    tables = make_tables(videos=False)
    first = log_run(tables, tracking_uri, "demo", report)
    before = snapshot(tracking_uri)
    report.write_text("<p>better</p>", encoding="utf-8")
    assert log_run(tables, tracking_uri, "demo", report) == first
    after = snapshot(tracking_uri)
    assert (after["runs"], after["metrics"]) == (before["runs"], before["metrics"])
    assert [name for name, _ in after["files"]] == [name for name, _ in before["files"]]
    (stored,) = [Path(name) for name, _ in after["files"] if name.endswith("report.html")]
    assert stored.read_text(encoding="utf-8") == "<p>better</p>"


def test_new_results_are_a_new_run(
    make_tables: Callable[..., Path], tracking_uri: str, report: Path, full_summary: list[dict[str, Any]]
) -> None:
    tables = make_tables(videos=False)
    first = log_run(tables, tracking_uri, "demo", report)
    better = [row | {"value": 1.5} if row["metric"] == "fvd" else row for row in full_summary]
    write_table(tables, "summary", better)
    assert log_run(tables, tracking_uri, "demo", report) != first
    assert len(snapshot(tracking_uri)["runs"]) == 10


def test_undefined_is_an_absent_metric_with_a_reason(
    make_tables: Callable[..., Path],
    tracking_uri: str,
    report: Path,
    summary_row: Callable[..., dict[str, Any]],
) -> None:
    rows = [summary_row(), summary_row(metric="kvd", label="KVD", value=float("nan"), notes="needs 10 clips")]
    log_run(make_tables(rows, videos=False), tracking_uri, "demo", report)
    client = client_of(tracking_uri)
    experiment = client.get_experiment_by_name("demo")
    (run,) = client.search_runs([experiment.experiment_id], "params.method = 'zs2'")
    assert "FVD" in run.data.metrics
    assert "KVD" not in run.data.metrics
    assert run.data.tags["undefined.KVD"] == "needs 10 clips"


def test_hostile_names_and_long_values_are_made_to_fit(
    make_tables: Callable[..., Path],
    tracking_uri: str,
    report: Path,
    summary_row: Callable[..., dict[str, Any]],
) -> None:
    config = json.dumps({"a@b": "x" * 9000, "empty": {}, **{f"key{index}": index for index in range(150)}})
    rows = [
        summary_row(metric="my@metric", label="my@metric", method="../<b>ü", method_config=config),
        summary_row(metric="other", label="a/b", method="../<b>ü", method_config=config, value=1.0),
    ]
    log_run(make_tables(rows, videos=False), tracking_uri, "demo", report)
    client = client_of(tracking_uri)
    experiment = client.get_experiment_by_name("demo")
    runs = client.search_runs([experiment.experiment_id], "tags.`reelbench.kind` = 'method'")
    (run,) = runs
    assert run.data.metrics["my_metric"] == 298.1324
    assert run.data.metrics["a_b"] == 1.0
    assert run.data.params["method"] == "../<b>ü"
    assert len(run.data.params["settings.a_b"]) == 6000
    assert run.data.params["settings.key149"] == "149"


def test_faults_are_clear_errors(make_tables: Callable[..., Path], tracking_uri: str, report: Path) -> None:
    tables = make_tables(videos=False)
    with pytest.raises(StoreError, match="relative to the working directory"):
        log_run(tables, "sqlite:///mlflow.db", "demo", report)
    with pytest.raises(StoreError, match=r"no file .*nothing\.html"):
        log_run(tables, tracking_uri, "demo", report.with_name("nothing.html"))
    write_table(tables, "runs", read_table(tables, "runs").to_pylist() * 2)
    with pytest.raises(StoreError, match="2 rows, expected one"):
        log_run(tables, tracking_uri, "demo", report)


def test_a_damaged_database_is_set_aside_and_a_new_one_is_begun(
    make_tables: Callable[..., Path],
    tracking_uri: str,
    report: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables, database = make_tables(videos=False), Path(tracking_uri.removeprefix("sqlite:///"))
    whole = database.read_bytes()
    database.write_bytes(whole[: len(whole) // 2])
    own = Tracking(tracking_uri, "demo", database.parent)
    users = Tracking(tracking_uri, "demo", tmp_path / "elsewhere", "MLFLOW_TRACKING_URI")
    assert set_damage_aside(users.uri, users.folder) is None
    assert database.exists()
    # What MLflow itself does on a new database takes long, and is tried elsewhere.
    monkeypatch.setattr(logging_process, "find_logged", lambda *_: None if database.exists() else "new")
    said: list[str] = []
    assert logging_process.log_within_limits(tables, own, report, said.append).run_id == "new"
    [aside] = database.parent.glob("mlflow.db.*.aside")
    assert aside.read_bytes() == whole[: len(whole) // 2]
    assert [line for line in said if "is damaged" in line and f"kept as {aside.name}" in line] == said
    database.write_bytes(whole)
    assert set_damage_aside(own.uri, own.folder) is None


def test_the_environment_is_quiet_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "mine")
    with quiet_environment():
        assert os.environ["DO_NOT_TRACK"] == "true"
        assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert "DO_NOT_TRACK" not in os.environ
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "mine"


def test_the_command_listens_on_this_machine_only(tmp_path: Path) -> None:
    uri = default_tracking_uri(tmp_path / "a folder")
    command = mlflow_command(uri, port=5001)
    assert f"--backend-store-uri '{uri}' --host 127.0.0.1 --port 5001" in command
    assert uri.startswith("sqlite:////")


def test_what_leaves_the_machine_names_no_place_on_it(
    make_tables: Callable[..., Path],
    tracking_uri: str,
    summary_row: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    config = json.dumps({"weights": "/home/anna/models/sd15", "num_steps": 2})
    notes = "from '/home/anna/my data/list.csv'"
    rows = [
        summary_row(method_config=config, notes=notes),
        summary_row(
            metric="/home/anna/lab/x.py:Mine",
            label="/home/anna/lab/x.py:Mine",
            value=float("nan"),
            notes="no /home/anna/weights/w.pt",
        ),
    ]
    tables = make_tables(rows)
    run_file = {"methods": [{"name": "/home/anna/lab/x.py:Mine", "label": "zs2"}]}
    runs = read_table(tables, "runs").to_pylist()
    write_table(tables, "runs", [row | {"run_file": json.dumps(run_file), "weights": config} for row in runs])
    clips = read_table(tables, "clips").to_pylist()
    clips[-1] |= {"status": "failed", "error_type": "OSError", "error_message": "no '/home/anna/a b/1.mp4'"}
    write_table(tables, "clips", [row | {"path": "/home/anna/videos/1.mp4"} for row in clips])
    html = write_html_report(tables, tmp_path / "report.html")
    assert ".../sd15" in html.read_text()
    log_run(tables, tracking_uri, "demo", html)
    sent = [path for path in (tmp_path / "out" / "mlflow").rglob("*") if path.is_file()]
    assert len(sent) > 9
    for path in sent:
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content = str(read_table(path.parent, path.stem).to_pylist()).encode()
        assert b"anna" not in content, path
