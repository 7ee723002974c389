"""JEDi's distance: 100 times a polynomial MMD^2 between video-transformer features.

Luo et al., "Beyond FVD: Enhanced Evaluation Metrics for Video Generation Quality" (2024): MMD^2 with the
kernel k(x, y) = (x.y / d)^2, without a constant, times 100. Because the kernel is the square of an inner
product, the biased form is 100 * ||E[x x^T] - E[y y^T]||_F^2 / d^2: it sees second moments only and is
blind to x -> -x. The authors' code computes that biased form, which for two samples of one distribution is
not 0 but falls with N; here the unbiased form is the default (`kernel.unbiased: false` gives theirs).

The features are V-JEPA 2's, not the V-JEPA 1's of the paper (see `vjepa`): the formula is JEDi's, the values
are not its published ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ...core.types import Estimate
from ..protocol import Protocol
from ..settings import KernelSettings
from .features import Floats
from .kvd import Kvd
from .paired_sets import MAX_SWAPS, PairedComparison

_FACTOR = 100.0


class JediMmd(Kvd):
    """JEDi's MMD on V-JEPA 2 features, lower is better, 0 in expectation for equal distributions (unbiased).

    Of the protocol's kernel only `unbiased` acts: degree, scale and constant are the paper's.
    """

    name: ClassVar[str] = "jedi_mmd"
    unit: ClassVar[str] = "100 x MMD squared"
    needs: ClassVar[tuple[str, ...]] = ("vjepa",)
    label: ClassVar[str] = "JEDi MMD (V-JEPA 2)"

    def __init__(self, protocol: Protocol) -> None:
        kernel = KernelSettings(degree=2, gamma="1/d", coef0=0.0, unbiased=protocol.kernel.unbiased)
        super().__init__(protocol.model_copy(update={"kernel": kernel}))

    def parameters(self) -> Mapping[str, Any]:
        return {**super().parameters(), "factor": _FACTOR}

    def describe(self) -> str:
        """For signatures."""
        return f"{super().describe()}|x{_FACTOR:g}"

    def compute(
        self,
        generated_ND: np.ndarray,
        reference_ND: np.ndarray,
        groups: Sequence[str],
        reference_groups: Sequence[str],
    ) -> Estimate:
        """JEDi's MMD with its group-jackknife standard error; arguments and errors as for `Kvd.compute`."""
        return super().compute(_scaled(generated_ND), _scaled(reference_ND), groups, reference_groups)

    def value(self, generated_ND: np.ndarray, reference_ND: np.ndarray) -> float:
        """As for `Kvd.value`."""
        return super().value(_scaled(generated_ND), _scaled(reference_ND))

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
        """The difference of two systems; as for `Kvd.compare`."""
        ours, theirs = [_scaled(side) for side in a], [_scaled(side) for side in b]
        return super().compare(ours, theirs, _scaled(reference_ND), groups, reference_groups, seed, max_swaps)


def _scaled(features_ND: np.ndarray) -> Floats:
    # The kernel is of degree 2 in x.y: features times the fourth root of the factor give factor * MMD^2, and
    # its standard error and interval with it.
    scaled: Floats = np.asarray(features_ND, dtype=np.float64) * math.sqrt(math.sqrt(_FACTOR))
    return scaled
