"""Equivalence tests and win rates against SciPy's tests and by identity."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp

from reelbench.core.equivalence import (
    Centred,
    centred_pairs,
    centred_sets,
    equivalence_p_value,
    smallest_margin,
    win_rate,
)
from reelbench.core.errors import MetricError
from reelbench.core.paired import PairedComparison, Pairs, pair_up, paired_test
from reelbench.core.statistics import Floats


def pairs_of(differences: Floats | list[float], per_source: int = 1) -> Pairs:
    values = np.asarray(differences, dtype=np.float64)
    keys = tuple((f"s{n:03}", 0) for n in range(len(values)))
    sources = tuple(f"v{n // per_source}" for n in range(len(values)))
    return Pairs(keys, values, np.zeros(len(values)), sources)


@pytest.mark.parametrize("margin", [0.2, 0.5, 2.0])
def test_below_20_sources_it_is_two_one_sided_t_tests(margin: float) -> None:
    values = np.random.default_rng(1).normal(0.1, 0.5, 12)
    found = centred_pairs(pairs_of(values))
    assert found is not None
    lower = ttest_1samp(values, -margin, alternative="greater").pvalue
    upper = ttest_1samp(values, margin, alternative="less").pvalue
    assert equivalence_p_value(found, margin) == pytest.approx(max(lower, upper))


def test_of_a_cluster_the_mean_counts_once() -> None:
    values = np.random.default_rng(2).normal(0, 1, 10)
    once, four_times = centred_pairs(pairs_of(values)), centred_pairs(pairs_of(values.repeat(4), 4))
    assert once is not None
    assert four_times is not None
    assert equivalence_p_value(once, 1.0) == pytest.approx(equivalence_p_value(four_times, 1.0))


@pytest.mark.parametrize("count", [8, 40])
@pytest.mark.parametrize("is_skewed", [False, True])
def test_the_smallest_margin_is_where_p_is_five_percent(count: int, is_skewed: bool) -> None:
    rng = np.random.default_rng(count)
    values = rng.lognormal(0, 1, count) - 1.5 if is_skewed else rng.normal(0.2, 1, count)
    found = centred_pairs(pairs_of(values))
    assert found is not None
    margin = smallest_margin(found)
    assert equivalence_p_value(found, margin) == pytest.approx(0.05)
    assert equivalence_p_value(found, margin * 1.05) < 0.05 < equivalence_p_value(found, margin * 0.95)


def test_skewed_differences_need_a_larger_margin_than_t_says() -> None:
    values = np.random.default_rng(3).lognormal(0, 1, 40) - 1.6
    found = centred_pairs(pairs_of(values))
    assert found is not None
    assert smallest_margin(found) > smallest_margin(Centred(found.centre, found.standard_error, 39))
    # Mirrored, it is the other side that is far.
    mirrored = centred_pairs(pairs_of(-values))
    assert mirrored is not None
    assert smallest_margin(mirrored) == pytest.approx(smallest_margin(found))


def test_equal_scores_are_equivalent_at_any_margin() -> None:
    found = centred_pairs(pairs_of(np.zeros(30)))
    assert found is not None
    assert smallest_margin(found) == 0.0
    assert equivalence_p_value(found, 1e-12) == 0.0


def test_a_steady_difference_is_equivalent_beyond_it_alone() -> None:
    found = Centred(0.5, 0.0, 4)
    assert equivalence_p_value(found, 0.6) == 0.0
    assert equivalence_p_value(found, 0.5) == 1.0
    assert smallest_margin(found) == 0.5


def test_without_an_error_there_is_nothing_to_test_with() -> None:
    assert centred_pairs(pairs_of([1.0, 2.0], per_source=2)) is None
    assert centred_sets(PairedComparison(1.0, None, None, None, 0, 0.5, "swap", 0.5, 2, 1)) is None
    centred = centred_sets(PairedComparison(1.0, 0.5, -0.2, 1.8, 19, 0.5, "swap", 0.001, 40, 20))
    assert centred == Centred(0.8, 0.5, 19)


@pytest.mark.parametrize("margin", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_margin_is_refused(margin: float) -> None:
    with pytest.raises(MetricError, match="a finite number above 0"):
        equivalence_p_value(Centred(0.0, 1.0, 5), margin)


def test_of_many_independent_pairs_the_win_rate_has_wilsons_interval() -> None:
    signs = np.where(np.random.default_rng(4).random(2000) < 0.7, 1.0, -1.0)
    found = win_rate(pairs_of(signs), higher_is_better=True)
    textbook = binomtest(found.num_wins, 2000).proportion_ci(method="wilson")
    assert found.rate == found.num_wins / 2000
    assert (found.low, found.high) == pytest.approx((textbook.low, textbook.high), abs=1e-4)


def test_lower_is_better_turns_the_winner() -> None:
    pairs = pairs_of([1.0, 2.0, -1.0, 0.0])
    up, down = win_rate(pairs, higher_is_better=True), win_rate(pairs, higher_is_better=False)
    assert (up.num_wins, up.num_ties, up.num_losses, up.rate) == (2, 1, 1, 0.625)
    assert (down.num_wins, down.num_losses, down.rate) == (1, 2, 0.375)
    assert up.low is not None
    assert down.high is not None
    assert up.low == pytest.approx(1 - down.high)


def test_clips_of_one_source_tell_less_than_as_many_sources() -> None:
    signs = np.where(np.random.default_rng(5).random(30) < 0.7, 1.0, -1.0)
    apart, together = win_rate(pairs_of(signs), True), win_rate(pairs_of(signs.repeat(4), 4), True)
    assert apart.rate == together.rate
    assert (apart.low, apart.high) == pytest.approx((together.low, together.high))


def test_where_all_are_won_the_interval_is_open_downwards_and_ties_alone_have_none() -> None:
    won = win_rate(pairs_of(np.ones(10)), True)
    assert won.rate == won.high == 1.0
    assert won.low is not None
    assert 0.5 < won.low < 0.9
    assert win_rate(pairs_of(np.zeros(10)), True).low is None


def test_pairs_are_those_that_both_have_with_a_number() -> None:
    a = {("s", 0): 1.0, ("t", 0): 2.0, ("u", 0): None, ("v", 0): 1.0, ("w", 0): 5.0}
    b = {("s", 0): 0.5, ("t", 0): float("nan"), ("u", 0): 1.0, ("w", 1): 5.0, ("x", 0): 1.0}
    found = pair_up(a, b, dict.fromkeys("stuvwx", "video"))
    assert found.keys == (("s", 0),)
    assert found.differences.tolist() == [0.5]
    with pytest.raises(MetricError):
        paired_test(pair_up({}, {}, {}))
