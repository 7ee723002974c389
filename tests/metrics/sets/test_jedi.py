"""JEDi's MMD against its closed form and against sklearn's kernel."""

from __future__ import annotations

import numpy as np
import pytest

from reelbench.core.errors import MetricError
from reelbench.core.types import Estimate
from reelbench.metrics.build import build_metric, extractors_needed
from reelbench.metrics.protocol import Protocol, load_protocol, parse_protocol
from reelbench.metrics.sets.jedi import JediMmd

BIASED = parse_protocol({"name": "t", "version": "1", "kernel": {"unbiased": False}})


def _sets(n: int = 60, m: int = 50, d: int = 8, shift: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, d)), rng.standard_normal((m, d)) * 1.3 + shift


def _compute(protocol: Protocol, x: np.ndarray, y: np.ndarray) -> Estimate:
    return JediMmd(protocol).compute(x, y, [f"a{k}" for k in range(len(x))], [f"b{k}" for k in range(len(y))])


def test_the_biased_form_is_a_distance_of_second_moments() -> None:
    """100 * MMD^2 with k = (x.y / d)^2 is 100 * ||E[x x^T] - E[y y^T]||_F^2 / d^2."""
    x, y = _sets()
    d = x.shape[1]
    expected = 100 * np.linalg.norm(x.T @ x / len(x) - y.T @ y / len(y), "fro") ** 2 / d**2
    assert _compute(BIASED, x, y).value == pytest.approx(expected, rel=1e-12)


def test_the_biased_form_is_the_authors_computation() -> None:
    from sklearn.metrics.pairwise import polynomial_kernel

    x, y = _sets()
    xx, yy, xy = (polynomial_kernel(a, b, degree=2, coef0=0) for a, b in ((x, x), (y, y), (x, y)))
    expected = 100 * (xx.mean() + yy.mean() - 2 * xy.mean())
    assert _compute(BIASED, x, y).value == pytest.approx(expected, rel=1e-12)


def test_the_unbiased_form_is_the_default(clean: Protocol) -> None:
    x, y = _sets()
    xx, yy, xy = ((a @ b.T / 8) ** 2 for a, b in ((x, x), (y, y), (x, y)))
    n, m = len(x), len(y)
    expected = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    assert _compute(clean, x, y).value == pytest.approx(100 * (expected - 2 * xy.mean()), rel=1e-10)


def test_only_the_biased_form_has_a_floor_for_equal_distributions(clean: Protocol) -> None:
    rng = np.random.default_rng(1)
    biased, unbiased = [], []
    for _ in range(30):
        x, y = rng.standard_normal((100, 16)), rng.standard_normal((100, 16))
        biased.append(_compute(BIASED, x, y).value)
        unbiased.append(_compute(clean, x, y).value)
    # The floor is about (100 / d^2) (E||x||^4 / N + E||y||^4 / M), with E||x||^4 = d (d + 2).
    assert np.mean(biased) == pytest.approx(100 / 256 * 2 * (16 * 18) / 100, rel=0.2)
    assert abs(np.mean(unbiased)) < 3 * np.std(unbiased) / np.sqrt(30)


def test_it_is_blind_to_the_sign_of_the_features(clean: Protocol) -> None:
    x, y = _sets(shift=0.0)
    assert _compute(clean, x, y).value == pytest.approx(_compute(clean, -x, y).value, rel=1e-12)


def test_the_standard_error_is_on_the_values_scale(clean: Protocol) -> None:
    x, y = _sets(300, 300)
    estimate = _compute(clean, x, y)
    values = []
    rng = np.random.default_rng(2)
    for _ in range(60):
        values.append(
            _compute(clean, rng.standard_normal((300, 8)), rng.standard_normal((300, 8)) * 1.3 + 0.2).value
        )
    assert 0.5 < estimate.standard_error / np.std(values) < 2
    assert estimate.low < estimate.value < estimate.high


def test_of_the_kernel_section_only_the_form_acts() -> None:
    x, y = _sets()
    for name in ("clean", "tats", "seer"):
        assert _compute(load_protocol(name), x, y).value == _compute(load_protocol("clean"), x, y).value
    assert JediMmd(load_protocol("seer")).parameters() == JediMmd(load_protocol("clean")).parameters()
    assert JediMmd(BIASED).describe() == "kernel:poly2,1/d,0|biased|x100"


def test_it_is_registered_and_needs_v_jepa(clean: Protocol) -> None:
    needs = extractors_needed([build_metric("jedi_mmd", clean)])
    assert (needs.generated, needs.reference) == (("vjepa",), ("vjepa",))
    with pytest.raises(MetricError, match="JEDi MMD"):
        _compute(clean, np.ones((3, 2)), np.full((3, 2), np.nan))
