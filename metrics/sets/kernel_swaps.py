"""KVD differences of two systems under many exchanges of their clips, from one kernel matrix.

With z marking which of the pooled 2N clips are in A', the sum of the kernel within A' is z^T K z, so a block
of exchanges is one matrix product. The reference's own term is the same for both systems and cancels.
"""

from __future__ import annotations

import numpy as np

from .features import Floats, Ints
from .one_thread import one_thread


class KernelSwaps:
    """Differences MMD^2(A') - MMD^2(B'); as `frechet_swaps.FrechetSwaps`.

    Args:
        a_ND, b_ND, reference_MD, source_N: as there.
        degree, gamma, coef0: of the polynomial kernel; gamma None means 1/D.
        unbiased: without the diagonals.
    """

    @one_thread
    def __init__(
        self,
        a_ND: Floats,
        b_ND: Floats,
        reference_MD: Floats,
        source_N: Ints,
        *,
        degree: int,
        gamma: float | None,
        coef0: float,
        unbiased: bool,
    ) -> None:
        scale = 1.0 / a_ND.shape[1] if gamma is None else gamma
        pooled = np.concatenate([a_ND, b_ND])
        # In place where it is large: 2,990 clips of each system make a matrix of 0.3 GB.
        self._kernel = pooled @ pooled.T
        self._kernel *= scale
        self._kernel += coef0
        np.power(self._kernel, degree, out=self._kernel)
        self._to_reference = ((pooled @ reference_MD.T * scale + coef0) ** degree).mean(axis=1)
        self._source_N, self._unbiased = source_N, unbiased
        self._diagonal = np.diag(self._kernel).copy()

    @property
    def operations(self) -> float:
        """Floating-point operations of one exchange, roughly."""
        return 2.0 * len(self._kernel) ** 2

    @one_thread
    def differences(self, patterns_PS: np.ndarray) -> Floats:
        """[P] differences; True in [P, S] exchanges a source's clips."""
        swapped_PN = patterns_PS[:, self._source_N]
        in_a = np.concatenate([~swapped_PN, swapped_PN], axis=1).astype(np.float64)
        return self._value(in_a) - self._value(1.0 - in_a)

    def _value(self, member_PN: Floats) -> Floats:
        """MMD^2 less the reference's own term."""
        n = len(self._source_N)
        within = np.einsum("pn,pn->p", member_PN @ self._kernel, member_PN)
        if self._unbiased:
            within = (within - member_PN @ self._diagonal) / (n * (n - 1))
        else:
            within = within / n**2
        return np.asarray(within - 2.0 * (member_PN @ self._to_reference) / n)
