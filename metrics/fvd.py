"""Fréchet video distance.

Unterthiner et al., "Towards Accurate Generative Models of Video: A New Metric & Challenges" (2018): the
Fréchet distance between Gaussians fitted to the I3D logits of generated and of reference clips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ..core.types import Estimate, Level
from .features import MAX_GROUPS, check_sets
from .frechet import frechet_distance, frechet_svd, frechet_without_each_group
from .protocol import Protocol
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

        Args:
            generated_ND, reference_ND: finite features, at least 2 rows on each side.
            groups, reference_groups: the source video of each row; a source is left out on both sides.

        Raises:
            MetricError: wrong shapes, fewer than 2 clips, NaN or infinite features.
        """
        sets = check_sets(self.label, generated_ND, reference_ND, groups, reference_groups)
        x, y, ddof = sets.generated_ND, sets.reference_MD, self._settings.ddof
        exact = frechet_distance(x, y, ddof)
        value = exact
        notes: tuple[str, ...] = ()
        if self._settings.formula == "svd":
            value = frechet_svd(x, y, ddof, self._settings.dtype, self._settings.ridge)
            notes = ("standard error and bias by the exact formula in float64",)
        left_out = None
        if sets.num_groups:
            left_out = frechet_without_each_group(x, y, sets.group_N, sets.group_M, sets.num_groups, ddof)
        return set_estimate(value, sets, left_out, jackknife_value=exact, notes=notes)
