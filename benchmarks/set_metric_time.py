"""From features to FVD and KVD: the time of the numbers, their jackknife, and of comparing two systems.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/set_metric_time.py

2,990 clips of 400 features on each side (MSR-VTT's test split under I3D), one thread. Ratios against the
usual way, a matrix square root by SciPy, travel between machines better than seconds. Goal: FVD with its
jackknife under one second on one core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from timing import interleaved

from reelbench.core.markdown import table_head, table_line
from reelbench.core.one_thread import one_thread
from reelbench.metrics.build import build_metric
from reelbench.metrics.protocol import load_protocol
from reelbench.metrics.sets.paired_sets import affordable_swaps
from reelbench.metrics.sets.swaps import FrechetSwaps, KernelSwaps


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--clips", type=int, default=2990)
    parser.add_argument("--features", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    n, d = options.clips, options.features
    rng = np.random.default_rng(0)
    spectrum = np.arange(1, d + 1) ** -0.5
    a, b, real = ((rng.normal(size=(n, d)) * spectrum * 4).astype(np.float32) for _ in range(3))
    groups = [f"s{k}" for k in range(n)]
    protocol = load_protocol("clean")
    fvd, kvd = build_metric("fvd", protocol), build_metric("kvd", protocol)
    source = np.arange(n)
    wide_a, wide_b, wide_real = a.astype(np.float64), b.astype(np.float64), real.astype(np.float64)
    fvd_swaps = FrechetSwaps(wide_a, wide_b, wide_real, source)
    kvd_swaps = KernelSwaps(wide_a, wide_b, wide_real, source, degree=3, gamma=None, coef0=1.0, unbiased=True)
    patterns = rng.integers(0, 2, (16, n)).astype(bool)

    @one_thread
    def square_root() -> None:
        from scipy.linalg import sqrtm

        covariances = [np.cov(side.astype(np.float64), rowvar=False) for side in (a, real)]
        sqrtm(covariances[0] @ covariances[1])

    parts: dict[str, tuple[Callable[[], object], int]] = {
        "covariances and SciPy's matrix square root, once": (square_root, 1),
        "FVD with its jackknife (21 distances)": (lambda: fvd.compute(a, real, groups, groups), 1),
        "KVD with its jackknife": (lambda: kvd.compute(a, real, groups, groups), 1),
        "one exchange of the swap test, FVD": (lambda: fvd_swaps.differences(patterns), len(patterns)),
        "one exchange of the swap test, KVD": (lambda: kvd_swaps.differences(patterns), len(patterns)),
    }
    runs = {name: part for name, (part, _) in parts.items()}
    medians = interleaved(runs, options.repeats, time.process_time)
    seconds = {name: medians[name] / count for name, (_, count) in parts.items()}
    bare = seconds["covariances and SciPy's matrix square root, once"]
    headings = [f"{n:,} x {d} on each side", "CPU seconds", "against SciPy's root"]
    print(*table_head(headings, "lr"), sep="\n")
    for name, median in seconds.items():
        print(table_line([name, f"{median:.3f}", f"{median / bare:.2f}"]))
    for name, operations in (("FVD", fvd_swaps.operations), ("KVD", kvd_swaps.operations)):
        print(f"\n{name} compares two such systems by {affordable_swaps(operations)} exchanges.")


if __name__ == "__main__":
    main()
