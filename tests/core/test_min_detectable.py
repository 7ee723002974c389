"""The minimum detectable difference, against a simulated experiment and scipy's quantiles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reelbench.core.errors import MetricError
from reelbench.core.statistics import min_detectable


def test_it_is_the_sum_of_the_two_quantiles() -> None:
    expected = stats.t.ppf(0.975, 19) + stats.t.ppf(0.8, 19)
    assert min_detectable(2.0, 19) == pytest.approx(2.0 * expected)


def test_a_difference_of_that_size_is_found_in_eight_of_ten_experiments() -> None:
    rng = np.random.default_rng(0)
    sources, sd = 30, 1.7
    true = min_detectable(sd / np.sqrt(sources), sources - 1)
    x = rng.normal(true, sd, size=(4000, sources))
    t = x.mean(axis=1) / (x.std(axis=1, ddof=1) / np.sqrt(sources))
    found = np.mean(np.abs(t) > stats.t.ppf(0.975, sources - 1))
    # The standard deviation of a share of 0.8 over 4,000 trials is 0.006; the t-form is an approximation.
    assert found == pytest.approx(0.8, abs=0.03)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(MetricError, match="degrees 0"):
        min_detectable(1.0, 0)
