"""The command that trains adapters, on a data set in the layout of WebVid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from reelbench.cli.train import adapters
from reelbench.methods.adapters.adapters import load_adapters
from reelbench.methods.stable_diffusion.pipeline import load_pipeline
from reelbench.worlds.sprites.write import write_world

COMMAND = typer.Typer()
COMMAND.command()(adapters)


@pytest.fixture(scope="module")
def webvid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts = {"train": 4, "validate": 1, "test": 1}
    root = tmp_path_factory.mktemp("world")
    return write_world(root, ("webvid",), counts, show_progress=False)["webvid"]


def options(webvid: Path, pipeline: str, work: Path, *more: str) -> list[str]:
    tiny = "--num-frames 4 --size 32 --batch-size 2 --precision float32 --preview-every 2 --prompt sea"
    return ["--root", str(webvid), "--pipeline", pipeline, "--work", str(work), *tiny.split(), *more]


def test_from_a_folder_to_adapters_and_on_from_there(
    webvid: Path, pipeline_folder: str, tmp_path: Path
) -> None:
    done = CliRunner().invoke(COMMAND, options(webvid, pipeline_folder, tmp_path, "--steps", "2"))
    assert done.exit_code == 0, done.output
    assert str(tmp_path / "adapters.safetensors") in done.output
    load_adapters(tmp_path, load_pipeline(pipeline_folder, device="cpu").unet)
    assert (tmp_path / "previews" / "step-000002" / "00.mp4").is_file()
    again = CliRunner().invoke(COMMAND, options(webvid, pipeline_folder, tmp_path, "--steps", "3"))
    assert again.exit_code == 0, again.output
    steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert steps == [2, 3]


def test_faults_are_told_in_one_line(webvid: Path, pipeline_folder: str, tmp_path: Path) -> None:
    missing = CliRunner().invoke(COMMAND, options(tmp_path, pipeline_folder, tmp_path / "w", "--steps", "2"))
    assert missing.exit_code == 2
    assert "WebVid" in missing.output
    long = CliRunner().invoke(
        COMMAND, options(webvid, pipeline_folder, tmp_path / "w", "--num-frames", "99", "--steps", "2")
    )
    assert long.exit_code == 2
    assert "none of the 4 clips" in long.output


def test_in_mlflow_it_is_one_run_however_often_it_is_started(
    webvid: Path, pipeline_folder: str, mlflow_uri: str, tmp_path: Path
) -> None:
    from mlflow.tracking import MlflowClient

    logging = ("--mlflow", mlflow_uri, "--experiment", "simda")
    for steps in ("2", "4"):
        more = (*logging, "--steps", steps)
        done = CliRunner().invoke(COMMAND, options(webvid, pipeline_folder, tmp_path / "work", *more))
        assert done.exit_code == 0, done.output
    client = MlflowClient(tracking_uri=mlflow_uri)
    experiment = client.get_experiment_by_name("simda")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert (run.data.params["method"], run.data.params["adapters.preset"]) == ("simda", "paper")
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [metric.step for metric in history] == [2, 4]
    shown = [file.path for file in client.list_artifacts(run.info.run_id, "previews")]
    assert shown == ["previews/step-000002", "previews/step-000004"]
