"""Intervals and tests."""

from __future__ import annotations

import numpy as np
from row import relative, row
from scipy import stats

from reelbench.core.statistics import mean_estimate, sign_flip_test


@row("statistics", "mean, standard error and t-interval, one clip a source", "scipy.stats", 1e-12, "relative")
def mean_interval() -> float:
    values = np.random.default_rng(3).gamma(2.0, size=40)
    ours = mean_estimate(values, [str(k) for k in range(40)])
    low, high = stats.t.interval(0.95, 39, values.mean(), stats.sem(values))
    assert ours.low is not None
    assert ours.high is not None
    return max(relative(ours.low, float(low)), relative(ours.high, float(high)))


@row("statistics", "sign-flip test, exact", "scipy.stats.permutation_test, all patterns", 1e-12, "absolute")
def sign_flips() -> float:
    values = np.random.default_rng(4).normal(0.4, 1.0, 12)
    theirs = stats.permutation_test(
        (values,),
        lambda x, axis: x.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    )
    return abs(sign_flip_test(values, [str(k) for k in range(12)]).p_value - float(theirs.pvalue))
