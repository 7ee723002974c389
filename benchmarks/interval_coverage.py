"""Do the intervals hold what they say? Coverage and error rates by simulation, as a Markdown table.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/interval_coverage.py --replicates 400

Each row draws many experiments from known distributions and counts how often the 95% interval holds the
truth, or how often a test at 5% rejects where nothing is there. Features have a falling spectrum, as real
ones do. The distance between two different distributions is taken from one sample of 60,000 of each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np

from reelbench.core.seeds import generator
from reelbench.core.statistics import mean_estimate, sign_flip_test
from reelbench.metrics.build import build_metric
from reelbench.metrics.frechet import frechet_distance
from reelbench.metrics.kernel import polynomial_mmd
from reelbench.metrics.protocol import load_protocol

Draw = Callable[[np.random.Generator, int], np.ndarray]

LARGE = 60_000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--replicates", type=int, default=400)
    options = parser.parse_args()
    started = time.perf_counter()
    print("| what | setting | nominal | found | mean length or note |")
    print("|---|---|---:|---:|---|")
    for rows in (clip_means, set_intervals, paired_intervals, false_positives):
        for line in rows(options.replicates):
            print(line, flush=True)
    print(f"\n{options.replicates} experiments a row, {time.perf_counter() - started:.0f} s of one core.")


def share(hits: list[bool]) -> str:
    """A share with its standard error, in percent."""
    p = float(np.mean(hits))
    return f"{100 * p:.1f} ± {100 * np.sqrt(p * (1 - p) / len(hits)):.1f}%"


# -- clip metrics ------------------------------------------------------------------------------


def clip_means(replicates: int) -> Iterator[str]:
    """The clustered t-interval of a mean, with sources that share an effect, and with skewed values."""
    for num_sources, per_source, skewed in (
        (5, 4, False), (20, 4, False), (100, 4, False), (5, 4, True), (20, 4, True), (100, 4, True),
    ):  # fmt: skip
        hits, lengths = [], []
        for number in range(replicates):
            rng = generator("clip means", num_sources, skewed, number)
            values, clusters = clustered(rng, num_sources, per_source, skewed)
            found = mean_estimate(values, clusters)
            assert found.low is not None
            assert found.high is not None
            hits.append(found.low <= 1.0 <= found.high)
            lengths.append(found.high - found.low)
        shape = "log-normal sources" if skewed else "normal"
        yield (
            f"| clip metric, mean | {num_sources} sources of {per_source} clips, {shape} | 95% "
            f"| {share(hits)} | length {np.mean(lengths):.3g} |"
        )


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


def gaussian(scale_D: np.ndarray, shift: float = 0.0) -> Draw:
    return lambda rng, n: rng.normal(size=(n, len(scale_D))) * scale_D + shift


def heavy(scale_D: np.ndarray, shift: float = 0.0) -> Draw:
    """Student's t with 5 degrees of freedom, one radius for all dimensions of a clip."""
    return lambda rng, n: (
        rng.normal(size=(n, len(scale_D))) * scale_D / np.sqrt(rng.chisquare(5, size=(n, 1)) / 5) + shift
    )


def scales(d: int) -> np.ndarray:
    return np.arange(1, d + 1) ** -0.5


def populations(d: int) -> Iterator[tuple[str, Draw, Draw]]:
    yield "Gaussian, different", gaussian(1.15 * scales(d), 0.1), gaussian(scales(d))
    yield "Gaussian, alike", gaussian(scales(d)), gaussian(scales(d))
    yield "heavy tails, different", heavy(1.15 * scales(d), 0.1), heavy(scales(d))


def truth(name: str, ours: Draw, real: Draw, alike: bool) -> float:
    """The distance of the distributions."""
    if alike:
        return 0.0
    rng = generator("truth", name)
    x, y = ours(rng, LARGE), real(rng, LARGE)
    if name == "fvd":
        return frechet_distance(x, y)
    # In blocks: the kernel of all pairs of so many does not fit, and its mean over blocks has no bias.
    return float(
        np.mean([polynomial_mmd(a, b) for a, b in zip(np.split(x, 20), np.split(y, 20), strict=True)])
    )


def set_intervals(replicates: int) -> Iterator[str]:
    """The jackknife's interval around the bias-corrected value."""
    protocol = load_protocol("clean")
    for d, n in ((32, 64), (32, 256), (32, 1024), (128, 256), (128, 1024)):
        repeats = max(60, replicates * 64 // max(d, n // 8))
        for shape, ours, real in populations(d):
            for name in ("fvd", "kvd"):
                metric = build_metric(name, protocol)
                true = truth(name, ours, real, shape.endswith("alike"))
                hits, raw, corrected = [], [], []
                for number in range(repeats):
                    rng = generator("set intervals", d, n, shape, number)
                    x, y = ours(rng, n), real(rng, n)
                    found = metric.compute(x, y, [f"a{k}" for k in range(n)], [f"b{k}" for k in range(n)])
                    hits.append(found.low <= true <= found.high)
                    raw.append(found.value)
                    corrected.append(found.bias_corrected)
                yield (
                    f"| {metric.label}, bias-corrected | D = {d}, N = {n}, {shape} | 95% | {share(hits)} "
                    f"| truth {true:.3g}, value {np.mean(raw):.3g}, corrected {np.mean(corrected):.3g} |"
                )


# -- comparisons -------------------------------------------------------------------------------


def paired_intervals(replicates: int) -> Iterator[str]:
    """The interval of the difference of two systems on the same prompts: truth from the distributions."""
    protocol = load_protocol("clean")
    d = 32
    one, other, real = gaussian(1.15 * scales(d), 0.1), gaussian(1.3 * scales(d), 0.2), gaussian(scales(d))
    for n in (64, 256, 1024):
        for name in ("fvd", "kvd"):
            metric = build_metric(name, protocol)
            true = truth(name, one, real, False) - truth(name, other, real, False)
            hits = []
            for number in range(max(60, replicates * 64 // max(64, n // 2))):
                rng = generator("paired", n, number)
                groups = [f"s{k}" for k in range(n)]
                found = metric.compare([one(rng, n)], [other(rng, n)], real(rng, n), groups, groups)
                assert found.low is not None
                assert found.high is not None
                hits.append(found.low <= true <= found.high)
            yield (
                f"| {metric.label}, difference of two systems | D = {d}, N = {n}, Gaussian | 95% "
                f"| {share(hits)} | truth {true:.3g} |"
            )


def false_positives(replicates: int) -> Iterator[str]:
    """How often tests at 5% reject where the systems are alike."""
    hits = []
    for number in range(4 * replicates):
        values, clusters = clustered(generator("flip", number), 12, 3, False)
        hits.append(sign_flip_test(values - 1.0, clusters, number).p_value <= 0.05)
    yield f"| sign-flip test rejects | 12 sources of 3 clips, no difference | 5% | {share(hits)} | |"
    protocol = load_protocol("clean")
    d, n = 16, 48
    system, real = heavy(1.2 * scales(d), 0.1), heavy(scales(d))
    for name in ("fvd", "kvd"):
        metric = build_metric(name, protocol)
        hits = []
        for number in range(replicates):
            rng = generator("swap", number)
            groups = [f"s{k // 2}" for k in range(n)]
            found = metric.compare([system(rng, n)], [system(rng, n)], real(rng, n), groups, groups, number)
            hits.append(found.p_value <= 0.05)
        yield (
            f"| swap test of {metric.label} rejects | D = {d}, 24 sources of 2 clips, heavy tails, no "
            f"difference | 5% | {share(hits)} | |"
        )


if __name__ == "__main__":
    main()
