"""Comparing two systems by a set metric, on the same prompts and the same reference.

The test exchanges the two systems' clips of whole sources with probability 1/2, which changes nothing in
distribution if the systems are alike, and asks how often the difference becomes as large as the one seen. The
small-sample bias of FVD is the same for both systems, so it cancels in the difference.

Shape suffixes: N clips of each system, M reference clips, D features, S sources, P patterns of exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.errors import MetricError
from ..core.seeds import generator
from ..core.statistics import group_jackknife, t_interval
from .features import FeatureSets, Floats, Ints

MAX_SWAPS = 999
MIN_SWAPS = 199
_PATTERNS_AT_ONCE = 64


@dataclass(frozen=True)
class PairedComparison:
    """How two systems differ by a set metric.

    Attributes:
        difference: value of A minus value of B.
        standard_error: by the jackknife that leaves out the same sources of both systems and the reference;
            None where there are too few sources.
        low, high: 95% interval of the difference, around its bias-corrected value.
        degrees: of freedom of the interval; 0 where there is none.
        p_value: of the swap test, two-sided.
        test: the test in words.
        n: clips of each system.
        num_sources: sources that were exchanged.
        notes: what the reader must know.
    """

    difference: float
    standard_error: float | None
    low: float | None
    high: float | None
    degrees: int
    p_value: float
    test: str
    n: int
    num_sources: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SwapTest:
    """Result of `swap_test`."""

    p_value: float
    num_patterns: int
    exact: bool

    @property
    def name(self) -> str:
        how = (
            "exact"
            if self.exact
            else f"{self.num_patterns} patterns, p no smaller than {self.resolution:.1g}"
        )
        return f"swap permutation of sources, two-sided ({how})"

    @property
    def resolution(self) -> float:
        """The smallest p-value that it can give."""
        return (2 if self.exact else 1) / self.num_patterns


def swap_test(
    difference_of: Callable[[np.ndarray], Floats],
    observed: float,
    num_sources: int,
    seed: int = 0,
    max_swaps: int = MAX_SWAPS,
) -> SwapTest:
    """p = #{patterns : |difference| >= |observed|} / #patterns, the observed pattern among them.

    All 2^S patterns where they are at most `max_swaps` + 1, otherwise the observed one and `max_swaps` drawn
    ones, so that p is never 0 and the test never too liberal (Phipson & Smyth 2010).

    Args:
        difference_of: from patterns bool [P, S] (True: the source is exchanged) to differences [P].
        observed: the difference without any exchange.
        num_sources: S.
        seed: of the local generator that draws the patterns.
        max_swaps: at least 1.
    """
    exact = 2**num_sources <= max_swaps + 1 if num_sources < 60 else False
    # Patterns that give the observed value in another order of addition must count as equal to it.
    threshold = abs(observed) * (1 - 1e-9)
    if exact:
        total = 2**num_sources
        codes = np.arange(total)
        patterns = (codes[:, None] >> np.arange(num_sources)[None, :] & 1).astype(bool)
        hits = _hits(difference_of, patterns, threshold)
        return SwapTest(hits / total, total, True)
    patterns = (
        generator("swap", seed).integers(0, 2, size=(max_swaps, num_sources), dtype=np.int8).astype(bool)
    )
    hits = 1 + _hits(difference_of, patterns, threshold)
    return SwapTest(hits / (max_swaps + 1), max_swaps + 1, False)


def _hits(difference_of: Callable[[np.ndarray], Floats], patterns: np.ndarray, threshold: float) -> int:
    hits = 0
    for start in range(0, len(patterns), _PATTERNS_AT_ONCE):
        differences = difference_of(patterns[start : start + _PATTERNS_AT_ONCE])
        hits += int(np.count_nonzero(np.abs(differences) >= threshold))
    return hits


def affordable_swaps(operations: float, budget: float = 4e12) -> int:
    """How many swaps of so many operations each a budget allows, from 199 to 999.

    The number depends on the sizes only, never on a clock, so the same data give the same p-value
    everywhere.
    """
    return int(np.clip(budget / max(operations, 1.0), MIN_SWAPS, MAX_SWAPS))


def paired_comparison(
    sets_a: FeatureSets,
    sets_b: FeatureSets,
    difference: float,
    left_out_a: Floats | None,
    left_out_b: Floats | None,
    test: SwapTest,
    num_sources: int,
    notes: tuple[str, ...] = (),
) -> PairedComparison:
    """Put the difference, its paired jackknife and the test together.

    Args:
        sets_a, sets_b: of the same sources, dealt to the same groups.
        left_out_a, left_out_b: [G] the metric without each group; None where there is no jackknife.
    """
    n = len(sets_a.generated_ND)
    if left_out_a is None or left_out_b is None or len(left_out_a) != len(left_out_b):
        return PairedComparison(
            difference, None, None, None, 0, test.p_value, test.name, n, num_sources, notes
        )
    jackknife = group_jackknife(difference, left_out_a - left_out_b, sets_a.fractions)
    degrees = jackknife.num_groups - 1
    low, high = t_interval(jackknife.bias_corrected, jackknife.standard_error, degrees)
    return PairedComparison(
        difference,
        jackknife.standard_error,
        low,
        high,
        degrees,
        test.p_value,
        test.name,
        n,
        num_sources,
        notes,
    )


def check_paired(metric: str, groups_a: Sequence[str], groups_b: Sequence[str]) -> Ints:
    """The source of each clip as an index; both systems must have the same clips in the same order.

    Raises:
        MetricError: they have not.
    """
    if list(groups_a) != list(groups_b):
        raise MetricError(
            f"{metric}: the two systems must have clips of the same samples in the same order to be compared"
        )
    _, index = np.unique(np.asarray(groups_a, dtype=np.str_), return_inverse=True)
    return np.asarray(index.ravel(), dtype=np.int64)
