"""Dependency noise of ZS²: the divergence, the closed form and the two-stage search."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pydantic
import pytest
import torch

from reelbench.methods.noise import draw, independent_noise
from reelbench.methods.zero_shot.zs2 import (
    Zs2,
    blend,
    closed_form_alpha,
    dependency_noise,
    kl,
    nearest_draw,
    search_alpha,
)

SHAPE = (4, 64, 64)
VARIANTS = ["paper", "pseudocode"]


def divergences(noise_TCHW: torch.Tensor) -> list[float]:
    frames = noise_TCHW.double()
    return [kl(new, previous).item() for previous, new in pairwise(frames)]


def test_the_divergence_is_torchs_kl_of_log_probabilities() -> None:
    new, previous = draw(SHAPE, 0, "new"), draw(SHAPE, 0, "previous")
    expected = torch.nn.functional.kl_div(new, previous, log_target=True, reduction="none").mean()
    torch.testing.assert_close(kl(new, previous), expected)


def test_the_papers_elementwise_solution_has_the_divergence_lambda() -> None:
    previous = draw(SHAPE, 0, "previous").double()
    assert kl(previous - 0.01 / previous.exp(), previous).item() == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("divergence", "alpha"),
    [(0.0, 1.0), (0.01, 0.9879), (0.1, 0.8824), (0.25, 0.7197), (0.5, 0.4854), (1.6488, 0.0), (5.0, 0.0)],
)
def test_closed_form_alpha(divergence: float, alpha: float) -> None:
    assert closed_form_alpha(divergence) == pytest.approx(alpha, abs=5e-5)


@pytest.mark.parametrize("divergence", [0.01, 0.1, 0.5, 1.6])
def test_the_closed_form_reaches_lambda_on_average(divergence: float) -> None:
    found = torch.tensor(divergences(dependency_noise(3, 60, SHAPE, divergence)))
    error = found.std().item() / math.sqrt(len(found))
    assert found.mean().item() == pytest.approx(divergence, abs=4 * error)


@pytest.mark.parametrize("kind", ["closed-form", "two-stage-search"])
def test_every_frame_is_standard_normal(kind: str) -> None:
    noise = dependency_noise(0, 16, SHAPE, 0.1, kind=kind)  # type: ignore[arg-type]
    assert noise.dtype == torch.float32
    assert noise.mean(dim=(1, 2, 3)).abs().max() < 0.04
    assert (noise.std(dim=(1, 2, 3)) - 1).abs().max() < 0.03


def test_lambda_zero_is_one_noise_for_all_frames() -> None:
    noise = dependency_noise(0, 4, SHAPE, 0.0)
    assert all(torch.equal(frame, noise[0]) for frame in noise)


def test_a_lambda_out_of_reach_is_the_noise_of_independent_frames() -> None:
    assert torch.equal(dependency_noise(7, 5, SHAPE, 2.0), independent_noise(7, 5, SHAPE))


@pytest.mark.parametrize("kind", ["closed-form", "two-stage-search"])
def test_the_first_frame_is_the_same_for_all_methods(kind: str) -> None:
    noise = dependency_noise(7, 3, SHAPE, 0.1, kind=kind)  # type: ignore[arg-type]
    assert torch.equal(noise[0], independent_noise(7, 1, SHAPE)[0])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("divergence", [0.05, 0.1, 0.25])
def test_the_search_lands_near_the_closed_form(variant: str, dtype: torch.dtype, divergence: float) -> None:
    for seed in range(5):
        previous, fresh = draw(SHAPE, seed, "previous").to(dtype), draw(SHAPE, seed, "fresh").to(dtype)
        alpha = search_alpha(previous, fresh, divergence, variant=variant)  # type: ignore[arg-type]
        assert alpha == pytest.approx(closed_form_alpha(divergence), rel=0.05)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("divergence", [0.0, 0.001, 0.01, 1.0, 3.0])
def test_the_search_stays_below_one_and_does_not_depend_on_the_precision(
    variant: str, divergence: float
) -> None:
    for seed in range(5):
        previous, fresh = draw(SHAPE, seed, "previous"), draw(SHAPE, seed, "fresh")
        single = search_alpha(previous, fresh, divergence, variant=variant)  # type: ignore[arg-type]
        double = search_alpha(previous.double(), fresh.double(), divergence, variant=variant)  # type: ignore
        assert 0.0 <= single < 1.0
        assert double == pytest.approx(single, abs=1e-3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_at_the_default_lambda_the_search_gives_what_float32_gave(variant: str) -> None:
    for seed in range(5):
        previous, fresh = draw(SHAPE, seed, "previous").double(), draw(SHAPE, seed, "fresh").double()
        alpha = search_alpha(previous, fresh, 0.01, variant=variant)  # type: ignore[arg-type]
        assert 0.975 <= alpha <= 0.9876
        assert 0.004 < kl(blend(previous, fresh, alpha), previous).item() < 0.022


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_searched_noise_neither_collapses_nor_is_nan(variant: str, dtype: torch.dtype) -> None:
    noise = dependency_noise(
        1,
        16,
        (4, 16, 16),
        0.01,
        kind="two-stage-search",
        variant=variant,  # type: ignore[arg-type]
        dtype=dtype,
    )
    assert torch.isfinite(noise).all()
    assert all(not torch.equal(one, two) for one, two in pairwise(noise))


def test_the_random_stage_keeps_the_draw_nearest_to_lambda() -> None:
    previous = draw(SHAPE, 0, "previous")
    draws = [draw(SHAPE, 0, "draw", index) for index in range(10)]
    errors = [abs(kl(fresh, previous).item() - 1.6) for fresh in draws]
    assert nearest_draw(previous, draws, 1.6) is draws[errors.index(min(errors))]


@pytest.mark.parametrize("kind", ["closed-form", "two-stage-search"])
def test_each_frame_may_have_its_own_lambda(kind: Any) -> None:
    """The paper's lambda_i: a frame resembles the one before it by its own value."""
    own = (0.01, 0.5, 0.0 if kind == "closed-form" else 0.05, 5.0)
    noise = dependency_noise(0, 5, SHAPE, own, kind=kind)
    found = divergences(noise)
    assert found[0] == pytest.approx(0.01, abs=0.01)
    assert found[1] == pytest.approx(0.5, abs=0.05)
    assert found[2] == pytest.approx(own[2], abs=0.01)
    assert found[3] > 1.4
    equal = dependency_noise(0, 5, SHAPE, (0.1,) * 4, kind=kind)
    assert torch.equal(equal, dependency_noise(0, 5, SHAPE, 0.1, kind=kind))


def test_a_list_of_lambdas_has_one_for_each_frame_from_the_second_on() -> None:
    config = Zs2.Config.model_validate({"lambda": [0.01, 0.2], "num_frames": 3})
    assert config.lambda_ == (0.01, 0.2)
    assert Zs2.Config.model_validate(config.model_dump(mode="json")) == config
    with pytest.raises(pydantic.ValidationError, match="lambda has 2 values for 5 frames"):
        Zs2.Config.model_validate({"lambda": [0.01, 0.2], "num_frames": 5})
    with pytest.raises(pydantic.ValidationError):
        Zs2.Config.model_validate({"lambda": [0.01, -0.2], "num_frames": 3})
