"""SimDA's editing on a tiny real pipeline: what is tuned, from what on, the artifact, and edits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest
import torch
from safetensors.torch import load

from reelbench.core.errors import WeightsError
from reelbench.core.types import Sample, WeightsRef
from reelbench.methods.adapters.adapters import AdapterConfig, Adapters, save_adapters
from reelbench.methods.adapters.simda_edit import SimDAEdit
from reelbench.methods.noise import draw
from reelbench.methods.one_shot.tune_a_video import TuneAVideo
from reelbench.methods.stable_diffusion.pipeline import load_pipeline
from reelbench.tests.methods.tiny_edits import SOURCE, edit_session, reference

MakeSample = Callable[..., Sample]
WORDS = ("red", "left")


def session(folder: str, **settings: Any) -> Any:
    return edit_session(SimDAEdit, folder, **settings)


@pytest.fixture(scope="module")
def artifact(pipeline_folder: str) -> bytes:
    return session(pipeline_folder).tune(reference(), SOURCE, 7)


@pytest.fixture(scope="module")
def trained_adapters(pipeline_folder: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Adapters that do something, with a layout prior, in place of hours of training."""
    config = AdapterConfig(layout_words=WORDS)
    adapters = Adapters(load_pipeline(pipeline_folder, device="cpu").unet, config)
    generator = torch.Generator().manual_seed(1)
    for name, tensor in adapters.state_dict().items():
        noise = torch.randn(tensor.shape, generator=generator)
        tensor.copy_(noise if name.startswith("layout.") else tensor + 0.05 * noise)
    return save_adapters(tmp_path_factory.mktemp("adapters"), adapters)


# -- settings ----------------------------------------------------------------------------------


def test_the_adapters_are_weights_too() -> None:
    with_adapters = SimDAEdit(SimDAEdit.Config(adapters="somewhere"))
    assert with_adapters.weights()[1] == WeightsRef("adapters", "somewhere")


def test_the_released_configuration() -> None:
    for config in (SimDAEdit.Config(), SimDAEdit.Config(preset="released")):
        assert (config.num_frames, config.frames, config.stride, config.start) == (24, "stride", 2, 16)
        assert (config.tuning.steps, config.tuning.learning_rate) == (300, 5e-5)
        assert config.tuning.gradient_checkpointing
        assert (config.num_steps, config.guidance_scale, config.negative_prompt) == (50, 12.5, "")
        assert (config.adapters, config.form) == (None, "released")


def test_the_papers_configuration_has_200_updates_and_the_papers_adapters() -> None:
    config = SimDAEdit.Config(preset="paper")
    assert (config.tuning.steps, config.tuning.learning_rate, config.form) == (200, 5e-5, "paper")


