"""The comparison table: methods as rows grouped by what they saw, metrics as columns.

This is the table of the papers, as data; `pages` writes it as Markdown, as HTML and to a terminal. There is
one section for each data set, split and protocol, since values of different protocols never share a column.
The best is marked within a conditioning only, and where the paired tests bear it out (see `lead`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .build import PartRows, method_table, span
from .method_table import MethodTable
from .run_tables import Row, RunTables, by_protocol, protocol_text, titles

_LEVEL_ORDER = {"set": 0, "clip": 1, "cost": 2}


@dataclass(frozen=True)
class ComparisonTable:
    """All sections of a run: one for each data set, split and protocol."""

    run: str
    sections: tuple[MethodTable, ...]


def comparison_table(run: RunTables) -> ComparisonTable:
    """The comparison table of a run. Rows of single seeds are left out.

    Methods stand in the order of the run file within their conditioning.

    Raises:
        StoreError: there is no readable summary.
        ValueError: two all-seeds rows claim the same cell.
    """
    parts = by_protocol(run.summary)
    title_of = titles(parts)
    sections = []
    for key, part in parts.items():
        rows = sorted(part, key=lambda row: (_LEVEL_ORDER.get(row["level"], 3), row["metric"]))
        measured = [row for row in rows if row["level"] != "cost"]
        sections.append(
            method_table(
                title_of[key],
                key[2],
                [PartRows(rows, run.comparisons.get(key, ()))],
                run.method_order,
                shows_n=counts_differ([row for row in measured if row["n"] is not None]),
                facts=section_facts(key[2], key[3], rows),
            )
        )
    names = sorted({row["run"] for row in run.summary if row["run"]})
    return ComparisonTable(", ".join(names), tuple(sections))


def counts_differ(rows: Sequence[Row]) -> bool:
    """Whether n and coverage have to be columns, for rows of one data set."""
    coverages = [row["coverage"] for row in rows if row["coverage"] is not None]
    return len({row["n"] for row in rows}) > 1 or any(coverage < 1 for coverage in coverages)


def section_facts(protocol: str, protocol_digest: str, rows: Sequence[Row]) -> list[tuple[str, str]]:
    """(name, text) lines for one section: protocol, samples, references, intervals, signatures."""
    measured = [row for row in rows if row["level"] != "cost"]
    facts = [("Protocol", protocol_text(protocol, protocol_digest))]
    if samples := span(_values(measured, "n")):
        text = f"{samples} {'clip' if samples == '1' else 'clips'} per method"
        if sources := span(_values(measured, "num_sources")):
            text += f", of {sources} source {'video' if sources == '1' else 'videos'}"
        if seeds := span(_values(measured, "num_seeds")):
            text += f", {seeds} {'seed' if seeds == '1' else 'seeds'}"
        if failures := max((row["num_failures"] or 0 for row in rows), default=0):
            text += f"; up to {failures} without a value"
        facts.append(("Samples", text))
    if references := span(_values(measured, "n_reference")):
        facts.append(("Reference clips", references))
    for name, column in (("Intervals", "interval"), ("Signatures", "signature"), ("Hardware", "hardware")):
        if text := _by_value(rows, column):
            facts.append((name, text))
    return facts


def _values(rows: Iterable[Row], column: str) -> list[int]:
    return [row[column] for row in rows if row[column] is not None]


def _by_value(rows: Sequence[Row], column: str) -> str:
    """ "text (FVD, KVD); text (CLIPSIM)": each distinct text with the metrics that it holds for.

    A metric whose text differs between methods names the methods too, so that no difference is hidden.
    """
    texts: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        if row[column]:
            metrics = texts.setdefault(row[column], {})
            metrics.setdefault(row["label"] or row["metric"], []).append(row["method"])
    if column == "hardware" and len(texts) == 1:
        return next(iter(texts))
    parts = []
    for text, metrics in texts.items():
        named = [
            metric
            if sum(metric in other for other in texts.values()) == 1
            else f"{metric}: {', '.join(sorted(methods))}"
            for metric, methods in metrics.items()
        ]
        parts.append(f"{text} ({', '.join(named)})")
    return "; ".join(parts)
