"""The methods that are given frames, on tiny folders: FCA, its LoRA baseline, and image-to-video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest
import torch

from reelbench.core.contracts import Method
from reelbench.core.errors import DatasetError, RunFileError, WeightsError
from reelbench.core.types import Conditioning, Frames, Sample, WeightsRef
from reelbench.methods.cogvideox.pipeline import load_cogvideox
from reelbench.methods.cogvideox.text_to_video import CogVideoXTextToVideo
from reelbench.methods.noise import draw
from reelbench.methods.prediction.config import FcaConfig, LoraSettings
from reelbench.methods.prediction.fca import FCA
from reelbench.methods.prediction.fca_predictor import FcaPredictor
from reelbench.methods.prediction.image_to_video import CogVideoXImageToVideo
from reelbench.methods.prediction.lora import CogVideoXLora
from reelbench.methods.prediction.lora_predictor import LoraPredictor
from reelbench.methods.prediction.predictor import Predictor
from reelbench.tests.methods.tiny_cogvideox import cogvideox_folder


def context(num_frames: int = 2, seed: int = 0) -> Frames:
    return np.random.default_rng(seed).integers(0, 256, (num_frames, 32, 32, 3), dtype=np.uint8)


def sample(given: Frames | None, prompt: str = "moves left") -> Sample:
    return Sample(id="s", prompt=prompt, source="v", num_context_frames=2, context=given)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FCA and a LoRA of 8 frames that do something, in place of hours of training."""
    folder = tmp_path_factory.mktemp("trained")
    pipeline, other = (load_cogvideox(cogvideox_folder(), device="cpu") for _ in range(2))
    predictors: list[Predictor] = [
        FcaPredictor(pipeline, FcaConfig(num_frames=8, queries=2, text_heads=2)),
        LoraPredictor(other, LoraSettings(num_frames=8, rank=2, alpha=2)),
    ]
    for predictor in predictors:
        values = predictor.values()
        noise = {name: 0.3 * draw(tuple(value.shape), 5, name) for name, value in values.items()}
        predictor.save(folder, {name: value + noise[name] for name, value in values.items()})
    return folder


def session(kind: str, folder: Path, **settings: Any) -> Any:
    defaults: dict[str, Any] = {"num_steps": 2, "num_frames": 8}
    if kind == "i2v":
        made: Any = CogVideoXImageToVideo
        defaults |= {"base": cogvideox_folder("i2v"), "model_frames": 9}
    else:
        made = FCA if kind == "fca" else CogVideoXLora
        defaults |= {"base": cogvideox_folder(), "trained": str(folder)}
    return made(made.Config(**(defaults | settings))).load("cpu")


def clip(ready: Any, given: Frames | None, seed: int = 0, prompt: str = "moves left") -> Frames:
    frames: Frames = next(ready.generate([sample(given, prompt)], None, [seed]))
    return frames


def test_they_keep_the_contract() -> None:
    for made, name, roles in (
        (FCA(FCA.Config()), "fca", ["cogvideox", "fca"]),
        (FCA(FCA.Config(trained=None)), "fca", ["cogvideox"]),
        (CogVideoXLora(CogVideoXLora.Config()), "cogvideox-lora", ["cogvideox", "lora"]),
        (CogVideoXImageToVideo(CogVideoXImageToVideo.Config()), "cogvideox-i2v", ["cogvideox_i2v"]),
    ):
        method: Method = made
        assert (method.name, method.version) == (name, "1")
        assert method.conditioning is Conditioning.TEXT_AND_FRAMES
        assert [ref.name for ref in method.weights()] == roles
    assert FCA(FCA.Config(base="a/b", trained="c")).weights() == (
        WeightsRef("cogvideox", "a/b"),
        WeightsRef("fca", "c"),
    )


@pytest.mark.parametrize("kind", ["fca", "lora", "i2v"])
class TestClips:
    def test_the_given_frames_come_first_and_the_rest_is_made(self, kind: str, trained: Path) -> None:
        made = clip(session(kind, trained), context())
        assert (made.dtype, made.shape) == (np.uint8, (8, 32, 32, 3))
        assert np.array_equal(made[:2], context())
        assert made[2:].std() > 1

    def test_the_given_frames_may_be_shown_as_they_were_made(self, kind: str, trained: Path) -> None:
        shown, made = (clip(session(kind, trained, show_given=value), context()) for value in (True, False))
        assert not np.array_equal(made[1], context()[1])
        assert np.array_equal(made[2:], shown[2:])

    def test_a_clip_depends_on_given_frames_prompt_and_seed(self, kind: str, trained: Path) -> None:
        ready = session(kind, trained)
        first = clip(ready, context())
        assert np.array_equal(first, clip(session(kind, trained), context()))
        for other in (
            clip(ready, context(seed=1)),
            clip(ready, context(), seed=1),
            clip(ready, context(), prompt="rests"),
        ):
            assert not np.array_equal(first[2:], other[2:])

    @pytest.mark.parametrize("num_frames", [5, 8, 9, 16])
    def test_any_length_is_made_by_rolling_forward(self, kind: str, num_frames: int, trained: Path) -> None:
        long = clip(session(kind, trained, num_frames=num_frames), context())
        assert long.shape == (num_frames, 32, 32, 3)
        assert np.array_equal(long[:5], clip(session(kind, trained, num_frames=5), context()))

    def test_given_frames_of_another_size_are_fitted(self, kind: str, trained: Path) -> None:
        wide = np.random.default_rng(0).integers(0, 256, (2, 32, 48, 3), dtype=np.uint8)
        made = clip(session(kind, trained), wide)
        assert made.shape == (8, 32, 32, 3)
        assert np.array_equal(made[:2], wide[:, :, 8:40])

    def test_a_sample_without_given_frames_is_refused_and_the_next_is_made(
        self, kind: str, trained: Path
    ) -> None:
        clips = session(kind, trained).generate([sample(None), sample(context())], None, [0, 0])
        with pytest.raises(DatasetError, match="gives 0 first frames"):
            next(clips)
        assert len(next(clips)) == 8
        with pytest.raises(RunFileError, match="none is left to predict"):
            clip(session(kind, trained), context(8))


