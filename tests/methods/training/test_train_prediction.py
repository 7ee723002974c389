"""The command that trains on text-video prediction: MLflow, clips that cannot be used, several readings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from reelbench.cli.train_prediction import prediction
from reelbench.datasets.clip_reader import ClipReader
from reelbench.datasets.ssv2 import SomethingSomethingV2
from reelbench.datasets.video import write_preview
from reelbench.methods.cogvideox.pipeline import load_cogvideox
from reelbench.methods.prediction.config import FcaConfig
from reelbench.methods.prediction.fca_predictor import FcaPredictor
from reelbench.methods.training.prediction import PredictionPreview, PredictionTraining
from reelbench.methods.training.prediction_clips import PredictionClips, PredictionEncoder
from reelbench.methods.training.schedule import TrainingConfig
from reelbench.reports.mlflow.listener import RUN_FILE, MlflowListener
from reelbench.tests.methods.tiny_cogvideox import cogvideox_folder
from reelbench.worlds.sprites.write import write_world

COMMAND = typer.Typer()
COMMAND.command()(prediction)
NUM_CLIPS = 3


@pytest.fixture(autouse=True)
def no_training_left_behind() -> Iterator[None]:
    """accelerate's state belongs to the process, and a failed test must not fail the next one."""
    from accelerate.state import AcceleratorState

    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def ssv2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts = {"train": NUM_CLIPS, "validate": 1, "test": 1}
    return write_world(tmp_path_factory.mktemp("world"), ("ssv2",), counts, show_progress=False)["ssv2"]


def options(root: Path, work: Path, *more: str, given: int = 2) -> list[str]:
    data = f"{{root: {root}, split: train, num_context_frames: {given}, order: id}}"
    tiny = ["--batch-size", "2", "--precision", "float32", "--num-previews", "1", "--preview-every", "2"]
    structure = ["--structure", "{queries: 2, text_heads: 2}"]
    base = ["--dataset", "ssv2", "--settings", data, "--base", cogvideox_folder(), "--work", str(work)]
    return [*base, *tiny, *structure, *more]


def invoke(arguments: list[str]) -> Any:
    return CliRunner().invoke(COMMAND, arguments)


