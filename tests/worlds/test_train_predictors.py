"""FCA and its LoRA baseline on Sprites: the whole way at a few clips and steps, and how clips are judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from reelbench.core.types import Sample
from reelbench.methods.prediction.fca import FCA
from reelbench.methods.prediction.lora import CogVideoXLora
from reelbench.worlds.sprites.commands import WEIGHTS, app
from reelbench.worlds.sprites.motion_quality import JUDGED_MOTIONS
from reelbench.worlds.sprites.prediction_quality import held_out_clips, prediction_quality
from reelbench.worlds.sprites.scene import split_of
from reelbench.worlds.sprites.train_predictors import TRAINING, PredictorTraining, train_predictor

from ..methods.tiny_cogvideox import cogvideox_folder
from .combinations import combination

pytestmark = pytest.mark.usefixtures("one_thread")


def test_held_out_clips_are_of_the_validation_split_and_floors_tell_some() -> None:
    clips = held_out_clips(6)
    assert len(clips) == 6
    for one in clips:
        assert split_of(*combination(one.scene)) == "validate"
        assert one.scene.motion in JUDGED_MOTIONS
        assert one.frames_THW3.shape == (16, 64, 64, 3)
        assert np.array_equal(one.given_THW3, one.frames_THW3[:2])
        if one.scene.motion == "stays still":
            assert one.is_told, "repeating the last frame shows it"
        if one.scene.motion == "bounces":
            assert not one.is_told, "going straight on does not bounce"
    assert {one.is_told for one in clips} == {True, False}


def test_a_floor_is_judged_by_what_it_shows() -> None:
    still = sum(one.scene.motion == "stays still" for one in held_out_clips(6))
    measured = prediction_quality("repeat-last-frame", num=6)
    assert measured.value == pytest.approx(still / 6, abs=1e-4)
    assert measured.settings["untold_motion"] == 0
    assert measured.settings["psnr"] == measured.settings["psnr_of_repeating"]
    assert measured.settings["moving_psnr"] == measured.settings["moving_psnr_of_repeating"]
    assert measured.settings["moving_psnr"] < measured.settings["psnr"], "still clips are repeated rightly"
    assert not measured.reached


@pytest.mark.parametrize(("name", "method"), [("fca", FCA), ("lora", CogVideoXLora)])
def test_a_tiny_training_writes_parameters_that_the_method_takes(
    name: str, method: Any, tmp_path: Path
) -> None:
    structure = {"fca": {"queries": 1, "text_heads": 2}, "lora": {"rank": 2, "alpha": 2}}[name]
    sizes = PredictorTraining(
        num_clips=2,
        training=TRAINING.model_copy(update={"batch_size": 2}),
        structure=structure,
        preview_every_steps=2,
        num_previews=1,
    )
    base = Path(cogvideox_folder())
    file = train_predictor(name, tmp_path / "work", 0, 2, base, tmp_path / "out", sizes)
    assert list((tmp_path / "work").glob(f"{name}-*/previews/*/*.mp4")), "a folder for each structure"

    made = method(method.Config(base=str(base), trained=str(tmp_path / "out"), num_steps=1))
    assert made.structure().items() >= structure.items()
    context = held_out_clips(1)[0].given_THW3
    sample = Sample("a", "a red circle growing", "a", num_context_frames=2, context=context)
    (clip,) = made.load("cpu").generate([sample], None, [0])
    assert clip.shape == (16, 32, 32, 3)

    before = file.read_bytes()
    assert train_predictor(name, tmp_path / "work", 0, 2, base, tmp_path / "out", sizes) == file
    assert file.read_bytes() == before, "a finished training is not done again"


def test_another_structure_is_for_the_predictors_alone_and_must_be_known() -> None:
    runner = CliRunner()
    got = runner.invoke(app, ["train", "clip", "--structure", "{}"])
    assert got.exit_code == 2
    assert "--structure is for fca and lora, not clip" in " ".join(got.output.split())
    got = runner.invoke(app, ["train", "fca", "--structure", "[text]"])
    assert got.exit_code == 2
    assert "must be a mapping" in " ".join(got.output.split())


def test_an_unknown_setting_is_refused_before_clips_are_written(tmp_path: Path) -> None:
    where = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    got = CliRunner().invoke(app, ["train", "fca", "--structure", "{txt: shared}", *where])
    assert got.exit_code == 2
    assert "txt" in got.output
    assert not (tmp_path / "work").exists()


@pytest.mark.skipif(not (WEIGHTS / "fca").is_dir(), reason="no predictor has been committed")
@pytest.mark.parametrize(("name", "method"), [("fca", "fca"), ("lora", "cogvideox-lora")])
def test_the_committed_predictors_are_small_and_go_on_from_the_given_frames(name: str, method: str) -> None:
    """A small sample; the full figure is in quality.json."""
    assert sum(file.stat().st_size for file in (WEIGHTS / name).rglob("*")) < 6 * 2**20
    measured = prediction_quality(method, num=4, config={"num_steps": 5})
    assert measured.settings["frames_drawn_as_prompted"] > 0.3
    assert measured.settings["psnr"] > 12
