"""The DDIM sampler: agreement with diffusers, and the forward jump."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler

from reelbench.core.errors import RunFileError, WeightsError
from reelbench.core.types import Sample
from reelbench.methods.noise import draw
from reelbench.methods.one_shot.tune_a_video import TuneAVideo
from reelbench.methods.stable_diffusion.ddim import DdimSchedule, schedule_of
from reelbench.methods.zero_shot.ddim_frames import DdimFrames
from reelbench.tests.methods.tiny_edits import SOURCE, edit_session
from reelbench.tests.methods.tiny_edits import reference as frames_of_noise

PREDICTIONS = ["epsilon", "v_prediction", "sample"]


def reference(prediction: str, num_steps: int) -> Any:
    scheduler: Any = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction,
    )
    scheduler.set_timesteps(num_steps)
    return scheduler


def zero_snr(num_steps: int = 1, **settings: Any) -> Any:
    """diffusers' sampler of a checkpoint whose last state is noise alone."""
    given = {"prediction_type": "v_prediction", "timestep_spacing": "trailing", "set_alpha_to_one": False}
    scheduler: Any = DDIMScheduler(rescale_betas_zero_snr=True, clip_sample=False, **(given | settings))
    scheduler.set_timesteps(num_steps)
    return scheduler


def ours(prediction: str = "epsilon", num_steps: int = 50) -> DdimSchedule:
    return schedule_of(reference(prediction, num_steps).alphas_cumprod.tolist(), prediction, num_steps)


@pytest.mark.parametrize("num_steps", [1, 2, 7, 20, 50, 999])
def test_timesteps_are_those_of_diffusers(num_steps: int) -> None:
    assert list(ours(num_steps=num_steps).timesteps) == reference("epsilon", num_steps).timesteps.tolist()


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("num_steps", [7, 20, 50])
def test_every_step_agrees_with_diffusers(prediction: str, num_steps: int) -> None:
    scheduler, schedule = reference(prediction, num_steps), ours(prediction, num_steps)
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(2, 4, 8, 8, generator=generator)
    for timestep in schedule.timesteps:
        output = torch.randn(latents.shape, generator=generator)
        expected = scheduler.step(output, timestep, latents).prev_sample
        latents = schedule.step(output, latents, timestep)
        torch.testing.assert_close(latents, expected, rtol=1e-4, atol=1e-4)
        latents = expected


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_perfect_prediction_gives_back_the_clean_latent_and_the_noise(prediction: str) -> None:
    schedule, timestep = ours(prediction), 501
    clean, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    signal, sigma = (
        math.sqrt(schedule.alpha_bar(timestep)),
        math.sqrt(1 - schedule.alpha_bar(timestep)),
    )
    latents = signal * clean + sigma * noise
    output = {"epsilon": noise, "v_prediction": signal * noise - sigma * clean, "sample": clean}[prediction]
    found_clean, found_noise = schedule.clean_and_noise(output, latents, timestep)
    torch.testing.assert_close(found_clean, clean)
    torch.testing.assert_close(found_noise, noise)
    # The step before the last state is then exact, too.
    earlier = schedule.after(timestep)
    expected = (
        math.sqrt(schedule.alpha_bar(earlier)) * clean + math.sqrt(1 - schedule.alpha_bar(earlier)) * noise
    )
    torch.testing.assert_close(schedule.step(output, latents, timestep), expected)


def test_indices_from_the_end_are_those_of_text2video_zero() -> None:
    schedule = ours()
    assert [schedule.timestep_from_end(index) for index in (0, 44, 47, 49)] == [1, 881, 941, 981]
    assert schedule.timesteps_between(981, 941) == (981, 961)
    assert schedule.timesteps_between(941, 881) == (941, 921, 901)
    assert schedule.timesteps_between(41, None) == (41, 21, 1)


def test_the_forward_jump_has_the_published_strength() -> None:
    schedule = ours()
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    assert schedule.forward_jump(one, zero, 881, 941).item() == pytest.approx(0.729, abs=5e-4)
    assert schedule.forward_jump(zero, one, 881, 941).item() == pytest.approx(0.685, abs=5e-4)


def test_the_forward_jump_is_the_product_of_alphas_over_the_half_open_interval() -> None:
    schedule, scheduler = ours(), reference("epsilon", 50)
    kept = schedule.forward_jump(torch.ones(1), torch.zeros(1), 881, 941).item() ** 2
    assert kept == pytest.approx(torch.prod(scheduler.alphas[881:941]).item(), rel=1e-5)


