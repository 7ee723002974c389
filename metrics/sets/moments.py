"""Count, mean and scatter of a set of features, merged exactly.

For rows x_i: n, mean = sum x_i / n, scatter M = sum (x_i - mean)(x_i - mean)^T, all in float64. Two sets
merge by Chan's rule (Chan, Golub & LeVeque 1979); raw sums of x x^T would lose positive definiteness
when the mean is large against the deviation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .features import Floats, Ints


@dataclass(frozen=True)
class Moments:
    """n rows with their mean [D] and scatter [D, D]."""

    n: int
    mean_D: Floats
    scatter_DD: Floats

    @classmethod
    def of(cls, rows_ND: np.ndarray) -> Moments:
        """Moments of the rows; none at all gives n = 0."""
        rows = np.asarray(rows_ND, dtype=np.float64)
        if not len(rows):
            return cls(0, np.zeros(rows.shape[1]), np.zeros((rows.shape[1], rows.shape[1])))
        mean = rows.mean(axis=0)
        centred = rows - mean
        return cls(len(rows), mean, centred.T @ centred)

    def merge(self, other: Moments) -> Moments:
        """Moments of both sets together: M = M_a + M_b + delta delta^T n_a n_b / n."""
        n = self.n + other.n
        if not self.n or not other.n:
            return other if not self.n else self
        delta = other.mean_D - self.mean_D
        mean = self.mean_D + delta * (other.n / n)
        scaled = delta * np.sqrt(self.n * other.n / n)
        return Moments(n, mean, self.scatter_DD + other.scatter_DD + np.outer(scaled, scaled))

    def covariance(self, ddof: int = 1) -> Floats:
        """Scatter over n - ddof."""
        return self.scatter_DD / (self.n - ddof)


def moments_without_each_group(rows_ND: Floats, group_N: Ints, num_groups: int) -> list[Moments]:
    """Moments of everything but group g, for each g.

    Made by merging prefixes with suffixes (3 G merges), never by subtraction, which would cancel.
    """
    parts = [Moments.of(rows_ND[group_N == group]) for group in range(num_groups)]
    before = _running(parts)
    after = _running(parts[::-1])[::-1]
    # before[g] holds groups 0..g-1, after[g + 1] holds groups g+1..G-1.
    return [before[group].merge(after[group + 1]) for group in range(num_groups)]


def _running(parts: Sequence[Moments]) -> list[Moments]:
    d = len(parts[0].mean_D)
    sums = [Moments(0, np.zeros(d), np.zeros((d, d)))]
    for part in parts:
        sums.append(sums[-1].merge(part))
    return sums
