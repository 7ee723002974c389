"""The Fréchet distance between Gaussians fitted to two sets of features.

FD = ||mu_1 - mu_2||^2 + tr S_1 + tr S_2 - 2 tr (S_1 S_2)^{1/2}        (Dowson & Landau 1982)

The trace of the root is taken as a nuclear norm (the sum of the singular values):
tr (S_1 S_2)^{1/2} = ||F_1 F_2^T||_* for any factors with F_i^T F_i = S_i: the centred rows (or their QR
factor when there are more rows than dimensions), which is exact at any rank. A matrix square root would take
roots of rounding errors whenever N < D; some SciPy releases returned numbers off by five digits.

Shape suffixes: N, M rows; D features; R rank.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...core.one_thread import one_thread
from .features import Floats, Ints


@one_thread
def frechet_distance(generated_ND: np.ndarray, reference_MD: np.ndarray, ddof: int = 1) -> float:
    """FD from the features themselves, in float64, exact at any rank.

    tr (S_1 S_2)^{1/2} = ||X_c Y_c^T||_* / sqrt((N - ddof)(M - ddof)), X_c, Y_c the centred features.

    Args:
        generated_ND, reference_MD: finite, at least 2 rows each.
        ddof: 1 for the unbiased covariance, 0 to divide by N.

    Returns:
        The distance, >= 0 up to rounding (about 1e-13 of the traces).

    >>> x = np.array([[0.0, 0.0], [2.0, 0.0]])
    >>> frechet_distance(x, x + [3.0, 4.0])
    25.0
    """
    x, y = np.asarray(generated_ND, dtype=np.float64), np.asarray(reference_MD, dtype=np.float64)
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    factor_x, factor_y = _row_factor(x - mean_x), _row_factor(y - mean_y)
    return _combine(mean_x - mean_y, factor_x, factor_y, len(x) - ddof, len(y) - ddof)


@one_thread
def frechet_svd(
    generated_ND: np.ndarray,
    reference_MD: np.ndarray,
    ddof: int = 1,
    dtype: Literal["float64", "float32"] = "float64",
    ridge: float = 0.0,
) -> float:
    """FD as the older tools compute it, for agreement with published numbers; not for new ones.

    tr (A S_2 A)^{1/2} with A = S_1^{1/2}, each root by SVD, singular values below 1e-10 left un-rooted
    (TF-GAN's rule). With dtype float32 everything is in single precision, as in the VideoGPT line; that
    alone moves FVD by some tenths. A ridge is added to both diagonals first.
    """
    kind = np.dtype(dtype)
    x, y = np.asarray(generated_ND, dtype=kind), np.asarray(reference_MD, dtype=kind)
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    diagonal = np.eye(x.shape[1], dtype=kind) * kind.type(ridge)
    cov_x = (x - mean_x).T @ (x - mean_x) / kind.type(len(x) - ddof) + diagonal
    cov_y = (y - mean_y).T @ (y - mean_y) / kind.type(len(y) - ddof) + diagonal
    root_x = _svd_root(cov_x)
    root_trace = np.trace(_svd_root(root_x @ cov_y @ root_x))
    shift = mean_x - mean_y
    return float(shift @ shift + np.trace(cov_x) + np.trace(cov_y) - 2 * root_trace)


@one_thread
def frechet_without_each_group(
    generated_ND: Floats,
    reference_MD: Floats,
    group_N: Ints,
    group_M: Ints,
    num_groups: int,
    ddof: int = 1,
) -> Floats:
    """[G] FD with group g left out on both sides, for the jackknife.

    A side with more rows than dimensions is factored from moments by Cholesky, one with fewer from its rows.
    """
    generated = _LeftOut(generated_ND, group_N, num_groups)
    reference = _LeftOut(reference_MD, group_M, num_groups)
    distances = np.empty(num_groups)
    for group in range(num_groups):
        n, mean_x, factor_x = generated.factor(group)
        m, mean_y, factor_y = reference.factor(group)
        distances[group] = _combine(mean_x - mean_y, factor_x, factor_y, n - ddof, m - ddof)
    return distances


class _LeftOut:
    """(n, mean, factor) of one side without one group; groups are asked for in order, each once."""

    def __init__(self, rows_ND: Floats, group_N: Ints, num_groups: int) -> None:
        self._rows, self._group = rows_ND, group_N
        fewest = len(rows_ND) - np.bincount(group_N, minlength=num_groups).max()
        tall = fewest > rows_ND.shape[1] + 1
        self._moments = _moments_without_each_group(rows_ND, group_N, num_groups) if tall else None

    def factor(self, group: int) -> tuple[int, Floats, Floats]:
        if self._moments is not None:
            moments = next(self._moments)
            return moments.n, moments.mean_D, _scatter_factor(moments.scatter_DD)
        rows = self._rows[self._group != group]
        mean = rows.mean(axis=0)
        return len(rows), mean, rows - mean


@dataclass(frozen=True)
class Moments:
    """n rows with their mean [D] and scatter [D, D], sum (x_i - mean)(x_i - mean)^T, in float64.

    Two sets merge by Chan's rule (Chan, Golub & LeVeque 1979); raw sums of x x^T would lose positive
    definiteness when the mean is large against the deviation.
    """

    n: int
    mean_D: Floats
    scatter_DD: Floats

    @classmethod
    def of(cls, rows_ND: np.ndarray) -> Moments:
        """Moments of the rows; none at all gives n = 0."""
        rows = np.asarray(rows_ND, dtype=np.float64)
        if not len(rows):
            return cls(0, np.zeros(rows.shape[1]), np.zeros((rows.shape[1], rows.shape[1])))
        mean = rows.mean(axis=0)
        centred = rows - mean
        return cls(len(rows), mean, centred.T @ centred)

    def merge(self, other: Moments) -> Moments:
        """Moments of both sets together: M = M_a + M_b + delta delta^T n_a n_b / n."""
        n = self.n + other.n
        if not self.n or not other.n:
            return other if not self.n else self
        delta = other.mean_D - self.mean_D
        mean = self.mean_D + delta * (other.n / n)
        scaled = delta * np.sqrt(self.n * other.n / n)
        return Moments(n, mean, self.scatter_DD + other.scatter_DD + np.outer(scaled, scaled))


def _moments_without_each_group(rows_ND: Floats, group_N: Ints, num_groups: int) -> Iterator[Moments]:
    """Moments of everything but group g, for g = 0, 1, ...

    Made by merging prefixes with suffixes (3 G merges), never by subtraction, which would cancel. Suffixes
    are held for all groups, prefixes for one: at 2048 dimensions each takes 32 MiB.
    """

    def of_group(group: int) -> Moments:
        return Moments.of(rows_ND[group_N == group])

    suffixes = [Moments.of(rows_ND[:0])]
    for group in range(num_groups - 1, 0, -1):
        suffixes.append(suffixes[-1].merge(of_group(group)))
    before = Moments.of(rows_ND[:0])
    for group in range(num_groups):
        yield before.merge(suffixes.pop())
        before = before.merge(of_group(group))


def _combine(shift_D: Floats, factor_x: Floats, factor_y: Floats, a: float, b: float) -> float:
    """FD from factors of the scatters; ||F||_F^2 is the scatter's trace."""
    root = np.linalg.svd(factor_x @ factor_y.T, compute_uv=False).sum() / np.sqrt(float(a) * float(b))
    trace_x, trace_y = np.vdot(factor_x, factor_x) / a, np.vdot(factor_y, factor_y) / b
    return float(shift_D @ shift_D + trace_x + trace_y - 2.0 * root)


def _row_factor(centred_ND: Floats) -> Floats:
    if centred_ND.shape[0] <= centred_ND.shape[1]:
        return centred_ND
    return np.asarray(np.linalg.qr(centred_ND, mode="r"))


def _eigen_factor(scatter_DD: Floats) -> Floats:
    """V sqrt(lambda), without eigenvalues at or below D eps lambda_max: rounding errors of zero, whose roots
    would be 1e-8 each."""
    values, vectors = np.linalg.eigh(scatter_DD)
    kept = values > len(values) * np.finfo(np.float64).eps * max(values[-1], 0.0)
    return (vectors[:, kept] * np.sqrt(values[kept])).T


def _scatter_factor(scatter_DD: Floats) -> Floats:
    """Cholesky where the scatter is safely positive definite, the rank-cut eigen-factor where not."""
    try:
        factor: Floats = np.asarray(np.linalg.cholesky(scatter_DD).T, dtype=np.float64)
    except np.linalg.LinAlgError:
        return _eigen_factor(scatter_DD)
    diagonal = np.diag(factor)
    return factor if diagonal.min() > 1e-6 * diagonal.max() else _eigen_factor(scatter_DD)


def _svd_root(matrix_DD: np.ndarray) -> np.ndarray:
    left, values, right = np.linalg.svd(matrix_DD)
    roots = np.where(values < 1e-10, values, np.sqrt(values))
    return (left * roots) @ right
