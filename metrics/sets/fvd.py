"""Fréchet video distance.

Unterthiner et al., "Towards Accurate Generative Models of Video: A New Metric & Challenges" (2018): the
Fréchet distance between Gaussians fitted to the I3D logits of generated and of reference clips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from ...core.types import Estimate
from ..settings import FrechetSettings
from .features import MAX_GROUPS, FeatureSets, Floats, Ints, set_estimate
from .frechet import frechet_distance, frechet_svd, frechet_without_each_group
from .paired_sets import PairedSetMetric, Swaps
from .swaps import FrechetSwaps


class Fvd(PairedSetMetric):
    """FVD on I3D logits, lower is better, 0 for identical sets.

    FVD = ||mu_g - mu_r||^2 + tr S_g + tr S_r - 2 tr (S_g S_r)^{1/2}; see `frechet`.

    With fewer clips than dimensions there is no interval: the bias does not fall with 1/N there, and the
    jackknife takes out only a part of it. An interval of 95% in name held the truth in few or none of
    simulated experiments (`benchmarks/interval_coverage.py`).
    """

    name: ClassVar[str] = "fvd"
    version: ClassVar[str] = "1"
    unit: ClassVar[str] = "squared I3D logits"
    higher_is_better: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("i3d",)
    label: ClassVar[str] = "FVD"
    others: ClassVar[str | None] = "fvd_others"

    def __init__(self, protocol: Any) -> None:
        super().__init__(protocol)
        self._settings: FrechetSettings = protocol.frechet
        if self._settings.formula == "svd":
            self.comparison_notes = ("compared by the exact formula in float64",)

    def parameters(self) -> Mapping[str, Any]:
        """The Fréchet settings, and the jackknife's groups."""
        return {**self._settings.model_dump(mode="json"), "max_groups": MAX_GROUPS}

    def describe(self) -> str:
        """The Fréchet settings."""
        return self._settings.describe()

    def compute(
        self,
        generated_ND: np.ndarray,
        reference_ND: np.ndarray,
        groups: Sequence[str],
        reference_groups: Sequence[str],
    ) -> Estimate:
        """As `PairedSetMetric.compute`; a side of one clip where the protocol takes that."""
        min_n = 1 if self._settings.single_clip == "no-covariance" else 2
        sets = self._checked(generated_ND, reference_ND, groups, reference_groups, min_n)
        single = min(len(sets.generated_ND), len(sets.reference_MD)) == 1
        return self._of_single(sets) if single else self._estimate(sets)

    def _estimate(self, sets: FeatureSets) -> Estimate:
        x, y = sets.generated_ND, sets.reference_MD
        value = exact = frechet_distance(x, y, self._settings.ddof)
        notes: tuple[str, ...] = ()
        if self._settings.formula == "svd":
            value = self._value(x, y)
            notes = ("standard error and bias by the exact formula in float64",)
        left_out = self._left_out(sets) if sets.num_groups else None
        estimate = set_estimate(value, sets, left_out, jackknife_value=exact, notes=notes)
        too_few = min(len(x), len(y)) < x.shape[1]
        return without_interval(estimate, x.shape[1], self.noun) if too_few else estimate

    def _of_single(self, sets: FeatureSets) -> Estimate:
        """A side of one clip: its covariance is taken as zero, which leaves ||mu_g - mu_r||^2 and the other
        side's trace."""
        x, y, ddof = sets.generated_ND, sets.reference_MD, self._settings.ddof
        shift_D = x.mean(axis=0) - y.mean(axis=0)
        traces = [np.var(side, axis=0, ddof=ddof).sum() for side in (x, y) if len(side) > 1]
        note = "one clip on a side: its covariance is taken as zero (--allow-small)"
        return set_estimate(float(shift_D @ shift_D + sum(traces)), sets, None, notes=(note,))

    def _value(self, generated_ND: Floats, reference_MD: Floats) -> float:
        settings = self._settings
        if settings.formula == "svd":
            return frechet_svd(generated_ND, reference_MD, settings.ddof, settings.dtype, settings.ridge)
        return frechet_distance(generated_ND, reference_MD, settings.ddof)

    def _left_out(self, sets: FeatureSets) -> Floats:
        x, y, ddof = sets.generated_ND, sets.reference_MD, self._settings.ddof
        return frechet_without_each_group(x, y, sets.group_N, sets.group_M, sets.num_groups, ddof)

    def _swaps(self, one: FeatureSets, other: FeatureSets, source_N: Ints) -> Swaps:
        ddof = self._settings.ddof
        return FrechetSwaps(one.generated_ND, other.generated_ND, one.reference_MD, source_N, ddof)


class FvdVideoMae(Fvd):
    """FVD on VideoMAE features, lower is better; the Fréchet settings of the protocol, as for FVD."""

    name: ClassVar[str] = "fvd_videomae"
    unit: ClassVar[str] = "squared VideoMAE features"
    needs: ClassVar[tuple[str, ...]] = ("videomae",)
    label: ClassVar[str] = "FVD (VideoMAE)"
    others: ClassVar[str | None] = "fvd_videomae_others"


def without_interval(estimate: Estimate, num_dimensions: int, noun: str = "clips") -> Estimate:
    """The estimate where the correction of its bias is known to fall short."""
    if estimate.low is None:
        return estimate
    note = (
        f"fewer {noun} than the {num_dimensions} feature dimensions: only a part of the bias is corrected, "
        "the distance of the distributions is likely smaller, and no interval is given (differences between "
        "methods have one)"
    )
    return replace(
        estimate,
        low=None,
        high=None,
        interval=f"none (fewer {noun} than dimensions); "
        "standard error: delete-a-group jackknife over sources",
        notes=(*estimate.notes, note),
    )