def test_a_window_goes_on_from_the_last_frames_of_the_one_before(trained: Path) -> None:
    """The second window of a rolled prediction is the first window of one that is given these frames."""
    from reelbench.core.seeds import derive_seed

    long = clip(session("fca", trained, num_frames=14), context(), seed=3)
    again = clip(session("fca", trained, num_frames=8), long[6:8], seed=derive_seed(3, "window", 1))
    assert np.array_equal(again[2:], long[8:14])


def test_untrained_fca_is_the_base(trained: Path) -> None:
    untrained = session("fca", trained, trained=None, untrained={"num_frames": 8}, show_given=False)
    base = CogVideoXTextToVideo.Config(base=cogvideox_folder(), num_frames=8, num_steps=2)
    expected = next(CogVideoXTextToVideo(base).load("cpu").generate([sample(None)], None, [0]))
    assert np.array_equal(clip(untrained, context()), expected)
    assert not np.array_equal(clip(session("fca", trained, show_given=False), context()), expected)


def test_an_untrained_lora_is_the_base_shown_a_longer_clip() -> None:
    pipeline = load_cogvideox(cogvideox_folder("1.5"), device="cpu")
    noisy, text = draw((1, 4, 4, 8, 8), 0, "noisy"), draw((1, 24, 12), 0, "text")
    given, timestep = draw((1, 1, 4, 8, 8), 0, "given"), torch.tensor([500])
    # One given latent frame and its copy, since patches hold two.
    expected = pipeline.predict(torch.cat([given, given, noisy], dim=1), timestep, text)[:, 2:]
    predictor = LoraPredictor(pipeline, LoraSettings(rank=2))
    with predictor.given(given, text):
        assert torch.equal(predictor(noisy, timestep, text), expected)
    layers = 2 * len(predictor.settings.targets)
    assert predictor.num_parameters == layers * 2 * (32 + 32)


def test_initial_values_of_a_lora_come_from_the_seed_alone() -> None:
    torch.manual_seed(4)
    before = torch.get_rng_state()
    first, same, other = (
        LoraPredictor(load_cogvideox(cogvideox_folder(), device="cpu"), LoraSettings(rank=2), seed).values()
        for seed in (1, 1, 2)
    )
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_they_say_what_was_trained(trained: Path) -> None:
    facts = {kind: session(kind, trained).describe() for kind in ("fca", "lora", "i2v")}
    assert facts["fca"]["trainable_parameters"] > facts["lora"]["trainable_parameters"] > 0
    assert facts["i2v"]["trainable_parameters"] == 0
    assert facts["fca"]["truncated_prompts"] == 0


@pytest.mark.parametrize("variant", ["i2v", "i2v-1.5"])
def test_image_to_video_is_diffusers_pipeline_from_the_last_given_frame(variant: str, trained: Path) -> None:
    from diffusers import CogVideoXImageToVideoPipeline
    from PIL import Image

    made = clip(session("i2v", trained, base=cogvideox_folder(variant), num_frames=10), context(), seed=9)
    reference: Any = CogVideoXImageToVideoPipeline.from_pretrained(
        cogvideox_folder(variant), local_files_only=True
    )
    reference.set_progress_bar_config(disable=True)
    expected = reference(
        image=Image.fromarray(context()[1]),
        prompt="moves left",
        height=32,
        width=32,
        num_frames=9,
        num_inference_steps=2,
        guidance_scale=6.0,
        generator=torch.Generator().manual_seed(9),
        max_sequence_length=24,
        output_type="np",
    ).frames[0]
    assert np.abs(made[2:].astype(np.int64) - np.rint(expected[1:9] * 255)).max() <= 1


def test_settings_that_cannot_be_are_refused(trained: Path) -> None:
    with pytest.raises(RunFileError, match="model_frames is 10"):
        session("i2v", trained, model_frames=10)
    with pytest.raises(WeightsError, match="not an image-to-video model"):
        session("i2v", trained, base=cogvideox_folder())
    with pytest.raises(WeightsError, match="no weights for 'nothing'"):
        session("fca", trained, trained="nothing")
    with pytest.raises(pydantic.ValidationError):
        FCA.Config(num_frames=1)
