"""Set metrics of clips that follow their own references: what misleads, and what does not. By simulation.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/tied_references.py --replicates 100

Features are normal with a falling spectrum, as in `interval_coverage.py`. A clip's feature has a given
correlation with that of its own reference, in each dimension; its distribution is the references' ("right")
or another one ("wrong"). Values are means over the replicates, with the deviation of one replicate.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np
from interval_coverage import Population, scales, share, truth

from reelbench.core.markdown import table_head, table_line
from reelbench.core.seeds import generator
from reelbench.core.statistics import t_interval
from reelbench.metrics.build import build_metric
from reelbench.metrics.protocol import load_protocol
from reelbench.metrics.sets.features import MAX_GROUPS

CORRELATIONS = (0.0, 0.3, 0.6, 0.9)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--replicates", type=int, default=100)
    replicates = parser.parse_args().replicates
    started = time.perf_counter()
    for title, headings, rows in (
        ("FVD", ["truth", "own references", "corrected", "holds", "others' references"], values("fvd")),
        ("KVD", ["truth", "own references", "corrected", "holds", "others' references"], values("kvd")),
        ("Seer's centred KVD", ["truth", "value", "corrected", "holds"], centred),
        ("right and free, or wrong and tied by 0.9: the right one first", RANKED, ranking),
        ("wrong and tied by 0.9 less right and tied by 0.3", ["truth", "found", "holds"], differences),
    ):
        print("", *table_head([title, *headings], "lr"), sep="\n")
        for cells in rows(replicates):
            print(table_line(cells), flush=True)
    print(f"\n{replicates} replicates a row, {time.perf_counter() - started:.0f} s on one core.")


def tied(
    rng: np.random.Generator, ours: Population, real: Population, n: int, correlation: float
) -> tuple[np.ndarray, np.ndarray]:
    """[N, D] clips and [N, D] their references."""
    common = rng.normal(size=(n, len(real.scale_D)))
    own = correlation * common + np.sqrt(1 - correlation**2) * rng.normal(size=common.shape)
    return own * ours.scale_D + ours.shift, common * real.scale_D + real.shift


def cases() -> Iterator[tuple[int, int, str, Population, Population]]:
    """D, N, and the distributions."""
    for d, sizes in ((32, (16, 64, 256)), (128, (64, 256))):
        real = Population(scales(d))
        for n in sizes:
            yield d, n, "right", Population(scales(d)), real
            yield d, n, "wrong", Population(1.15 * scales(d), 0.1), real


def values(name: str):  # type: ignore[no-untyped-def]
    """The rows of a metric beside the one against others' references."""

    def rows(replicates: int) -> Iterator[tuple[str, ...]]:
        protocol = load_protocol("clean")
        own, others = build_metric(name, protocol), build_metric(f"{name}_others", protocol)
        for d, n, shape, ours, real in cases():
            true, ids = truth(name, ours, real), [f"s{k}" for k in range(n)]
            for correlation in CORRELATIONS:
                found, hits = [], []
                for number in range(replicates):
                    rng = generator("tied", d, n, shape, str(correlation), number)
                    x, y = tied(rng, ours, real, n, correlation)
                    of_own, of_others = own.compute(x, y, ids, ids), others.compute(x, y, ids, ids)
                    low, high = t_interval(of_own.bias_corrected, of_own.standard_error, MAX_GROUPS - 1)
                    hits.append(low <= true <= high)
                    found.append((of_own.value, of_own.bias_corrected, of_others.value))
                given = " (not given)" if name == "fvd" and n < d else ""
                columns = [spread(column) for column in np.transpose(found)]
                row = f"D = {d}, N = {n}, {shape}, correlation {correlation:g}"
                yield row, f"{true:.3g}", *columns[:2], share(hits) + given, columns[2]

    return rows


def centred(replicates: int) -> Iterator[tuple[str, ...]]:
    """KVD of features centred side by side, of equal distributions."""
    metric = build_metric("kvd", load_protocol("seer"))
    real = Population(scales(32))
    for n in (16, 64, 256):
        ids = [f"s{k}" for k in range(n)]
        for correlation in CORRELATIONS:
            found, hits = [], []
            for number in range(replicates):
                rng = generator("centred", n, str(correlation), number)
                estimate = metric.compute(*tied(rng, real, real, n, correlation), ids, ids)
                found.append((estimate.value, estimate.bias_corrected))
                hits.append(estimate.low <= 0 <= estimate.high)
            columns = [spread(column) for column in np.transpose(found)]
            yield f"D = 32, N = {n}, right, correlation {correlation:g}", "0", *columns, share(hits)


RANKED = ["FVD", "FVD corrected", "FVD, others'", "KVD", "KVD corrected", "KVD, others'"]


def ranking(replicates: int) -> Iterator[tuple[str, ...]]:
    """How often the right distribution has the smaller value."""
    protocol = load_protocol("clean")
    metrics = [build_metric(name, protocol) for name in ("fvd", "fvd_others", "kvd", "kvd_others")]
    for d, n, shape, ours, real in cases():
        if shape == "right":
            continue
        ids, firsts = [f"s{k}" for k in range(n)], []
        for number in range(replicates):
            rng = generator("ranking", d, n, number)
            wrong, y = tied(rng, ours, real, n, 0.9)
            sides = real.draw(rng, n), wrong
            found = [[metric.compute(side, y, ids, ids) for side in sides] for metric in metrics]
            first = []
            for metric, (a, b) in zip(metrics, found, strict=True):
                first.append(a.value < b.value)
                if metric.references != "others":
                    first.append(a.bias_corrected < b.bias_corrected)
            firsts.append(first)
        yield f"D = {d}, N = {n}", *(f"{100 * column:.0f}%" for column in np.mean(firsts, axis=0))


def differences(replicates: int) -> Iterator[tuple[str, ...]]:
    """The difference of two systems against others' references, and how often its interval holds it."""
    protocol = load_protocol("clean")
    for d, n, shape, ours, real in cases():
        if shape == "right" or n < 64:
            continue
        ids = [f"s{k}" for k in range(n)]
        for name in ("fvd", "kvd"):
            metric, true = build_metric(f"{name}_others", protocol), truth(name, ours, real)
            found, hits = [], []
            for number in range(replicates):
                rng = generator("difference", d, n, number)
                wrong, y = tied(rng, ours, real, n, 0.9)
                noise = rng.normal(size=y.shape) * real.scale_D
                right = real.shift + 0.3 * (y - real.shift) + np.sqrt(1 - 0.3**2) * noise
                compared = metric.compare([wrong], [right], y, ids, ids, max_swaps=1)
                found.append(compared.difference)
                hits.append(compared.low <= true <= compared.high)
            yield f"{metric.label}, D = {d}, N = {n}", f"{true:.3g}", spread(np.array(found)), share(hits)


def spread(column: np.ndarray) -> str:
    """Mean and deviation."""
    return f"{np.mean(column):.3g} ± {np.std(column):.2g}"


if __name__ == "__main__":
    main()
