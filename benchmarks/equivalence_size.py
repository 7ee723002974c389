"""Do the equivalence test and the win rate's interval hold what they say? By simulation, as Markdown tables.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/equivalence_size.py --replicates 1000

The equivalence test errs where it calls two systems alike whose true difference is the margin itself: at 5%,
that may happen in 5% of the experiments. Differences are drawn by source, with clips of one source alike.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np
from scipy.stats import norm

from reelbench.core.equivalence import Centred, centred_pairs, equivalence_p_value, win_rate
from reelbench.core.markdown import table_head, table_line
from reelbench.core.paired import Pairs
from reelbench.core.seeds import generator
from reelbench.core.statistics import ALPHA

Draw = Callable[[np.random.Generator, int], np.ndarray]


def normal(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.normal(size=count)


def skewed(rng: np.random.Generator, count: int) -> np.ndarray:
    """Log-normal, of mean 0 and deviation 1; the tail is on the side of larger differences."""
    return (rng.lognormal(0, 1, count) - np.exp(0.5)) / np.sqrt((np.e - 1) * np.e)


def skewed_down(rng: np.random.Generator, count: int) -> np.ndarray:
    return -skewed(rng, count)


def outliers(rng: np.random.Generator, count: int) -> np.ndarray:
    """3% that lie ten times as far out, on both sides."""
    return rng.normal(size=count) * np.where(rng.random(count) < 0.03, 10.0, 1.0) / np.sqrt(0.97 + 3.0)


SHAPES: tuple[tuple[str, Draw], ...] = (
    ("normal", normal),
    ("log-normal, tail up", skewed),
    ("log-normal, tail down", skewed_down),
    ("3% outliers on both sides", outliers),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--replicates", type=int, default=1000)
    options = parser.parse_args()
    headings = ["true difference = margin", "calls them alike", "t alone", "true difference 0"]
    print("", *table_head(headings, "lr"), sep="\n")
    for cells in sizes(options.replicates):
        print(table_line(cells), flush=True)
    print("", *table_head(["win rate", "95% interval holds the truth", "median width"], "lr"), sep="\n")
    for cells in win_rates(options.replicates):
        print(table_line(cells), flush=True)


def share(hits: list[bool]) -> str:
    p = float(np.mean(hits))
    return f"{100 * p:.1f} ± {100 * np.sqrt(p * (1 - p) / len(hits)):.1f}%"


def pairs_of(differences: np.ndarray, per_source: int) -> Pairs:
    keys = tuple((f"s{index}", 0) for index in range(len(differences)))
    sources = tuple(f"v{index // per_source}" for index in range(len(differences)))
    return Pairs(keys, differences, np.zeros(len(differences)), sources)


def sizes(replicates: int) -> Iterator[tuple[str, ...]]:
    """How often the test calls alike what differs by the margin, and what does not differ at all.

    The margin is three and a half standard errors, within which equal systems are found most of the time.
    """
    for num_sources, per_source in ((5, 1), (10, 4), (34, 1), (34, 4), (256, 1)):
        for name, draw in SHAPES:
            wrong, by_t, right = [], [], []
            for number in range(replicates):
                rng = generator("equivalence", num_sources, per_source, name, number)
                clips = rng.normal(0, 0.5, num_sources * per_source)
                noise = np.repeat(draw(rng, num_sources), per_source) + clips
                deviation = np.sqrt(1.0 + 0.25 / per_source)
                margin = 3.5 * deviation / np.sqrt(num_sources)
                found = centred_pairs(pairs_of(noise + margin, per_source))
                assert found is not None
                wrong.append(equivalence_p_value(found, margin) <= ALPHA)
                plain = Centred(found.centre, found.standard_error, found.degrees)
                by_t.append(equivalence_p_value(plain, margin) <= ALPHA)
                alike = centred_pairs(pairs_of(noise, per_source))
                assert alike is not None
                right.append(equivalence_p_value(alike, margin) <= ALPHA)
            label = f"{num_sources} sources of {per_source}, {name}"
            yield label, share(wrong), share(by_t), share(right)


def win_rates(replicates: int) -> Iterator[tuple[str, ...]]:
    """Coverage of the win rate's interval; clips of one source win together more often than not."""
    for num_sources, per_source in ((5, 1), (10, 4), (34, 1), (34, 4), (256, 1)):
        for truth, ties in ((0.5, 0.0), (0.8, 0.0), (0.95, 0.0), (0.6, 0.3)):
            hits, widths = [], []
            for number in range(replicates):
                rng = generator("win rate", num_sources, per_source, f"{truth} {ties}", number)
                shared = np.repeat(rng.normal(size=num_sources), per_source)
                own = rng.normal(size=num_sources * per_source)
                place = norm.cdf((shared + own) / np.sqrt(2))  # uniform, alike within a source
                # Wins, ties and losses, of which wins and half of the ties make up the truth.
                wins = truth - ties / 2
                signs = np.where(place < wins, 1.0, np.where(place < wins + ties, 0.0, -1.0))
                found = win_rate(pairs_of(signs, per_source), higher_is_better=True)
                if found.low is None or found.high is None:  # ties alone: nothing is stated
                    continue
                hits.append(found.low <= truth <= found.high)
                widths.append(found.high - found.low)
            said = f", {ties:.0%} ties" if ties else ""
            label = f"{num_sources} sources of {per_source}, true rate {truth:.0%}{said}"
            yield label, share(hits), f"{100 * float(np.median(widths)):.0f} points"


if __name__ == "__main__":
    main()
