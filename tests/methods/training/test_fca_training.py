"""Training of FCA and of its LoRA baseline: the same loop, resumed bit for bit, and its command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from reelbench.cli.train_prediction import prediction
from reelbench.core.errors import DatasetError, RunFileError, WeightsError
from reelbench.core.types import ClipRef, Frames, Sample
from reelbench.datasets.clip_reader import ClipReader
from reelbench.datasets.video import write_preview
from reelbench.methods.cogvideox.pipeline import CogVideoX, load_cogvideox
from reelbench.methods.prediction.config import FcaConfig, LoraSettings
from reelbench.methods.prediction.fca_predictor import FcaPredictor
from reelbench.methods.prediction.lora_predictor import LoraPredictor
from reelbench.methods.prediction.predictor import Predictor
from reelbench.methods.training.prediction import PredictionPreview, PredictionTraining
from reelbench.methods.training.prediction_clips import PredictionClips, PredictionEncoder
from reelbench.methods.training.schedule import TrainingConfig
from reelbench.tests.methods.tiny_cogvideox import cogvideox_folder

FCA = FcaConfig(queries=2, text_heads=2)
LORA = LoraSettings(rank=2, alpha=2)


def loaded(variant: str = "2b", **settings: Any) -> CogVideoX:
    return load_cogvideox(cogvideox_folder(variant), device="cpu", **settings)


def make(kind: str, variant: str = "2b", **settings: Any) -> Predictor:
    pipeline = loaded(variant, **settings)
    return FcaPredictor(pipeline, FCA) if kind == "fca" else LoraPredictor(pipeline, LORA)


def moving(number: int, num_frames: int = 16) -> Frames:
    """A bright square that moves right (even numbers) or down."""
    clip = np.full((num_frames, 32, 32, 3), 40, np.uint8)
    for t in range(num_frames):
        place = 2 + t
        y, x = (8, place) if number % 2 == 0 else (place, 8)
        clip[t, y : y + 8, x : x + 8] = (250, 200, 40 + 30 * (number % 5))
    return clip


def read_moving(sample: Sample, num_frames: int) -> Frames:
    return moving(int(sample.id), num_frames)


def samples(count: int = 6) -> list[Sample]:
    prompts = ("moves right", "moves down")
    return [
        Sample(id=str(n), prompt=prompts[n % 2], source=str(n), num_context_frames=2) for n in range(count)
    ]


@pytest.fixture(autouse=True)
def no_training_left_behind() -> Iterator[None]:
    """accelerate's state belongs to the process, and a failed test must not fail the next one."""
    from accelerate.state import AcceleratorState

    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PredictionClips:
    folder = tmp_path_factory.mktemp("clips")
    return PredictionClips(PredictionEncoder(loaded()).encode(samples(), read_moving, folder))


def config(steps: int = 4, **settings: Any) -> TrainingConfig:
    defaults = {"batch_size": 2, "learning_rate": 3e-3, "warmup_steps": 1, "prompt_dropout": 0.3}
    return TrainingConfig(steps=steps, **(defaults | settings))


def train(predictor: Predictor, clips: PredictionClips, work: Path, **settings: Any) -> PredictionTraining:
    training = PredictionTraining(predictor, clips, config(**settings), work)
    training.run(log_every=2)
    training.close()
    return training


