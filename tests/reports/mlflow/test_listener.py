"""A training in a real MLflow: one run however often it is killed, and no training that ends with MLflow."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reelbench.core.errors import StoreError
from reelbench.reports.mlflow.listener import RUN_FILE, MlflowListener

PARAMS = {"method": "fca", "training": {"seed": 3, "learning_rate": 1e-4}, "structure": {"text": "frames"}}


def client_of(mlflow_uri: str) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=mlflow_uri)


def runs(mlflow_uri: str, experiment: str = "trainings") -> list[Any]:
    client = client_of(mlflow_uri)
    found = client.get_experiment_by_name(experiment)
    return [] if found is None else list(client.search_runs([found.experiment_id]))


def history(mlflow_uri: str, run: Any, name: str) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in client_of(mlflow_uri).get_metric_history(run.info.run_id, name)]


class Training:
    """As much of a training as its listener sees: a log, previews, and a checkpoint to go back to."""

    def __init__(self, mlflow_uri: str, work: Path, **changes: Any) -> None:
        self.work = work
        work.mkdir(exist_ok=True)
        params = changes.pop("params", PARAMS)
        tags = changes.pop("tags", {})
        self.listener = MlflowListener(mlflow_uri, "trainings", "fca · ssv2", params, work, tags, **changes)

    def step(self, step: int, value: float | None = None) -> None:
        values = {"seconds": step / 2, "loss": 1.0 / step if value is None else value}
        with (self.work / "log.jsonl").open("a") as log:
            log.write(json.dumps({"step": step, **values}) + "\n")
        self.listener.logged(step, values)

    def show(self, step: int) -> None:
        folder = self.work / "previews" / f"step-{step:06d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "00.mp4").write_bytes(b"a clip")
        self.listener.shown(step, folder)

    def back_to(self, step: int) -> None:
        lines = (self.work / "log.jsonl").read_text().splitlines(keepends=True)
        (self.work / "log.jsonl").write_text("".join(x for x in lines if json.loads(x)["step"] <= step))


class Killed(BaseException):
    pass


def test_settings_numbers_by_step_and_previews_are_one_run(mlflow_uri: str, tmp_path: Path) -> None:
    training = Training(mlflow_uri, tmp_path / "work", tags={"steps": "4"})
    with training.listener:
        for step in (2, 4):
            training.step(step)
        training.show(4)
    (run,) = runs(mlflow_uri)
    assert run.info.status == "FINISHED"
    assert run.data.params == {
        "method": "fca",
        "training.seed": "3",
        "training.learning_rate": "0.0001",
        "structure.text": "frames",
    }
    assert run.data.tags["steps"] == "4"
    assert history(mlflow_uri, run, "loss") == [(2, 0.5), (4, 0.25)]
    metrics = client_of(mlflow_uri).get_metric_history(run.info.run_id, "loss")
    assert [metric.timestamp - run.info.start_time for metric in metrics] == [1000, 2000]
    (clip,) = client_of(mlflow_uri).list_artifacts(run.info.run_id, "previews/step-000004")
    assert clip.path == "previews/step-000004/00.mp4"
    assert not list(Path.cwd().iterdir()), "MLflow wrote into the working directory"


def test_a_killed_training_goes_on_in_its_run_with_no_step_twice(mlflow_uri: str, tmp_path: Path) -> None:
    first = Training(mlflow_uri, tmp_path / "work")

    def until_the_kill() -> None:
        with first.listener:
            for step in (2, 4, 6):
                first.step(step)
            first.show(6)
            raise Killed

    with pytest.raises(Killed):
        until_the_kill()
    (run,) = runs(mlflow_uri)
    assert run.info.status == "KILLED"
    second = Training(mlflow_uri, tmp_path / "work")
    second.back_to(2)
    with second.listener:
        assert runs(mlflow_uri)[0].info.status == "RUNNING"
        for step in (4, 6, 8):
            second.step(step, 9.0)
        second.show(6)
    (run,) = runs(mlflow_uri)
    assert run.info.status == "FINISHED"
    # What was made a second time stays as it was sent the first time.
    assert history(mlflow_uri, run, "loss") == [(2, 0.5), (4, 0.25), (6, 1 / 6), (8, 9.0)]
    assert history(mlflow_uri, run, "seconds") == [(step, step / 2) for step in (2, 4, 6, 8)]
    assert len(client_of(mlflow_uri).list_artifacts(run.info.run_id, "previews/step-000006")) == 1


def test_an_error_is_told_by_the_state_of_the_run(mlflow_uri: str, tmp_path: Path) -> None:
    training = Training(mlflow_uri, tmp_path / "work")

    def until_the_error() -> None:
        with training.listener:
            training.step(2)
            raise ValueError("too large")

    with pytest.raises(ValueError, match="too large"):
        until_the_error()
    assert runs(mlflow_uri)[0].info.status == "FAILED"


def test_a_training_that_gets_its_run_late_sends_what_it_has(mlflow_uri: str, tmp_path: Path) -> None:
    silent = Training("sqlite:////nowhere/mlflow.db", tmp_path / "work")
    silent.listener._not_before_s = float("inf")  # as if without one
    for step in range(1, 251):
        silent.step(step)
    silent.show(200)
    silent.show(300)  # lost with the checkpoint
    training = Training(mlflow_uri, tmp_path / "work")
    with training.listener:
        training.step(251)
    (run,) = runs(mlflow_uri)
    assert [step for step, _ in history(mlflow_uri, run, "loss")] == list(range(1, 252))
    shown = client_of(mlflow_uri).list_artifacts(run.info.run_id, "previews")
    assert [folder.path for folder in shown] == ["previews/step-000200"]


def test_other_settings_and_a_deleted_run_are_a_new_run(mlflow_uri: str, tmp_path: Path) -> None:
    def train(**changes: Any) -> str:
        training = Training(mlflow_uri, tmp_path / "work", **changes)
        with training.listener:
            pass
        return str(json.loads((tmp_path / "work" / RUN_FILE).read_text())["run_id"])

    first = train()
    assert train(tags={"steps": "99"}) == first
    second = train(params={**PARAMS, "training": {"seed": 4}})
    assert second != first
    client_of(mlflow_uri).delete_run(second)
    assert train(params={**PARAMS, "training": {"seed": 4}}) != second
    (tmp_path / "work" / RUN_FILE).write_text("{half")
    assert train() not in (first, second)


def test_a_server_that_is_not_there_is_told_once_and_does_not_hold_the_training_up(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    training = Training("http://somebody:secret@127.0.0.1:9", tmp_path / "work")
    with training.listener:
        for step in range(1, 20):
            training.step(step)
        training.show(19)
    assert sum(waits) < 20
    told = capfd.readouterr().err
    assert told.count("warning") == 1
    assert "cannot log to MLflow at http://***@127.0.0.1:9" in told
    assert "secret" not in told
    assert not (tmp_path / "work" / RUN_FILE).exists()


def test_what_a_server_missed_is_sent_when_it_answers_again(
    mlflow_uri: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    database = Path(mlflow_uri.removeprefix("sqlite:///"))
    training = Training(mlflow_uri, tmp_path / "work", pause_s=0.0)
    with training.listener:
        training.step(2)
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("ALTER TABLE metrics RENAME TO gone")
            connection.commit()
        training.step(4)
        training.step(6)
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("ALTER TABLE gone RENAME TO metrics")
            connection.commit()
        training.step(8)
    (run,) = runs(mlflow_uri)
    assert [step for step, _ in history(mlflow_uri, run, "loss")] == [2, 4, 6, 8]
    assert capfd.readouterr().err.count("warning") == 1


def test_a_full_disk_under_the_artifacts_ends_no_training(
    mlflow_uri: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # A file where the folder of all artifacts should be: nothing can be written below it, whoever we are.
    (tmp_path / "mlflow" / "artifacts").write_text("in the way")
    training = Training(mlflow_uri, tmp_path / "work", pause_s=0.0)
    with training.listener:
        training.step(2)
        training.show(2)
        training.step(4)
    (run,) = runs(mlflow_uri)
    assert [step for step, _ in history(mlflow_uri, run, "loss")] == [2, 4]
    assert capfd.readouterr().err.count("warning") == 1


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("sqlite:///mlflow.db", "relative to the working directory"),
        ("mlruns", "'mlruns' is none that MLflow takes"),
        ("file:///tmp/mlruns", "is none that MLflow takes"),
    ],
)
def test_an_address_that_cannot_work_is_refused_at_once(address: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=message):
        Training(address, tmp_path / "work")


def test_long_and_hostile_settings_are_made_to_fit(mlflow_uri: str, tmp_path: Path) -> None:
    params: Mapping[str, Any] = {"a@b": "x" * 9000, **{f"key{i}": i for i in range(250)}}
    training = Training(mlflow_uri, tmp_path / "work", params=params)
    with training.listener:
        training.step(1)
    (run,) = runs(mlflow_uri)
    assert len(run.data.params["a_b"]) == 6000
    assert run.data.params["key249"] == "249"
