"""Comparing systems by set metrics: the quick forms against brute force, and what the test says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from reelbench.core.errors import MetricError
from reelbench.metrics.build import build_metric
from reelbench.metrics.protocol import parse_protocol
from reelbench.metrics.sets.frechet import frechet_distance
from reelbench.metrics.sets.kernel import polynomial_mmd
from reelbench.metrics.sets.paired_sets import affordable_swaps, swap_test
from reelbench.metrics.sets.swaps import FrechetSwaps, KernelSwaps


def features(n: int, d: int, seed: int = 0, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) * scale * np.arange(1, d + 1) ** -0.5 + shift


def exchanged(
    a: np.ndarray, b: np.ndarray, pattern: np.ndarray, source: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    swap = pattern[source][:, None]
    return np.where(swap, b, a), np.where(swap, a, b)


@pytest.mark.parametrize(("n", "m", "d"), [(60, 50, 7), (12, 10, 20), (12, 60, 20), (60, 10, 20)])
@pytest.mark.parametrize("ddof", [0, 1])
def test_frechet_differences_are_those_of_the_exchanged_sets(n: int, m: int, d: int, ddof: int) -> None:
    a, b, reference = features(n, d, 0), features(n, d, 1, 0.2, 1.3), features(m, d, 2, 5.0)
    source = np.arange(n) // 2
    patterns = np.random.default_rng(3).integers(0, 2, (6, source.max() + 1)).astype(bool)
    patterns[0] = False
    found = FrechetSwaps(a, b, reference, source, ddof).differences(patterns)
    for value, pattern in zip(found, patterns, strict=True):
        x, y = exchanged(a, b, pattern, source)
        expected = frechet_distance(x, reference, ddof) - frechet_distance(y, reference, ddof)
        assert value == pytest.approx(expected, rel=1e-10, abs=1e-11)


@pytest.mark.parametrize("unbiased", [True, False])
def test_kernel_differences_are_those_of_the_exchanged_sets(unbiased: bool) -> None:
    a, b, reference = features(30, 6, 0), features(30, 6, 1, 0.2, 1.3), features(25, 6, 2)
    source = np.arange(30) // 3
    patterns = np.random.default_rng(3).integers(0, 2, (6, 10)).astype(bool)
    swaps = KernelSwaps(a, b, reference, source, degree=3, gamma=None, coef0=1.0, unbiased=unbiased)
    for value, pattern in zip(swaps.differences(patterns), patterns, strict=True):
        x, y = exchanged(a, b, pattern, source)
        expected = polynomial_mmd(x, reference, unbiased=unbiased) - polynomial_mmd(
            y, reference, unbiased=unbiased
        )
        assert value == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_few_sources_are_enumerated() -> None:
    a, b, reference = features(8, 3, 0), features(8, 3, 1, 0.5), features(20, 3, 2)
    source = np.arange(8) // 2
    swaps = FrechetSwaps(a, b, reference, source)
    observed = float(swaps.differences(np.zeros((1, 4), dtype=bool))[0])
    test = swap_test(swaps.differences, observed, 4)
    values = []
    for pattern in itertools.product([False, True], repeat=4):
        x, y = exchanged(a, b, np.array(pattern), source)
        values.append(frechet_distance(x, reference) - frechet_distance(y, reference))
    expected = np.mean(np.abs(values) >= abs(values[0]) - 1e-9)
    assert test.exact
    assert test.num_patterns == 16
    assert test.p_value == pytest.approx(expected)


@pytest.mark.parametrize("name", ["fvd", "kvd"])
def test_a_real_difference_is_found_and_its_sign_is_right(name: str) -> None:
    metric = build_metric(name, parse_protocol({"name": "t", "version": "1"}))
    groups = [f"s{index}" for index in range(120)]
    near, far, reference = features(120, 6, 0), features(120, 6, 1, 0.8), features(150, 6, 2)
    others = [f"r{index}" for index in range(150)]
    found = metric.compare([near], [far], reference, groups, others)
    assert found.difference < 0
    assert found.p_value == pytest.approx(1 / 1000)
    assert found.high < 0
    assert found.n == found.num_sources == 120
    swapped = metric.compare([far], [near], reference, groups, others)
    assert swapped.difference == pytest.approx(-found.difference)
    assert swapped.standard_error == pytest.approx(found.standard_error)


def test_the_difference_is_that_of_the_two_values() -> None:
    metric = build_metric("fvd", parse_protocol({"name": "t", "version": "1"}))
    groups = [f"s{index}" for index in range(40)]
    a, b, reference = features(40, 5, 0), features(40, 5, 1, 0.3), features(40, 5, 2)
    values = [metric.compute(side, reference, groups, groups).value for side in (a, b)]
    assert metric.compare([a], [b], reference, groups, groups).difference == pytest.approx(
        values[0] - values[1], rel=1e-9
    )


def test_systems_that_are_alike_are_rarely_told_apart() -> None:
    """Under the null p is uniform: of 60 comparisons, few lie below 0.1."""
    metric = build_metric("fvd", parse_protocol({"name": "t", "version": "1"}))
    groups = [f"s{index}" for index in range(24)]
    reference = features(24, 4, 999)
    p = [
        metric.compare(
            [features(24, 4, k)], [features(24, 4, 1000 + k)], reference, groups, groups, k, max_swaps=99
        ).p_value
        for k in range(60)
    ]
    # Binomial(60, 0.1): more than 13 has a probability below 1 in 300.
    assert np.sum(np.array(p) < 0.1) <= 13
    assert 0.3 < np.mean(p) < 0.7


def test_the_seed_alone_decides_the_patterns() -> None:
    metric = build_metric("fvd", parse_protocol({"name": "t", "version": "1"}))
    groups = [f"s{index}" for index in range(30)]
    a, b, reference = features(30, 4, 0), features(30, 4, 1, 0.1), features(30, 4, 2)
    first, again, other = (
        metric.compare([a], [b], reference, groups, groups, seed).p_value for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_over_several_runs_the_difference_is_the_mean_and_the_error_shrinks() -> None:
    metric = build_metric("fvd", parse_protocol({"name": "t", "version": "1"}))
    groups = [f"s{index}" for index in range(40)]
    reference = features(60, 5, 9)
    others = [f"r{index}" for index in range(60)]
    a = [features(40, 5, seed) for seed in range(3)]
    b = [features(40, 5, 10 + seed, 0.3) for seed in range(3)]
    each = [metric.compare([x], [y], reference, groups, others) for x, y in zip(a, b, strict=True)]
    together = metric.compare(a, b, reference, groups, others)
    assert together.difference == pytest.approx(np.mean([item.difference for item in each]))
    assert together.standard_error < max(item.standard_error for item in each)
    assert together.n == 40


def test_systems_of_other_samples_are_refused() -> None:
    metric = build_metric("kvd", parse_protocol({"name": "t", "version": "1"}))
    a = features(4, 3)
    with pytest.raises(MetricError, match=r"the same samples, got \[4, 3\] clips for 4 samples"):
        metric.compare([a], [a[:3]], a, list("abcd"), list("abcd"))
    with pytest.raises(MetricError, match="2 runs of one system, 1 of the other"):
        metric.compare([a, a], [a], a, list("abcd"), list("abcd"))


def test_centred_kernels_are_not_compared() -> None:
    centred = parse_protocol({"name": "t", "version": "1", "kernel": {"centred": True}})
    a = features(4, 3)
    with pytest.raises(MetricError, match="centred"):
        build_metric("kvd", centred).compare([a], [a], a, list("abcd"), list("abcd"))


def test_large_sets_get_fewer_swaps_by_their_size_alone() -> None:
    assert affordable_swaps(1e6) == 999
    assert affordable_swaps(1e12) == 199
    assert 199 < affordable_swaps(3e9) < 999


def test_one_clip_is_measured_only_where_the_protocol_allows_it() -> None:
    strict = build_metric("fvd", parse_protocol({"name": "t", "version": "1"}))
    data = {"name": "t", "version": "1", "frechet": {"single_clip": "no-covariance"}}
    lenient = build_metric("fvd", parse_protocol(data))
    one, other = features(1, 4, 0), features(1, 4, 1)
    with pytest.raises(MetricError, match="at least 2 are needed for a covariance"):
        strict.compute(one, other, ["a"], ["b"])
    found = lenient.compute(one, other, ["a"], ["b"])
    assert found.value == pytest.approx(np.square(one - other).sum())
    assert any("covariance is taken as zero" in note for note in found.notes)
    many = features(9, 4, 2)
    against = lenient.compute(one, many, ["a"], [f"s{k}" for k in range(9)])
    expected = np.square(one[0] - many.mean(axis=0)).sum() + np.trace(np.cov(many, rowvar=False))
    assert against.value == pytest.approx(expected)


def test_the_swap_test_agrees_with_scipys_permutation_test() -> None:
    """Samples that scipy exchanges pair by pair, with FVD computed anew for each of the 64 patterns."""
    from scipy import stats

    rows = np.concatenate([features(6, 3, 0), features(6, 3, 1, 0.4)])
    reference = features(15, 3, 2)

    def difference(x: np.ndarray, y: np.ndarray) -> float:
        return frechet_distance(rows[x], reference) - frechet_distance(rows[y], reference)

    theirs = stats.permutation_test(
        (np.arange(6), np.arange(6, 12)),
        difference,
        permutation_type="samples",
        vectorized=False,
        n_resamples=np.inf,
    )
    metric = build_metric("fvd", parse_protocol({"name": "t", "version": "1"}))
    ids = list("abcdef")
    found = metric.compare([rows[:6]], [rows[6:]], reference, ids, [f"r{k}" for k in range(15)])
    assert found.p_value == pytest.approx(theirs.pvalue)
    assert "exact" in found.test
    assert found.resolution == 2 / 64


def test_singular_and_constant_sets_are_exact() -> None:
    """Repeated clips, references all alike, a mean far off: nothing is lost to roots of rounding errors."""
    a, b = np.repeat(features(15, 12, 0, 100.0), 4, 0), np.repeat(features(15, 12, 1, 100.0), 4, 0)
    source = np.arange(60)
    patterns = np.random.default_rng(3).integers(0, 2, (4, 60)).astype(bool)
    for reference in (np.repeat(features(5, 12, 2), 6, 0), np.ones((8, 12))):
        found = FrechetSwaps(a, b, reference, source).differences(patterns)
        for value, pattern in zip(found, patterns, strict=True):
            x, y = exchanged(a, b, pattern, source)
            expected = frechet_distance(x, reference) - frechet_distance(y, reference)
            assert value == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_fewer_swaps_can_be_asked_for_and_are_named() -> None:
    metric = build_metric("fvd", parse_protocol({"name": "t", "version": "1"}))
    ids = [f"s{index}" for index in range(30)]
    a, b, reference = features(30, 4, 0), features(30, 4, 1, 2.0), features(30, 4, 2)
    found = metric.compare([a], [b], reference, ids, ids, max_swaps=49)
    assert found.p_value == found.resolution == 1 / 50
    assert "50 patterns, p no smaller than 0.02" in found.test