class TestClips:
    def test_latents_context_and_prompts_come_back(self, clips: PredictionClips) -> None:
        pipeline = loaded()
        assert len(clips) == 6
        assert clips.samples[1] == ("1", "moves down")
        assert clips.latents(3).shape == (4, 4, 8, 8)
        expected = torch.cat([pipeline.encode(moving(3)[i : i + 1]) for i in (0, 1)])
        assert torch.allclose(clips.context(3).float(), expected, atol=2e-2)
        assert not torch.allclose(clips.context(3).float(), clips.context(2).float(), atol=2e-2)
        for index, prompt in ((1, "moves down"), (4, "moves right"), (None, "")):
            text = pipeline.encode_prompt(prompt).embedding_LD
            assert torch.allclose(clips.text(index).float(), text, atol=2e-2)

    def test_parts_that_are_there_are_kept_and_others_made_again(self, tmp_path: Path) -> None:
        pipeline = loaded()
        (first,) = PredictionEncoder(pipeline).encode(samples(), read_moving, tmp_path)
        stamp = first.stat().st_mtime_ns
        same = PredictionEncoder(pipeline).encode(samples(), read_moving, tmp_path)
        assert same == [first]
        assert first.stat().st_mtime_ns == stamp
        for other in (
            PredictionEncoder(pipeline, context="repeat"),
            PredictionEncoder(pipeline, num_context_frames=1),
        ):
            (made,) = other.encode(samples(), read_moving, tmp_path)
            assert made != first
            assert PredictionClips([made]).context(0).shape[0] == 1

    def test_a_clip_that_cannot_be_read_is_left_out_and_named(self, tmp_path: Path) -> None:
        lost = Sample(id="lost", prompt="x", source="x", reference=ClipRef(tmp_path / "no.webm"))
        none = Sample(id="none", prompt="x", source="x")
        reader = ClipReader()

        def read(sample: Sample, num_frames: int) -> Frames:
            return reader(sample, num_frames) if sample.id in ("lost", "none") else moving(0, num_frames)

        parts = PredictionEncoder(loaded()).encode([*samples(1), lost, none], read, tmp_path)
        found = PredictionClips(parts)
        assert [id for id, _ in found.samples] == ["0"]
        assert [id for id, _ in found.left_out] == ["lost", "none"]
        parts = PredictionEncoder(loaded()).encode([lost], reader, tmp_path)
        with pytest.raises(DatasetError, match="none of the 1 clips"):
            PredictionClips(parts)

    def test_frames_are_the_first_ones_spread_or_blended(self, tmp_path: Path) -> None:
        from reelbench.datasets.video import write_lossless

        clip = np.stack([np.full((16, 16, 3), 10 * t, np.uint8) for t in range(20)])
        write_lossless(tmp_path / "clip.mkv", clip, 10.0)
        sample = Sample(id="s", prompt="", source="s", reference=ClipRef(tmp_path / "clip.mkv"))
        values = {
            reader: reader(sample, 4)[:, 0, 0, 0].tolist()
            for reader in (
                ClipReader(),
                ClipReader(stride=3),
                ClipReader(fps=5.0),
                ClipReader("spread"),
                ClipReader("seer"),
            )
        }
        assert list(values.values()) == [
            [0, 10, 20, 30],
            [0, 30, 60, 90],
            [0, 20, 40, 60],
            [0, 60, 130, 190],
            [20, 70, 120, 170],
        ]
        assert len({str(reader) for reader in values}) == 5


