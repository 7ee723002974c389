"""What is best and second best in a column, by the one rule of `tables.lead`, and how surely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..comparing.paired_rows import Scored, paired_rows
from ..tables.build import Footnotes, column_lead, without_bias
from ..tables.lead import PairedTests
from ..tables.measurement import is_value
from ..tables.method_table import Column, Lead
from ..tables.run_tables import Row, protocol_key
from .entries import Entry
from .paper_table import STARS, Rank


@dataclass(frozen=True)
class Ranking:
    """Who leads a column, among entries that saw the same.

    Attributes:
        lead: see `tables.lead`.
        second: whose values are underlined: the best of those that are not marked, and what is not told from
            it, where the tests tell anything among them.
        stars: how surely a value that is not marked differs from the best one.
        by_corrected: values are ranked without their estimated bias.
        shows_corrected: that order is not the one of the values that are printed.
    """

    lead: Lead
    second: tuple[str, ...] = ()
    stars: Mapping[str, str] | None = None
    by_corrected: bool = False
    shows_corrected: bool = False

    def rank(self, label: str) -> Rank:
        """What the value of an entry is."""
        return "best" if label in self.lead.marked else "second" if label in self.second else ""


class RowTests:
    """The paired tests between rows of a table that may be ranked together.

    Rows of one run have those of its `comparisons` table. Where there are rows of several runs, clip metrics
    are tested anew from the runs' scores, all pairs alike, so that Holm's correction is over all of them. Set
    metrics are not: their tests need features, which tables do not hold.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self.are_joined = len({id(entry.source) for entry in entries}) > 1
        systems = [Scored(entry.label, _scores(entry)) for entry in entries] if self.are_joined else []
        self._joined = [vars(row) for row in paired_rows(systems)]

    def of(self, entries: Sequence[Entry], index: int) -> PairedTests:
        """The tests of a column between some of the entries."""
        labels = {(id(e.source), e.method): e.label for e in entries if index in e.rows}
        rows = [entry.rows[index] for entry in entries if index in entry.rows]
        if not rows:
            return PairedTests(())
        metric = rows[0]["metric"]
        if self.are_joined and rows[0]["level"] == "clip":
            keys = {protocol_key(row) for row in rows}
            joined = [t for t in self._joined if t["metric"] == metric and protocol_key(t) in keys]
            if joined:
                return PairedTests(joined)
        found = []
        keyed = {id(e.source): (e.source, protocol_key(e.rows[index])) for e in entries if index in e.rows}
        for source, key in keyed.values():
            for test in source.tables.comparisons.get(key, ()):
                a, b = ((id(source), test[name]) for name in ("method_a", "method_b"))
                if test["metric"] == metric and a in labels and b in labels:
                    found.append({**test, "method_a": labels[a], "method_b": labels[b]})
        return PairedTests(found)

    def fact(self) -> str:
        """What was tested between runs and what was not; "" of rows of one run."""
        if not self.are_joined:
            return ""
        return (
            f"clip metrics, from the runs' scores, with Holm over {len(self._joined)} tests"
            if self._joined
            else "nothing, as the runs' scores were not kept or have no sample in common"
        ) + "; not set metrics, whose features tables do not hold (`reelbench compare A B` tests these)"


def _scores(entry: Entry) -> list[Row]:
    """The scores of an entry, under the data sets and protocols that its columns are of."""
    keys = {protocol_key(row) for row in entry.rows.values() if row["level"] == "clip"}
    return [row for row in entry.source.scores if row["method"] == entry.method and protocol_key(row) in keys]


def ranking(
    column: Column, entries: Sequence[Entry], index: int, tests: PairedTests, footnotes: Footnotes
) -> Ranking:
    """Who leads a column among entries that saw the same.

    Args:
        index: the column's number.
        footnotes: take why nothing is ranked.
    """
    ranked = [e for e in entries if index in e.rows and is_value(e.rows[index]["value"])]
    plain = [entry.rows[index]["value"] for entry in ranked]
    corrected = without_bias(entry.rows[index] for entry in ranked)

    def rows_of(chosen: Sequence[Entry]) -> dict[str, dict[str, Row]]:
        return {e.label: {column.metric: e.rows[index]} if index in e.rows else {} for e in chosen}

    lead = column_lead(column, rows_of(entries), tests, footnotes)
    if not lead.marked or column.level == "cost":
        return Ranking(lead)
    rest = [entry for entry in ranked if entry.label not in lead.marked]
    second = column_lead(column, rows_of(rest), tests, Footnotes()).marked if len(rest) > 1 else ()
    stars = {}
    for entry in rest:
        if (test := tests.find(column.metric, lead.marked[0], entry.label)) is not None:
            stars[entry.label] = next((mark for mark, most in STARS if test[1]["p_holm"] <= most), "")
    return Ranking(
        lead,
        second,
        stars,
        by_corrected=bool(corrected),
        shows_corrected=bool(corrected) and _order(plain) != _order(corrected),
    )


def _order(values: Sequence[float]) -> list[int]:
    return sorted(range(len(values)), key=lambda at: values[at])
