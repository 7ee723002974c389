"""What both methods that are tuned on one clip promise, on a tiny real pipeline."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load

from reelbench.core.contracts import Method
from reelbench.core.errors import DatasetError, VideoError
from reelbench.core.registry import get
from reelbench.core.types import Conditioning, Sample, WeightsRef
from reelbench.methods.adapters.simda_edit import SimDAEdit
from reelbench.methods.one_shot.tune_a_video import TuneAVideo
from reelbench.tests.methods.tiny_edits import SOURCE, edit_session, reference

MakeSample = Callable[..., Sample]
METHODS: list[Any] = [TuneAVideo, SimDAEdit]


@pytest.fixture(params=METHODS, ids=lambda method: method.name, scope="module")
def method(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def artifact(method: Any, pipeline_folder: str) -> bytes:
    return edit_session(method, pipeline_folder).tune(reference(), SOURCE, 7)


def test_it_keeps_the_contract(
    method: Any, pipeline_folder: str, artifact: bytes, sample: MakeSample
) -> None:
    made: Method = method(method.Config(weights=pipeline_folder))
    assert get("methods", made.name) is method
    assert made.version == "1"
    assert made.conditioning is Conditioning.TEXT_AND_REFERENCE
    assert made.resources().num_gpus == 1.0
    assert made.weights() == (WeightsRef("pipeline", pipeline_folder),)
    frames = next(edit_session(method, pipeline_folder).generate([sample()], artifact, [0]))
    assert (frames.dtype, frames.shape) == (np.uint8, (3, 32, 32, 3))
    assert frames.std() > 1


@pytest.mark.parametrize("preset", ["released", "paper", "sprites"])
def test_what_a_run_file_gives_stands_over_the_preset(method: Any, preset: str) -> None:
    plain = method.Config(preset=preset)
    given = {"preset": preset, "num_frames": 9, "start": 1, "tuning": {"steps": 7}}
    changed = method.Config.model_validate(given)
    assert (changed.num_frames, changed.start, changed.tuning.steps) == (9, 1, 7)
    assert changed.tuning.learning_rate == plain.tuning.learning_rate
    kept = {name: value for name, value in plain.model_dump().items() if name not in given}
    assert {name: changed.model_dump()[name] for name in kept} == kept
    assert method.Config.model_validate(changed.model_dump()) == changed
    assert method.Config.model_validate(json.loads(changed.model_dump_json())) == changed


def test_it_says_how_many_frames_of_a_reference_it_reads(method: Any, pipeline_folder: str) -> None:
    def reads(**settings: Any) -> int | None:
        frames: int | None = method(method.Config(**settings)).reference_frames()
        return frames

    assert reads() == {SimDAEdit: 63, TuneAVideo: 47}[method]
    assert reads(frames="uniform") is None
    small = {"stride": 2, "start": 1}
    assert reads(num_frames=3, **small) == 6
    ready = edit_session(method, pipeline_folder, num_steps=1, tuning={"steps": 1}, **small)
    longer = reference(9)
    assert ready.tune(longer[:6], SOURCE, 0) == ready.tune(longer, SOURCE, 0)
    with pytest.raises(VideoError, match="need 6"):
        ready.tune(longer[:5], SOURCE, 0)


def test_a_tuning_is_keyed_without_guidance_and_edits(method: Any) -> None:
    def settings(**changed: Any) -> Any:
        return method(method.Config(**changed)).tuning_config()

    assert settings(guidance_scale=3.0, negative_prompt="blue", begin_with="noise") == settings()
    assert settings(preset="released", weights="elsewhere") == settings()
    for changed in ({"num_steps": 20}, {"tuning": {"steps": 3}}, {"num_frames": 8}, {"preset": "paper"}):
        assert settings(**changed) != settings()


def test_the_same_seed_gives_the_same_bytes(method: Any, pipeline_folder: str, artifact: bytes) -> None:
    ready = edit_session(method, pipeline_folder)
    torch.manual_seed(1)
    assert ready.tune(reference(), SOURCE, 7) == artifact
    assert ready.tune(reference(), SOURCE, 8) != artifact
    assert ready.tune(reference(seed=1), SOURCE, 7) != artifact
    assert ready.tune(reference(), "a cat", 7) != artifact


def test_so_it_does_when_it_was_stopped_in_the_middle(
    method: Any, pipeline_folder: str, artifact: bytes, tmp_path: Path
) -> None:
    class Stopped(Exception):
        pass

    def stop(at: Any) -> None:
        raise Stopped

    checkpoint = tmp_path / "checkpoint.pt"

    def resumed() -> list[int]:
        steps: list[int] = []
        done = edit_session(method, pipeline_folder).tune(
            reference(), SOURCE, 7, checkpoint=checkpoint, progress=lambda at: steps.append(at.step)
        )
        assert done == artifact
        return steps

    short = edit_session(method, pipeline_folder, tuning={"steps": 1})
    short.tune(reference(), SOURCE, 7, checkpoint=checkpoint)
    after_one = checkpoint.read_bytes()
    with pytest.raises(Stopped):
        edit_session(method, pipeline_folder).tune(
            reference(), SOURCE, 7, checkpoint=checkpoint, progress=stop
        )
    assert resumed() in ([], [2])
    checkpoint.write_bytes(after_one)
    assert resumed() == [2]


@pytest.mark.parametrize("missing", ["clip", "prompt"])
def test_a_reference_and_its_prompt_are_needed(method: Any, pipeline_folder: str, missing: str) -> None:
    clip, prompt = None if missing == "clip" else reference(), None if missing == "prompt" else SOURCE
    with pytest.raises(DatasetError, match=rf"{method.name} needs .* the {missing} is missing"):
        edit_session(method, pipeline_folder).tune(clip, prompt, 0)


def test_the_artifact_holds_what_may_train_and_the_inverted_latents_only(
    method: Any, pipeline_folder: str, artifact: bytes
) -> None:
    """Also what did not learn by `trains: released`: its initial values depend on the seed of the tuning."""
    ready, tensors = edit_session(method, pipeline_folder, trains="all"), load(artifact)
    assert tensors.pop("inverted_latents").shape == (3, 4, 8, 8)
    assert sum(tensor.numel() for tensor in tensors.values()) == ready.trainable_parameters
    assert ready.describe()["trainable_parameters"] == ready.trainable_parameters
    unet = sum(parameter.numel() for parameter in ready.pipeline.unet.parameters())
    assert ready.trainable_parameters < unet / 2


def test_many_edits_share_one_tuning_and_a_clip_depends_on_its_prompt_alone(
    method: Any, pipeline_folder: str, artifact: bytes, sample: MakeSample
) -> None:
    ready = edit_session(method, pipeline_folder)
    one, two = sample("a blue circle"), sample("a star on sand")
    forward = list(ready.generate([one, two], artifact, [0, 0]))
    backward = list(ready.generate([two, one], artifact, [5, 6]))
    assert np.array_equal(forward[0], backward[1])
    assert np.array_equal(forward[1], backward[0])
    assert not np.array_equal(forward[0], forward[1])
    for changed in ({"guidance_scale": 3.0}, {"guidance_scale": 1.0}, {"begin_with": "noise"}):
        other = next(edit_session(method, pipeline_folder, **changed).generate([one], artifact, [0]))
        assert not np.array_equal(other, forward[0])


def test_it_runs_in_bfloat16_at_another_size_and_stores_what_it_samples_with(
    method: Any, pipeline_folder: str, sample: MakeSample
) -> None:
    ready = edit_session(method, pipeline_folder, dtype="bfloat16", height=16, width=48)
    made = ready.tune(reference(), SOURCE, 0)
    assert next(ready.generate([sample()], made, [0])).shape == (3, 16, 48, 3)
    dtypes = {name: tensor.dtype for name, tensor in load(made).items()}
    assert dtypes.pop("inverted_latents") == torch.float32
    assert set(dtypes.values()) == {torch.bfloat16}
