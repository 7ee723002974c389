"""`reelbench mlflow sync`: all nights of a run from their tables, each once; faults in one line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from reelbench.cli.app import app
from reelbench.core.run_record import RunRecord
from reelbench.core.tables import read_table, write_table

NIGHTS = ("20260101T030000Z", "20260102T030000Z")


def sync(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["mlflow", "sync", *arguments])


@pytest.fixture
def nights(make_tables: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two nights of a run, the second one with another FVD; recorded sampling of one method."""
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    made, run_dir = make_tables(videos=False), tmp_path / "out" / "demo"
    clips = read_table(made, "clips").to_pylist()
    taken = [row | {"sampling_s": 40.0, "tuning_s": 5.0, "tune_key": "t"} for row in clips]
    write_table(
        made, "clips", [new if old["method"] == "zs2" else old for old, new in zip(clips, taken, strict=True)]
    )
    curve = {
        "run": "demo", "metric": "fvd", "label": "FVD", "protocol": "fvd-demo-16x64", "method": "zs2",
        "protocol_digest": read_table(made, "runs").to_pylist()[0]["protocol_digest"], "dataset": "sprites",
        "split": "test", "seed": 0, "n_reference": 4, "num_subsets": 2,
    }  # fmt: skip
    write_table(made, "curves", [curve | {"n": 4, "value": 400.0}, curve | {"n": 8, "value": 320.0}])
    for number, night in enumerate(NIGHTS):
        shutil.copytree(made, run_dir / night / "tables")
        rows = read_table(made, "summary").to_pylist()
        changed = [row | {"value": row["value"] - number} if row["metric"] == "fvd" else row for row in rows]
        write_table(run_dir / night / "tables", "summary", changed)
        day = f"2026-01-0{number + 1}"
        RunRecord(
            started=f"{day}T03:00:00+00:00",
            ended=f"{day}T03:30:00+00:00",
            reelbench="0.1.0 0123456789ab+changes",
        ).write(run_dir / night)
    return run_dir


def test_all_nights_of_a_run_go_to_another_store_once(nights: Path, mlflow_uri: str) -> None:
    """Where a logging was killed in the first night, the command finishes that one and logs the other."""
    from mlflow.tracking import MlflowClient

    from reelbench.reports.mlflow.log import log_run

    client = MlflowClient(tracking_uri=mlflow_uri)
    begun = log_run(nights / NIGHTS[0] / "tables", mlflow_uri, "copied")
    client.delete_tag(begun, "reelbench.artifacts")
    of_begun = {run.info.run_id for run in client.search_runs(["1"])}

    done = sync(str(nights), "--to", mlflow_uri, "--experiment", "copied")
    assert done.exit_code == 0, done.output
    assert "[1/2]" in done.output
    assert "[2/2]" in done.output
    experiment = client.get_experiment_by_name("copied")
    runs = client.search_runs([experiment.experiment_id])
    parents = {run.info.run_name: run for run in runs if "mlflow.parentRunId" not in run.data.tags}
    # Nights are told apart and compared by the same names.
    assert set(parents) == {"demo 2026-01-01 03:00 UTC", "demo 2026-01-02 03:00 UTC"}
    first, second = (parents[name] for name in sorted(parents))
    assert first.info.run_id == begun
    assert len(of_begun) > 1
    assert of_begun == {run.info.run_id for run in runs} & of_begun
    assert len(runs) == 2 * len(of_begun)
    assert "reelbench.artifacts" in first.data.tags
    assert first.data.metrics["sprites/FVD/zs2"] - second.data.metrics["sprites/FVD/zs2"] == 1.0
    assert first.info.end_time - first.info.start_time == 30 * 60 * 1000
    assert first.data.tags["mlflow.source.git.commit"] == "0123456789ab"
    assert first.data.tags["reelbench.uncommitted_changes"] == "yes"
    assert first.data.tags["mlflow.source.name"] == "reelbench run demo"
    (data,) = first.inputs.dataset_inputs
    assert (data.dataset.name, data.tags[0].value) == ("sprites", "evaluation")
    assert first.inputs.dataset_inputs[0].dataset.digest == second.inputs.dataset_inputs[0].dataset.digest

    # A method lasts as long as its clips took, where that is recorded: one clip, one tuning.
    (child,) = [
        run
        for run in runs
        if run.data.params.get("method") == "zs2" and run.data.tags["mlflow.parentRunId"] == first.info.run_id
    ]
    assert child.info.end_time - child.info.start_time == 45_000
    # Nothing ends after its parent, however long the clips took that an earlier run made.
    assert all(run.info.end_time <= max(first.info.end_time, second.info.end_time) for run in runs)
    curve = client.get_metric_history(child.info.run_id, "curve/FVD")
    assert [(point.step, point.value) for point in curve] == [(4, 400.0), (8, 320.0)]
    assert child.data.metrics["FVD"] == 298.1324 - 2 * 21.5


def test_what_an_earlier_version_logged_of_the_same_results_goes_to_the_bin(
    nights: Path, mlflow_uri: str
) -> None:
    from mlflow.tracking import MlflowClient

    from reelbench.reports.mlflow.log import log_run
    from reelbench.reports.mlflow.records import load_run_records

    tables, client = nights / NIGHTS[0] / "tables", MlflowClient(tracking_uri=mlflow_uri)
    experiment = client.create_experiment("demo")
    key = load_run_records(tables).parent.earlier_key
    old = client.create_run(experiment, tags={"reelbench.content_key": key}).info.run_id
    of_old = client.create_run(experiment, tags={"mlflow.parentRunId": old}).info.run_id
    users = client.create_run(experiment).info.run_id
    new = log_run(tables, mlflow_uri, "demo")
    assert [client.get_run(run).info.lifecycle_stage for run in (old, of_old, users)] == [
        "deleted",
        "deleted",
        "active",
    ]
    assert client.get_run(old).data.tags["reelbench.logged_anew"] == new


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "'nowhere' is not there"),
        (["{run}", "--to", "mlruns"], "--to: tracking URI 'mlruns' is none that MLflow takes"),
        (["{run}", "--to", "sqlite:///x.db"], "relative to the working directory"),
        (["{run}", "--to", "http://me:secret-word@host:port"], "is none that MLflow takes"),
        (["{run}", "--to", "ftp://me:secret-word@host/y"], "servers and databases (http, https"),
        (["{alone}"], "say where with --to"),
    ],
)
def test_what_cannot_be_is_one_line(nights: Path, arguments: list[str], message: str, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(nights / NIGHTS[0] / "tables", alone)
    done = sync(*(text.format(run=nights, alone=alone) for text in arguments))
    assert done.exit_code == 2
    assert message in done.output
    assert "secret-word" not in done.output
    assert "Traceback" not in done.output
