"""Set metrics of clips against the references of *other* clips.

Where each clip continues, edits or replays its own reference, the two sides are not independent. FVD and KVD
then come out smaller the closer clips keep to their references, whatever their distribution, and one that
is wrong can stand before one that is right (`benchmarks/tied_references.py`). Here no clip is held against
its own reference:

* Fréchet distances: sources are dealt to two halves; the clips of each are measured against the references
  of the other, and the value is the mean of the two distances. It is a value at N/2.
* Kernel distances: the mean of k(x_i, y_j) between the sides leaves out pairs of one source, so there is no
  bias at any N, as of independent sides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ...core.errors import MetricError
from ...core.types import Estimate
from .features import WARN_BELOW_N, FeatureSets, Floats, Ints, own_pairs, set_estimate
from .frechet import frechet_distance, frechet_without_each_group
from .fvd import Fvd, FvdVideoMae, without_interval
from .fvmd import Fvmd
from .jedi import JediMmd
from .kvd import Kvd, KvdVideoMae
from .paired_sets import PairedSetMetric, Swaps
from .swaps import FrechetSwaps


class _OthersReferences(PairedSetMetric):
    """What the two ways share."""

    references: ClassVar[str | None] = "others"
    others: ClassVar[str | None] = None

    def parameters(self) -> Mapping[str, Any]:
        """As of the metric, and whose references."""
        return {**super().parameters(), "references": self.references}

    def describe(self) -> str:
        """As of the metric, and whose references."""
        return f"{super().describe()}|references:{self.references}"

    def value(self, generated_ND: np.ndarray, reference_ND: np.ndarray) -> float | None:
        """None: without the sources there is no other clip."""
        return None


class _FrechetOfOthers(_OthersReferences, Fvd):
    """The mean distance of two halves."""

    min_n: ClassVar[int] = 4
    warn_below_n: ClassVar[int] = 2 * WARN_BELOW_N
    needed_for: ClassVar[str] = "two halves with a covariance each"
    is_halved: ClassVar[bool] = True

    def compute(
        self,
        generated_ND: np.ndarray,
        reference_ND: np.ndarray,
        groups: Sequence[str],
        reference_groups: Sequence[str],
    ) -> Estimate:
        """As `PairedSetMetric.compute`; one clip has no halves, whatever the protocol says of it."""
        return self._estimate(self._checked(generated_ND, reference_ND, groups, reference_groups, self.min_n))

    def _checked(
        self,
        generated_ND: np.ndarray,
        reference_ND: np.ndarray,
        groups: Sequence[str],
        reference_groups: Sequence[str],
        min_n: int = 4,
    ) -> FeatureSets:
        sets = super()._checked(generated_ND, reference_ND, groups, reference_groups, min_n)
        sides = [side for half in _halves(sets) for side in ((half.x, half.group_x), (half.y, half.group_y))]
        if min(len(rows) for rows, _ in sides) < 2:
            raise MetricError(
                f"{self.label}: {sets.num_sources} sources do not give two halves of two clips each",
                "measure more source videos",
            )
        leaves_two = all(len(rows) - np.bincount(group).max() >= 2 for rows, group in sides)
        return sets if leaves_two else replace(sets, num_groups=0)

    def _estimate(self, sets: FeatureSets) -> Estimate:
        halves, ddof = _halves(sets), self._settings.ddof
        exact = float(np.mean([frechet_distance(half.x, half.y, ddof) for half in halves]))
        value = float(np.mean([self._value(half.x, half.y) for half in halves]))
        fewest = min(min(len(half.x), len(half.y)) for half in halves)
        notes = [
            f"a value at N = {fewest}: each half's clips against the references of the other half, so that "
            "no clip is held against its own"
        ]
        if self._settings.formula == "svd":
            notes.append("standard error and bias by the exact formula in float64")
        left_out = self._left_out(sets) if sets.num_groups else None
        estimate = set_estimate(value, sets, left_out, jackknife_value=exact, notes=tuple(notes))
        num_dimensions = sets.generated_ND.shape[1]
        return without_interval(estimate, num_dimensions) if fewest < num_dimensions else estimate

    def _left_out(self, sets: FeatureSets) -> Floats:
        parts = [
            frechet_without_each_group(
                half.x, half.y, half.group_x, half.group_y, sets.num_groups, self._settings.ddof
            )
            for half in _halves(sets)
        ]
        return np.asarray(np.mean(parts, axis=0))

    def _swaps(self, one: FeatureSets, other: FeatureSets, source_N: Ints) -> Swaps:
        return _MeanSwaps(
            [
                FrechetSwaps(
                    one.generated_ND[one.half_N == half],
                    other.generated_ND[one.half_N == half],
                    one.reference_MD[one.half_M != half],
                    source_N[one.half_N == half],
                    self._settings.ddof,
                )
                for half in (0, 1)
            ]
        )


class _Half(NamedTuple):
    """Clips of one half, references of the other, and their groups."""

    x: Floats
    y: Floats
    group_x: Ints
    group_y: Ints


def _halves(sets: FeatureSets) -> list[_Half]:
    chosen = [(sets.half_N == half, sets.half_M != half) for half in (0, 1)]
    return [
        _Half(sets.generated_ND[of_x], sets.reference_MD[of_y], sets.group_N[of_x], sets.group_M[of_y])
        for of_x, of_y in chosen
    ]


class _MeanSwaps:
    """The mean of several differences under one exchange."""

    def __init__(self, parts: list[FrechetSwaps]) -> None:
        self._parts = parts

    @property
    def operations(self) -> float:
        """Of all parts."""
        return sum(part.operations for part in self._parts)

    def differences(self, patterns_PS: np.ndarray) -> Floats:
        """[P] mean of the parts' differences."""
        return np.asarray(np.mean([part.differences(patterns_PS) for part in self._parts], axis=0))


