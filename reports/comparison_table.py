"""The comparison table: methods as rows grouped by what they saw, metrics as columns.

This is the table of the papers, as data: `build_comparison_table` makes it from the rows of the
`summary` table, `table_text` writes it as Markdown or to a terminal, `html_report` as HTML. What a
number needs in order to be compared travels with it: one section for each data set, split and
protocol, since values of different protocols never share a column, and the best value is marked
within a conditioning only, since a method that saw the reference video is not ranked against one
that read the prompt.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import StoreError
from ..core.tables import read_table
from ..core.types import Conditioning
from .measurement import format_measurement, is_value
from .table_notes import Footnotes, missing_reason, section_facts

NUM_DIGEST_CHARACTERS = 12
"""Characters of a protocol digest that are shown."""

_LEVEL_ORDER = {"set": 0, "clip": 1, "cost": 2}


@dataclass(frozen=True)
class Column:
    """One metric.

    Attributes:
        metric: its registered name.
        heading: label, a cost's unit, and the arrow of the better direction.
        higher_is_better: None where no direction is better.
        level: "set", "clip" or "cost".
        marks: numbers of the footnotes that hold for the whole column.
    """

    metric: str
    heading: str
    higher_is_better: bool | None
    level: str
    marks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Cell:
    """One measured value.

    Attributes:
        text: "298.1 ± 5.3", or a dash.
        value, standard_error, low, high: the numbers; None where there is none.
        is_best: the best of its conditioning.
        marks: numbers of its footnotes.
    """

    text: str
    value: float | None = None
    standard_error: float | None = None
    low: float | None = None
    high: float | None = None
    is_best: bool = False
    marks: tuple[int, ...] = ()


@dataclass(frozen=True)
class MethodRow:
    """One method: a cell for each column. `n` and `coverage` are ready to print."""

    method: str
    cells: tuple[Cell, ...]
    n: str
    coverage: str


@dataclass(frozen=True)
class Group:
    """The methods that saw the same."""

    conditioning: str
    rows: tuple[MethodRow, ...]


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
        read_table(tables_folder, "summary").to_pylist(), load_method_order(tables_folder)
    )


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
    summary: Iterable[Mapping[str, Any]], method_order: Sequence[str] = ()
) -> ComparisonTable:
    """The comparison table of summary rows. Rows of single seeds are left out.

    Args:
        summary: rows of the `summary` table.
        method_order: methods in the order to show within a conditioning; the others follow by name.

    Raises:
        ValueError: two all-seeds rows claim the same cell.
    """
    rows = all_seeds_rows(summary)
    run = ", ".join(sorted({row["run"] for row in rows if row["run"]}))
    return ComparisonTable(
        run, tuple(_section(key, part, method_order) for key, part in by_protocol(rows).items())
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


def _part_key(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return tuple(row[name] or "" for name in ("dataset", "split", "protocol", "protocol_digest"))  # type: ignore[return-value]


def conditioning_order(conditioning: str) -> tuple[int, str]:
    """Sort key of conditionings: from what saw least to what saw most, unknown ones last."""
    known = [str(member) for member in Conditioning]
    return (known.index(conditioning) if conditioning in known else len(known), conditioning)


def _section(
    key: tuple[str, str, str, str], rows: list[Mapping[str, Any]], method_order: Sequence[str]
) -> Section:
    dataset, split, protocol, protocol_digest = key
    rows = sorted(rows, key=lambda row: (_LEVEL_ORDER.get(row["level"], 3), row["metric"]))
    footnotes = Footnotes()
    columns = _columns(rows, footnotes)
    by_cell: dict[tuple[str, str, str], Mapping[str, Any]] = {}
    for row in rows:
        cell = (row["conditioning"] or "", row["method"], row["metric"])
        if cell in by_cell:
            raise ValueError(f"two all-seeds rows for {cell} on {dataset!r}: expected one")
        by_cell[cell] = row
    groups = []
    for conditioning in sorted({cell[0] for cell in by_cell}, key=conditioning_order):
        methods = sorted(
            {cell[1] for cell in by_cell if cell[0] == conditioning},
            key=lambda method: (
                method_order.index(method) if method in method_order else len(method_order),
                method,
            ),
        )
        members = {
            (method, column.metric): by_cell.get((conditioning, method, column.metric))
            for method in methods
            for column in columns
        }
        best = {column.metric: _best(column, methods, members, footnotes) for column in columns}
        groups.append(
            Group(
                conditioning or "(not stated)",
                tuple(_method_row(method, columns, members, best, footnotes) for method in methods),
            )
        )
    counts = {(row["n"], row["coverage"]) for row in rows if row["level"] != "cost" and row["n"] is not None}
    return Section(
        dataset=dataset,
        split=split,
        protocol=protocol,
        protocol_digest=protocol_digest,
        columns=columns,
        groups=tuple(groups),
        shows_n=len({n for n, _ in counts}) > 1 or any(c is not None and c < 1 for _, c in counts),
        facts=section_facts(protocol, protocol_digest[:NUM_DIGEST_CHARACTERS], rows),
        footnotes=footnotes.texts,
    )


def _columns(rows: list[Mapping[str, Any]], footnotes: Footnotes) -> tuple[Column, ...]:
    columns = []
    first: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        first.setdefault(row["metric"], row)
    for metric, row in first.items():
        members = [other for other in rows if other["metric"] == metric]
        shared = footnotes.shared_by([other["notes"] for other in members if is_value(other["value"])])
        columns.append(
            Column(
                metric, _heading(row), row["higher_is_better"], row["level"] or "", footnotes.marks(shared)
            )
        )
    return tuple(columns)


def _heading(row: Mapping[str, Any]) -> str:
    arrow = {True: " ↑", False: " ↓"}.get(row["higher_is_better"], "")
    # The papers' tables give no units for quality; the unit of a cost is the half of it.
    unit = f" ({row['unit']})" if row["level"] == "cost" and row["unit"] else ""
    return f"{row['label'] or row['metric']}{unit}{arrow}"


def _best(
    column: Column,
    methods: Sequence[str],
    members: Mapping[tuple[str, str], Mapping[str, Any] | None],
    footnotes: Footnotes,
) -> float | None:
    """The best value of a column within one conditioning; None where nothing may be ranked."""
    found = [members[method, column.metric] for method in methods]
    rows = [row for row in found if row is not None and is_value(row["value"])]
    if len(rows) < 2 or column.higher_is_better is None:
        return None
    if column.level == "set" and len({(row["n"], row["n_reference"]) for row in rows}) > 1:
        footnotes.marks([f"{column.metric}: depends on the number of samples, which differs: no best marked"])
        return None
    if column.level == "cost" and len({row["hardware"] for row in rows}) > 1:
        footnotes.marks([f"{column.metric}: measured on different hardware: no best marked"])
        return None
    values = [row["value"] for row in rows]
    return max(values) if column.higher_is_better else min(values)


def _method_row(
    method: str,
    columns: Sequence[Column],
    members: Mapping[tuple[str, str], Mapping[str, Any] | None],
    best: Mapping[str, float | None],
    footnotes: Footnotes,
) -> MethodRow:
    cells = []
    for column in columns:
        row = members[method, column.metric]
        if row is None or not is_value(row["value"]):
            cells.append(Cell(format_measurement(None), marks=footnotes.marks([missing_reason(row)])))
            continue
        own = [text for text in footnotes.lines(row["notes"]) if footnotes.number(text) not in column.marks]
        cells.append(
            Cell(
                text=format_measurement(row["value"], row["standard_error"]),
                value=row["value"],
                standard_error=row["standard_error"] if is_value(row["standard_error"]) else None,
                low=row["low"] if is_value(row["low"]) else None,
                high=row["high"] if is_value(row["high"]) else None,
                is_best=row["value"] == best[column.metric],
                marks=footnotes.marks(own),
            )
        )
    rows = [row for row in (members[method, column.metric] for column in columns) if row is not None]
    counts = [row["n"] for row in rows if row["level"] != "cost" and row["n"] is not None]
    coverages = [row["coverage"] for row in rows if row["level"] != "cost" and is_value(row["coverage"])]
    return MethodRow(method, tuple(cells), _range(counts), _percent(min(coverages)) if coverages else "")


def _range(counts: Sequence[int]) -> str:
    if not counts:
        return ""
    return str(counts[0]) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def _percent(coverage: float) -> str:
    # Rounded down: 99.96 % must not read as whole.
    return "100%" if coverage >= 1 else f"{int(coverage * 1000) / 10:g}%"
