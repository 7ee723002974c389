"""What difference a comparison could have seen, and how many sources a wanted one takes."""

from __future__ import annotations

import math

from .errors import MetricError

ALPHA = 0.05
POWER = 0.80


def min_detectable(standard_error: float, degrees: int, alpha: float = ALPHA, power: float = POWER) -> float:
    """The smallest true difference that a two-sided test finds with the given power.

    MDD = (t_{1 - alpha/2, df} + t_{power, df}) SE. A difference below it that was not found significant says
    nothing. A correction for several comparisons (Holm) is not part of it: with one, it is larger.

    Args:
        standard_error: of the paired difference, at least 0.
        degrees: of freedom of that error: sources or jackknife groups less one, at least 1.
        alpha, power: in (0, 1).

    Raises:
        MetricError: an argument is out of range.

    Source: Bloom (1995), "Minimum detectable effects", with Student's t for the normal quantiles.

    >>> round(min_detectable(1.0, 10_000), 2)
    2.8
    """
    if not (standard_error >= 0 and degrees >= 1 and 0 < alpha < 1 and 0 < power < 1):
        raise MetricError(
            f"minimum detectable difference: standard error {standard_error} must be at least 0, degrees "
            f"{degrees} at least 1, alpha {alpha} and power {power} between 0 and 1"
        )
    from scipy.special import stdtrit  # here: `--help` need not pay for importing scipy

    return float(stdtrit(degrees, 1 - alpha / 2) + stdtrit(degrees, power)) * standard_error


def sources_needed(
    difference: float,
    standard_error: float,
    num_sources: int,
    alpha: float = ALPHA,
    power: float = POWER,
) -> int:
    """How many sources would make a difference detectable, if the error falls with their root.

    Args:
        difference: the difference that is to be found, not 0.
        standard_error: seen with `num_sources` sources (at least 2).

    Returns:
        the number of sources, at least 2; the smallest one for which the difference is at least the minimum
        detectable one.

    >>> sources_needed(0.5, 1.0, 100)
    3142
    """
    if difference == 0 or num_sources < 2:
        raise MetricError(f"sources needed: the difference {difference} must not be 0, sources at least 2")
    scale = standard_error * math.sqrt(num_sources)

    def detects(count: int) -> bool:
        return min_detectable(scale / math.sqrt(count), count - 1, alpha, power) <= abs(difference)

    high = 2
    while not detects(high):
        high *= 2
    low = 2
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if detects(middle) else (middle + 1, high)
    return low
