"""DDIM inversion: closed forms where the denoiser is known, and the way back on a real pipeline."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from reelbench.methods.one_shot.tuning import encode_reference
from reelbench.methods.stable_diffusion.ddim import DdimSchedule, Denoiser, schedule_of
from reelbench.methods.stable_diffusion.pipeline import load_pipeline
from reelbench.worlds.sprites.render import render
from reelbench.worlds.sprites.scene import scene_of

PREDICTIONS = ["epsilon", "v_prediction", "sample"]


def alphas() -> list[float]:
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0).tolist()


class KnownDenoiser:
    """Predicts, in the schedule's parametrisation, a noise that is a known function of state and timestep."""

    device = torch.device("cpu")

    def __init__(self, prediction: str, num_steps: int, noise: Any) -> None:
        self.schedule: DdimSchedule = schedule_of(alphas(), prediction, num_steps)
        self._noise = noise

    def predict(self, latents: torch.Tensor, timestep: int) -> torch.Tensor:
        abar = self.schedule.alpha_bar(timestep)
        noise = self._noise(latents.double(), abar)
        clean = (latents.double() - math.sqrt(1 - abar) * noise) / math.sqrt(abar)
        return {
            "epsilon": noise,
            "v_prediction": math.sqrt(abar) * noise - math.sqrt(1 - abar) * clean,
            "sample": clean,
        }[self.schedule.prediction].float()

    denoise: Any = Denoiser.denoise
    invert: Any = Denoiser.invert


def of_gaussian(std: float) -> Any:
    """The noise that a perfect network finds when the data are N(0, std^2): linear in the state."""
    return lambda x, abar: math.sqrt(1 - abar) * x / (abar * std**2 + 1 - abar)


LATENTS = torch.randn(3, 4, 2, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_linear_denoiser_has_its_inversion_in_closed_form(prediction: str) -> None:
    """Every step multiplies the state by a number that can be written down."""
    std, abar, factor = 0.5, alphas(), 1.0
    for t in range(1, 1000, 20):  # 1, 21, ..., 981
        later, earlier = abar[t], abar[max(t - 20, 0)]
        noise = math.sqrt(1 - later) / (later * std**2 + 1 - later)  # per unit of the state
        clean = (1 - math.sqrt(1 - earlier) * noise) / math.sqrt(earlier)
        factor *= math.sqrt(later) * clean + math.sqrt(1 - later) * noise
    made = KnownDenoiser(prediction, 50, of_gaussian(std)).invert(LATENTS)
    torch.testing.assert_close(made, factor * LATENTS, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_it_follows_the_differential_equation_more_closely_with_more_steps(prediction: str) -> None:
    """For Gaussian data x_t / std_t is constant along the equation, std_t^2 = abar_t std^2 + 1 - abar_t."""
    std, errors = 2.0, []
    for num_steps in (10, 50, 250):
        denoiser = KnownDenoiser(prediction, num_steps, of_gaussian(std))
        abar_T, abar_0 = denoiser.schedule.alpha_bar(denoiser.schedule.timesteps[0]), alphas()[0]
        exact = math.sqrt((abar_T * std**2 + 1 - abar_T) / (abar_0 * std**2 + 1 - abar_0))
        errors.append(float((denoiser.invert(LATENTS) / LATENTS / exact - 1).abs().max()))
    assert errors[0] > 4 * errors[1] > 16 * errors[2]
    assert errors[2] < 0.01


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_sampling_undoes_it_where_the_noise_does_not_depend_on_the_state(prediction: str) -> None:
    noise = torch.randn(LATENTS.shape, generator=torch.Generator().manual_seed(1)).double()
    denoiser = KnownDenoiser(prediction, 20, lambda state, abar: noise)
    inverted = denoiser.invert(LATENTS)
    assert (inverted - LATENTS).abs().max() > 0.5
    sampled = denoiser.denoise(inverted, denoiser.schedule.timesteps)
    torch.testing.assert_close(sampled, LATENTS, atol=1e-4, rtol=1e-4)


def test_a_velocity_taken_for_noise_is_another_inversion() -> None:
    """What the released code does with Stable Diffusion 2.x: the test above is able to fail."""
    right = KnownDenoiser("v_prediction", 50, of_gaussian(0.5)).invert(LATENTS)

    class Mistaken(KnownDenoiser):
        def predict(self, latents: torch.Tensor, timestep: int) -> torch.Tensor:
            velocity = KnownDenoiser("v_prediction", 50, of_gaussian(0.5))
            return velocity.predict(latents, timestep)

    wrong = Mistaken("epsilon", 50, None).invert(LATENTS)
    assert (wrong / LATENTS - right / LATENTS).abs().max() > 0.2


def test_it_ends_where_sampling_begins() -> None:
    seen = []

    class Watched(KnownDenoiser):
        def predict(self, latents: torch.Tensor, timestep: int) -> torch.Tensor:
            seen.append(timestep)
            return super().predict(latents, timestep)

    Watched("epsilon", 4, of_gaussian(1.0)).invert(LATENTS)
    assert seen == [1, 251, 501, 751]


def test_the_embedded_model_leads_back_to_the_clip_and_more_closely_with_more_steps() -> None:
    """Sampling with the same empty prompt; the mean error is in units of the latents' deviation."""
    pipeline = load_pipeline("sprites/t2i", device="cpu")
    clip = render(scene_of("red", "star", "sand", "moves left"), 1, 64)
    latents = encode_reference(pipeline, clip).mean_TCHW
    errors = []
    for num_steps in (4, 24):
        with torch.inference_mode():
            text = pipeline.encode_prompt("").embedding_LD[None]
            denoiser = Denoiser(pipeline.unet, pipeline.schedule(num_steps), text, 1.0, (4, 16, 16))
            inverted = denoiser.invert(latents)
            back = denoiser.denoise(inverted, denoiser.schedule.timesteps)
        errors.append(float((back - latents).abs().mean() / latents.std()))
    assert errors[1] < errors[0] / 2
    assert errors[1] < 0.1