def the_run(uri: str, experiment: str) -> tuple[Any, dict[str, list[int]], list[str]]:
    """The only run of an experiment: itself, the steps of each metric, its folders of previews."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    (run,) = client.search_runs([found.experiment_id])
    steps = {
        name: [metric.step for metric in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }
    folders = client.list_artifacts(run.info.run_id, "previews")
    files = [file.path for folder in folders for file in client.list_artifacts(run.info.run_id, folder.path)]
    return run, steps, files


class TestMlflow:
    def test_a_training_of_the_command_is_one_run_however_often_it_is_started(
        self, ssv2: Path, mlflow_uri: str, tmp_path: Path
    ) -> None:
        logging = ("--mlflow", mlflow_uri, "--experiment", "prediction")
        for steps in ("2", "4"):
            done = invoke(options(ssv2, tmp_path / "work", *logging, "--steps", steps))
            assert done.exit_code == 0, done.output
        run, steps_of, files = the_run(mlflow_uri, "prediction")
        assert run.info.status == "FINISHED"
        assert steps_of == {name: [2, 4] for name in ("loss", "rate", "seconds")}
        assert files == ["previews/step-000002/00.mp4", "previews/step-000004/00.mp4"]
        params = run.data.params
        assert (params["method"], params["dataset"], params["data.split"]) == ("fca", "ssv2", "train")
        assert params["base"] == cogvideox_folder()
        assert (params["structure.queries"], params["training.seed"]) == ("2", "0")
        assert params["clips.num"] == str(NUM_CLIPS)
        assert run.data.tags["steps"] == "4"
        assert run.data.tags["preview.00"]

    def test_a_training_that_is_interrupted_between_checkpoints_logs_each_step_once(
        self, ssv2: Path, mlflow_uri: str, tmp_path: Path
    ) -> None:
        pipeline = load_cogvideox(cogvideox_folder(), device="cpu")
        settings = SomethingSomethingV2.Config(root=str(ssv2), split="train")
        samples = list(SomethingSomethingV2(settings))
        clips = PredictionClips(
            PredictionEncoder(pipeline).encode(samples, ClipReader(), tmp_path / "latents")
        )
        given = ClipReader()(samples[0], 16)[:2]
        preview = PredictionPreview(
            given=((samples[0].prompt, given),), every_steps=2, write=write_preview, num_steps=1
        )
        config = TrainingConfig(steps=6, batch_size=1)

        def train(dies_at: int | None = None, saves_at: int | None = None) -> None:
            class Mortal(MlflowListener):
                def shown(self, step: int, folder: Path) -> None:
                    super().shown(step, folder)
                    if step == saves_at:
                        training.save()
                    if step == dies_at:
                        raise KeyboardInterrupt

            predictor = FcaPredictor(pipeline, FcaConfig(queries=2, text_heads=2))
            listener = Mortal(mlflow_uri, "trainings", "fca", {"seed": 0}, tmp_path / "work")
            training = PredictionTraining(predictor, clips, config, tmp_path / "work", preview, listener)
            try:
                with listener:
                    training.run(log_every=1)
            finally:
                training.close()

        with pytest.raises(KeyboardInterrupt):
            train(saves_at=2, dies_at=4)
        run, steps_of, files = the_run(mlflow_uri, "trainings")
        assert (run.info.status, steps_of["loss"]) == ("KILLED", [1, 2, 3, 4])
        before = run.info.run_id
        train()
        run, steps_of, files = the_run(mlflow_uri, "trainings")
        assert (run.info.run_id, run.info.status) == (before, "FINISHED")
        assert steps_of == {name: [1, 2, 3, 4, 5, 6] for name in ("loss", "rate", "seconds")}
        assert files == [f"previews/step-{step:06d}/00.mp4" for step in (2, 4, 6)]
        log = [json.loads(line) for line in (tmp_path / "work" / "log.jsonl").read_text().splitlines()]
        assert [line["step"] for line in log] == [1, 2, 3, 4, 5, 6]

    def test_a_server_that_is_gone_does_not_stop_it(self, ssv2: Path, tmp_path: Path) -> None:
        gone = ("--mlflow", "http://127.0.0.1:9", "--steps", "2")
        done = invoke(options(ssv2, tmp_path, *gone))
        assert done.exit_code == 0, done.output
        assert (tmp_path / "fca.safetensors").is_file()
        assert done.output.count("cannot log to MLflow at http://127.0.0.1:9") == 1
        assert not (tmp_path / RUN_FILE).exists()

    def test_an_address_that_cannot_work_is_refused_before_anything_is_done(
        self, ssv2: Path, tmp_path: Path
    ) -> None:
        told = invoke(options(ssv2, tmp_path / "work", "--mlflow", "mlruns", "--steps", "2"))
        assert told.exit_code == 2
        assert "'mlruns' is none that MLflow takes" in told.output
        assert not (tmp_path / "work").exists()


class TestClipsThatCannotBeUsed:
    def test_they_are_left_out_and_named_at_the_end_and_in_the_work_folder(
        self, ssv2: Path, tmp_path: Path
    ) -> None:
        root = tmp_path / "ssv2"
        shutil.copytree(ssv2, root)
        videos = sorted((root / "20bn-something-something-v2").glob("*.webm"))
        train = [entry["id"] for entry in json.loads((root / "train.json").read_text())]
        missing, cut = (root / "20bn-something-something-v2" / f"{id}.webm" for id in train[:2])
        assert missing in videos
        missing.unlink()
        cut.write_bytes(cut.read_bytes()[:200])
        done = invoke(options(root, tmp_path / "work", "--steps", "2"))
        assert done.exit_code == 0, done.output
        assert f"[left out] 2 of {NUM_CLIPS} clips of the data set" in done.output
        rows = [json.loads(row) for row in (tmp_path / "work" / "left-out.jsonl").read_text().splitlines()]
        assert [row["id"] for row in rows] == train[:2]
        for row, path in zip(rows, (missing, cut), strict=True):
            assert path.name in row["reason"]
            assert row["reason"] in done.output
        # The first clips of the list are not there, so the preview shows the third.
        assert (tmp_path / "work" / "previews" / "step-000002" / "00.mp4").is_file()

    def test_what_the_data_set_leaves_out_itself_is_said_first(self, ssv2: Path, tmp_path: Path) -> None:
        root = tmp_path / "ssv2"
        shutil.copytree(ssv2, root)
        entries = json.loads((root / "train.json").read_text())
        (root / "train.json").write_text(json.dumps([*entries, entries[0]]))
        done = invoke(options(root, tmp_path / "work", "--steps", "1"))
        assert "[data set] 1 of 4 entries repeat another one and are left out" in done.output

    def test_where_all_can_be_used_nothing_is_said(self, ssv2: Path, tmp_path: Path) -> None:
        done = invoke(options(ssv2, tmp_path, "--steps", "1"))
        assert "left out" not in done.output
        assert (tmp_path / "left-out.jsonl").read_text() == ""

    def test_where_none_can_be_used_the_first_reason_is_told(self, ssv2: Path, tmp_path: Path) -> None:
        told = invoke(options(ssv2, tmp_path, "--stride", "9", "--steps", "1"))
        assert told.exit_code == 2
        assert f"none of the {NUM_CLIPS} clips of the data set can be trained on" in told.output
        assert len((tmp_path / "left-out.jsonl").read_text().splitlines()) == NUM_CLIPS

    @pytest.mark.parametrize("given", [16, 20])
    def test_given_frames_that_leave_nothing_to_predict_are_refused(
        self, given: int, ssv2: Path, tmp_path: Path
    ) -> None:
        told = invoke(options(ssv2, tmp_path, "--steps", "1", given=given))
        assert told.exit_code == 2
        assert f"gives {given} first frames, and a clip has 16: none is left to predict" in told.output
        assert "num_context_frames" in told.output


class TestSeveralReadings:
    def test_each_clip_is_encoded_once_for_each_and_trained_on_in_all(
        self, ssv2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[PredictionClips] = []

        class Noted(PredictionTraining):
            def __init__(self, predictor: Any, clips: PredictionClips, *rest: Any) -> None:
                seen.append(clips)
                super().__init__(predictor, clips, *rest)

        monkeypatch.setattr("reelbench.methods.training.prediction.PredictionTraining", Noted)
        both = ("--frames", "first", "--frames", "seer", "--steps", "2")
        done = invoke(options(ssv2, tmp_path, *both))
        assert done.exit_code == 0, done.output
        assert len(list((tmp_path / "latents").glob("*.safetensors"))) == 2
        (clips,) = seen
        assert len(clips) == 2 * NUM_CLIPS
        ids = [id for id, _ in clips.samples]
        assert ids[:NUM_CLIPS] == ids[NUM_CLIPS:]
        pairs = [(clips.latents(i), clips.latents(i + NUM_CLIPS)) for i in range(NUM_CLIPS)]
        # Clips have 16 to 24 frames: only those of 16 are the same in both.
        assert any(not first.equal(seer) for first, seer in pairs)

    def test_a_clip_may_be_left_out_of_one_reading_only(self, ssv2: Path, tmp_path: Path) -> None:
        both = ("--frames", "first", "--frames", "spread", "--stride", "9", "--steps", "1")
        done = invoke(options(ssv2, tmp_path, *both))
        assert done.exit_code == 0, done.output
        rows = [json.loads(row) for row in (tmp_path / "left-out.jsonl").read_text().splitlines()]
        assert [row["frames"] for row in rows] == ["first"] * NUM_CLIPS
        assert f"[left out] {NUM_CLIPS} of {NUM_CLIPS} clips" in done.output

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (("--frames", "seer", "--frames", "seer"), "--frames seer is given twice"),
            (("--frames", "seer", "--frames", "last"), "'last' is no choice of frames"),
            (("--frames", "seer", "--stride", "2"), "--stride 2 needs --frames first"),
            (("--frames", "seer", "--fps", "4"), "--fps 4 needs --frames first or spread"),
        ],
    )
    def test_choices_that_make_no_sense_are_refused(
        self, more: tuple[str, ...], message: str, ssv2: Path, tmp_path: Path
    ) -> None:
        told = invoke(options(ssv2, tmp_path, *more, "--steps", "1"))
        assert told.exit_code == 2
        assert message in told.output.replace("\n│ ", " ").replace(" │", "")