class _KernelOfOthers(_OthersReferences, Kvd):
    """The mean between the sides without pairs of one source."""

    def _own_pairs(self, source_N: Ints, source_M: Ints) -> tuple[Ints, Ints] | None:
        rows, columns = own_pairs(source_N, source_M)
        if len(rows) == len(source_N) * len(source_M):
            raise MetricError(
                f"{self.label}: all clips are of one source, which leaves no other clip's reference",
                "measure more source videos",
            )
        return rows, columns


class FvdOthers(_FrechetOfOthers):
    """FVD of clips against the references of other clips, at N/2; see the module's docstring."""

    name: ClassVar[str] = "fvd_others"
    label: ClassVar[str] = "FVD (others' references)"


class KvdOthers(_KernelOfOthers):
    """KVD of clips against the references of other clips; see the module's docstring."""

    name: ClassVar[str] = "kvd_others"
    label: ClassVar[str] = "KVD (others' references)"


class FvdVideoMaeOthers(_FrechetOfOthers, FvdVideoMae):
    """As `FvdOthers`, on VideoMAE features."""

    name: ClassVar[str] = "fvd_videomae_others"
    label: ClassVar[str] = "FVD (VideoMAE, others' references)"


class KvdVideoMaeOthers(_KernelOfOthers, KvdVideoMae):
    """As `KvdOthers`, on VideoMAE features."""

    name: ClassVar[str] = "kvd_videomae_others"
    label: ClassVar[str] = "KVD (VideoMAE, others' references)"


class JediMmdOthers(_KernelOfOthers, JediMmd):
    """As `KvdOthers`, by JEDi's kernel on V-JEPA 2 features."""

    name: ClassVar[str] = "jedi_mmd_others"
    label: ClassVar[str] = "JEDi MMD (V-JEPA 2, others' references)"


class FvmdOthers(_FrechetOfOthers, Fvmd):
    """As `FvdOthers`, on FVMD's histograms of motion."""

    name: ClassVar[str] = "fvmd_others"
    label: ClassVar[str] = "FVMD (others' references)"
