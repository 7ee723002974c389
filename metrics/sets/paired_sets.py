"""Comparing two systems by a set metric, on the same prompts and the same reference.

The test exchanges the two systems' clips of whole sources with probability 1/2 and asks how often the
difference becomes as large as the one seen. The small-sample bias of FVD cancels in the difference.

Shape suffixes: N clips of each system, M reference clips, D features, S sources, P patterns of exchange.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from ...core.contracts import SetMetric
from ...core.errors import MetricError
from ...core.paired import PairedComparison
from ...core.seeds import generator
from ...core.statistics import group_jackknife, t_interval
from ...core.types import Estimate
from .features import WARN_BELOW_N, FeatureSets, Floats, Ints, check_sets

MAX_SWAPS = 999
MIN_SWAPS = 199
_PATTERNS_AT_ONCE = 64


@dataclass(frozen=True)
class SwapTest:
    """Result of `swap_test`."""

    p_value: float
    num_patterns: int
    exact: bool

    @property
    def name(self) -> str:
        """The test in words."""
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


def affordable_swaps(operations: float, budget: float = 1.2e12) -> int:
    """How many swaps of so many operations each a budget allows, from 199 to 999.

    The budget is about 20 seconds of one core: 999 swaps of FVD on 3,000 clips of 400 features. No clock
    enters, so the same data give the same p-value everywhere.
    """
    return int(np.clip(budget / max(operations, 1.0), MIN_SWAPS, MAX_SWAPS))


class Swaps(Protocol):
    """Differences of a set metric under exchanges; see `swaps`."""

    @property
    def operations(self) -> float:
        """Floating-point operations of one exchange, roughly."""
        ...

    def differences(self, patterns_PS: np.ndarray) -> Floats:
        """[P] differences; True in [P, S] exchanges a source's clips."""
        ...


class PairedSetMetric(SetMetric):
    """A metric of two sets of features by which two systems are compared as well.

    A subclass computes on checked sets; see the members that begin with an underscore.
    """

    warn_below_n: ClassVar[int] = WARN_BELOW_N
    needed_for: ClassVar[str] = "a covariance"
    """Why each side must have `min_n` clips, for the message."""
    is_halved: ClassVar[bool] = False
    """Whether the value is one of two halves, each of half as many clips."""
    noun: ClassVar[str] = "clips"
    """What a row of the features is of."""
    comparison_notes: tuple[str, ...] = ()
    """What the reader of a comparison must know."""

    def compute(
        self,
        generated_ND: np.ndarray,
        reference_ND: np.ndarray,
        groups: Sequence[str],
        reference_groups: Sequence[str],
    ) -> Estimate:
        """The value with its group-jackknife standard error.

        Args:
            generated_ND, reference_ND: finite features, at least `min_n` rows on each side.
            groups, reference_groups: the source video of each row; a source is left out on both sides.

        Raises:
            MetricError: wrong shapes, too few clips, NaN or infinite features.
        """
        return self._estimate(self._checked(generated_ND, reference_ND, groups, reference_groups, self.min_n))

    def value(self, generated_ND: np.ndarray, reference_ND: np.ndarray) -> float | None:
        """The number alone, without its uncertainty, of features that were checked."""
        return self._value(self._prepared(generated_ND), self._prepared(reference_ND))

    def compare(
        self,
        a: Sequence[np.ndarray],
        b: Sequence[np.ndarray],
        reference_ND: np.ndarray,
        groups: Sequence[str],
        reference_groups: Sequence[str],
        seed: int = 0,
        max_swaps: int = MAX_SWAPS,
    ) -> PairedComparison:
        """The difference of two systems.

        Over several runs of the systems (seeds) the difference is the mean over the runs, each at its own N,
        and a source is exchanged in all runs at once.

        Args:
            a, b: features [N, D] of each run of the systems, row by row of the same samples.
            reference_ND: [M, D] of all.
            groups, reference_groups: the source video of each row.
            seed: of the patterns that are drawn.
            max_swaps: patterns drawn at most; large sets get fewer, see `affordable_swaps`.

        Raises:
            MetricError: numbers of runs or of clips differ; or as `compute`.
        """
        if len(a) != len(b) or not a:
            raise MetricError(
                f"{self.label}: {len(a)} runs of one system, {len(b)} of the other; each needs the same"
            )
        if any(len(side) != len(groups) for side in (*a, *b)):
            lengths = [len(side) for side in (*a, *b)]
            raise MetricError(
                f"{self.label}: systems are compared on the same samples, got {lengths} clips for "
                f"{len(groups)} samples"
            )
        sets = [
            tuple(self._checked(side, reference_ND, groups, reference_groups) for side in pair)
            for pair in zip(a, b, strict=True)
        ]
        _, index = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
        source_N: Ints = np.asarray(index.ravel(), dtype=np.int64)
        num_sources = int(source_N.max()) + 1
        swaps = [self._swaps(one, other, source_N) for one, other in sets]

        def difference_of(patterns_PS: np.ndarray) -> Floats:
            return np.mean([item.differences(patterns_PS) for item in swaps], axis=0)

        observed = float(difference_of(np.zeros((1, num_sources), dtype=bool))[0])
        num_swaps = min(max_swaps, affordable_swaps(sum(item.operations for item in swaps)))
        test = swap_test(difference_of, observed, num_sources, seed, num_swaps)
        first = sets[0][0]
        error = low = high = None
        degrees = 0
        if first.num_groups:
            left = np.mean([self._left_out(one) - self._left_out(other) for one, other in sets], axis=0)
            jackknife = group_jackknife(observed, left, first.fractions)
            error, degrees = jackknife.standard_error, jackknife.num_groups - 1
            low, high = t_interval(jackknife.bias_corrected, error, degrees)
        return PairedComparison(
            difference=observed,
            standard_error=error,
            low=low,
            high=high,
            degrees=degrees,
            p_value=test.p_value,
            test=test.name,
            resolution=test.resolution,
            n=len(groups),
            num_sources=num_sources,
            notes=self.comparison_notes,
        )

    def _checked(
        self,
        generated_ND: np.ndarray,
        reference_ND: np.ndarray,
        groups: Sequence[str],
        reference_groups: Sequence[str],
        min_n: int = 2,
    ) -> FeatureSets:
        ours, theirs = self._prepared(generated_ND), self._prepared(reference_ND)
        return check_sets(
            self.label,
            ours,
            theirs,
            groups,
            reference_groups,
            min_n,
            self.needed_for,
            self.is_halved,
            holds_own=self.references != "others",
            noun=self.noun,
        )

    def _prepared(self, features_ND: np.ndarray) -> Floats:
        """Features as the formula takes them."""
        return np.asarray(features_ND, dtype=np.float64)

    @abstractmethod
    def _estimate(self, sets: FeatureSets) -> Estimate:
        """Value and uncertainty."""

    @abstractmethod
    def _value(self, generated_ND: Floats, reference_MD: Floats) -> float:
        """The value alone."""

    @abstractmethod
    def _left_out(self, sets: FeatureSets) -> Floats:
        """[G] the value without each of the jackknife groups."""

    @abstractmethod
    def _swaps(self, one: FeatureSets, other: FeatureSets, source_N: Ints) -> Swaps:
        """The exchanges of two systems' clips, given the index of each row's source."""
