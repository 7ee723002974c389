"""The comparison table: methods as rows grouped by what they saw, metrics as columns.

This is the table of the papers, as data: `build_comparison_table` makes it from the rows of the
`summary` table, `table_text` writes it as Markdown or to a terminal, `html_report` as HTML. What a
number needs in order to be compared travels with it: one section for each data set, split and
protocol, since values of different protocols never share a column, and a value is marked as the best
within a conditioning only (a method that saw the reference video is not ranked against one that read
the prompt), and only where the paired tests of the `comparisons` table bear it out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import StoreError
from ...core.tables import read_table
from .groups import Column, Group, build_columns, group_facts, method_groups, rows_by_cell
from .notes import Footnotes, section_facts

NUM_DIGEST_CHARACTERS = 12
"""Characters of a protocol digest that are shown."""

_LEVEL_ORDER = {"set": 0, "clip": 1, "cost": 2}


@dataclass(frozen=True)
class Section:
    """The table of one data set, split and protocol.

    Attributes:
        shows_n: whether n and coverage are columns (they are not where all are equal and whole).
        facts: (name, text) lines to print under the table: protocol, samples, intervals, ...
        footnotes: the texts of marks 1, 2, ...
    """

    dataset: str
    split: str
    protocol: str
    protocol_digest: str
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    shows_n: bool
    facts: tuple[tuple[str, str], ...]
    footnotes: tuple[str, ...]


@dataclass(frozen=True)
class ComparisonTable:
    """All sections of a run."""

    run: str
    sections: tuple[Section, ...]


def load_comparison_table(tables_folder: Path) -> ComparisonTable:
    """The comparison table of the run whose Parquet tables lie in `tables_folder`.

    Methods stand in the order of the run file within their conditioning.

    Raises:
        StoreError: there is no readable summary.
    """
    return build_comparison_table(
        read_table(tables_folder, "summary").to_pylist(),
        load_method_order(tables_folder),
        load_comparisons(tables_folder),
    )


def load_comparisons(tables_folder: Path) -> list[dict[str, Any]]:
    """The rows of the `comparisons` table; none where a run has no such table.

    Raises:
        StoreError: it is there and cannot be read.
    """
    if not (tables_folder / "comparisons.parquet").exists():
        return []
    return read_table(tables_folder, "comparisons").to_pylist()


def load_method_order(tables_folder: Path) -> tuple[str, ...]:
    """The labels of the methods as the run file lists them; empty where it is not known."""
    try:
        run_files = read_table(tables_folder, "runs").column("run_file").to_pylist()
        return tuple(
            method.get("label") or method["name"]
            for run_file in run_files
            for method in json.loads(run_file or "{}").get("methods", ())
        )
    except (StoreError, ValueError, TypeError, KeyError, AttributeError):
        return ()  # only the order of rows hangs on it


def build_comparison_table(
    summary: Iterable[Mapping[str, Any]],
    method_order: Sequence[str] = (),
    comparisons: Iterable[Mapping[str, Any]] = (),
) -> ComparisonTable:
    """The comparison table of summary rows. Rows of single seeds are left out.

    Args:
        summary: rows of the `summary` table.
        method_order: methods in the order to show within a conditioning; the others follow by name.
        comparisons: rows of the `comparisons` table; without the tests in it no measured value is marked.

    Raises:
        ValueError: two all-seeds rows claim the same cell.
    """
    rows = all_seeds_rows(summary)
    run = ", ".join(sorted({row["run"] for row in rows if row["run"]}))
    tests = comparisons_by_protocol(comparisons)
    return ComparisonTable(
        run,
        tuple(
            _section(key, part, method_order, tests.get(key, ())) for key, part in by_protocol(rows).items()
        ),
    )


def all_seeds_rows(summary: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows over all seeds: those whose seed is null."""
    return [row for row in summary if row["seed"] is None]


def by_protocol(
    rows: Iterable[Mapping[str, Any]],
) -> dict[tuple[str, str, str, str], list[Mapping[str, Any]]]:
    """Rows by (data set, split, protocol name, protocol digest), sorted.

    Cost has no protocol of its own (seconds are seconds): such rows stand in every part of their
    data set and split.
    """
    parts: dict[tuple[str, str, str, str], list[Mapping[str, Any]]] = {}
    loose = []
    for row in rows:
        if row["level"] == "cost" and not row["protocol_digest"]:
            loose.append(row)
        else:
            parts.setdefault(_part_key(row), []).append(row)
    for row in loose:
        matching = [key for key in parts if key[:2] == (row["dataset"] or "", row["split"] or "")]
        for key in matching or [_part_key(row)]:
            parts.setdefault(key, []).append(row)
    return dict(sorted(parts.items()))


def comparisons_by_protocol(
    comparisons: Iterable[Mapping[str, Any]],
) -> dict[tuple[str, str, str, str], list[Mapping[str, Any]]]:
    """Rows of the `comparisons` table under the keys of `by_protocol`."""
    parts: dict[tuple[str, str, str, str], list[Mapping[str, Any]]] = {}
    for row in comparisons:
        parts.setdefault(_part_key(row), []).append(row)
    return parts


def _part_key(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return tuple(row[name] or "" for name in ("dataset", "split", "protocol", "protocol_digest"))  # type: ignore[return-value]


def _section(
    key: tuple[str, str, str, str],
    rows: list[Mapping[str, Any]],
    method_order: Sequence[str],
    comparisons: Sequence[Mapping[str, Any]],
) -> Section:
    dataset, split, protocol, protocol_digest = key
    rows = sorted(rows, key=lambda row: (_LEVEL_ORDER.get(row["level"], 3), row["metric"]))
    footnotes = Footnotes()
    columns = build_columns(rows, footnotes)
    by_cell = rows_by_cell(rows, where=repr(dataset))
    groups = method_groups(by_cell, columns, method_order, footnotes, comparisons)
    counts = {(row["n"], row["coverage"]) for row in rows if row["level"] != "cost" and row["n"] is not None}
    return Section(
        dataset=dataset,
        split=split,
        protocol=protocol,
        protocol_digest=protocol_digest,
        columns=columns,
        groups=groups,
        shows_n=len({n for n, _ in counts}) > 1 or any(c is not None and c < 1 for _, c in counts),
        facts=(
            *group_facts(columns, groups),
            *section_facts(protocol, protocol_digest[:NUM_DIGEST_CHARACTERS], rows),
        ),
        footnotes=footnotes.texts,
    )
