"""Tune-A-Video on a tiny real pipeline: the contract, the artifact, presets, inversion and edits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest
import torch
from safetensors.torch import load

from reelbench.core.errors import ClipRefusedError, RunFileError, VideoError, WeightsError
from reelbench.core.types import Sample
from reelbench.methods.noise import draw
from reelbench.methods.one_shot.tune_a_video import TuneAVideo, TuneAVideoSession
from reelbench.methods.one_shot.tuning import encode_reference
from reelbench.tests.methods.tiny_edits import SOURCE, edit_session, reference
from reelbench.worlds.sprites.render import render
from reelbench.worlds.sprites.scene import scene_of

MakeSample = Callable[..., Sample]


def session(folder: str, **settings: Any) -> Any:
    tuning = {"learning_rate": 1e-3} | settings.pop("tuning", {})
    return edit_session(TuneAVideo, folder, tuning=tuning, **settings)


@pytest.fixture(scope="module")
def artifact(pipeline_folder: str) -> bytes:
    return session(pipeline_folder).tune(reference(), SOURCE, 7)


def test_the_released_configuration() -> None:
    for config in (TuneAVideo.Config(), TuneAVideo.Config(preset="released")):
        assert (config.num_frames, config.frames, config.stride, config.start) == (24, "stride", 2, 0)
        tuning = config.tuning
        assert (tuning.steps, tuning.learning_rate, tuning.weight_decay) == (500, 3e-5, 1e-2)
        assert (tuning.betas, tuning.epsilon, tuning.max_gradient_norm) == ((0.9, 0.999), 1e-8, 1.0)
        assert tuning.gradient_checkpointing
        assert (config.num_steps, config.guidance_scale, config.negative_prompt) == (50, 12.5, "")
        assert config.inflation.trains == ("attn1.to_q", "attn2.to_q", "attn_temp")
        assert config.inflation.group_norm == "clip"


def test_the_papers_configuration() -> None:
    config = TuneAVideo.Config(preset="paper")
    assert (config.num_frames, config.frames) == (32, "uniform")
    assert (config.tuning.steps, config.tuning.learning_rate) == (500, 3e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"preset": "papers"},
        {"preset": ["paper"]},
        {"num_frames": 0},
        {"stride": 0},
        {"frames": "random"},
        {"guidance_scale": 0.5},
        {"tuning": {"steps": 0}},
        {"tuning": {"learning_rate": 0}},
        {"tuning": {"step": 3}},
        {"inflation": {"trains": []}},
        {"inflation": {"keys": "all"}},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        TuneAVideo.Config(**wrong)


def test_what_is_trained_are_the_queries_and_temporal_attention(artifact: bytes) -> None:
    ends = ("attn1.to_q.weight", "attn2.to_q.weight")
    names = load(artifact).keys() - {"inverted_latents"}
    assert all(name.endswith(ends) or ".attn_temp." in name for name in names)


def test_the_seed_matters_only_where_sampling_begins_with_noise(
    pipeline_folder: str, artifact: bytes, sample: MakeSample
) -> None:
    inverted = list(session(pipeline_folder).generate([sample()] * 2, artifact, [0, 1]))
    assert np.array_equal(inverted[0], inverted[1])
    ready = session(pipeline_folder, begin_with="noise")
    noise = list(ready.generate([sample()] * 3, artifact, [0, 1, 0]))
    assert not np.array_equal(noise[0], noise[1])
    assert np.array_equal(noise[0], noise[2])


@pytest.mark.parametrize(("weights", "num_steps"), [("sprites/t2i", (4, 20)), ("v_prediction", (5, 40))])
def test_the_empty_prompt_without_guidance_leads_back_to_the_reference(
    make_pipeline: Callable[..., Path], sample: MakeSample, weights: str, num_steps: tuple[int, int]
) -> None:
    """Inverted and sampled by the tuned network: more steps, closer; within a few of the 255 levels."""
    folder = weights if weights == "sprites/t2i" else str(make_pipeline(weights))
    errors = []
    for steps in num_steps:
        ready = session(folder, num_frames=2, num_steps=steps, guidance_scale=1.0, tuning={"steps": 1})
        size = ready.pipeline.height
        clip = render(scene_of("red", "star", "sand", "moves left"), 2, size)
        made = next(ready.generate([sample("")], ready.tune(clip, SOURCE, 0), [0])).astype(int)
        posterior = encode_reference(ready.pipeline, clip)
        latents = posterior.sample(draw(tuple(posterior.mean_TCHW.shape), 0, "inversion posterior"))
        with torch.no_grad():
            decoded = ready.pipeline.decode(latents).astype(int)
        errors.append(np.abs(made - decoded).mean())
    assert errors[1] < errors[0] / 2
    assert errors[1] < 10


def test_the_inverted_latents_are_those_of_the_tuned_network(pipeline_folder: str, artifact: bytes) -> None:
    """Not of the image model, which gives others."""
    ready = session(pipeline_folder)
    latents = encode_reference(ready.pipeline, reference()).sample(
        draw((3, 4, 8, 8), 7, "inversion posterior")
    )
    with torch.inference_mode():
        untuned = ready.unguided().invert(latents)
    assert (load(artifact)["inverted_latents"] - untuned).abs().max() > 1e-2


def test_tuning_matters_to_the_clip(pipeline_folder: str, sample: MakeSample) -> None:
    clips = []
    for steps in (1, 12):
        ready = session(pipeline_folder, tuning={"steps": steps, "learning_rate": 1e-2})
        made = ready.tune(reference(), SOURCE, 0)
        clips.append(next(ready.generate([sample()], made, [0])).astype(int))
    assert np.abs(clips[0] - clips[1]).mean() > 1


def test_frames_are_chosen_from_a_longer_reference(pipeline_folder: str, artifact: bytes) -> None:
    longer = np.repeat(reference(), 2, axis=0)  # frames 0, 0, 1, 1, 2, 2
    made = session(pipeline_folder, stride=2).tune(longer, SOURCE, 7)
    expected = load(artifact)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in load(made).items())
    with pytest.raises(VideoError, match="5 frames; 3 frames at stride 3 from frame 0 on need 7"):
        session(pipeline_folder, stride=3).tune(longer[:5], SOURCE, 7)


def test_an_artifact_of_other_settings_is_refused(
    pipeline_folder: str, artifact: bytes, sample: MakeSample
) -> None:
    with pytest.raises(WeightsError, match="other settings"):
        session(pipeline_folder, num_steps=4).generate([sample()], artifact, [0])


def test_an_artifact_of_another_architecture_is_refused(artifact: bytes, sample: MakeSample) -> None:
    """The embedded pipeline has other blocks and other latents."""
    with pytest.raises(WeightsError, match="tuned on another pipeline"):
        session("sprites/t2i").generate([sample()], artifact, [0])
    with pytest.raises(WeightsError, match="does not fit this UNet: it lacks"):
        session("sprites/t2i", height=32, width=32).generate([sample()], _resettled(artifact), [0])


def _resettled(artifact: bytes) -> bytes:
    """The artifact as though it was tuned with the settings of the test above."""
    from safetensors.torch import save

    from reelbench.core.hashing import canonical_json, digest

    tuning = {"steps": 2, "learning_rate": 1e-3, "gradient_checkpointing": False}
    config = TuneAVideo.Config(num_frames=3, stride=1, num_steps=3, tuning=tuning, height=32, width=32)
    facts = {"format": TuneAVideoSession.format, "settings": digest(config.tuning_settings())}
    return save(load(artifact), {"reelbench": canonical_json(facts)})


@pytest.mark.parametrize("wrong", [b"", b"nonsense", b"\x02\0\0\0\0\0\0\0{}"], ids=["empty", "text", "bare"])
def test_what_is_no_artifact_is_refused(pipeline_folder: str, sample: MakeSample, wrong: bytes) -> None:
    with pytest.raises(WeightsError, match="not a safetensors file of tune-a-video"):
        session(pipeline_folder).generate([sample()], wrong, [0])


def test_generating_without_a_tuning_is_refused(pipeline_folder: str, sample: MakeSample) -> None:
    with pytest.raises(ValueError, match="none was given"):
        session(pipeline_folder).generate([sample()], None, [0])
    with pytest.raises(ValueError, match="2 samples but 1 seeds"):
        session(pipeline_folder).generate([sample()] * 2, b"", [0])


def test_unknown_modules_to_train_are_refused_when_it_is_loaded(pipeline_folder: str) -> None:
    with pytest.raises(RunFileError, match="'attn9'"):
        session(pipeline_folder, inflation={"trains": ("attn9",)})


def test_a_clip_with_nan_is_refused_and_the_next_one_is_made(
    pipeline_folder: str, artifact: bytes, sample: MakeSample
) -> None:
    ready = session(pipeline_folder)
    expected = next(ready.generate([sample()], artifact, [0]))
    bias = ready.pipeline.unet.conv_out.bias
    kept = bias.clone()
    clips = ready.generate([sample()] * 2, artifact, [0, 0])
    bias.fill_(float("nan"))
    with pytest.raises(ClipRefusedError, match="NaN"):
        next(clips)
    bias.copy_(kept)
    assert np.array_equal(next(clips), expected)


def test_the_global_random_state_is_untouched(pipeline_folder: str, sample: MakeSample) -> None:
    state = torch.random.get_rng_state()
    ready = session(pipeline_folder)
    list(ready.generate([sample()], ready.tune(reference(), SOURCE, 0), [0]))
    assert torch.equal(torch.random.get_rng_state(), state)
