"""Two systems on the same samples: their scores in pairs, and the test of the differences.

Everything that compares systems clip by clip stands on `pair_up` and `paired_test`: methods of one run, a
night and the one before, results of different runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .statistics import Floats, mean_estimate, sign_flip_test

Pair = tuple[str, int]
"""Sample id and seed."""


@dataclass(frozen=True)
class PairedComparison:
    """How two systems differ by a metric.

    Attributes:
        difference: value of A minus value of B; of a clip metric the mean over the pairs.
        standard_error: clustered on the source, or by the jackknife over sources of both systems and the
            reference; None for too few.
        low, high: 95% interval, of a set metric around the bias-corrected difference.
        degrees: of freedom of the standard error, 0 where there is none.
        p_value: two-sided, of sign flips, or of the swap test.
        test: the test in words.
        resolution: the smallest p-value that the test can give.
        n: clips of each system; of a set metric in a run.
        num_sources: sources that were flipped or exchanged.
    """

    difference: float
    standard_error: float | None
    low: float | None
    high: float | None
    degrees: int
    p_value: float
    test: str
    resolution: float
    n: int
    num_sources: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pairs:
    """The pairs that two systems have in common, sorted.

    Attributes:
        keys: [n] sample and seed.
        a, b: [n] the scores.
        sources: [n] the source video of each pair.
    """

    keys: tuple[Pair, ...]
    a: Floats
    b: Floats
    sources: tuple[str, ...]

    @property
    def differences(self) -> Floats:
        """[n] a - b."""
        return self.a - self.b

    @property
    def are_equal(self) -> bool:
        """Whether all scores are equal to the last bit: there is nothing to test."""
        return not self.differences.any()


def pair_up(
    a: Mapping[Pair, float | None], b: Mapping[Pair, float | None], source_of: Mapping[str, str]
) -> Pairs:
    """The pairs for which both systems have a finite score.

    Args:
        a, b: scores by sample and seed; None and what is not finite count as missing.
        source_of: the source video of each sample that both have.

    >>> pair_up({("s", 0): 3.0, ("t", 0): 1.0}, {("s", 0): 1.0, ("t", 0): None}, {"s": "v"}).differences
    array([2.])
    """
    found = [
        (key, first, second)
        for key in sorted(a.keys() & b.keys())
        if (first := a[key]) is not None and math.isfinite(first)
        if (second := b[key]) is not None and math.isfinite(second)
    ]
    return Pairs(
        keys=tuple(key for key, _, _ in found),
        a=np.array([first for _, first, _ in found], dtype=np.float64),
        b=np.array([second for _, _, second in found], dtype=np.float64),
        sources=tuple(source_of[sample] for (sample, _), _, _ in found),
    )


def paired_test(pairs: Pairs) -> PairedComparison:
    """The mean difference, its clustered interval, and the test by sign flips of whole sources.

    Args:
        pairs: at least one.

    Raises:
        MetricError: there is none.
    """
    differences = pairs.differences
    estimate = mean_estimate(differences, pairs.sources)
    test = sign_flip_test(differences, pairs.sources)
    return PairedComparison(
        difference=estimate.value,
        standard_error=estimate.standard_error,
        low=estimate.low,
        high=estimate.high,
        degrees=estimate.num_sources - 1,
        p_value=test.p_value,
        resolution=test.resolution,
        n=len(pairs.keys),
        num_sources=estimate.num_sources,
        test=test.name,
        notes=estimate.notes,
    )
