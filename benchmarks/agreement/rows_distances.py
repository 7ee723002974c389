"""Moments and distances between sets."""

from __future__ import annotations

from functools import cache
from typing import Any

import mpmath
import numpy as np
from row import largest, relative, row

from reelbench.metrics.protocol import load_protocol
from reelbench.metrics.sets.fid import Fid
from reelbench.metrics.sets.frechet import Moments, frechet_distance, frechet_without_each_group
from reelbench.metrics.sets.kernel import polynomial_mmd


@cache
def features(n: int = 300, d: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of features with a falling spectrum: float32 values, as float64."""
    rng = np.random.default_rng(1)
    scale = np.arange(1, d + 1) ** -0.7
    mix = rng.normal(size=(d, d)) / np.sqrt(d)
    x = rng.normal(size=(n, d)) * scale @ mix
    y = rng.normal(size=(n, d)) * (1.2 * scale) @ mix + 0.3
    return x.astype(np.float32).astype(np.float64), y.astype(np.float32).astype(np.float64)


@row(
    "moments",
    "mean and scatter merged over shards, float64",
    "numpy.mean and numpy.cov on all rows",
    1e-12,
    "relative",
)
def moments_merged() -> float:
    x = features()[0] + 100.0
    parts = [Moments.of(part) for part in np.array_split(x, 7)]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    covariance = merged.scatter_DD / (merged.n - 1)
    return max(
        largest(merged.mean_D, x.mean(axis=0)) / 100.0,
        largest(covariance, np.cov(x, rowvar=False)) / float(np.abs(covariance).max()),
    )


@row("distance", "FVD, N > D", "mpmath, 50 digits", 1e-12, "relative")
def distance_mpmath() -> float:
    x, y = (side[:60, :6] for side in features())
    with mpmath.workdps(50):

        def moments(rows: np.ndarray) -> tuple[Any, Any]:
            matrix = mpmath.matrix(rows.tolist())
            n, d = matrix.rows, matrix.cols
            mean = [mpmath.fsum(matrix[i, j] for i in range(n)) / n for j in range(d)]
            centred = mpmath.matrix(n, d)
            for i in range(n):
                for j in range(d):
                    centred[i, j] = matrix[i, j] - mean[j]
            return mean, centred.T * centred / (n - 1)

        (mean_x, cov_x), (mean_y, cov_y) = moments(x), moments(y)
        roots = mpmath.eig(cov_x * cov_y, left=False, right=False)
        root_trace = mpmath.fsum(mpmath.sqrt(mpmath.re(value)) for value in roots)
        shift = mpmath.fsum((a - b) ** 2 for a, b in zip(mean_x, mean_y, strict=True))
        trace = mpmath.fsum(cov_x[i, i] + cov_y[i, i] for i in range(cov_x.rows))
        exact = float(shift + trace - 2 * root_trace)
    return relative(frechet_distance(x, y), exact)


@row("distance", "FVD, N > D", "torchmetrics' Fréchet distance, float64", 1e-10, "relative")
def distance_torchmetrics() -> float:
    import torch
    from torchmetrics.image.fid import _compute_fid

    x, y = features()
    moments = [
        torch.from_numpy(value) for side in (x, y) for value in (side.mean(0), np.cov(side, rowvar=False))
    ]
    return relative(frechet_distance(x, y), float(_compute_fid(*moments)))


@row("distance", "FVD, N > D", "scipy.linalg.sqrtm of the product, float64", 1e-10, "relative")
def distance_scipy() -> float:
    from scipy.linalg import sqrtm

    x, y = features()
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    shift = x.mean(0) - y.mean(0)
    theirs = shift @ shift + np.trace(cov_x) + np.trace(cov_y) - 2 * np.trace(sqrtm(cov_x @ cov_y)).real
    return relative(frechet_distance(x, y), float(theirs))


@row(
    "distance",
    "FVD, N < D (singular covariances)",
    "nuclear norm from eigenvalues, mpmath 50 digits",
    1e-10,
    "relative",
)
def distance_singular() -> float:
    x, y = (side[:8] for side in features())
    with mpmath.workdps(50):
        a = mpmath.matrix((x - x.mean(0)).tolist())
        b = mpmath.matrix((y - y.mean(0)).tolist())
        cross = a * b.T
        squares = mpmath.eigsy(cross * cross.T, eigvals_only=True)
        root = float(mpmath.fsum(mpmath.sqrt(abs(value)) for value in squares) / 7)
    shift = x.mean(0) - y.mean(0)
    traces = sum(float(np.square(side - side.mean(0)).sum()) / 7 for side in (x, y))
    return relative(frechet_distance(x, y), float(shift @ shift + traces - 2 * root))


@row("distance", "KVD, unbiased, cubic", "torchmetrics' polynomial MMD (KID)", 1e-9, "relative")
def kernel_torchmetrics() -> float:
    import torch
    from torchmetrics.image.kid import poly_mmd

    x, y = features()
    return relative(polynomial_mmd(x, y), float(poly_mmd(torch.from_numpy(y), torch.from_numpy(x))))


@row("distance", "KVD, unbiased, cubic", "scikit-learn's polynomial_kernel, sums by hand", 1e-9, "relative")
def kernel_sklearn() -> float:
    from sklearn.metrics.pairwise import polynomial_kernel

    x, y = features()
    n, m = len(x), len(y)
    within_x, within_y, between = (polynomial_kernel(a, b) for a, b in ((x, x), (y, y), (x, y)))
    theirs = (
        (within_x.sum() - np.trace(within_x)) / (n * (n - 1))
        + (within_y.sum() - np.trace(within_y)) / (m * (m - 1))
        - 2 * between.mean()
    )
    return relative(polynomial_mmd(x, y), float(theirs))


@row(
    "distance",
    "FVD without each of 20 groups (jackknife)",
    "the distance computed anew on the rows that are left",
    1e-10,
    "relative",
)
def distance_left_out() -> float:
    x, y = features()
    group = np.arange(len(x)) % 20
    ours = frechet_without_each_group(x, y, group, group, 20)
    theirs = [frechet_distance(x[group != g], y[group != g]) for g in range(20)]
    return max(relative(a, b) for a, b in zip(ours, theirs, strict=True))


@row(
    "distance",
    "FID of the frames of 50 clips a side",
    "torchmetrics' FrechetInceptionDistance, fed frame by frame, float64",
    1e-9,
    "relative",
)
def distance_fid() -> float:
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Given(torch.nn.Module):
        num_features = 24

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return features

    theirs = FrechetInceptionDistance(feature=Given()).set_dtype(torch.float64)
    x, y = (side.astype(np.float32) for side in features())
    theirs.update(torch.from_numpy(x).double(), real=False)
    theirs.update(torch.from_numpy(y).double(), real=True)
    generated, reference = (side.reshape(50, 6, 24) for side in (x, y))
    sources = [f"s{index}" for index in range(50)]
    ours = Fid(load_protocol("clean")).compute(generated, reference, sources, sources).value
    return relative(ours, float(theirs.compute()))
