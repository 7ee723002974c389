"""Intervals that were tried beside those in use: how often they hold the truth, and how wide they are.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/intervals_tried.py --replicates 1000

Means of clip metrics: Student's t; Johnson's shift; Hall's transformation; the bootstrap of t; the one in use
(t, each end the farther of t's and Hall's from 20 sources on). Set metrics: numbers of jackknife groups, with
Student's or the normal quantile. Widths are relative to t's, or to the one of 20 groups.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence

import numpy as np
from interval_coverage import populations, truth
from scipy.special import stdtrit

from reelbench.core.markdown import table_head, table_line
from reelbench.core.seeds import generator
from reelbench.core.statistics import group_jackknife, mean_estimate, t_interval
from reelbench.metrics.sets.frechet import frechet_distance, frechet_without_each_group
from reelbench.metrics.sets.kernel import kernel_sums

Interval = tuple[float, float]
TRIED = ("t", "Johnson", "Hall", "bootstrap of t", "in use")
GROUPS = (10, 20, 40)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--replicates", type=int, default=1000)
    replicates = parser.parse_args().replicates
    started = time.perf_counter()
    quantiles = [f"{groups} groups, {name}" for groups in GROUPS for name in ("t", "normal")]
    for headings, rows in (
        (["sources of one clip", *TRIED], means),
        (["set metric", *quantiles], sets),
    ):
        print("", *table_head(headings, "lr"), sep="\n")
        for cells in rows(replicates):
            print(table_line(cells), flush=True)
    print(f"\n{replicates} replicates (means), {time.perf_counter() - started:.0f} s on one core.")


def means(replicates: int) -> Iterator[tuple[str, ...]]:
    """A row for each distribution and number of sources."""
    for kind in ("normal", "exponential", "log-normal", "3% outliers on both sides"):
        for count in (5, 10, 20, 50, 100):
            hits: dict[str, list[bool]] = {name: [] for name in TRIED}
            widths: dict[str, list[float]] = {name: [] for name in TRIED}
            for number in range(replicates):
                rng = generator("tried", kind, count, number)
                for name, (low, high) in intervals(drawn(rng, kind, count), rng).items():
                    hits[name].append(low <= 1.0 <= high)
                    widths[name].append(high - low)
            usual = np.median(widths["t"])
            cells = [
                f"{100 * np.mean(hits[name]):.1f}%, {np.median(widths[name]) / usual:.2f}" for name in TRIED
            ]
            yield f"{count}, {kind}", *cells


def drawn(rng: np.random.Generator, kind: str, count: int) -> np.ndarray:
    """Values of mean 1."""
    if kind == "log-normal":
        return rng.lognormal(-0.5, 1.0, count)
    if kind == "exponential":
        return rng.exponential(1.0, count)
    values = 1 + rng.normal(size=count)
    return values + np.where(rng.random(count) < 0.03, rng.normal(0, 8, count), 0) if "%" in kind else values


def intervals(values: np.ndarray, rng: np.random.Generator) -> dict[str, Interval]:
    """95% intervals of the mean by the ways of `TRIED`."""
    count, mean, deviation = len(values), float(values.mean()), float(values.std(ddof=1))
    error, root = deviation / np.sqrt(count), float(np.sqrt(count))
    skewness = count / ((count - 1) * (count - 2)) * float(np.sum((values - mean) ** 3)) / deviation**3
    quantile = float(stdtrit(count - 1, 0.975))

    def undone(h: float) -> float:
        return 3 * root / skewness * float(np.cbrt(1 + skewness * (h - skewness / (6 * root)) / root) - 1)

    resampled = values[rng.integers(0, count, (999, count))]
    deviations = resampled.std(axis=1, ddof=1)
    kept = deviations > 1e-9 * deviation
    ratios = (resampled.mean(axis=1) - mean)[kept] / deviations[kept] * root
    lower, upper = np.quantile(ratios, [0.025, 0.975])
    used = mean_estimate(values, [str(index) for index in range(count)])
    assert used.low is not None
    assert used.high is not None
    return {
        "t": t_interval(mean, error, count - 1),
        "Johnson": t_interval(mean + skewness * deviation / (6 * count), error, count - 1),
        "Hall": (mean - error * undone(quantile), mean - error * undone(-quantile)),
        "bootstrap of t": (mean - upper * error, mean - lower * error),
        "in use": (used.low, used.high),
    }


def sets(replicates: int) -> Iterator[tuple[str, ...]]:
    """A row for each metric, size and distribution."""
    for d, n in ((32, 64), (32, 256), (128, 128)):
        for shape, ours, real in populations(d):
            found: dict[tuple[str, int], list[Interval]] = {}
            for number in range(max(50, replicates // 4)):
                rng = generator("groups", d, n, shape, number)
                x, y = ours.draw(rng, n), real.draw(rng, n)
                distance = frechet_distance(x, y)
                for groups in GROUPS:
                    group = np.arange(n) % groups
                    shares = np.bincount(group) / n
                    sums = kernel_sums(x, y, group, group, groups)
                    left: dict[str, tuple[float, Sequence[float] | np.ndarray]] = {
                        "fvd": (distance, frechet_without_each_group(x, y, group, group, groups)),
                        "kvd": (sums.mmd(), [sums.mmd(without=index) for index in range(groups)]),
                    }
                    for name, (value, without) in left.items():
                        jackknife = group_jackknife(value, without, shares)
                        pair = jackknife.bias_corrected, jackknife.standard_error
                        found.setdefault((name, groups), []).append(pair)
            for name in ("fvd", "kvd"):
                true, cells = truth(name, ours, real), []
                usual = stdtrit(19, 0.975) * np.mean([error for _, error in found[name, 20]])
                for groups in GROUPS:
                    centres, errors = np.transpose(found[name, groups])
                    for quantile in (stdtrit(groups - 1, 0.975), 1.96):
                        hit = np.mean(np.abs(centres - true) <= quantile * errors)
                        cells.append(f"{100 * hit:.1f}%, {quantile * np.mean(errors) / usual:.2f}")
                yield f"{name.upper()}, D = {d}, N = {n}, {shape}", *cells


if __name__ == "__main__":
    main()