@pytest.mark.parametrize(
    "wrong", [{"preset": "mine"}, {"start": -1}, {"form": "mine"}, {"inflation": {}}, {"stride": 0}], ids=str
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        SimDAEdit.Config(**wrong)


def test_a_tuning_is_keyed_with_the_adapters_that_it_begins_with() -> None:
    def settings(**changed: Any) -> Any:
        return SimDAEdit(SimDAEdit.Config(**changed)).tuning_config()

    assert settings(adapters="here") == settings(adapters="there")
    for changed in ({"form": "paper"}, {"adapters": "here"}):
        assert settings(**changed) != settings()


# -- tuning ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["released", "paper"])
def test_before_any_step_it_makes_of_a_still_clip_what_the_image_model_makes_of_its_frame(
    pipeline_folder: str, form: Any
) -> None:
    ready = session(pipeline_folder, form=form)
    unet, text = ready.pipeline.unet, ready.pipeline.encode_prompt(SOURCE).embedding_LD[None]
    frame = draw((1, 4, 8, 8), 0, "frame")
    with torch.inference_mode():
        expected = unet(frame, 500, encoder_hidden_states=text).sample
        with ready.video_model(0).attached([SOURCE]):
            made = unet(frame.expand(3, -1, -1, -1), 500, encoder_hidden_states=text.expand(3, -1, -1)).sample
        torch.testing.assert_close(unet(frame, 500, encoder_hidden_states=text).sample, expected)
    torch.testing.assert_close(made, expected.expand(3, -1, -1, -1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_every_adapter_learns(pipeline_folder: str, checkpointing: bool) -> None:
    """Without weight decay what has no gradient stays as it is; the last layers are zero at first, so the
    layers before them learn from the second update on."""
    settings = {"steps": 3, "weight_decay": 0.0, "gradient_checkpointing": checkpointing}
    ready = session(pipeline_folder, trains="all", tuning=settings)
    before = ready.video_model(7).stored()
    after = load(ready.tune(reference(), SOURCE, 7))
    assert [name for name, tensor in before.items() if torch.equal(tensor, after[name])] == []


def test_it_begins_with_given_adapters_and_leaves_them_as_they_are(
    pipeline_folder: str, trained_adapters: Path
) -> None:
    given = {name: tensor.float() for name, tensor in load(trained_adapters.read_bytes()).items()}
    nothing = {"learning_rate": 1e-12}
    ready = session(pipeline_folder, adapters=str(trained_adapters), tuning=nothing)
    for _ in range(2):
        made = load(ready.tune(reference(), SOURCE, 0))
        made.pop("inverted_latents")
        assert made.keys() == given.keys()
        for name, tensor in made.items():
            torch.testing.assert_close(tensor, given[name], atol=1e-9, rtol=0)
    ready = session(pipeline_folder, adapters=str(trained_adapters), trains="all")
    changed = load(ready.tune(reference(), SOURCE, 0))
    moved = {name for name in given if not torch.equal(changed[name], given[name])}
    assert {name for name in given if name.split(".")[0] != "layout"} == moved


# -- the artifact and edits --------------------------------------------------------------------


def test_what_was_tuned_is_what_edits_are_made_with(
    pipeline_folder: str, artifact: bytes, sample: MakeSample
) -> None:
    """Against DDIM from the artifact's latents with its adapters, put together by hand."""
    ready = session(pipeline_folder)
    tuned = ready.read(artifact)
    adapters = Adapters(ready.pipeline.unet, AdapterConfig(latent_shift="released", group_norm="clip"))
    adapters.load_state_dict(tuned.model)
    prompt = "a blue circle"
    with torch.inference_mode(), adapters.attached(ready.pipeline.unet, 3, 8, 8):
        latents = ready.denoiser(prompt).denoise(tuned.inverted_TCHW, ready.schedule.timesteps)
        expected = ready.pipeline.decode(latents)
    assert np.array_equal(next(ready.generate([sample(prompt)], artifact, [0])), expected)


def test_a_layout_prior_reads_the_edited_prompt(
    pipeline_folder: str, trained_adapters: Path, sample: MakeSample
) -> None:
    """Two prompts that are one to the text encoder, which is given the same state for both."""
    ready = session(pipeline_folder, adapters=str(trained_adapters))
    made = ready.tune(reference(), SOURCE, 0)
    encode = ready.pipeline.encode_prompt
    object.__setattr__(ready.pipeline, "encode_prompt", lambda prompt: encode("the same"))
    known, other = ready.generate([sample("it goes left"), sample("it goes up")], made, [0, 0])
    assert not np.array_equal(known, other)


def test_what_is_no_artifact_of_these_settings_is_refused(
    pipeline_folder: str, artifact: bytes, trained_adapters: Path, sample: MakeSample
) -> None:
    ready = session(pipeline_folder)
    with pytest.raises(WeightsError, match="not a safetensors file of simda-edit"):
        ready.generate([sample()], b"nonsense", [0])
    with pytest.raises(WeightsError, match="'reelbench-simda-1', expected 'reelbench-simda-edit-1'"):
        ready.generate([sample()], trained_adapters.read_bytes(), [0])
    inflated = {"num_frames": 3, "stride": 1, "num_steps": 1, "tuning": {"steps": 1}}
    other = TuneAVideo(TuneAVideo.Config(weights=pipeline_folder, **inflated)).load("cpu")
    with pytest.raises(WeightsError, match="'reelbench-tune-a-video-1', expected 'reelbench-simda-edit-1'"):
        ready.generate([sample()], other.tune(reference(), SOURCE, 0), [0])
    for changed in ({"num_steps": 4}, {"form": "paper"}, {"adapters": str(trained_adapters)}):
        with pytest.raises(WeightsError, match="other settings"):
            session(pipeline_folder, **changed).generate([sample()], artifact, [0])
    with pytest.raises(WeightsError, match="tuned on another pipeline"):
        session("sprites/t2i").generate([sample()], artifact, [0])


def test_adapters_of_another_shape_are_refused(
    pipeline_folder: str, trained_adapters: Path, tmp_path: Path, sample: MakeSample
) -> None:
    made = session(pipeline_folder, adapters=str(trained_adapters)).tune(reference(), SOURCE, 0)
    wide = AdapterConfig(spatial_bottleneck=0.5, layout_words=WORDS)
    save_adapters(tmp_path, Adapters(load_pipeline(pipeline_folder, device="cpu").unet, wide))
    with pytest.raises(WeightsError, match=r"not fit this UNet: spatial\S+ is \[4\], not \[8\]"):
        session(pipeline_folder, adapters=str(tmp_path)).generate([sample()], made, [0])


def test_it_runs_in_bfloat16_at_another_size_and_stores_what_it_samples_with(
    pipeline_folder: str, trained_adapters: Path, sample: MakeSample
) -> None:
    ready = session(pipeline_folder, dtype="bfloat16", height=16, width=48, adapters=str(trained_adapters))
    made = ready.tune(reference(), SOURCE, 0)
    assert next(ready.generate([sample()], made, [0])).shape == (3, 16, 48, 3)
    dtypes = {name: tensor.dtype for name, tensor in load(made).items()}
    assert dtypes.pop("inverted_latents") == torch.float32
    assert set(dtypes.values()) == {torch.bfloat16}
