"""Differences of two systems under many exchanges of their clips, without computing the metric anew.

Shape suffixes: N clips of each system, D features, K rows of G, P patterns.
"""

from __future__ import annotations

import numpy as np

from ...core.one_thread import one_thread
from .features import Floats, Ints


class FrechetSwaps:
    """Differences FVD(A') - FVD(B') where A' and B' are A and B with some sources exchanged.

    With G a factor of the reference's covariance (G^T G = S_r), tr (S S_r)^{1/2} is the nuclear norm of X_c
    G^T, X_c the centred rows. So all rows are projected once, and what an exchange changes is small:

    * Both systems' rows are taken from their pooled mean, whose offset from the reference's mean is o. With
      signs s_n (-1 where a clip is exchanged) and m = sum_n s_n (a_n - b_n) / 2N, the means of A' and B' are
      m and -m, and FVD(A') - FVD(B') = 4 o.m + sum_n s_n (|a_n|^2 - |b_n|^2) / (N - ddof) - 2 (root of A' -
      root of B').
    * Where there are more clips than dimensions, the scatters of A' and B' are half of T + Q and T - Q, less
      N m m^T each: T is the pooled scatter, and Q = sum_n s_n (u_n u_n^T - v_n v_n^T) is the symmetric part
      of sum_n s_n (u_n - v_n)(u_n + v_n)^T, one product over the rarer of exchanged and kept rows. The roots
      follow from two symmetric eigenvalue problems.
    * Where there are fewer, the singular values of the centred rows give the roots, exact at any rank.

    Args:
        a_ND, b_ND: features of the two systems, row by row of the same samples; at least 2 rows.
        reference_MD: features of the reference; at least 2 rows.
        source_N: index of each row's source.
        ddof: of the covariances.
    """

    @one_thread
    def __init__(
        self, a_ND: Floats, b_ND: Floats, reference_MD: Floats, source_N: Ints, ddof: int = 1
    ) -> None:
        reference_mean_D, centre_D = reference_MD.mean(axis=0), (a_ND.mean(axis=0) + b_ND.mean(axis=0)) / 2
        factor_KD = _factor(reference_MD - reference_mean_D) / np.sqrt(len(reference_MD) - ddof)
        a_ND, b_ND = a_ND - centre_D, b_ND - centre_D
        self._offset_D = centre_D - reference_mean_D
        self._moves_ND = a_ND - b_ND
        self._squares_N = np.einsum("nd,nd->n", a_ND, a_ND) - np.einsum("nd,nd->n", b_ND, b_ND)
        self._u_NK, self._v_NK = a_ND @ factor_KD.T, b_ND @ factor_KD.T
        self._factor_KD, self._source_N, self._ddof = factor_KD, source_N, ddof
        self._tall = len(a_ND) > len(factor_KD)
        if self._tall:
            self._minus_NK, self._plus_NK = self._u_NK - self._v_NK, self._u_NK + self._v_NK
            self._total_KK = self._u_NK.T @ self._u_NK + self._v_NK.T @ self._v_NK
            self._cross_KK = self._minus_NK.T @ self._plus_NK

    @property
    def operations(self) -> float:
        """Floating-point operations of one exchange, roughly; eigenvalues at their cost beside products."""
        n, k = len(self._u_NK), len(self._factor_KD)
        return float(n * k**2 + 10 * k**3) if self._tall else 20.0 * n**2 * k

    @one_thread
    def differences(self, patterns_PS: np.ndarray) -> Floats:
        """[P] differences; True in [P, S] exchanges a source's clips."""
        n = len(self._u_NK)
        swapped_PN = patterns_PS[:, self._source_N]
        sign_PN = np.where(swapped_PN, -1.0, 1.0)
        mean_PD = sign_PN @ self._moves_ND / (2 * n)
        roots = self._roots_of_scatters if self._tall else self._roots_of_rows
        root_P = np.array([roots(*pair) for pair in zip(swapped_PN, mean_PD, strict=True)])
        traces_P = sign_PN @ self._squares_N / (n - self._ddof)
        return np.asarray(
            4.0 * (mean_PD @ self._offset_D) + traces_P - 2.0 * root_P / np.sqrt(n - self._ddof)
        )

    def _roots_of_scatters(self, swapped_N: np.ndarray, mean_D: Floats) -> float:
        """Root of A' less that of B', for scatters instead of covariances."""
        n = len(swapped_N)
        few = swapped_N if 2 * np.count_nonzero(swapped_N) <= n else ~swapped_N
        product_KK = self._cross_KK - 2.0 * (self._minus_NK[few].T @ self._plus_NK[few])
        if few is not swapped_N:
            product_KK = -product_KK
        moved_KK = (product_KK + product_KK.T) / 2
        mean_K = self._factor_KD @ mean_D
        shared_KK = self._total_KK / 2 - n * np.outer(mean_K, mean_K)
        values = np.linalg.eigvalsh(np.stack([shared_KK + moved_KK / 2, shared_KK - moved_KK / 2]))
        # Rounding errors of zero (clips that repeat) have roots of 1e-8 each; a rank cut drops them.
        cut = values.shape[1] * np.finfo(np.float64).eps * np.maximum(values[:, -1:], 0.0)
        of_a, of_b = np.sqrt(np.where(values > cut, values, 0.0)).sum(axis=1)
        return float(of_a - of_b)

    def _roots_of_rows(self, swapped_N: np.ndarray, mean_D: Floats) -> float:
        """As `_roots_of_scatters`, from the rows."""
        if not len(self._factor_KD):
            return 0.0  # the reference's clips are all alike
        swap = swapped_N[:, None]
        mean_K = self._factor_KD @ mean_D
        rows = np.stack(
            [
                np.where(swap, self._v_NK, self._u_NK) - mean_K,
                np.where(swap, self._u_NK, self._v_NK) + mean_K,
            ]
        )
        of_a, of_b = np.linalg.svd(rows, compute_uv=False).sum(axis=1)
        return float(of_a - of_b)