@pytest.mark.parametrize("kind", ["fca", "lora"])
class TestTraining:
    def test_it_learns_and_the_base_stays(self, kind: str, clips: PredictionClips, tmp_path: Path) -> None:
        pipeline = loaded()
        predictor: Predictor = (
            FcaPredictor(pipeline, FCA)
            if kind == "fca"
            else LoraPredictor(pipeline, LORA.model_copy(update={"rank": 16, "alpha": 16}))
        )
        base = {n: v.clone() for n, v in predictor.pipeline.transformer.state_dict().items()}
        train(predictor, clips, tmp_path, steps=60, batch_size=4, learning_rate=5e-3, prompt_dropout=0.0)
        log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
        losses = [line["loss"] for line in log]
        # A LoRA on a base of random weights cannot do much.
        assert np.mean(losses[-5:]) < (0.8 if kind == "fca" else 0.93) * np.mean(losses[:3])
        after = predictor.pipeline.transformer.state_dict()
        assert all(torch.equal(base[name], after[name]) for name in base if "lora_" not in name)

    @pytest.mark.parametrize("optimizer", ["adamw", "muon"])
    def test_killed_and_started_again_it_ends_at_the_same_bits(
        self, kind: str, optimizer: str, clips: PredictionClips, tmp_path: Path
    ) -> None:
        whole, first = make(kind), make(kind)
        train(whole, clips, tmp_path / "whole", steps=5, optimizer=optimizer)
        stopped = PredictionTraining(first, clips, config(5, optimizer=optimizer), tmp_path / "parts")
        for _ in range(2):
            stopped._update()
            stopped.progress.step += 1
        stopped.save()
        stopped._update()  # lost with the process
        stopped.close()
        second = make(kind)
        again = train(second, clips, tmp_path / "parts", steps=5, optimizer=optimizer)
        assert again.step == 5
        for name, value in whole.trained().items():
            assert torch.equal(value, second.trained()[name])
        file = whole.file.file_name
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "parts" / file).read_bytes()

    def test_a_work_folder_of_other_settings_is_refused(
        self, kind: str, clips: PredictionClips, tmp_path: Path
    ) -> None:
        train(make(kind), clips, tmp_path, steps=2)
        with pytest.raises(RunFileError, match="other settings"):
            PredictionTraining(make(kind), clips, config(2, learning_rate=1.0), tmp_path)
        with pytest.raises(RunFileError, match="more steps"):
            PredictionTraining(make(kind), clips, config(1), tmp_path)

    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_checkpointing_and_precision_are_settings(
        self, kind: str, precision: str, clips: PredictionClips, tmp_path: Path
    ) -> None:
        kept = []
        for checkpointing in (False, True):
            predictor = make(kind)
            before = predictor.values()
            work = tmp_path / str(checkpointing)
            train(predictor, clips, work, steps=2, precision=precision, gradient_checkpointing=checkpointing)
            kept.append(predictor.values())
            assert all(value.dtype == torch.float32 for value in kept[-1].values())
            assert any(not torch.equal(before[name], value) for name, value in kept[-1].items())
        if precision == "float32":
            assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])

    def test_previews_and_numbers_reach_the_listener(
        self, kind: str, clips: PredictionClips, tmp_path: Path
    ) -> None:
        heard: list[Any] = []

        class Ear:
            def logged(self, step: int, values: Mapping[str, float]) -> None:
                heard.append((step, sorted(values)))

            def shown(self, step: int, folder: Path) -> None:
                heard.append((step, sorted(path.name for path in folder.iterdir())))

        preview = PredictionPreview(
            given=(("moves right", moving(0)[:2]),), every_steps=2, write=write_preview, num_steps=2
        )
        training = PredictionTraining(make(kind), clips, config(2), tmp_path, preview, Ear())
        training.run(log_every=2)
        (clip,) = training.sample(preview)
        training.close()
        assert heard == [(2, ["loss", "rate", "seconds"]), (2, ["00.mp4"])]
        assert clip.shape == (16, 32, 32, 3)
        assert np.array_equal(clip[:2], moving(0)[:2])

    def test_a_bfloat16_base_is_trained_in_mixed_precision(
        self, kind: str, clips: PredictionClips, tmp_path: Path
    ) -> None:
        predictor = make(kind, dtype="bfloat16")
        train(predictor, clips, tmp_path, steps=2, precision="bfloat16")
        assert all(value.dtype == torch.float32 for value in predictor.trained().values())
        assert all(torch.isfinite(value).all() for value in predictor.trained().values())

    def test_patches_over_time_get_their_padding(self, kind: str, tmp_path: Path) -> None:
        pipeline = loaded("1.5")
        predictor: Predictor = (
            FcaPredictor(pipeline, FCA.model_copy(update={"num_frames": 9}))
            if kind == "fca"
            else LoraPredictor(pipeline, LORA.model_copy(update={"num_frames": 9}))
        )
        encoder = PredictionEncoder(pipeline, num_frames=9, num_context_frames=1)
        odd = PredictionClips(encoder.encode(samples(2), read_moving, tmp_path))
        assert odd.latents(0).shape[0] == 3
        train(predictor, odd, tmp_path / "work", steps=2)

    def test_clips_of_another_length_are_refused(self, kind: str, tmp_path: Path) -> None:
        pipeline = loaded()
        encoder = PredictionEncoder(pipeline, num_frames=8)
        short = PredictionClips(encoder.encode(samples(2), read_moving, tmp_path))
        with pytest.raises(RunFileError, match=r"latents \[2, 4, 8, 8\], the predictor makes \[4, 4, 8, 8\]"):
            PredictionTraining(make(kind), short, config(), tmp_path)


class TestFiles:
    def test_a_file_says_what_it_is(self, clips: PredictionClips, tmp_path: Path) -> None:
        shared = FCA.model_copy(update={"text": "shared", "initial_frames": "patches"})
        predictor = FcaPredictor(loaded(), shared, seed=3)
        training = train(predictor, clips, tmp_path, steps=2)
        again = FcaPredictor.from_file(tmp_path, loaded())
        assert again.settings == shared
        for name, value in again.trained().items():
            assert torch.equal(value, training.average[name].half().float())

    def test_a_file_of_another_kind_or_base_is_refused(self, clips: PredictionClips, tmp_path: Path) -> None:
        train(make("lora"), clips, tmp_path / "lora", steps=1)
        train(make("fca"), clips, tmp_path / "fca", steps=1)
        assert LoraPredictor.from_file(tmp_path / "lora", loaded()).settings == LORA
        with pytest.raises(WeightsError, match="no trained parameters at"):
            FcaPredictor.from_file(tmp_path / "lora", loaded())
        with pytest.raises(WeightsError, match="its format is 'reelbench-cogvideox-lora-1'"):
            FcaPredictor.from_file(tmp_path / "lora" / "lora.safetensors", loaded())
        with pytest.raises(WeightsError, match="do not fit this base"):
            FcaPredictor.from_file(tmp_path / "fca", _deeper())
        (tmp_path / "fca" / "fca.safetensors").write_bytes(b"12345678{}")
        with pytest.raises(WeightsError, match="cannot be read"):
            FcaPredictor.from_file(tmp_path / "fca", loaded())


