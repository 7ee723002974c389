"""Do the intervals hold what they say? Coverage and error rates by simulation, as a Markdown table.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/interval_coverage.py --replicates 400

Each row draws many experiments from known distributions and counts how often the 95% interval holds the
truth, or how often a test at 5% rejects where nothing is there. Features have a falling spectrum, as real
ones do. The true FVD has a closed form here; the true KVD of two different distributions is taken from one
sample of 60,000 of each. Where FVD gives no interval (fewer clips than dimensions), the one that is counted
is what it would have been.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from reelbench.core.markdown import table_head, table_line
from reelbench.core.seeds import generator
from reelbench.core.statistics import mean_estimate, sign_flip_test, t_interval
from reelbench.metrics.build import build_metric
from reelbench.metrics.protocol import load_protocol
from reelbench.metrics.sets.features import MAX_GROUPS
from reelbench.metrics.sets.kernel import polynomial_mmd

LARGE = 60_000

HEAVY_DEGREES = 5


@dataclass(frozen=True)
class Population:
    """Features with independent dimensions about a common shift.

    Attributes:
        scale_D: of each dimension.
        shift: of every dimension.
        is_heavy: Student's t with 5 degrees of freedom, one radius for all dimensions of a clip, or Gaussian.
    """

    scale_D: np.ndarray
    shift: float = 0.0
    is_heavy: bool = False

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        rows = rng.normal(size=(n, len(self.scale_D))) * self.scale_D
        if self.is_heavy:
            rows /= np.sqrt(rng.chisquare(HEAVY_DEGREES, size=(n, 1)) / HEAVY_DEGREES)
        return rows + self.shift

    @property
    def deviations_D(self) -> np.ndarray:
        return self.scale_D * (np.sqrt(HEAVY_DEGREES / (HEAVY_DEGREES - 2)) if self.is_heavy else 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--replicates", type=int, default=400)
    options = parser.parse_args()
    started = time.perf_counter()
    for headings, rows in (
        (["mean of a clip metric", "95% interval holds the truth"], clip_means),
        (["value of a set metric", "FVD: holds", "truth, value, corrected", "KVD: holds"], set_intervals),
        (["difference of two systems", "FVD: holds", "truth, mean found", "KVD: holds"], paired_intervals),
        (["tests at 5%, nothing there", "rejects"], false_positives),
    ):
        print("", *table_head(headings, "lr"), sep="\n")
        for cells in rows(options.replicates):
            print(table_line(cells), flush=True)
    fewest, seconds = min(100, options.replicates), time.perf_counter() - started
    print(f"\n{fewest} experiments a row or more, {seconds:.0f} s on one core.")


def share(hits: list[bool]) -> str:
    """A share with its standard error, in percent."""
    p = float(np.mean(hits))
    return f"{100 * p:.1f} ± {100 * np.sqrt(p * (1 - p) / len(hits)):.1f}%"


# -- clip metrics ------------------------------------------------------------------------------


def clip_means(replicates: int) -> Iterator[tuple[str, ...]]:
    """The clustered t-interval of a mean, with sources that share an effect, and with skewed values."""
    for num_sources, per_source, skewed in (
        (5, 4, False), (20, 4, False), (100, 4, False), (5, 4, True), (20, 4, True), (100, 4, True),
    ):  # fmt: skip
        hits = []
        for number in range(4 * replicates):
            rng = generator("clip means", num_sources, skewed, number)
            values, clusters = clustered(rng, num_sources, per_source, skewed)
            found = mean_estimate(values, clusters)
            assert found.low is not None
            assert found.high is not None
            hits.append(found.low <= 1.0 <= found.high)
        shape = "log-normal sources" if skewed else "normal"
        yield f"{num_sources} sources of {per_source} clips, {shape}", share(hits)


def clustered(
    rng: np.random.Generator, num_sources: int, per_source: int, skewed: bool
) -> tuple[np.ndarray, list[str]]:
    """Values of mean 1 with an effect of the source and one of the clip."""
    if skewed:
        effect = rng.lognormal(-0.5, 1.0, num_sources)
    else:
        effect = 1.0 + rng.normal(0, 1.0, num_sources)
    values = np.repeat(effect, per_source) + rng.normal(0, 0.5, num_sources * per_source)
    return values, [f"s{k}" for k in range(num_sources) for _ in range(per_source)]


# -- set metrics -------------------------------------------------------------------------------


def scales(d: int) -> np.ndarray:
    return np.arange(1, d + 1) ** -0.5


def populations(d: int) -> Iterator[tuple[str, Population, Population]]:
    yield "Gaussian, different", Population(1.15 * scales(d), 0.1), Population(scales(d))
    yield "Gaussian, alike", Population(scales(d)), Population(scales(d))
    yield "heavy tails, different", Population(1.15 * scales(d), 0.1, True), Population(scales(d), 0.0, True)


def truth(name: str, ours: Population, real: Population) -> float:
    """The distance of the distributions."""
    if name == "fvd":  # covariances that commute
        shift = len(ours.scale_D) * (ours.shift - real.shift) ** 2
        return float(shift + np.sum((ours.deviations_D - real.deviations_D) ** 2))
    if np.array_equal(ours.scale_D, real.scale_D) and ours.shift == real.shift:
        return 0.0
    case = (len(ours.scale_D), ours.scale_D[0], ours.shift, ours.is_heavy)
    if case not in _KVD_TRUTHS:
        _KVD_TRUTHS[case] = _kvd_of_large_samples(ours, real)
    return _KVD_TRUTHS[case]


_KVD_TRUTHS: dict[tuple[float, ...], float] = {}


def _kvd_of_large_samples(ours: Population, real: Population) -> float:
    rng = generator("truth", len(ours.scale_D))
    x, y = ours.draw(rng, LARGE), real.draw(rng, LARGE)
    # In blocks: the kernel of all pairs of so many does not fit, and its mean over blocks has no bias.
    return float(
        np.mean([polynomial_mmd(a, b) for a, b in zip(np.split(x, 20), np.split(y, 20), strict=True)])
    )


def set_intervals(replicates: int) -> Iterator[tuple[str, ...]]:
    """The jackknife's interval around the bias-corrected value."""
    protocol = load_protocol("clean")
    for d, n in ((128, 32), (128, 64), (128, 96), (128, 128), (128, 256), (128, 1024),
                 (32, 64), (32, 256), (32, 1024)):  # fmt: skip
        repeats = max(100, replicates * 64 // max(d, n // 8))
        for shape, ours, real in populations(d):
            holds, note = {}, ""
            for name in ("fvd", "kvd"):
                metric = build_metric(name, protocol)
                true = truth(name, ours, real)
                hits, raw, corrected = [], [], []
                for number in range(repeats):
                    rng = generator("set intervals", d, n, shape, number)
                    x, y = ours.draw(rng, n), real.draw(rng, n)
                    found = metric.compute(x, y, [f"a{k}" for k in range(n)], [f"b{k}" for k in range(n)])
                    low, high = t_interval(found.bias_corrected, found.standard_error, MAX_GROUPS - 1)
                    hits.append(low <= true <= high)
                    raw.append(found.value)
                    corrected.append(found.bias_corrected)
                holds[name] = share(hits)
                if name == "fvd":
                    note = f"{true:.3g}, {np.mean(raw):.3g}, {np.mean(corrected):.3g}"
            given = " (not given)" if n < d else ""
            yield f"D = {d}, N = {n}, {shape}", f"{holds['fvd']}{given}", note, holds["kvd"]


# -- comparisons -------------------------------------------------------------------------------


def paired_intervals(replicates: int) -> Iterator[tuple[str, ...]]:
    """The interval of the difference of two systems on the same prompts: truth from the distributions."""
    protocol = load_protocol("clean")
    for d, n in ((128, 32), (128, 64), (128, 256), (32, 64), (32, 256), (32, 1024)):
        for is_heavy in (False, True):
            one, other = (
                Population(1.15 * scales(d), 0.1, is_heavy),
                Population(1.3 * scales(d), 0.2, is_heavy),
            )
            real = Population(scales(d), 0.0, is_heavy)
            shape = "heavy tails" if is_heavy else "Gaussian"
            holds, note = {}, ""
            groups = [f"s{k}" for k in range(n)]
            for name in ("fvd", "kvd"):
                metric = build_metric(name, protocol)
                true = truth(name, one, real) - truth(name, other, real)
                hits, differences = [], []
                for number in range(max(100, replicates * 64 // max(64, n // 4))):
                    rng = generator("paired", d, n, is_heavy, number)
                    sides = [one.draw(rng, n)], [other.draw(rng, n)], real.draw(rng, n)
                    found = metric.compare(*sides, groups, groups, max_swaps=1)
                    assert found.low is not None
                    assert found.high is not None
                    hits.append(found.low <= true <= found.high)
                    differences.append(found.difference)
                holds[name] = share(hits)
                if name == "fvd":
                    note = f"{true:.3g}, {np.mean(differences):.3g}"
            yield f"D = {d}, N = {n}, {shape}", holds["fvd"], note, holds["kvd"]


def false_positives(replicates: int) -> Iterator[tuple[str, ...]]:
    """How often tests at 5% reject where the systems are alike."""
    hits = []
    for number in range(10 * replicates):
        values, clusters = clustered(generator("flip", number), 12, 3, False)
        hits.append(sign_flip_test(values - 1.0, clusters, number).p_value <= 0.05)
    yield "sign flips, 12 sources of 3 clips", share(hits)
    protocol = load_protocol("clean")
    d, n = 16, 48
    system, real = Population(1.2 * scales(d), 0.1, True), Population(scales(d), 0.0, True)
    groups = [f"s{k // 2}" for k in range(n)]
    for name in ("fvd", "kvd"):
        metric = build_metric(name, protocol)
        hits = []
        for number in range(5 * replicates):
            rng = generator("swap", number)
            sides = [system.draw(rng, n)], [system.draw(rng, n)], real.draw(rng, n)
            found = metric.compare(*sides, groups, groups, number, max_swaps=199)
            hits.append(found.p_value <= 0.05)
        yield f"swaps, {metric.label}, D = {d}, 24 sources of 2 clips, heavy tails", share(hits)


if __name__ == "__main__":
    main()
