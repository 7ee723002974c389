"""FVD differences of two systems under many exchanges of their clips, without computing FVD anew.

With G a factor of the reference's covariance (G^T G = S_r), tr (S S_r)^{1/2} is the sum of the roots of the
eigenvalues of G S G^T. So the rows are projected once, U = X G^T, and each exchange costs one weighted
product of the projected rows and two symmetric eigenvalue problems of the size of G.

Shape suffixes: N clips of each system, D features, K rows of G, P patterns.
"""

from __future__ import annotations

import numpy as np

from .features import Floats, Ints
from .one_thread import one_thread


class FrechetSwaps:
    """Differences FVD(A') - FVD(B') where A' and B' are A and B with some sources exchanged.

    Args:
        a_ND, b_ND: features of the two systems, row by row of the same samples.
        reference_MD: features of the reference.
        source_N: index of each row's source.
        ddof: of the covariances.
    """

    @one_thread
    def __init__(
        self, a_ND: Floats, b_ND: Floats, reference_MD: Floats, source_N: Ints, ddof: int = 1
    ) -> None:
        # Moved to the reference's mean: sums of squares then lose no digits to a common offset.
        centre_D = reference_MD.mean(axis=0)
        reference = reference_MD - centre_D
        if len(reference) > reference.shape[1]:
            reference = np.asarray(np.linalg.qr(reference, mode="r"))
        factor_KD = reference / np.sqrt(len(reference_MD) - ddof)
        self._a, self._b = a_ND - centre_D, b_ND - centre_D
        self._u, self._v = self._a @ factor_KD.T, self._b @ factor_KD.T
        self._rows = np.concatenate([self._u, self._v])
        self._total_KK = self._rows.T @ self._rows
        self._factor_KD, self._source_N, self._ddof = factor_KD, source_N, ddof
        self._squares_a = np.einsum("nd,nd->n", self._a, self._a)
        self._squares_b = np.einsum("nd,nd->n", self._b, self._b)

    @property
    def operations(self) -> float:
        """Floating-point operations of one exchange, roughly."""
        n, k = len(self._a), len(self._factor_KD)
        return 4.0 * n * k**2 + 2 * 9.0 * k**3

    @one_thread
    def differences(self, patterns_PS: np.ndarray) -> Floats:
        """[P] differences; True in [P, S] exchanges a source's clips."""
        sign_PN = np.where(patterns_PS[:, self._source_N], -1.0, 1.0)
        n = len(self._a)
        sums = self._a.sum(axis=0) + self._b.sum(axis=0)
        moved = sign_PN @ (self._a - self._b)
        mean_a_PD, mean_b_PD = (sums + moved) / (2 * n), (sums - moved) / (2 * n)
        squares = self._squares_a.sum() + self._squares_b.sum()
        moved_squares = sign_PN @ (self._squares_a - self._squares_b)
        results = np.empty(len(sign_PN))
        for index, sign_N in enumerate(sign_PN):
            weighted = self._rows * np.concatenate([sign_N, -sign_N])[:, None]
            moved_KK = self._rows.T @ weighted
            results[index] = self._value(
                mean_a_PD[index], (squares + moved_squares[index]) / 2, (self._total_KK + moved_KK) / 2
            ) - self._value(
                mean_b_PD[index], (squares - moved_squares[index]) / 2, (self._total_KK - moved_KK) / 2
            )
        return results

    def _value(self, mean_D: Floats, squares: float, projected_KK: Floats) -> float:
        """FVD less the reference's trace, which is the same for both systems.

        Args:
            mean_D: of the rows, from the reference's mean.
            squares: sum of the rows' squared lengths.
            projected_KK: sum of the outer products of the projected rows.
        """
        n = len(self._a)
        mean_K = self._factor_KD @ mean_D
        root_of = (projected_KK - n * np.outer(mean_K, mean_K)) / (n - self._ddof)
        values = np.linalg.eigvalsh(root_of)
        # Rounding errors of zero have roots of 1e-8 each; a rank cut drops them.
        kept = values[values > len(values) * np.finfo(np.float64).eps * max(values[-1], 0.0)]
        trace = (squares - n * float(mean_D @ mean_D)) / (n - self._ddof)
        return float(mean_D @ mean_D) + trace - 2.0 * float(np.sqrt(kept).sum())
