"""Maximum mean discrepancy under a polynomial kernel.

k(x, y) = (gamma x.y + c)^p. With K sums over pairs,
unbiased: MMD^2 = sum_{i!=j} k(x_i,x_j) / (N(N-1)) + sum_{i!=j} k(y_i,y_j) / (M(M-1))
                  - 2 sum_{ij} k(x_i,y_j) / (NM),
biased:   the diagonal is kept and the divisors are N^2 and M^2.   (Gretton et al. 2012, eqs. 3 and 5)

Only the sums between jackknife groups are kept, so leaving a group out costs nothing and memory does not
hold the N x N kernel matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...core.one_thread import one_thread
from .features import Floats, Ints

_ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class KernelSums:
    """Sums of the kernel between groups, and the counts.

    Attributes:
        xx_GG, yy_GG, xy_GG: sums over all pairs (i in g, j in h), the diagonals among them.
        diagonal_x_G, diagonal_y_G: sums of k(x_i, x_i) and k(y_i, y_i).
        count_x_G, count_y_G: rows in each group.
        own_G, own_count_G: sums of k(x_i, y_j) and numbers of the pairs that are left out of the mean between
            the sides; zeros where all pairs enter.
    """

    xx_GG: Floats
    yy_GG: Floats
    xy_GG: Floats
    diagonal_x_G: Floats
    diagonal_y_G: Floats
    count_x_G: Ints
    count_y_G: Ints
    own_G: Floats
    own_count_G: Ints

    def mmd(self, unbiased: bool = True, without: int | None = None) -> float:
        """MMD^2 of everything, or without one group on both sides.

        Raises:
            ZeroDivisionError: fewer than two rows are left on a side.
        """
        keep = np.arange(len(self.count_x_G)) != (-1 if without is None else without)
        n, m = int(self.count_x_G[keep].sum()), int(self.count_y_G[keep].sum())
        within_x, within_y, between = (
            float(sums[np.ix_(keep, keep)].sum()) for sums in (self.xx_GG, self.yy_GG, self.xy_GG)
        )
        between -= float(self.own_G[keep].sum())
        num_between = n * m - int(self.own_count_G[keep].sum())
        if unbiased:
            within_x -= float(self.diagonal_x_G[keep].sum())
            within_y -= float(self.diagonal_y_G[keep].sum())
            return within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2.0 * between / num_between
        return within_x / n**2 + within_y / m**2 - 2.0 * between / num_between


@one_thread
def kernel_sums(
    generated_ND: Floats,
    reference_MD: Floats,
    group_N: Ints,
    group_M: Ints,
    num_groups: int,
    *,
    degree: int = 3,
    gamma: float | None = None,
    coef0: float = 1.0,
    own: tuple[Ints, Ints] | None = None,
) -> KernelSums:
    """The kernel's sums between groups.

    Args:
        generated_ND, reference_MD: finite float64.
        group_N, group_M: group of each row, in [0, num_groups); all zeros when nothing is left out.
        degree, gamma, coef0: of the kernel; gamma None means 1/D.
        own: rows of the two sides whose pairs are left out of the mean between the sides; both rows of a pair
            are in one group.
    """
    gamma = 1.0 / generated_ND.shape[1] if gamma is None else gamma
    x, counts_x = _by_group(generated_ND, group_N, num_groups)
    y, counts_y = _by_group(reference_MD, group_M, num_groups)

    def sums(a: Floats, counts_a: Ints, b: Floats, counts_b: Ints, symmetric: bool) -> Floats:
        out = np.zeros((num_groups, num_groups))
        ends_a, ends_b = np.cumsum(counts_a), np.cumsum(counts_b)
        for g in range(num_groups):
            first = ends_b[g] - counts_b[g] if symmetric else 0
            columns = b[first:]
            for start in range(ends_a[g] - counts_a[g], ends_a[g], _ROWS_AT_ONCE):
                block = a[start : min(start + _ROWS_AT_ONCE, ends_a[g])] @ columns.T
                block *= gamma
                block += coef0
                totals = _power(block, degree).sum(axis=0)
                running = np.concatenate([[0.0], np.cumsum(totals)])
                low = np.maximum(ends_b - counts_b - first, 0)
                high = np.maximum(ends_b - first, 0)
                out[g] += running[high] - running[low]
        return np.triu(out) + np.triu(out, 1).T if symmetric else out

    rows, columns = own if own is not None else (np.empty(0, np.int64), np.empty(0, np.int64))
    products = np.einsum("pd,pd->p", generated_ND[rows], reference_MD[columns])
    return KernelSums(
        xx_GG=sums(x, counts_x, x, counts_x, symmetric=True),
        yy_GG=sums(y, counts_y, y, counts_y, symmetric=True),
        xy_GG=sums(x, counts_x, y, counts_y, symmetric=False),
        diagonal_x_G=_diagonal(x, counts_x, degree, gamma, coef0),
        diagonal_y_G=_diagonal(y, counts_y, degree, gamma, coef0),
        count_x_G=counts_x,
        count_y_G=counts_y,
        own_G=np.bincount(
            group_N[rows], weights=_power(gamma * products + coef0, degree), minlength=num_groups
        ).astype(np.float64),
        own_count_G=np.bincount(group_N[rows], minlength=num_groups),
    )


def polynomial_mmd(
    generated_ND: np.ndarray,
    reference_MD: np.ndarray,
    *,
    degree: int = 3,
    gamma: float | None = None,
    coef0: float = 1.0,
    unbiased: bool = True,
) -> float:
    """MMD^2 of two sets in float64; see the module's docstring. At least 2 rows each where unbiased.

    >>> polynomial_mmd(np.eye(2), np.eye(2), degree=1, unbiased=False)
    0.0
    """
    x, y = np.asarray(generated_ND, dtype=np.float64), np.asarray(reference_MD, dtype=np.float64)
    one_x, one_y = np.zeros(len(x), dtype=np.int64), np.zeros(len(y), dtype=np.int64)
    return kernel_sums(x, y, one_x, one_y, 1, degree=degree, gamma=gamma, coef0=coef0).mmd(unbiased)


def _by_group(rows_ND: Floats, group_N: Ints, num_groups: int) -> tuple[Floats, Ints]:
    order = np.argsort(group_N, kind="stable")
    return rows_ND[order], np.bincount(group_N, minlength=num_groups)


def _power(block: Floats, degree: int) -> Floats:
    # numpy's power with an integer is several times slower than the products.
    result = block
    for _ in range(degree - 1):
        result = result * block
    return result


def _diagonal(rows: Floats, counts: Ints, degree: int, gamma: float, coef0: float) -> Floats:
    values = _power(gamma * np.einsum("nd,nd->n", rows, rows) + coef0, degree)
    running = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.cumsum(counts)
    return running[ends] - running[ends - counts]
