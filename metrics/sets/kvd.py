"""Kernel video distance: the polynomial MMD^2 between the I3D logits of two sets of clips.

Named beside FVD in Unterthiner et al. (2018); the kernel's scale 1/d and the unbiased form are those of
KID (Binkowski et al., "Demystifying MMD GANs", 2018) and of the TATS line of papers. Unlike FVD it has no
small-sample bias, but more noise for its size; it can be negative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ...core.errors import MetricError
from ...core.types import Estimate, Level
from ..protocol import Protocol
from .features import MAX_GROUPS, FeatureSets, Floats, Ints, check_sets
from .kernel import KernelSums, kernel_sums
from .kernel_swaps import KernelSwaps
from .paired_sets import MAX_SWAPS, PairedComparison, compare_systems
from .set_metric import set_estimate


class Kvd:
    """KVD on I3D logits, lower is better, 0 in expectation for equal distributions; see `kernel`."""

    name: ClassVar[str] = "kvd"
    version: ClassVar[str] = "1"
    unit: ClassVar[str] = "MMD squared"
    higher_is_better: ClassVar[bool] = False
    level: ClassVar[Level] = "set"
    needs: ClassVar[tuple[str, ...]] = ("i3d",)
    min_n: ClassVar[int] = 2
    label: ClassVar[str] = "KVD"

    def __init__(self, protocol: Protocol) -> None:
        self._settings = protocol.kernel

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
        """KVD with its group-jackknife standard error.

        Args:
            generated_ND, reference_ND: finite features, at least 2 rows on each side.
            groups, reference_groups: the source video of each row; a source is left out on both sides.

        Raises:
            MetricError: wrong shapes, fewer than 2 clips, NaN or infinite features.
        """
        sets = check_sets(
            self.label,
            generated_ND,
            reference_ND,
            groups,
            reference_groups,
            needed_for="pairs of clips within a side, of which the kernel's mean is taken",
        )
        x, y = sets.generated_ND, sets.reference_MD
        notes: tuple[str, ...] = ()
        if self._settings.centred:
            x, y = x - x.mean(axis=0), y - y.mean(axis=0)
            notes = (
                "computed on features centred side by side: blind to a shift of the mean, and methods are "
                "not compared by it",
            )
        num_groups = sets.num_groups or 1
        group_x, group_y = (
            (sets.group_N, sets.group_M) if sets.num_groups else (sets.group_N * 0, sets.group_M * 0)
        )
        sums = self._sums(x, y, group_x, group_y, num_groups)
        unbiased = self._settings.unbiased
        left_out = None
        if sets.num_groups:
            left_out = np.array([sums.mmd(unbiased, without=group) for group in range(num_groups)])
        return set_estimate(sums.mmd(unbiased), sets, left_out, notes=notes)

    def value(self, generated_ND: np.ndarray, reference_ND: np.ndarray) -> float:
        """KVD alone, without its uncertainty, of checked features."""
        x, y = np.asarray(generated_ND, dtype=np.float64), np.asarray(reference_ND, dtype=np.float64)
        if self._settings.centred:
            x, y = x - x.mean(axis=0), y - y.mean(axis=0)
        one_x, one_y = np.zeros(len(x), dtype=np.int64), np.zeros(len(y), dtype=np.int64)
        return self._sums(x, y, one_x, one_y, 1).mmd(self._settings.unbiased)

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
        """The difference of two systems by KVD; see `paired_sets.compare_systems` for arguments and errors.

        Raises:
            MetricError: also where the kernel is centred: each exchange would move the means that are
                subtracted, and no quick form is known.
        """
        settings = self._settings
        if settings.centred:
            raise MetricError(f"{self.label} on centred features is not compared between systems")

        def make_swaps(one: FeatureSets, other: FeatureSets, source_N: Ints) -> KernelSwaps:
            return KernelSwaps(
                one.generated_ND,
                other.generated_ND,
                one.reference_MD,
                source_N,
                degree=settings.degree,
                gamma=None if isinstance(settings.gamma, str) else settings.gamma,
                coef0=settings.coef0,
                unbiased=settings.unbiased,
            )

        return compare_systems(
            self.label,
            a,
            b,
            reference_ND,
            groups,
            reference_groups,
            seed,
            make_swaps,
            self._left_out,
            max_swaps=max_swaps,
        )

    def _left_out(self, sets: FeatureSets) -> Floats:
        sums = self._sums(sets.generated_ND, sets.reference_MD, sets.group_N, sets.group_M, sets.num_groups)
        return np.array([sums.mmd(self._settings.unbiased, without=g) for g in range(sets.num_groups)])

    def _sums(self, x: Floats, y: Floats, group_x: Ints, group_y: Ints, num_groups: int) -> KernelSums:
        gamma = self._settings.gamma
        return kernel_sums(
            x,
            y,
            group_x,
            group_y,
            num_groups,
            degree=self._settings.degree,
            gamma=None if isinstance(gamma, str) else gamma,
            coef0=self._settings.coef0,
        )
