"""A set metric against N."""

from __future__ import annotations

import numpy as np
import pytest

from reelbench.metrics.sets.frechet import frechet_distance
from reelbench.metrics.sets.kernel import polynomial_mmd
from reelbench.metrics.sets.sample_size import MAX_SUBSETS, SMALLEST_N, size_curve


def sets(n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    spectrum = np.arange(1, d + 1) ** -0.5
    x, y = rng.normal(size=(n, d)) * spectrum, rng.normal(size=(n, d)) * spectrum + 0.2
    return x, y, [f"s{k}" for k in range(n)]


def test_n_halves_down_to_the_smallest_and_the_first_point_is_everything() -> None:
    x, y, groups = sets(100, 5)
    curve = size_curve(frechet_distance, x, y, groups, groups)
    assert [point.n for point in curve.points] == [100, 50, 25, 12]
    assert curve.points[0].value == frechet_distance(x, y)
    assert curve.points[0].spread is None
    assert [point.num_subsets for point in curve.points] == [1, 2, 4, 8]
    assert SMALLEST_N > 100 / 16


def test_fvd_rises_as_n_falls_and_the_unbiased_kernel_distance_does_not() -> None:
    x, y, groups = sets(1024, 40)
    fvd = [point.value for point in size_curve(frechet_distance, x, y, groups, groups).points]
    assert fvd == sorted(fvd)
    assert fvd[-1] > 3 * fvd[0]
    kvd = size_curve(polynomial_mmd, x, y, groups, groups).points
    assert abs(kvd[-1].value - kvd[0].value) < 4 * kvd[-1].spread / np.sqrt(kvd[-1].num_subsets)


def test_the_line_leads_to_the_distance_of_the_distributions() -> None:
    x, y, groups = sets(4096, 20)
    curve = size_curve(frechet_distance, x, y, groups, groups)
    true = 20 * 0.2**2  # equal covariances, means 0.2 apart in every dimension
    assert curve.extrapolated == pytest.approx(true, abs=0.06)
    assert abs(curve.extrapolated - true) < abs(curve.points[0].value - true) + 0.02


def test_there_is_no_line_through_small_n() -> None:
    x, y, groups = sets(400, 10)
    assert size_curve(frechet_distance, x, y, groups, groups).extrapolated is None


def test_clips_of_one_source_stay_together_on_both_sides() -> None:
    x, y, _ = sets(64, 3)
    groups = [f"s{k // 4}" for k in range(64)]
    seen = []

    def value_of(a: np.ndarray, b: np.ndarray) -> float:
        seen.append((sorted(map(float, a[:, 0])), sorted(map(float, b[:, 0]))))
        return 0.0

    size_curve(value_of, x, y, groups, groups)
    quartet = {float(value): k // 4 for k, value in enumerate(x[:, 0])}
    partner = {float(value): k // 4 for k, value in enumerate(y[:, 0])}
    for a, b in seen:
        of_a, of_b = [quartet[v] for v in a], [partner[v] for v in b]
        assert set(of_a) == set(of_b)
        assert all(of_a.count(source) == 4 for source in of_a)


def test_many_parts_are_sampled() -> None:
    x, y, groups = sets(300, 2)
    points = size_curve(frechet_distance, x, y, groups, groups).points
    assert max(point.num_subsets for point in points) == MAX_SUBSETS


def test_too_few_clips_give_no_point() -> None:
    x, y, groups = sets(5, 2)
    assert size_curve(frechet_distance, x, y, groups, groups).points == ()