def _deeper() -> CogVideoX:
    """A base of three layers instead of two."""
    import copy
    import dataclasses

    pipeline = loaded()
    transformer = copy.deepcopy(pipeline.transformer)
    transformer.transformer_blocks.append(copy.deepcopy(transformer.transformer_blocks[0]))
    return dataclasses.replace(pipeline, transformer=transformer)


@pytest.fixture(scope="module")
def ssv2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from reelbench.worlds.sprites.write import write_world

    counts = {"train": 3, "validate": 1, "test": 1}
    return write_world(tmp_path_factory.mktemp("world"), ("ssv2",), counts, show_progress=False)["ssv2"]


class TestCommand:
    COMMAND = typer.Typer()
    COMMAND.command()(prediction)

    def options(self, root: Path, work: Path, *more: str) -> list[str]:
        data = ["--dataset", "ssv2", "--settings", f"{{root: {root}, split: train}}"]
        tiny = ["--batch-size", "2", "--precision", "float32", "--preview-every", "2", "--num-previews", "1"]
        return [*data, "--base", cogvideox_folder(), "--work", str(work), *tiny, *more]

    @pytest.mark.parametrize("method", ["fca", "lora"])
    def test_from_a_folder_to_trained_parameters_and_on_from_there(
        self, method: str, ssv2: Path, tmp_path: Path
    ) -> None:
        structure = "{queries: 2, text_heads: 2}" if method == "fca" else "{rank: 2}"
        more = ("--method", method, "--structure", structure)
        done = CliRunner().invoke(self.COMMAND, self.options(ssv2, tmp_path, *more, "--steps", "2"))
        assert done.exit_code == 0, done.output
        assert str(tmp_path / f"{method}.safetensors") in done.output
        assert (tmp_path / "previews" / "step-000002" / "00.mp4").is_file()
        again = CliRunner().invoke(self.COMMAND, self.options(ssv2, tmp_path, *more, "--steps", "3"))
        assert again.exit_code == 0, again.output
        steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
        assert steps == [2, 3]

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (("--method", "gan"), "'gan' is no method that trains here"),
            (("--structure", "[1]"), "must be a mapping"),
            (("--structure", "{text: off}"), "text"),
            (("--frames", "last"), "'last' is no choice of frames"),
            (("--base", "nowhere"), "no weights for 'nowhere'"),
        ],
    )
    def test_faults_are_told(self, more: tuple[str, str], message: str, ssv2: Path, tmp_path: Path) -> None:
        told = CliRunner().invoke(self.COMMAND, self.options(ssv2, tmp_path, *more, "--steps", "1"))
        assert told.exit_code == 2
        assert message in told.output.replace("\n│ ", " ").replace(" │", "")


@pytest.mark.e2e
def test_two_processes_train_what_one_does(ssv2: Path, tmp_path: Path) -> None:
    """The batches do not depend on the number of processes; what is left is the order of sums."""
    options = TestCommand().options(ssv2, tmp_path / "one", "--structure", "{queries: 2, text_heads: 2}")
    options += ["--steps", "2"]
    done = CliRunner().invoke(TestCommand.COMMAND, options)
    assert done.exit_code == 0, done.output
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    options[options.index("--work") + 1] = str(tmp_path / "two")
    two = subprocess.run(
        [*launch, "-m", "reelbench.cli.main", "train", "prediction", *options],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "1"},
        timeout=240,
    )
    assert two.returncode == 0, two.stderr[-3000:]
    saved = [
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["optimizer"]["state"]
        for name in ("one", "two")
    ]
    moments = [torch.cat([state["exp_avg"].flatten() for state in one.values()]) for one in saved]
    assert moments[0].abs().max() > 1e-3
    torch.testing.assert_close(*moments, atol=1e-6, rtol=1e-3)
