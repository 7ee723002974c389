"""Intervals and tests."""

from __future__ import annotations

import numpy as np
from row import relative, row
from scipy import optimize, stats

from reelbench.core.statistics import mean_estimate, sign_flip_test


@row("statistics", "mean, standard error and t-interval, one clip a source", "scipy.stats", 1e-12, "relative")
def mean_interval() -> float:
    values = np.random.default_rng(3).gamma(2.0, size=19)
    ours = mean_estimate(values, [str(k) for k in range(19)])
    low, high = stats.t.interval(0.95, 18, values.mean(), stats.sem(values))
    assert ours.low is not None
    assert ours.high is not None
    return max(relative(ours.low, float(low)), relative(ours.high, float(high)))


@row(
    "statistics",
    "interval widened for skewness",
    "its equation solved by scipy.optimize.brentq",
    1e-9,
    "relative",
)
def skewed_interval() -> float:
    values = np.random.default_rng(3).gamma(0.5, size=40)
    ours = mean_estimate(values, [str(k) for k in range(40)])
    g, root = float(stats.skew(values, bias=False)), np.sqrt(40)
    q = float(stats.t.ppf(0.975, 39))

    def h(t: float) -> float:
        return float(t + g * t**2 / (3 * root) + g**2 * t**3 / (27 * 40) + g / (6 * root))

    error = float(stats.sem(values))
    ends = [values.mean() - error * optimize.brentq(lambda t, c=c: h(t) - c, -99, 99) for c in (q, -q)]
    usual = stats.t.interval(0.95, 39, values.mean(), error)
    assert ours.low is not None
    assert ours.high is not None
    return max(relative(ours.low, min(ends[0], usual[0])), relative(ours.high, max(ends[1], usual[1])))


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