@pytest.mark.parametrize("num_steps", [0, 1000])
def test_a_number_of_steps_that_does_not_fit_is_refused(num_steps: int) -> None:
    with pytest.raises(RunFileError, match="num_steps"):
        schedule_of([0.5] * 1000, "epsilon", num_steps)


def test_an_unknown_prediction_type_is_refused() -> None:
    with pytest.raises(WeightsError, match="flow"):
        schedule_of([0.5] * 10, "flow", 5)


@pytest.mark.parametrize("prediction", ["v_prediction", "sample"])
@pytest.mark.parametrize("num_steps", [5, 20, 50])
def test_trailing_steps_from_noise_alone_agree_with_diffusers(prediction: str, num_steps: int) -> None:
    scheduler = zero_snr(num_steps, prediction_type=prediction)
    schedule = schedule_of(
        scheduler.alphas_cumprod.tolist(), prediction, num_steps, "trailing"
    ).for_sampling()
    assert list(schedule.timesteps) == scheduler.timesteps.tolist()
    assert schedule.timesteps[0] == 999
    assert schedule.alpha_bar(999) == 0
    latents = draw((2, 4, 8, 8), 0, "state")
    for timestep in schedule.timesteps:
        output = draw((2, 4, 8, 8), timestep, "output")
        expected = scheduler.step(output, timestep, latents).prev_sample
        latents = schedule.step(output, latents, timestep)
        torch.testing.assert_close(latents, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("num_steps", [3, 7, 30, 999])
def test_trailing_steps_that_do_not_divide_the_training_lead_from_one_to_the_next(num_steps: int) -> None:
    schedule = schedule_of(reference("epsilon", 1).alphas_cumprod.tolist(), "epsilon", num_steps, "trailing")
    assert list(schedule.timesteps) == zero_snr(num_steps).timesteps.tolist()
    assert [schedule.after(t) for t in schedule.timesteps] == [*schedule.timesteps[1:], -1]
    clean, noise = draw((1, 4, 8, 8), 0, "clean"), draw((1, 4, 8, 8), 0, "noise")
    state = schedule.noisy(clean, noise, 999)
    for timestep in schedule.timesteps:
        state = schedule.step(noise, state, timestep)
    torch.testing.assert_close(state, schedule.noisy(clean, noise, 0), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("last", [0.0, 2**-24])
def test_a_checkpoint_that_begins_at_noise_alone_needs_trailing_timesteps(last: float) -> None:
    alphas = [*zero_snr().alphas_cumprod.tolist()[:-1], last]
    with pytest.raises(RunFileError, match="timestep 999; leading timesteps begin at 981") as refused:
        schedule_of(alphas, "v_prediction", 50).for_sampling()
    assert "timesteps: trailing" in str(refused.value)
    with pytest.raises(WeightsError, match="noise alone"):
        schedule_of(alphas, "epsilon", 50, "trailing").for_sampling()
    # What is not such a checkpoint is sampled as it was.
    for spacing in ("leading", "trailing"):
        schedule_of(reference("epsilon", 1).alphas_cumprod.tolist(), "epsilon", 50, spacing).for_sampling()


def test_methods_sample_such_a_checkpoint_with_trailing_timesteps_alone(
    make_pipeline: Callable[..., Path], tmp_path: Path, sample: Callable[..., Sample]
) -> None:
    """A folder whose scheduler file says rescale_betas_zero_snr; tuning, inversion and edit as well."""
    folder = tmp_path / "zero-snr"
    shutil.copytree(make_pipeline("v_prediction"), folder)
    zero_snr().save_pretrained(folder / "scheduler")
    index = json.loads((folder / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", "DDIMScheduler"]
    (folder / "model_index.json").write_text(json.dumps(index))
    settings = {"weights": str(folder), "num_frames": 2, "num_steps": 3}
    for method in (DdimFrames, TuneAVideo):
        with pytest.raises(RunFileError, match="terminal SNR of zero"):
            method(method.Config(**settings)).load("cpu")
    ready = DdimFrames(DdimFrames.Config(**settings, timesteps="trailing")).load("cpu")
    assert next(iter(ready.generate([sample()], None, [0]))).std() > 1
    tuned = edit_session(TuneAVideo, str(folder), timesteps="trailing")
    artifact = tuned.tune(frames_of_noise(), SOURCE, 0)
    assert next(tuned.generate([sample()], artifact, [0])).std() > 1


def test_leading_timesteps_are_no_part_of_data_of_a_configuration() -> None:
    """Keys of clips that were made before there was a choice."""
    assert "timesteps" not in DdimFrames.Config().model_dump(mode="json")
    assert DdimFrames.Config(timesteps="trailing").model_dump(mode="json")["timesteps"] == "trailing"
