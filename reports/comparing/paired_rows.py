"""Paired tests between methods of different runs, from their `scores` tables alone.

For tables over several runs, whose own `comparisons` tables know the pairs within a run only:

    systems = [
        Scored("simda (out/a)", [row for row in a.rows("scores") if row["method"] == "simda"]),
        Scored("simda (out/b)", [row for row in b.rows("scores") if row["method"] == "simda"]),
    ]
    rows = paired_rows(systems)      # core.tables.ComparisonRow; method_a and method_b are these names
    PairedTests(map(vars, rows))     # reports.tables.lead: what may be bold

The same statistics as within a run (`core.paired`): differences on the (sample, seed) that both have, sign
flips of whole sources, Holm over all rows of a data set and protocol. Pairs are compared that have the same
data set, split, protocol digest and conditioning; others get no row. Clip metrics only: set metrics (FVD,
KVD) are compared by their features, which tables do not hold; `stages.comparing` does that where a store is
there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ...core.paired import Pair, PairedComparison, pair_up, paired_test
from ...core.statistics import ALPHA, holm, min_detectable
from ...core.tables import ComparisonRow
from ..tables.run_tables import Row

Place = tuple[str, str, str, str, str]
"""Data set, split, protocol digest, conditioning, metric."""


@dataclass(frozen=True)
class Scored:
    """A method of some run.

    Attributes:
        name: unique among those that are compared.
        scores: its rows of the `scores` table.
    """

    name: str
    scores: Sequence[Row]


def paired_rows(systems: Sequence[Scored], run: str = "") -> list[ComparisonRow]:
    """Rows like those of the `comparisons` table, for each pair of the systems that can be compared.

    Args:
        systems: with different names.
        run: what stands in the column `run`.

    Raises:
        ValueError: two systems have one name.
    """
    names = [system.name for system in systems]
    if len(set(names)) < len(names):
        raise ValueError(f"each system needs a name of its own, got {names}")
    families: dict[tuple[str, str, str], list[tuple[ComparisonRow, float]]] = {}
    for a, b in itertools.combinations(systems, 2):
        for row, resolution in _compared(a, b, run):
            families.setdefault((row.dataset, row.split, row.protocol_digest), []).append((row, resolution))
    return [row for family in families.values() for row in _adjusted(family)]


def _compared(a: Scored, b: Scored, run: str) -> Iterator[tuple[ComparisonRow, float]]:
    """The rows of a pair, before Holm, each with the smallest p-value that its test can give."""
    ours, theirs = _by_place(a), _by_place(b)
    for place in sorted(ours.keys() & theirs.keys()):
        one, other = ours[place], theirs[place]
        source_of = {row["sample_id"]: row["source"] for row in one.values()}
        moved = [row["sample_id"] for row in other.values()
                 if source_of.get(row["sample_id"], row["source"]) != row["source"]]  # fmt: skip
        pairs = pair_up(
            {key: row["value"] for key, row in one.items() if key[0] not in moved},
            {key: row["value"] for key, row in other.items()},
            source_of,
        )
        if not pairs.keys:
            continue
        found = paired_test(pairs)
        if moved:
            said = f"{len(moved)} scores left out: their samples are of other source videos in the other run"
            found = replace(found, notes=(*found.notes, said))
        if len(pairs.keys) < max(len(one), len(other)):
            said = f"on the {len(pairs.keys)} pairs that both have, of {len(one)} and {len(other)}"
            found = replace(found, notes=(*found.notes, said))
        protocol = next(iter(one.values()))["protocol"]
        yield _row(found, run, place, protocol, a.name, b.name), found.resolution


def _by_place(system: Scored) -> dict[Place, dict[Pair, Row]]:
    found: dict[Place, dict[Pair, Row]] = {}
    for row in system.scores:
        names = ("dataset", "split", "protocol_digest", "conditioning", "metric")
        dataset, split, protocol_digest, conditioning, metric = (row[name] or "" for name in names)
        cell = found.setdefault((dataset, split, protocol_digest, conditioning, metric), {})
        cell[row["sample_id"], row["seed"]] = row
    return found


def _row(found: PairedComparison, run: str, place: Place, protocol: str, a: str, b: str) -> ComparisonRow:
    dataset, split, protocol_digest, conditioning, metric = place
    return ComparisonRow(
        run=run,
        metric=metric,
        protocol=protocol,
        protocol_digest=protocol_digest,
        dataset=dataset,
        split=split,
        conditioning=conditioning,
        method_a=a,
        method_b=b,
        level="clip",
        difference=found.difference,
        standard_error=found.standard_error,
        low=found.low,
        high=found.high,
        p_value=found.p_value,
        p_holm=found.p_value,
        family="",
        min_detectable=None
        if found.standard_error is None
        else min_detectable(found.standard_error, found.degrees),
        num_pairs=found.n,
        num_sources=found.num_sources,
        test=found.test,
        notes="\n".join(found.notes),
    )


def _adjusted(rows: Sequence[tuple[ComparisonRow, float]]) -> Iterator[ComparisonRow]:
    """The rows of one family with Holm's correction; where no p-value of the test could tell a pair apart, no
    detectable difference is stated."""
    family = f"{len(rows)} comparisons: all metrics and pairs of this data set and protocol"
    for (row, resolution), p_holm in zip(rows, holm([row.p_value for row, _ in rows]), strict=True):
        told = row.min_detectable if resolution * len(rows) <= ALPHA else None
        yield replace(row, p_holm=p_holm, family=family, min_detectable=told)
