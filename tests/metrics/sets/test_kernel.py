"""The polynomial MMD equals the sums written out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from reelbench.metrics.sets.kernel import kernel_sums, polynomial_mmd


def naive(x: np.ndarray, y: np.ndarray, degree: int, gamma: float, coef0: float, unbiased: bool) -> float:
    def k(a: np.ndarray, b: np.ndarray) -> float:
        return (gamma * sum(p * q for p, q in zip(a, b, strict=True)) + coef0) ** degree

    def within(rows: np.ndarray) -> float:
        pairs = [(i, j) for i, j in itertools.product(range(len(rows)), repeat=2) if i != j or not unbiased]
        return sum(k(rows[i], rows[j]) for i, j in pairs) / len(pairs)

    return within(x) + within(y) - 2 * sum(k(a, b) for a in x for b in y) / (len(x) * len(y))


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize(("degree", "gamma", "coef0"), [(3, None, 1.0), (2, 0.5, 0.0), (1, 1.0, 2.0)])
def test_against_loops(degree: int, gamma: float | None, coef0: float, unbiased: bool) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((9, 5)), rng.standard_normal((7, 5)) + 0.5
    expected = naive(x, y, degree, gamma or 1 / 5, coef0, unbiased)
    result = polynomial_mmd(x, y, degree=degree, gamma=gamma, coef0=coef0, unbiased=unbiased)
    assert result == pytest.approx(expected, rel=1e-12)


def test_linear_kernel_in_closed_form() -> None:
    # Degree 1 without constant, biased: MMD^2 = gamma ||mean x - mean y||^2.
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((30, 4)), rng.standard_normal((20, 4)) + 1
    shift = x.mean(0) - y.mean(0)
    assert polynomial_mmd(x, y, degree=1, gamma=2.0, coef0=0.0, unbiased=False) == pytest.approx(
        2 * shift @ shift, rel=1e-12
    )


def test_identical_sets_biased_zero_unbiased_negative() -> None:
    x = np.random.default_rng(2).standard_normal((12, 6))
    assert polynomial_mmd(x, x, unbiased=False) == pytest.approx(0.0, abs=1e-12)
    assert polynomial_mmd(x, x) < 0


def test_unbiased_on_average() -> None:
    rng = np.random.default_rng(3)
    draws = [polynomial_mmd(rng.standard_normal((20, 5)), rng.standard_normal((20, 5))) for _ in range(400)]
    assert abs(np.mean(draws)) < 4 * np.std(draws) / 20


@pytest.mark.parametrize("unbiased", [True, False])
def test_leaving_a_group_out_equals_computing_without(unbiased: bool) -> None:
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((600, 5)), rng.standard_normal((550, 5)) + 0.2
    group_x, group_y = rng.integers(0, 7, 600), rng.integers(0, 7, 550)
    sums = kernel_sums(x, y, group_x, group_y, 7)
    assert sums.mmd(unbiased) == pytest.approx(polynomial_mmd(x, y, unbiased=unbiased), rel=1e-10)
    for g in range(7):
        expected = polynomial_mmd(x[group_x != g], y[group_y != g], unbiased=unbiased)
        assert sums.mmd(unbiased, without=g) == pytest.approx(expected, rel=1e-9)


def test_a_group_may_be_absent_on_one_side() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((10, 3)), rng.standard_normal((8, 3))
    sums = kernel_sums(x, y, np.arange(10) % 5, np.arange(8) % 2, 5)
    assert sums.mmd(without=4) == pytest.approx(polynomial_mmd(x[np.arange(10) % 5 != 4], y))
