"""Kernel video distance: the polynomial MMD^2 between the I3D logits of two sets of clips.

Unterthiner et al. (2018); the kernel's scale 1/d and the unbiased form are those of KID (Binkowski et al.,
"Demystifying MMD GANs", 2018) and the TATS line. Of independent sides it has no small-sample bias, but more
noise than FVD; clips that follow their own references make it smaller than it should be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ...core.errors import MetricError
from ...core.types import Estimate
from ..settings import KernelSettings
from .features import MAX_GROUPS, FeatureSets, Floats, Ints, set_estimate
from .kernel import KernelSums, kernel_sums
from .paired_sets import PairedSetMetric
from .swaps import KernelSwaps


class Kvd(PairedSetMetric):
    """KVD on I3D logits, lower is better, 0 in expectation for equal distributions; see `kernel`."""

    name: ClassVar[str] = "kvd"
    version: ClassVar[str] = "1"
    unit: ClassVar[str] = "MMD squared"
    higher_is_better: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ("i3d",)
    label: ClassVar[str] = "KVD"
    others: ClassVar[str | None] = "kvd_others"
    needed_for: ClassVar[str] = "pairs of clips within a side, of which the kernel's mean is taken"

    def __init__(self, protocol: Any) -> None:
        super().__init__(protocol)
        self._settings: KernelSettings = protocol.kernel

    def parameters(self) -> Mapping[str, Any]:
        """The kernel's settings, and the jackknife's groups."""
        # Centred features were once not centred anew for each of the jackknife's values.
        anew = {"centred_anew": True} if self._settings.centred else {}
        return {**self._settings.model_dump(mode="json"), "max_groups": MAX_GROUPS, **anew}

    def describe(self) -> str:
        """The kernel's settings."""
        return self._settings.describe()

    def _estimate(self, sets: FeatureSets) -> Estimate:
        sums = self._sums_of(sets)
        notes: tuple[str, ...] = ()
        if self._settings.centred:
            notes = (
                "computed on features centred side by side: blind to a shift of the mean, and methods are "
                "not compared by it",
            )
        left_out = self._without_each_group(sets, sums) if sets.num_groups else None
        return set_estimate(sums.mmd(self._settings.unbiased), sets, left_out, notes=notes)

    def _value(self, generated_ND: Floats, reference_MD: Floats) -> float:
        one_N, one_M = (np.zeros(len(side), dtype=np.int64) for side in (generated_ND, reference_MD))
        return self._sums(generated_ND, reference_MD, one_N, one_M, 1).mmd(self._settings.unbiased)

    def _left_out(self, sets: FeatureSets) -> Floats:
        return self._without_each_group(sets, self._sums_of(sets))

    def _without_each_group(self, sets: FeatureSets, sums: KernelSums) -> Floats:
        unbiased = self._settings.unbiased
        if not self._settings.centred:
            return np.array([sums.mmd(unbiased, without=group) for group in range(sets.num_groups)])
        # The means are those of the clips that are left; sums about the old ones would keep their bias.
        return np.array([self._sums_of(sets, group).mmd(unbiased) for group in range(sets.num_groups)])

    def _swaps(self, one: FeatureSets, other: FeatureSets, source_N: Ints) -> KernelSwaps:
        if self._settings.centred:
            # Each exchange would move the means that are subtracted, and no quick form is known.
            raise MetricError(f"{self.label} on centred features is not compared between systems")
        return KernelSwaps(
            one.generated_ND,
            other.generated_ND,
            one.reference_MD,
            source_N,
            unbiased=self._settings.unbiased,
            own=self._own_pairs(one.source_N, one.source_M),
            **self._kernel(),
        )

    def _sums_of(self, sets: FeatureSets, without: int | None = None) -> KernelSums:
        """The sums of the sides by group, or those of all clips but one group's, as one group."""
        if sets.num_groups and without is None:
            group_N, group_M, num_groups = sets.group_N, sets.group_M, sets.num_groups
        else:
            group_N, group_M, num_groups = sets.group_N * 0, sets.group_M * 0, 1
        kept_N, kept_M = sets.group_N != without, sets.group_M != without
        x, y = sets.generated_ND[kept_N], sets.reference_MD[kept_M]
        own = self._own_pairs(sets.source_N[kept_N], sets.source_M[kept_M])
        return self._sums(x, y, group_N[kept_N], group_M[kept_M], num_groups, own)

    def _own_pairs(self, source_N: Ints, source_M: Ints) -> tuple[Ints, Ints] | None:
        """Pairs of rows that do not enter the mean between the sides; None for none."""
        return None

    def _sums(
        self,
        x: Floats,
        y: Floats,
        group_x: Ints,
        group_y: Ints,
        num_groups: int,
        own: tuple[Ints, Ints] | None = None,
    ) -> KernelSums:
        if self._settings.centred:
            x, y = x - x.mean(axis=0), y - y.mean(axis=0)
        return kernel_sums(x, y, group_x, group_y, num_groups, own=own, **self._kernel())

    def _kernel(self) -> dict[str, Any]:
        gamma = self._settings.gamma
        return {
            "degree": self._settings.degree,
            "gamma": None if isinstance(gamma, str) else gamma,
            "coef0": self._settings.coef0,
        }


class KvdVideoMae(Kvd):
    """KVD on VideoMAE features, lower is better; the kernel settings of the protocol, as for KVD."""

    name: ClassVar[str] = "kvd_videomae"
    needs: ClassVar[tuple[str, ...]] = ("videomae",)
    label: ClassVar[str] = "KVD (VideoMAE)"
    others: ClassVar[str | None] = "kvd_videomae_others"
