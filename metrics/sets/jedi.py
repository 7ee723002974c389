"""JEDi's distance: 100 times a polynomial MMD^2 between video-transformer features.

Luo et al., "Beyond FVD: Enhanced Evaluation Metrics for Video Generation Quality" (2024): MMD^2 with the
kernel k(x, y) = (x.y / d)^2, without a constant, times 100. Because the kernel is the square of an inner
product, the biased form is 100 * ||E[x x^T] - E[y y^T]||_F^2 / d^2: blind to x -> -x. The authors' code
computes that form, whose bias falls with N; here unbiased is the default (`kernel.unbiased: false` is
theirs).

The features are V-JEPA 2's, not the V-JEPA 1's of the paper (see `vjepa`): the formula is JEDi's, the values
are not its published ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..settings import KernelSettings
from .features import Floats
from .kvd import Kvd

_FACTOR = 100.0


class JediMmd(Kvd):
    """JEDi's MMD on V-JEPA 2 features, lower is better, 0 in expectation for equal distributions (unbiased).

    Of the protocol's kernel only `unbiased` acts: degree, scale and constant are the paper's.
    """

    name: ClassVar[str] = "jedi_mmd"
    unit: ClassVar[str] = "100 x MMD squared"
    needs: ClassVar[tuple[str, ...]] = ("vjepa",)
    label: ClassVar[str] = "JEDi MMD (V-JEPA 2)"
    others: ClassVar[str | None] = "jedi_mmd_others"

    def __init__(self, protocol: Any) -> None:
        super().__init__(protocol)
        unbiased = self._settings.unbiased
        self._settings = KernelSettings(degree=2, gamma="1/d", coef0=0.0, unbiased=unbiased)

    def parameters(self) -> Mapping[str, Any]:
        """As for KVD, and the factor."""
        return {**super().parameters(), "factor": _FACTOR}

    def describe(self) -> str:
        """As for KVD, and the factor."""
        return f"{super().describe()}|x{_FACTOR:g}"

    def _prepared(self, features_ND: np.ndarray) -> Floats:
        # The kernel is of degree 2 in x.y: features times the fourth root of the factor give factor * MMD^2,
        # and its standard error and interval with it.
        return super()._prepared(features_ND) * math.sqrt(math.sqrt(_FACTOR))
