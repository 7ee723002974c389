"""The method "simda" on a tiny real pipeline: its contract, and what the adapters do to clips."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest
import torch

from reelbench.core.contracts import Method
from reelbench.core.errors import ClipRefusedError, WeightsError
from reelbench.core.types import Conditioning, Frames, Sample, WeightsRef
from reelbench.methods.adapters.adapters import AdapterConfig, Adapters, adapters_to_bytes, save_adapters
from reelbench.methods.adapters.simda import SimDA
from reelbench.methods.stable_diffusion.pipeline import load_pipeline
from reelbench.methods.zero_shot.ddim_frames import DdimFrames

MakeSample = Callable[..., Sample]


def trained(folder: str, seed: int, config: AdapterConfig | None = None) -> Adapters:
    """Adapters that do something, in place of hours of training."""
    adapters = Adapters(load_pipeline(folder, device="cpu").unet, config or AdapterConfig())
    generator = torch.Generator().manual_seed(seed)
    for parameter in adapters.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    return adapters


@pytest.fixture(scope="module")
def adapters_folder(pipeline_folder: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("adapters")
    save_adapters(folder, trained(pipeline_folder, 1))
    return str(folder)


def session(folder: str, adapters: str | None, **settings: Any) -> Any:
    defaults = {"weights": folder, "adapters": adapters, "num_frames": 4, "num_steps": 4}
    return SimDA(SimDA.Config(**(defaults | settings))).load("cpu")


def clip(ready: Any, sample: Sample, seed: int = 0, artifact: bytes | None = None) -> Frames:
    frames: Frames = next(ready.generate([sample], artifact, [seed]))
    return frames


def test_it_keeps_the_contract(pipeline_folder: str, adapters_folder: str, sample: MakeSample) -> None:
    made: Method = SimDA(SimDA.Config(weights=pipeline_folder, adapters=adapters_folder))
    assert (made.name, made.version) == ("simda", "1")
    assert made.conditioning is Conditioning.TEXT
    assert made.weights() == (
        WeightsRef("pipeline", pipeline_folder),
        WeightsRef("adapters", adapters_folder),
    )
    assert SimDA(SimDA.Config(adapters=None)).weights() == (WeightsRef("pipeline", "pipeline"),)
    ready = session(pipeline_folder, adapters_folder)
    assert ready.tune(None, None, 0) is None
    frames = clip(ready, sample())
    assert (frames.dtype, frames.shape) == (np.uint8, (4, 32, 32, 3))
    assert ready.describe()["trainable_parameters"] == trained(pipeline_folder, 1).num_parameters > 0


def test_untrained_adapters_without_latent_shift_make_independent_frames(
    pipeline_folder: str, sample: MakeSample, tmp_path: Path
) -> None:
    unet = load_pipeline(pipeline_folder, device="cpu").unet
    save_adapters(tmp_path, Adapters(unet, AdapterConfig(latent_shift="off")))
    config = DdimFrames.Config(weights=pipeline_folder, num_frames=4, num_steps=4)
    expected = clip(DdimFrames(config).load("cpu"), sample(), 3)
    assert np.array_equal(clip(session(pipeline_folder, str(tmp_path)), sample(), 3), expected)


def test_untrained_adapters_start_from_the_first_frame_of_the_image_model(
    pipeline_folder: str, sample: MakeSample
) -> None:
    config = DdimFrames.Config(weights=pipeline_folder, num_frames=4, num_steps=4)
    independent = clip(DdimFrames(config).load("cpu"), sample(), 3).astype(int)
    made = clip(session(pipeline_folder, None), sample(), 3).astype(int)
    assert np.abs(made[0] - independent[0]).max() <= 1
    assert np.abs(made[1:] - independent[1:]).max() > 2
    released = clip(session(pipeline_folder, None, preset="released"), sample(), 3).astype(int)
    assert np.abs(released - made).max() > 2


def test_a_clip_depends_on_sample_and_seed_alone(
    pipeline_folder: str, adapters_folder: str, sample: MakeSample
) -> None:
    one, two = sample("a red circle"), sample("a blue square on sand")
    ready = session(pipeline_folder, adapters_folder)
    forward = list(ready.generate([one, two, one], None, [3, 4, 5]))
    backward = list(ready.generate([two, one], None, [4, 3]))
    assert np.array_equal(forward[0], backward[1])
    assert np.array_equal(forward[1], backward[0])
    assert not np.array_equal(forward[0], forward[2])
    assert np.array_equal(forward[0], clip(session(pipeline_folder, adapters_folder), one, 3))


def test_a_tuned_artifact_stands_in_for_one_call(
    pipeline_folder: str, adapters_folder: str, sample: MakeSample, tmp_path: Path
) -> None:
    """What tuning on one video will hand over: adapters as bytes, which need not be those of the session."""
    tuned = trained(pipeline_folder, 2, AdapterConfig(latent_shift="released", group_norm="clip"))
    ready = session(pipeline_folder, adapters_folder)
    before = clip(ready, sample())
    with_tuned = clip(ready, sample(), artifact=adapters_to_bytes(tuned))
    assert not np.array_equal(with_tuned, before)
    assert np.array_equal(clip(ready, sample()), before)
    save_adapters(tmp_path, tuned)
    assert np.array_equal(with_tuned, clip(session(pipeline_folder, str(tmp_path)), sample()))


def test_a_refused_clip_leaves_the_image_model_as_it_was(
    pipeline_folder: str, adapters_folder: str, sample: MakeSample
) -> None:
    ready = session(pipeline_folder, adapters_folder)
    expected = clip(ready, sample(), 1)
    bias = ready.pipeline.unet.conv_out.bias
    kept = bias.clone()
    clips = ready.generate([sample()] * 2, None, [0, 1])
    bias.fill_(float("nan"))
    with pytest.raises(ClipRefusedError, match="NaN"):
        next(clips)
    bias.copy_(kept)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in ready.pipeline.unet.modules())
    assert np.array_equal(next(clips), expected)


def test_another_size_and_half_precision(
    pipeline_folder: str, adapters_folder: str, sample: MakeSample
) -> None:
    ready = session(pipeline_folder, adapters_folder, dtype="bfloat16", height=16, width=48)
    assert clip(ready, sample()).shape == (4, 16, 48, 3)


def test_missing_adapters_and_those_of_another_model_are_refused(
    pipeline_folder: str, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match="no weights at"):
        session(pipeline_folder, str(tmp_path / "none"))
    other = Adapters(load_pipeline("sprites/t2i", device="cpu").unet, AdapterConfig())
    save_adapters(tmp_path, other)
    with pytest.raises(WeightsError, match="do not fit this UNet"):
        session(pipeline_folder, str(tmp_path))


def test_samples_and_seeds_must_match(pipeline_folder: str, adapters_folder: str, sample: MakeSample) -> None:
    ready = session(pipeline_folder, adapters_folder)
    with pytest.raises(ValueError, match="2 samples but 1 seeds"):
        ready.generate([sample()] * 2, None, [0])
    with pytest.raises(WeightsError, match="tuned adapters cannot be read"):
        ready.generate([sample()], b"not adapters", [0])


@pytest.mark.parametrize("wrong", [{"num_frames": 0}, {"preset": "mine"}, {"latent_shift": "paper"}], ids=str)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        SimDA.Config(**wrong)