def _factor(centred_MD: Floats) -> Floats:
    """[K, D] F with F^T F the scatter of the rows and K its rank, so that no direction of F is a rounding
    error."""
    rows = centred_MD
    if len(rows) > rows.shape[1]:
        rows = np.asarray(np.linalg.qr(rows, mode="r"))
    _, values, right = np.linalg.svd(rows, full_matrices=False)
    kept = values > max(centred_MD.shape) * np.finfo(np.float64).eps * values[0]
    return np.asarray(values[kept, None] * right[kept])


class KernelSwaps:
    """Differences MMD^2(A') - MMD^2(B'); as `FrechetSwaps`, from one kernel matrix.

    With z marking which of the pooled 2N clips are in A', the sum of the kernel within A' is z^T K z, so a
    block of exchanges is one matrix product. The reference's own term cancels.

    Args:
        degree, gamma, coef0: of the polynomial kernel; gamma None means 1/D.
        unbiased: without the diagonals.
        own: rows of a system and of the reference whose pairs are left out of the mean between them.
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
        own: tuple[Ints, Ints] | None = None,
    ) -> None:
        scale = 1.0 / a_ND.shape[1] if gamma is None else gamma
        pooled = np.concatenate([a_ND, b_ND])
        # In place where it is large: 2,990 clips of each system make a matrix of 0.3 GB.
        self._kernel = pooled @ pooled.T
        self._kernel *= scale
        self._kernel += coef0
        np.power(self._kernel, degree, out=self._kernel)
        to_reference = (pooled @ reference_MD.T * scale + coef0) ** degree
        if own is not None:
            rows, columns = own
            to_reference[rows, columns] = to_reference[rows + len(a_ND), columns] = 0.0
        num_pairs = a_ND.shape[0] * len(reference_MD) - (0 if own is None else len(own[0]))
        self._to_reference = to_reference.sum(axis=1) / num_pairs
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
        return np.asarray(within - 2.0 * (member_PN @ self._to_reference))
