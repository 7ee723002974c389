"""Means, paired tests, corrections and the jackknife, against formulas written out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from reelbench.core.errors import MetricError
from reelbench.core.statistics import (
    group_jackknife,
    group_sources,
    holm,
    mean_estimate,
    sign_flip_test,
    t_interval,
)


def test_singleton_clusters_give_the_textbook_error() -> None:
    x = np.random.default_rng(0).standard_normal(30)
    estimate = mean_estimate(x, [str(i) for i in range(30)])
    assert estimate.value == pytest.approx(x.mean())
    assert estimate.standard_error == pytest.approx(x.std(ddof=1) / np.sqrt(30))
    assert (estimate.n, estimate.num_sources) == (30, 30)


def test_clustered_error_written_out() -> None:
    values, clusters = [1.0, 2.0, 4.0, 7.0, 7.0, 9.0], ["a", "a", "b", "c", "c", "c"]
    mean = 5.0
    sums = [1 + 2 - 2 * mean, 4 - mean, 7 + 7 + 9 - 3 * mean]
    expected = np.sqrt(3 / 2 * sum(s**2 for s in sums)) / 6
    estimate = mean_estimate(values, clusters)
    assert estimate.standard_error == pytest.approx(expected)
    assert (estimate.low, estimate.high) == pytest.approx(t_interval(mean, expected, 2))
    assert "clustered on source" in estimate.interval


def test_copies_of_clips_do_not_shrink_the_error() -> None:
    x = np.random.default_rng(1).standard_normal(20)
    ids = [str(i) for i in range(20)]
    once, thrice = mean_estimate(x, ids), mean_estimate(np.repeat(x, 3), np.repeat(ids, 3).tolist())
    assert thrice.standard_error == pytest.approx(once.standard_error)


def test_clustered_error_covers_in_a_simulation() -> None:
    rng = np.random.default_rng(2)
    clusters = np.repeat([str(i) for i in range(15)], 4).tolist()
    inside = 0
    for _ in range(400):
        x = np.repeat(rng.standard_normal(15), 4) + 0.5 * rng.standard_normal(60)
        estimate = mean_estimate(x, clusters)
        inside += estimate.low <= 0 <= estimate.high
    assert 0.92 <= inside / 400 <= 0.98


def test_one_source_has_no_error() -> None:
    estimate = mean_estimate([1.0, 2.0], ["a", "a"])
    assert (estimate.value, estimate.standard_error, estimate.low) == (1.5, None, None)
    assert estimate.notes


@pytest.mark.parametrize("values", [[], [1.0, float("nan")], [float("inf"), 1.0]])
def test_means_of_nothing_and_nan_are_refused(values: list[float]) -> None:
    with pytest.raises(MetricError):
        mean_estimate(values, ["a"] * len(values))
    with pytest.raises(MetricError):
        sign_flip_test(values, ["a"] * len(values))


def test_lengths_must_match() -> None:
    with pytest.raises(MetricError, match="2 values but 1 source"):
        mean_estimate([1.0, 2.0], ["a"])


def test_t_interval_against_a_table() -> None:
    assert t_interval(0, 1, 10)[1] == pytest.approx(2.228139, abs=1e-6)
    assert t_interval(5, 2, 1)[0] == pytest.approx(5 - 2 * 12.706205, abs=1e-5)


def test_sign_flips_are_enumerated_exactly() -> None:
    x = [0.3, -0.1, 0.8, 0.5, 0.2]
    patterns = [
        sum(s * v for s, v in zip(signs, x, strict=True)) for signs in itertools.product((1, -1), repeat=5)
    ]
    expected = np.mean([abs(p) >= sum(x) - 1e-9 for p in patterns])
    test = sign_flip_test(x, list("abcde"))
    assert test.exact
    assert test.p_value == pytest.approx(expected)
    assert test.difference == pytest.approx(np.mean(x))


def test_sources_are_flipped_whole() -> None:
    x = [1.0, 2.0, -0.5, 4.0]
    test = sign_flip_test(x, ["a", "a", "b", "b"])
    assert (test.num_clusters, test.num_flips) == (2, 4)
    assert test.p_value == sign_flip_test([3.0, 3.5], ["a", "b"]).p_value == 0.5


def test_drawn_flips_agree_with_exact_ones_and_repeat() -> None:
    x = np.random.default_rng(3).standard_normal(12) + 0.5
    ids = [str(i) for i in range(12)]
    exact, drawn = sign_flip_test(x, ids), sign_flip_test(x, ids, seed=1, max_flips=4000)
    assert exact.exact
    assert not drawn.exact
    assert drawn.p_value == pytest.approx(exact.p_value, abs=0.02)
    assert drawn == sign_flip_test(x, ids, seed=1, max_flips=4000)


def test_sign_flips_of_nothing_and_of_much() -> None:
    ids = [str(i) for i in range(100)]
    assert sign_flip_test(np.zeros(100), ids).p_value == 1.0
    assert sign_flip_test(np.ones(100), ids, max_flips=1000).p_value == 1 / 1000


def test_sign_flips_hold_their_level() -> None:
    rng = np.random.default_rng(4)
    ids = [str(i) for i in range(8)]
    p = [sign_flip_test(rng.standard_normal(8), ids).p_value for _ in range(500)]
    assert np.mean(np.array(p) <= 0.05) <= 0.08


def test_holm_by_hand() -> None:
    # 4 tests sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04 -> running maximum.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
    with pytest.raises(MetricError):
        holm([1.2])


def test_groups_depend_on_the_ids_only() -> None:
    ids = [f"video{i}" for i in range(101)]
    groups = group_sources(ids)
    assert groups == group_sources(ids[::-1] + ids)
    assert sorted(np.bincount(list(groups.values()))) == [5] * 19 + [6]
    assert len(set(group_sources(["a", "b", "c"]).values())) == 3


def test_jackknife_of_a_mean_is_the_textbook_error() -> None:
    x = np.random.default_rng(5).standard_normal(24)
    left_out = [np.delete(x, i).mean() for i in range(24)]
    result = group_jackknife(x.mean(), left_out, [1 / 24] * 24)
    assert result.standard_error == pytest.approx(x.std(ddof=1) / np.sqrt(24))
    assert result.bias_corrected == pytest.approx(x.mean())


def test_jackknife_takes_the_bias_out_of_the_plain_variance() -> None:
    x = np.random.default_rng(6).standard_normal(24)
    left_out = [np.delete(x, i).var() for i in range(24)]
    assert group_jackknife(x.var(), left_out, [1 / 24] * 24).bias_corrected == pytest.approx(x.var(ddof=1))


def test_jackknife_with_unequal_groups() -> None:
    x = np.random.default_rng(7).standard_normal(31)
    group = np.arange(31) % 7
    left_out = [x[group != g].mean() for g in range(7)]
    result = group_jackknife(x.mean(), left_out, np.bincount(group) / 31)
    assert result.bias_corrected == pytest.approx(x.mean())
    assert result.standard_error == pytest.approx(x.std(ddof=1) / np.sqrt(31), rel=0.7)


def test_jackknife_needs_groups() -> None:
    with pytest.raises(MetricError, match="at least 2 groups"):
        group_jackknife(1.0, [1.0], [1.0])


def test_sign_flips_agree_with_scipys_permutation_test() -> None:
    from scipy import stats

    x = np.random.default_rng(7).standard_normal(10) + 0.4
    theirs = stats.permutation_test(
        (x, np.zeros(10)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    )
    ours = sign_flip_test(x, [str(i) for i in range(10)])
    assert ours.p_value == pytest.approx(theirs.pvalue)


def test_the_resolution_is_the_smallest_p() -> None:
    ids = [str(i) for i in range(20)]
    for test in (
        sign_flip_test(np.ones(4), ids[:4]),
        sign_flip_test(np.arange(1.0, 21.0), ids, max_flips=500),
    ):
        assert test.p_value == pytest.approx(test.resolution)


def test_the_interval_of_skewed_values_reaches_to_their_tail_and_is_the_ts_without_skewness() -> None:
    values = np.random.default_rng(0).lognormal(-0.5, 1.0, 40)
    sources = [str(index) for index in range(40)]
    found = mean_estimate(values, sources)
    low, high = t_interval(found.value, found.standard_error, 39)
    assert found.low == pytest.approx(low)
    assert found.high > high + 0.1 * found.standard_error
    mirrored = mean_estimate(-values, sources)
    assert (-mirrored.high, -mirrored.low) == pytest.approx((found.low, found.high), rel=1e-12)
    even = mean_estimate(np.concatenate([values, -values]), [str(index) for index in range(80)])
    assert (even.low, even.high) == pytest.approx(t_interval(0.0, even.standard_error, 79), abs=1e-9)
    few = mean_estimate(values[:19], sources[:19])
    assert (few.low, few.high) == t_interval(few.value, few.standard_error, 18)
    assert mean_estimate(np.ones(20), sources[:20]).low == 1.0


@pytest.mark.parametrize(("kind", "least"), [("skewed", 0.91), ("normal", 0.92), ("outliers", 0.92)])
def test_the_interval_holds_the_mean_of_skewed_values_more_often_than_the_ts(kind: str, least: float) -> None:
    hits, of_t = [], []
    sources = [str(index) for index in range(30)]
    for seed in range(400):
        rng = np.random.default_rng(seed)
        values = rng.lognormal(-0.5, 1.0, 30) if kind == "skewed" else 1 + rng.normal(size=30)
        if kind == "outliers":
            values += np.where(rng.random(30) < 0.03, rng.normal(0, 8, 30), 0)
        found = mean_estimate(values, sources)
        low, high = t_interval(found.value, found.standard_error, 29)
        hits.append(found.low <= 1 <= found.high)
        of_t.append(low <= 1 <= high)
    assert np.mean(hits) > least
    assert np.mean(hits) >= np.mean(of_t) + (0.02 if kind == "skewed" else 0)
