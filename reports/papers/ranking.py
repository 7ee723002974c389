"""What is best and second best in a column, by the one rule of `tables.lead`, and how surely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..tables.build import Footnotes, column_lead
from ..tables.lead import PairedTests
from ..tables.measurement import is_value
from ..tables.method_table import Column, Lead
from ..tables.run_tables import Row, protocol_key
from .entries import Entry
from .filled_from import Source
from .paper_table import STARS, Rank


@dataclass(frozen=True)
class Ranking:
    """Who leads a column, among entries that saw the same.

    Attributes:
        lead: see `tables.lead`.
        second: whose values are underlined: the best of those that are not marked, and what is not told from
            it, where the tests tell anything among them.
        stars: how surely a value that is not marked differs from the best one.
    """

    lead: Lead
    second: tuple[str, ...] = ()
    stars: Mapping[str, str] | None = None

    def rank(self, label: str) -> Rank:
        """What the value of an entry is."""
        return "best" if label in self.lead.marked else "second" if label in self.second else ""


def tests_of(entries: Sequence[Entry], index: int) -> PairedTests:
    """The paired tests of a column between these entries; there are none between runs."""
    found: list[Row] = []
    by_source: dict[int, tuple[Source, dict[str, str], Row]] = {}
    for entry in entries:
        if (row := entry.rows.get(index)) is not None:
            labels = by_source.setdefault(id(entry.source), (entry.source, {}, row))[1]
            labels[entry.method] = entry.label
    for source, labels, row in by_source.values():
        for test in source.tables.comparisons.get(protocol_key(row), ()):
            if test["metric"] == row["metric"] and {test["method_a"], test["method_b"]} <= set(labels):
                names = {"method_a": labels[test["method_a"]], "method_b": labels[test["method_b"]]}
                found.append({**test, **names})
    return PairedTests(found)


def ranking(
    column: Column, entries: Sequence[Entry], index: int, tests: PairedTests, footnotes: Footnotes
) -> Ranking:
    """Who leads a column among entries that saw the same.

    Args:
        index: the column's number.
        footnotes: take why nothing is ranked.
    """

    def rows_of(chosen: Sequence[Entry]) -> dict[str, dict[str, Row]]:
        return {e.label: {column.metric: e.rows[index]} if index in e.rows else {} for e in chosen}

    lead = column_lead(column, rows_of(entries), tests, footnotes)
    if not lead.marked or column.level == "cost":
        return Ranking(lead)
    rest = [
        entry
        for entry in entries
        if entry.label not in lead.marked and index in entry.rows and is_value(entry.rows[index]["value"])
    ]
    second = column_lead(column, rows_of(rest), tests, Footnotes()).marked if len(rest) > 1 else ()
    stars = {}
    for entry in rest:
        if (test := tests.find(column.metric, lead.marked[0], entry.label)) is not None:
            stars[entry.label] = next((mark for mark, most in STARS if test[1]["p_holm"] <= most), "")
    return Ranking(lead, second, stars)
