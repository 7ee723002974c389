"""Fréchet video distance.

Unterthiner et al., "Towards Accurate Generative Models of Video: A New Metric & Challenges" (2018): the
Fréchet distance between Gaussians fitted to the I3D logits of generated and of reference clips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from ...core.types import Estimate, Level
from ..protocol import Protocol
from .features import MAX_GROUPS, FeatureSets, Floats, Ints, check_sets
from .frechet import frechet_distance, frechet_svd, frechet_without_each_group
from .frechet_swaps import FrechetSwaps
from .paired_sets import MAX_SWAPS, PairedComparison, compare_systems
from .set_metric import set_estimate


class Fvd:
    """FVD on I3D logits, lower is better, 0 for identical sets.

    FVD = ||mu_g - mu_r||^2 + tr S_g + tr S_r - 2 tr (S_g S_r)^{1/2}; see `frechet`.
    """

    name: ClassVar[str] = "fvd"
    version: ClassVar[str] = "1"
    unit: ClassVar[str] = "squared I3D logits"
    higher_is_better: ClassVar[bool] = False
    level: ClassVar[Level] = "set"
    needs: ClassVar[tuple[str, ...]] = ("i3d",)
    min_n: ClassVar[int] = 2
    label: ClassVar[str] = "FVD"

    def __init__(self, protocol: Protocol) -> None:
        self._settings = protocol.frechet

    def parameters(self) -> Mapping[str, Any]:
        return {**self._settings.model_dump(mode="json"), "max_groups": MAX_GROUPS}

    def describe(self) -> str:
        """For signatures."""
        return self._settings.describe()

    def compute(
        self,
        generated_ND: np.ndarray,
        reference_ND: np.ndarray,
        groups: Sequence[str],
        reference_groups: Sequence[str],
    ) -> Estimate:
        """FVD with its group-jackknife standard error and bias-corrected value.

        With fewer clips than dimensions there is no interval: the bias does not fall with 1/N there, and the
        jackknife takes out only a part of it. An interval of 95% in name held the truth in few or none of
        simulated experiments (`benchmarks/interval_coverage.py`).

        Args:
            generated_ND, reference_ND: finite features, at least 2 rows on each side.
            groups, reference_groups: the source video of each row; a source is left out on both sides.

        Raises:
            MetricError: wrong shapes, fewer than 2 clips, NaN or infinite features.
        """
        single = self._settings.single_clip == "no-covariance"
        sets = check_sets(
            self.label, generated_ND, reference_ND, groups, reference_groups, min_n=1 if single else 2
        )
        x, y, ddof = sets.generated_ND, sets.reference_MD, self._settings.ddof
        if min(len(x), len(y)) == 1:
            return self._of_single(sets)
        exact = frechet_distance(x, y, ddof)
        value = exact
        notes: tuple[str, ...] = ()
        if self._settings.formula == "svd":
            value = frechet_svd(x, y, ddof, self._settings.dtype, self._settings.ridge)
            notes = ("standard error and bias by the exact formula in float64",)
        left_out = None
        if sets.num_groups:
            left_out = frechet_without_each_group(x, y, sets.group_N, sets.group_M, sets.num_groups, ddof)
        estimate = set_estimate(value, sets, left_out, jackknife_value=exact, notes=notes)
        return _without_interval(estimate, x.shape[1]) if min(len(x), len(y)) < x.shape[1] else estimate

    def _of_single(self, sets: FeatureSets) -> Estimate:
        """A side of one clip: its covariance is taken as zero, which leaves ||mu_g - mu_r||^2 and the other
        side's trace."""
        x, y, ddof = sets.generated_ND, sets.reference_MD, self._settings.ddof
        shift_D = x.mean(axis=0) - y.mean(axis=0)
        traces = [np.var(side, axis=0, ddof=ddof).sum() for side in (x, y) if len(side) > 1]
        note = "one clip on a side: its covariance is taken as zero (--allow-small)"
        return set_estimate(float(shift_D @ shift_D + sum(traces)), sets, None, notes=(note,))

    def value(self, generated_ND: np.ndarray, reference_ND: np.ndarray) -> float:
        """FVD alone, without its uncertainty, of checked features."""
        settings = self._settings
        if settings.formula == "svd":
            return frechet_svd(generated_ND, reference_ND, settings.ddof, settings.dtype, settings.ridge)
        return frechet_distance(generated_ND, reference_ND, settings.ddof)

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
        """The difference of two systems by FVD; arguments and errors: `paired_sets.compare_systems`."""
        ddof = self._settings.ddof

        def make_swaps(one: FeatureSets, other: FeatureSets, source_N: Ints) -> FrechetSwaps:
            return FrechetSwaps(one.generated_ND, other.generated_ND, one.reference_MD, source_N, ddof)

        def left_out(sets: FeatureSets) -> Floats:
            return frechet_without_each_group(
                sets.generated_ND, sets.reference_MD, sets.group_N, sets.group_M, sets.num_groups, ddof
            )

        exact = self._settings.formula != "svd"
        notes = () if exact else ("compared by the exact formula in float64",)
        return compare_systems(
            self.label,
            a,
            b,
            reference_ND,
            groups,
            reference_groups,
            seed,
            make_swaps,
            left_out,
            notes,
            max_swaps,
        )


def _without_interval(estimate: Estimate, num_dimensions: int) -> Estimate:
    """The estimate where the correction of its bias is known to fall short."""
    if estimate.low is None:
        return estimate
    note = (
        f"fewer clips than the {num_dimensions} feature dimensions: only a part of the bias is corrected, "
        "the distance of the distributions is likely smaller, and no interval is given (differences between "
        "methods have one)"
    )
    return replace(
        estimate,
        low=None,
        high=None,
        interval="none (fewer clips than dimensions); standard error: delete-a-group jackknife over sources",
        notes=(*estimate.notes, note),
    )
