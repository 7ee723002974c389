"""SimDA's editing on a tiny real pipeline: what is tuned, from what on, the artifact, and edits."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest
import torch
from safetensors.torch import load

from reelbench.core.contracts import Method
from reelbench.core.errors import DatasetError, VideoError, WeightsError
from reelbench.core.registry import get
from reelbench.core.types import Conditioning, Sample, WeightsRef
from reelbench.methods.adapters.adapters import AdapterConfig, Adapters, save_adapters
from reelbench.methods.adapters.simda_edit import PRESETS, SimDAEdit, SimDAEditSession
from reelbench.methods.noise import draw
from reelbench.methods.one_shot.tune_a_video import TuneAVideo
from reelbench.methods.stable_diffusion.pipeline import load_pipeline

MakeSample = Callable[..., Sample]
SOURCE = "a red circle moves left"
WORDS = ("red", "left")


def session(folder: str, **settings: Any) -> SimDAEditSession:
    tuning = {"steps": 2, "learning_rate": 1e-2, "gradient_checkpointing": False}
    defaults: dict[str, Any] = {"weights": folder, "num_frames": 3, "stride": 1, "start": 0, "num_steps": 3}
    defaults["tuning"] = tuning | settings.pop("tuning", {})
    return SimDAEdit(SimDAEdit.Config(**(defaults | settings))).load("cpu")  # type: ignore[return-value]


def reference(num_frames: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num_frames, 32, 32, 3), dtype=np.uint8)


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


def test_it_keeps_the_contract(pipeline_folder: str, artifact: bytes, sample: MakeSample) -> None:
    made: Method = SimDAEdit(SimDAEdit.Config(weights=pipeline_folder))
    assert (made.name, made.version) == ("simda-edit", "1")
    assert made.conditioning is Conditioning.TEXT_AND_REFERENCE
    assert made.weights() == (WeightsRef("pipeline", pipeline_folder),)
    with_adapters = SimDAEdit(SimDAEdit.Config(adapters="somewhere"))
    assert with_adapters.weights()[1] == WeightsRef("adapters", "somewhere")
    assert get("methods", "simda-edit") is SimDAEdit
    frames = next(session(pipeline_folder).generate([sample()], artifact, [0]))
    assert (frames.dtype, frames.shape) == (np.uint8, (3, 32, 32, 3))
    assert frames.std() > 1


def test_constructing_it_imports_no_torch() -> None:
    code = (
        "import sys\n"
        "from reelbench.core.registry import get\n"
        "method = get('methods', 'simda-edit')\n"
        "made = method(method.Config(preset='paper'))\n"
        "made.resources(); made.weights(); made.tuning_config(); made.reference_frames()\n"
        "method.Config.model_json_schema()\n"
        "print(sorted({'torch', 'diffusers', 'transformers'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


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


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_what_a_run_file_gives_stands_over_the_preset(preset: Any) -> None:
    plain = SimDAEdit.Config(preset=preset)
    changed = SimDAEdit.Config.model_validate({"preset": preset, "start": 1, "tuning": {"steps": 7}})
    assert (changed.start, changed.tuning.steps) == (1, 7)
    assert changed.tuning.learning_rate == plain.tuning.learning_rate
    assert changed.num_frames == plain.num_frames
    assert SimDAEdit.Config.model_validate(json.loads(changed.model_dump_json())) == changed


@pytest.mark.parametrize(
    "wrong", [{"preset": "mine"}, {"start": -1}, {"form": "mine"}, {"inflation": {}}, {"stride": 0}], ids=str
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        SimDAEdit.Config(**wrong)


@pytest.mark.parametrize("method", [SimDAEdit, TuneAVideo])
def test_it_says_how_many_frames_of_a_reference_it_reads(pipeline_folder: str, method: Any) -> None:
    def reads(**settings: Any) -> int | None:
        frames: int | None = method(method.Config(**settings)).reference_frames()
        return frames

    assert reads() == {SimDAEdit: 63, TuneAVideo: 47}[method]
    assert reads(frames="uniform") is None
    small = {"num_frames": 3, "stride": 2, "start": 1}
    assert reads(**small) == 6
    ready = method(method.Config(weights=pipeline_folder, num_steps=1, tuning={"steps": 1}, **small)).load(
        "cpu"
    )
    longer = reference(9)
    assert ready.tune(longer[:6], SOURCE, 0) == ready.tune(longer, SOURCE, 0)
    with pytest.raises(VideoError, match="need 6"):
        ready.tune(longer[:5], SOURCE, 0)


def test_a_tuning_is_keyed_without_guidance_and_edits() -> None:
    def settings(**changed: Any) -> dict[str, Any]:
        return SimDAEdit(SimDAEdit.Config(**changed)).tuning_config()

    assert settings(guidance_scale=3.0, negative_prompt="blue", begin_with="noise") == settings()
    assert settings(adapters="here") == settings(adapters="there")
    for changed in ({"num_steps": 20}, {"tuning": {"steps": 3}}, {"form": "paper"}, {"adapters": "here"}):
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
    ready = session(pipeline_folder, tuning=settings)
    before = ready.video_model(7).stored()
    after = load(ready.tune(reference(), SOURCE, 7))
    assert [name for name, tensor in before.items() if torch.equal(tensor, after[name])] == []


def test_the_same_seed_gives_the_same_bytes(pipeline_folder: str, artifact: bytes) -> None:
    ready = session(pipeline_folder)
    torch.manual_seed(1)
    assert ready.tune(reference(), SOURCE, 7) == artifact
    assert ready.tune(reference(), SOURCE, 8) != artifact
    assert ready.tune(reference(seed=1), SOURCE, 7) != artifact
    assert ready.tune(reference(), "a cat", 7) != artifact


def test_so_it_does_when_it_was_stopped_in_the_middle(
    pipeline_folder: str, artifact: bytes, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    session(pipeline_folder, tuning={"steps": 1}).tune(reference(), SOURCE, 7, checkpoint=checkpoint)
    steps: list[int] = []
    done = session(pipeline_folder).tune(
        reference(), SOURCE, 7, checkpoint=checkpoint, progress=lambda at: steps.append(at.step)
    )
    assert steps == [2]
    assert done == artifact


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
    changed = load(session(pipeline_folder, adapters=str(trained_adapters)).tune(reference(), SOURCE, 0))
    moved = {name for name in given if not torch.equal(changed[name], given[name])}
    assert {name for name in given if name.split(".")[0] != "layout"} == moved


def test_a_reference_and_its_prompt_are_needed(pipeline_folder: str) -> None:
    ready = session(pipeline_folder)
    with pytest.raises(DatasetError, match=r"simda-edit needs .* the clip is missing"):
        ready.tune(None, SOURCE, 0)
    with pytest.raises(DatasetError, match="the prompt is missing"):
        ready.tune(reference(), None, 0)


# -- the artifact and edits --------------------------------------------------------------------


def test_the_artifact_holds_the_adapters_and_the_inverted_latents_only(
    pipeline_folder: str, artifact: bytes
) -> None:
    ready, tensors = session(pipeline_folder), load(artifact)
    assert tensors.pop("inverted_latents").shape == (3, 4, 8, 8)
    assert sum(tensor.numel() for tensor in tensors.values()) == ready.trainable_parameters
    assert ready.describe()["trainable_parameters"] == ready.trainable_parameters
    unet = sum(parameter.numel() for parameter in ready.pipeline.unet.parameters())
    assert ready.trainable_parameters < unet / 2


def test_many_edits_share_one_tuning_and_a_clip_depends_on_its_prompt_alone(
    pipeline_folder: str, artifact: bytes, sample: MakeSample
) -> None:
    ready = session(pipeline_folder)
    one, two = sample("a blue circle"), sample("a star on sand")
    forward = list(ready.generate([one, two], artifact, [0, 0]))
    backward = list(ready.generate([two, one], artifact, [5, 6]))
    assert np.array_equal(forward[0], backward[1])
    assert np.array_equal(forward[1], backward[0])
    assert not np.array_equal(forward[0], forward[1])
    for changed in ({"guidance_scale": 3.0}, {"guidance_scale": 1.0}, {"begin_with": "noise"}):
        other = next(session(pipeline_folder, **changed).generate([one], artifact, [0]))
        assert not np.array_equal(other, forward[0])


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
