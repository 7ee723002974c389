"""Whether two systems are alike, and how often one of them is the better one.

A large p-value does not show that two systems are alike. The equivalence test does: it rejects that the true
difference is as large as a margin, in either direction (two one-sided tests, TOST). What margin counts as
"alike" is a judgement about the metric that no data can give, so there is no default; without a margin,
`smallest_margin` says for which ones equivalence would be shown.

Sources: Schuirmann (1987), "A comparison of the two one-sided tests procedure and the power approach ...";
Korn & Graubard (1998), "Confidence intervals for proportions with small expected number of positive counts
estimated from survey data".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .errors import MetricError
from .paired import PairedComparison, Pairs
from .statistics import (
    ALPHA,
    CONFIDENCE,
    LEAST_SKEWNESS,
    SKEW_FROM,
    Floats,
    cluster_sums,
    mean_estimate,
    sample_skewness,
    skewed_t_interval,
)


@dataclass(frozen=True)
class Centred:
    """A difference with its error, as the equivalence test takes it.

    Attributes:
        centre: the difference; of a set metric without its estimated bias.
        standard_error: at least 0.
        degrees: of freedom of it, at least 1.
        sums: [C] of a clip metric the differences about their mean, one for each source; None of others.
    """

    centre: float
    standard_error: float
    degrees: int
    sums: Floats | None = None


def centred_pairs(pairs: Pairs) -> Centred | None:
    """The mean difference of pairs; None where no error can be had (one source)."""
    found = mean_estimate(pairs.differences, pairs.sources)
    if found.standard_error is None:
        return None
    sums = cluster_sums(pairs.differences - found.value, pairs.sources)
    return Centred(found.value, found.standard_error, found.num_sources - 1, sums)


def centred_sets(compared: PairedComparison) -> Centred | None:
    """The difference of a set metric about which its interval lies; None where it has no interval."""
    if compared.standard_error is None or compared.low is None or compared.high is None:
        return None
    return Centred((compared.low + compared.high) / 2, compared.standard_error, compared.degrees)


def equivalence_p_value(difference: Centred, margin: float) -> float:
    """p of the two one-sided tests that the true difference lies within -+ `margin`.

    p = max(P(t_df > (d + margin) / SE), P(t_df < (d - margin) / SE)). It is at most 5% exactly where the 90%
    interval of the difference lies within the margins. From 20 sources on each of the two is the larger one
    of t's and of Hall's for skewed terms, as in `statistics.skewed_t_interval`. Without any error (all
    differences equal) it is 0 within the margin, and 1 at it or beyond.

    Args:
        margin: above 0, in the metric's unit.

    Raises:
        MetricError: the margin is not a finite number above 0.

    >>> round(equivalence_p_value(Centred(0.0, 1.0, 19), 2.0), 4)
    0.03
    """
    from scipy.special import stdtr

    check_margin(margin)
    if difference.standard_error == 0.0:
        return 0.0 if abs(difference.centre) < margin else 1.0
    from_below = (difference.centre + margin) / difference.standard_error
    from_above = (margin - difference.centre) / difference.standard_error
    p_values = [float(stdtr(difference.degrees, -distance)) for distance in (from_below, from_above)]
    if difference.sums is not None and len(difference.sums) >= SKEW_FROM:
        skewness, count = sample_skewness(difference.sums), len(difference.sums)
        for distance, sign in ((from_below, 1.0), (from_above, -1.0)):
            moved = _unskewed(distance, sign * skewness, count)
            p_values.append(float(stdtr(difference.degrees, -moved)))
    return max(p_values)


def smallest_margin(difference: Centred) -> float:
    """The margin beyond which equivalence is shown at 5%: the farther end of the 90% interval.

    >>> round(smallest_margin(Centred(0.5, 1.0, 19)), 3)
    2.229
    """
    from scipy.special import stdtrit

    sums = difference.sums
    if sums is not None and len(sums) >= SKEW_FROM:
        low, high = skewed_t_interval(difference.centre, difference.standard_error, sums, 1 - 2 * ALPHA)
        return max(-low, high)
    half = float(stdtrit(difference.degrees, 1 - ALPHA)) * difference.standard_error
    return abs(difference.centre) + half


def check_margin(margin: float) -> None:
    """Refuse what is no margin.

    Raises:
        MetricError: it is not a finite number above 0.
    """
    if not (np.isfinite(margin) and margin > 0):
        raise MetricError(f"a margin is a finite number above 0, got {margin}")


def _unskewed(t: float, skewness: float, count: int) -> float:
    """Hall's transformation of T; see `statistics.skewed_t_interval`."""
    if abs(skewness) < LEAST_SKEWNESS:
        return t
    root = float(np.sqrt(count))
    return t + skewness * t**2 / (3 * root) + skewness**2 * t**3 / (27 * count) + skewness / (6 * root)


@dataclass(frozen=True)
class WinRate:
    """How often A is better than B.

    Attributes:
        num_wins, num_ties, num_losses: pairs; a tie is an equal score, to the last bit.
        rate: (wins + ties / 2) / pairs.
        low, high: its 95% interval; None with one source, and where all pairs are ties.
    """

    num_wins: int
    num_ties: int
    num_losses: int
    rate: float
    low: float | None
    high: float | None


def win_rate(pairs: Pairs, higher_is_better: bool) -> WinRate:
    """The share of pairs in which A is better; ties count half.

    The interval is Wilson's for as many independent pairs as give the clustered standard error (Korn &
    Graubard: n* = p (1 - p) / SE^2 (z / t_df)^2, at most the number of pairs; where all pairs are won, or
    none, the number of sources).

    Args:
        pairs: at least one.

    >>> pairs = Pairs((("s", 0), ("t", 0)), np.array([2.0, 1.0]), np.array([1.0, 1.0]), ("s", "t"))
    >>> win_rate(pairs, higher_is_better=True).rate
    0.75
    """
    from scipy.special import ndtri, stdtrit

    signs = np.sign(pairs.differences) * (1.0 if higher_is_better else -1.0)
    wins, ties, losses = (int(np.count_nonzero(signs == sign)) for sign in (1, 0, -1))
    found = mean_estimate((1.0 + signs) / 2, pairs.sources)
    rate, error = found.value, found.standard_error
    if error is None or ties == len(signs):
        return WinRate(wins, ties, losses, rate, None, None)
    z = float(ndtri(0.5 + CONFIDENCE / 2))
    if error == 0.0:
        effective = float(found.num_sources)
    else:
        effective = rate * (1 - rate) / error**2
    effective *= (z / float(stdtrit(found.num_sources - 1, 0.5 + CONFIDENCE / 2))) ** 2
    effective = min(effective, float(len(signs)))
    middle = (rate + z**2 / (2 * effective)) / (1 + z**2 / effective)
    half = z / (1 + z**2 / effective) * np.sqrt(rate * (1 - rate) / effective + z**2 / (4 * effective**2))
    return WinRate(wins, ties, losses, rate, max(0.0, float(middle - half)), min(1.0, float(middle + half)))
