"""The Fréchet distance meets its closed forms, by every route."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from reelbench.metrics.sets.features import check_sets
from reelbench.metrics.sets.frechet import (
    Moments,
    frechet_distance,
    frechet_svd,
    frechet_without_each_group,
)


def by_features(x: np.ndarray, y: np.ndarray, ddof: int = 1) -> float:
    return frechet_distance(x, y, ddof)


def by_moments(x: np.ndarray, y: np.ndarray, ddof: int = 1) -> float:
    """Beside other rows, which are left out: from moments, where there are more rows than dimensions."""
    rng = np.random.default_rng(0)
    more_x, more_y = (np.concatenate([side, rng.standard_normal(side.shape)]) for side in (x, y))
    group_x, group_y = (np.repeat([0, 1], len(side)) for side in (x, y))
    return frechet_without_each_group(more_x, more_y, group_x, group_y, 2, ddof)[1]


def by_svd(x: np.ndarray, y: np.ndarray, ddof: int = 1) -> float:
    return frechet_svd(x, y, ddof)


routes = pytest.mark.parametrize("frechet", [by_features, by_moments, by_svd])


def power_law(n: int, d: int, seed: int, scale: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) * np.arange(1, d + 1) ** -0.5 * scale


@routes
@pytest.mark.parametrize("n", [60, 20])
def test_scaled_covariance(frechet: Callable[..., Any], n: int) -> None:
    x = power_law(n, 30, 0)
    x -= x.mean(axis=0)
    trace = np.trace(np.cov(x.T))
    assert frechet(x, x * np.sqrt(2.5)) == pytest.approx((np.sqrt(2.5) - 1) ** 2 * trace, rel=1e-11)


@routes
def test_commuting_covariances(frechet: Callable[..., Any]) -> None:
    rng = np.random.default_rng(1)
    q, _ = np.linalg.qr(rng.standard_normal((40, 40)))
    white, _ = np.linalg.qr(rng.standard_normal((200, 40)) - 0.0)
    white -= white.mean(axis=0)
    white, _ = np.linalg.qr(white)  # orthonormal, centred columns: scatter is the identity
    a, b = rng.uniform(0.1, 3, 40), rng.uniform(0.1, 3, 40)
    x, y = white * np.sqrt(199 * a) @ q.T, white * np.sqrt(199 * b) @ q.T
    assert frechet(x, y) == pytest.approx(np.sum((np.sqrt(a) - np.sqrt(b)) ** 2), rel=1e-11)


@routes
@pytest.mark.parametrize("n", [100, 10])
def test_shift_only(frechet: Callable[..., Any], n: int) -> None:
    x = power_law(n, 30, 2)
    delta = np.linspace(-1, 1, 30)
    assert frechet(x, x + delta) == pytest.approx(delta @ delta, rel=1e-9)


@routes
@pytest.mark.parametrize("n", [2, 10, 100])
def test_identical_sets_are_at_zero(frechet: Callable[..., Any], n: int) -> None:
    x = power_law(n, 30, 3, scale=5.0)
    assert abs(frechet(x, x)) < 1e-10 * np.trace(np.cov(x.T))


@routes
def test_constant_sets(frechet: Callable[..., Any]) -> None:
    x, y = np.zeros((5, 3)), np.full((5, 3), 2.0)
    assert frechet(x, y) == pytest.approx(12.0)


def test_two_clips_in_closed_form() -> None:
    # Scatters are rank one: u u^T / 2 and v v^T / 2, and tr (S_1 S_2)^{1/2} = |u.v| / (2 (n - ddof)).
    x, y = np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([[1.0, 1.0], [1.0 + 3.0, 1.0 + 4.0]])
    for ddof in (0, 1):
        shift = np.sum((x.mean(0) - y.mean(0)) ** 2)
        expected = shift + (2.0 + 12.5 - 2 * 6 / 2) / (2 - ddof)
        assert frechet_distance(x, y, ddof) == pytest.approx(expected)
        assert by_moments(x, y, ddof) == pytest.approx(expected)


def test_duplicated_rows_change_nothing_with_ddof_0() -> None:
    x, y = power_law(25, 40, 4), power_law(30, 40, 5)
    twice = frechet_distance(np.tile(x, (3, 1)), np.tile(y, (3, 1)), 0)
    assert twice == pytest.approx(frechet_distance(x, y, 0), rel=1e-11)


def test_ddof_identity() -> None:
    # With N on both sides the covariances of ddof 0 are (N - 1)/N times those of ddof 1.
    x, y = power_law(64, 100, 6), power_law(64, 100, 7) + 0.1
    shift = np.sum((x.mean(0) - y.mean(0)) ** 2)
    one, zero = frechet_distance(x, y, 1), frechet_distance(x, y, 0)
    assert zero - shift == pytest.approx((one - shift) * 63 / 64, rel=1e-12)


@pytest.mark.parametrize(("n", "m"), [(300, 300), (300, 40), (40, 35), (500, 61)])
def test_the_two_routes_agree_at_any_rank(n: int, m: int) -> None:
    x, y = power_law(n, 60, 8), power_law(m, 60, 9, 1.2) + 0.05
    assert by_moments(x, y) == pytest.approx(by_features(x, y), rel=1e-11)


def test_agrees_with_scipy_where_scipy_can_be_trusted() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    x, y = power_law(400, 50, 10), power_law(500, 50, 11, 1.1) + 0.1
    a, b = np.cov(x.T), np.cov(y.T)
    root = np.real(np.trace(linalg.sqrtm(a @ b)))
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(a) + np.trace(b) - 2 * root
    assert by_features(x, y) == pytest.approx(expected, rel=1e-9)


def test_float32_differs_as_the_old_tools_do() -> None:
    x, y = power_law(500, 100, 12), power_law(500, 100, 13)
    single = frechet_svd(x, y, 1, "float32")
    assert single == pytest.approx(frechet_distance(x, y), rel=0.05)
    assert single != frechet_svd(x, y, 1, "float64")


def test_ridge_moves_the_value() -> None:
    x, y = power_law(20, 40, 14), power_law(20, 40, 15)
    assert abs(frechet_svd(x, y, ridge=1e-3) - frechet_distance(x, y)) > 1e-4


@pytest.mark.parametrize(("n", "m", "d"), [(120, 150, 20), (20, 25, 40), (120, 25, 40), (44, 44, 40)])
def test_leaving_out_equals_computing_without(n: int, m: int, d: int) -> None:
    x, y = power_law(n, d, 16), power_law(m, d, 17, 1.3)
    groups, reference_groups = [f"v{i}" for i in range(n)], [f"v{i}" for i in range(m)]
    sets = check_sets("FVD", x, y, groups, reference_groups)
    fast = frechet_without_each_group(x, y, sets.group_N, sets.group_M, sets.num_groups)
    naive = [frechet_distance(x[sets.group_N != g], y[sets.group_M != g]) for g in range(sets.num_groups)]
    np.testing.assert_allclose(fast, naive, rtol=1e-10)


def test_leaving_out_survives_a_dead_dimension() -> None:
    x, y = power_law(90, 20, 18), power_law(90, 20, 19)
    x[:, 3] = y[:, 3] = 1.0
    x[:, 5] = 2 * x[:, 4]
    group = np.arange(90) % 10
    fast = frechet_without_each_group(x, y, group, group, 10)
    naive = [frechet_distance(x[group != g], y[group != g]) for g in range(10)]
    np.testing.assert_allclose(fast, naive, rtol=1e-9)


def test_moments_merge_exactly_with_a_large_offset() -> None:
    x = power_law(300, 15, 20) + 1e4
    merged = (
        Moments.of(x[:7]).merge(Moments.of(x[7:7])).merge(Moments.of(x[7:120])).merge(Moments.of(x[120:]))
    )
    whole = Moments.of(x)
    assert merged.n == 300
    np.testing.assert_allclose(merged.mean_D, whole.mean_D, rtol=1e-14)
    np.testing.assert_allclose(merged.scatter_DD / 299, np.cov(x.T), atol=1e-10)
