"""Uncertainty of means and of set metrics, and paired tests between systems.

Clip metrics have a mean whose standard error is clustered on the source video: captions, seeds and
edits of one video are not independent. Set metrics (FVD, KVD) get the delete-a-group jackknife over
source videos; a bootstrap would repeat clips, which acts like a smaller N and moves FVD so far that
its interval leaves out its own point estimate. Systems are compared by sign flips of paired
differences. All pure functions on numpy arrays; every random draw comes from a local generator.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .errors import MetricError
from .seeds import generator
from .types import Estimate

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CONFIDENCE = 0.95
ALPHA = 0.05
POWER = 0.80


def t_interval(centre: float, standard_error: float, degrees: int) -> tuple[float, float]:
    """centre -+ t_{0.975, degrees} * standard_error, the two-sided 95% interval of Student's t.

    Args:
        degrees: degrees of freedom, at least 1.

    >>> low, high = t_interval(0.0, 1.0, 19)
    >>> round(high, 3)
    2.093
    """
    from scipy.special import stdtrit  # here: importing scipy costs 0.1 s, which `--help` need not pay

    half = float(stdtrit(degrees, 0.5 + CONFIDENCE / 2)) * standard_error
    return centre - half, centre + half


SKEW_FROM = 20
"""With fewer sources their skewness is too rough an estimate: it widens intervals where there is none."""


def skewed_t_interval(
    centre: float, standard_error: float, sums: Floats, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """The t-interval of a mean, reaching farther on the side of the tail where its terms are skewed.

    T = (mean - truth) / SE is skewed where the terms are, by g. Hall's transformation h(T) = T + g T^2 / (3
    sqrt C) + g^2 T^3 / (27 C) + g / (6 sqrt C) is monotone and takes that out, and |h(T)| below Student's
    quantile gives an interval. Each end is the farther one of that and of the t-interval: Hall's alone is too
    short where few values lie far out on both sides, as simulated in docs/statistics.md.

    Args:
        sums: [C] the terms about their mean, one for each source, C >= 3.
        confidence: of the two-sided interval.

    Source: Hall (1992), "On the removal of skewness by transformation", J. R. Statist. Soc. B 54.

    >>> low, high = skewed_t_interval(0.0, 1.0, np.array([-1.0, 0.0, 1.0]))
    >>> round(low, 3), round(high, 3)
    (-4.303, 4.303)
    """
    from scipy.special import stdtrit

    count = len(sums)
    if not sums.any():
        return centre, centre
    skewness, root = sample_skewness(sums), float(np.sqrt(count))
    quantile = float(stdtrit(count - 1, 0.5 + confidence / 2))
    low, high = centre - quantile * standard_error, centre + quantile * standard_error
    if abs(skewness) < LEAST_SKEWNESS:
        return low, high

    def undone(h: float) -> float:
        return 3 * root / skewness * float(np.cbrt(1 + skewness * (h - skewness / (6 * root)) / root) - 1)

    return (
        min(low, centre - standard_error * undone(quantile)),
        max(high, centre - standard_error * undone(-quantile)),
    )


LEAST_SKEWNESS = 1e-6
"""What is below is none."""


def sample_skewness(sums: Floats) -> float:
    """C / ((C-1) (C-2)) sum x^3 / s^3 of terms about their mean that are not all 0, C >= 3."""
    count = len(sums)
    second, third = float(np.sum(sums**2)), float(np.sum(sums**3))
    return count / ((count - 1) * (count - 2)) * third / (second / (count - 1)) ** 1.5


def mean_estimate(values: Sequence[float] | Floats, clusters: Sequence[str]) -> Estimate:
    """The mean with its cluster-robust standard error and t-interval.

    SE^2 = C/(C-1) * sum_c (sum_{i in c} (x_i - mean))^2 / n^2 over C clusters; with one value in each
    cluster this is s^2/n. The interval is Student's t with C-1 degrees of freedom, from 20 clusters on
    widened for their skewness. With one cluster there is no standard error, and the notes say so.

    Args:
        values: [n] finite numbers, n >= 1.
        clusters: [n] the source video of each value.

    Raises:
        MetricError: no values, a value that is not finite, or lengths that differ.

    Source: Liang & Zeger (1986), the sandwich estimator for a mean; C/(C-1) is its usual small-sample
    factor.

    >>> estimate = mean_estimate([1.0, 2.0, 3.0, 4.0], ["a", "b", "c", "d"])
    >>> estimate.value, round(estimate.standard_error, 4)
    (2.5, 0.6455)
    """
    x = _finite(values, "values")
    _same_length(x, clusters)
    mean = float(np.mean(x))
    sums = cluster_sums(x - mean, clusters)
    n, num_clusters = len(x), len(sums)
    if num_clusters < 2:
        return Estimate(
            mean, None, None, None, "none", n, num_clusters, notes=("one source: no standard error",)
        )
    variance = num_clusters / (num_clusters - 1) * float(np.sum(sums**2)) / n**2
    standard_error = float(np.sqrt(variance))
    interval = f"95% t ({num_clusters - 1} df), clustered on source"
    if num_clusters < SKEW_FROM:
        low, high = t_interval(mean, standard_error, num_clusters - 1)
    else:
        low, high = skewed_t_interval(mean, standard_error, sums)
        interval = f"95% t ({num_clusters - 1} df), widened for skewness, clustered on source"
    return Estimate(mean, standard_error, low, high, interval, n, num_clusters)


@dataclass(frozen=True)
class SignFlipTest:
    """Result of `sign_flip_test`.

    Attributes:
        difference: the mean of the differences.
        p_value: two-sided.
        num_clusters: the clusters that were flipped as one.
        num_flips: sign patterns looked at, the observed one among them.
        exact: whether these were all of them.
    """

    difference: float
    p_value: float
    num_clusters: int
    num_flips: int
    exact: bool

    @property
    def name(self) -> str:
        """The test in words, for tables."""
        how = "exact" if self.exact else f"{self.num_flips} patterns"
        return f"sign-flip permutation, two-sided, by source ({how})"

    @property
    def resolution(self) -> float:
        """The smallest p-value that it can give: all signs turned give the observed pattern once more."""
        return (2 if self.exact else 1) / self.num_flips


def sign_flip_test(
    differences: Sequence[float] | Floats,
    clusters: Sequence[str],
    seed: int = 0,
    max_flips: int = 10_000,
) -> SignFlipTest:
    """Paired test that the differences are symmetric about zero, flipping whole sources.

    p = #{patterns s : |sum_c s_c d_c| >= |sum_c d_c|} / #patterns, d_c the sum of the differences of
    source c. All 2^C patterns where they are at most `max_flips`, otherwise the observed one and
    `max_flips - 1` drawn ones, so that p is never 0 and the test never too liberal.

    Args:
        differences: [n] value of system A minus value of system B on the same (sample, seed).
        clusters: [n] the source video of each pair.
        seed: of the local generator that draws the patterns.
        max_flips: at least 2.

    Raises:
        MetricError: no differences, one that is not finite, or lengths that differ.

    Source: Fisher's randomisation test; Phipson & Smyth (2010) on counting the observed pattern.

    >>> sign_flip_test([1.0, 1.0, 1.0], ["a", "b", "c"]).p_value
    0.25
    """
    x = _finite(differences, "differences")
    _same_length(x, clusters)
    sums = cluster_sums(x, clusters)
    count = len(sums)
    observed = abs(float(sums.sum()))
    # Patterns that give the observed sum in another order of addition must count as equal to it.
    threshold = observed - 1e-12 * float(np.abs(sums).sum())
    exact = 2**count <= max_flips
    if exact:
        num_flips = 2**count
        bits = np.arange(num_flips)[:, None] >> np.arange(count)[None, :] & 1
        hits = int(np.count_nonzero(np.abs((1 - 2 * bits) @ sums) >= threshold))
    else:
        num_flips, hits = max_flips, 1
        rng = generator("sign-flip", seed)
        left, block = max_flips - 1, max(1, 4_000_000 // count)
        while left:
            rows = min(block, left)
            signs = rng.integers(0, 2, size=(rows, count), dtype=np.int8) * 2.0 - 1.0
            hits += int(np.count_nonzero(np.abs(signs @ sums) >= threshold))
            left -= rows
    return SignFlipTest(float(np.mean(x)), hits / num_flips, count, num_flips, exact)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given.

    Sorted ascending, p~_(k) = max_{j <= k} min(1, (m - j + 1) p_(j)).

    Source: Holm (1979).

    >>> [round(p, 4) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    p = _finite(p_values, "p-values") if len(p_values) else np.empty(0)
    if np.any((p < 0) | (p > 1)):
        raise MetricError(f"p-values lie in [0, 1], got {p.tolist()}")
    order = np.argsort(p, kind="stable")
    stepped = np.minimum(1.0, p[order] * (len(p) - np.arange(len(p))))
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(stepped)
    return [float(value) for value in adjusted]


def group_sources(sources: Sequence[str], max_groups: int = 20) -> dict[str, int]:
    """Deals distinct source ids to at most `max_groups` jackknife groups of equal size (give or take one).

    The ids are ordered by their sha256, so the groups depend on the ids only, not on the order of the
    clips, and neighbours in a data set (clips of one film) are spread over the groups.

    >>> sorted(group_sources(["a", "b", "a", "c"], max_groups=2).values())
    [0, 0, 1]
    """
    ordered = sorted(set(sources), key=lambda source: hashlib.sha256(source.encode()).digest())
    return {source: index % max_groups for index, source in enumerate(ordered)}


@dataclass(frozen=True)
class Jackknife:
    """Result of `group_jackknife`: standard error, bias-corrected value and the number of groups."""

    standard_error: float
    bias_corrected: float
    num_groups: int


def group_jackknife(
    full: float, left_out: Sequence[float] | Floats, fractions: Sequence[float] | Floats
) -> Jackknife:
    """Delete-a-group jackknife, for groups of equal or unequal size.

    With h_g = 1/fraction_g, pseudo-values v_g = h_g theta - (h_g - 1) theta_(g):
    theta_J = G theta - sum_g (1 - fraction_g) theta_(g),  SE^2 = 1/G sum_g (v_g - theta_J)^2 / (h_g - 1).
    For equal groups this is the textbook form: theta_J = G theta - (G-1) mean theta_(g),
    SE^2 = (G-1)/G sum_g (theta_(g) - mean)^2.

    Args:
        full: theta, the statistic on everything.
        left_out: [G] theta_(g), the statistic without group g; G >= 2.
        fractions: [G] the share of the clips that group g holds, in (0, 1), summing to 1.

    Source: Busing, Meijer & van der Leeden (1999), delete-m_j jackknife for unequal m.

    >>> group_jackknife(2.0, [2.5, 2.0, 1.5], [1 / 3] * 3).bias_corrected
    2.0
    """
    theta = _finite(left_out, "left-out values")
    share = _finite(fractions, "fractions")
    groups = len(theta)
    if groups < 2 or len(share) != groups:
        raise MetricError(
            f"the jackknife needs at least 2 groups with a share each, got {groups}, {len(share)}"
        )
    h = 1.0 / share
    # Written with differences from the full value, so that nothing is lost where they are small.
    corrected = full + float(np.sum((1.0 - share) * (full - theta)))
    pseudo = full + (h - 1.0) * (full - theta)
    standard_error = float(np.sqrt(np.mean((pseudo - corrected) ** 2 / (h - 1.0))))
    return Jackknife(standard_error, corrected, groups)


def _finite(values: Sequence[float] | Floats, what: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array):
        raise MetricError(f"{what}: expected a non-empty list of numbers, got shape {array.shape}")
    if not np.isfinite(array).all():
        where = int(np.flatnonzero(~np.isfinite(array))[0])
        raise MetricError(f"{what}: entry {where} is {array[where]}; all must be finite")
    return array


def _same_length(values: Floats, clusters: Sequence[str]) -> None:
    if len(values) != len(clusters):
        raise MetricError(f"{len(values)} values but {len(clusters)} source ids; there must be one for each")


def cluster_sums(values: Floats, clusters: Sequence[str]) -> Floats:
    """[C] the sum of the values of each cluster, by the clusters' names."""
    _, index = np.unique(np.asarray(clusters, dtype=np.str_), return_inverse=True)
    return np.asarray(np.bincount(index.ravel(), weights=values), dtype=np.float64)


def min_detectable(standard_error: float, degrees: int) -> float:
    """The smallest true difference that a two-sided test at 5% finds with 80% power.

    MDD = (t_{0.975, df} + t_{0.8, df}) SE. A difference below it that was not found significant says
    nothing. A correction for several comparisons (Holm) is not part of it: with one, it is larger.

    Args:
        standard_error: of the paired difference, at least 0.
        degrees: of freedom of that error: sources or jackknife groups less one, at least 1.

    Raises:
        MetricError: an argument is out of range.

    Source: Bloom (1995), "Minimum detectable effects", with Student's t for the normal quantiles.

    >>> round(min_detectable(1.0, 10_000), 2)
    2.8
    """
    if not (standard_error >= 0 and degrees >= 1):
        raise MetricError(
            f"minimum detectable difference: standard error {standard_error} must be at least 0, degrees "
            f"{degrees} at least 1"
        )
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 1 - ALPHA / 2) + stdtrit(degrees, POWER)) * standard_error
