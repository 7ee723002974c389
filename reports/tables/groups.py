"""Rows of methods under columns of metrics: what the tables of a report are built of.

Methods stand in groups by what they saw, and the best value is marked within a group only: a method that saw
the reference video is not ranked against one that read the prompt. What may be marked is decided in `lead`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...core.types import Conditioning
from .lead import UNRANKED, Lead, PairedTests, Row, counted_lead, lead_facts, measured_lead
from .measurement import format_count, format_measurement, is_value
from .notes import Footnotes, missing_reason

COUNTED = "parameters"
"""Unit of a cost that is a count: it is written as one, and may be ranked. Every other cost (seconds, memory)
depends on what else the machine did, so it is neither ranked nor given a better direction."""


@dataclass(frozen=True)
class Column:
    """One metric.

    Attributes:
        metric: its registered name.
        label: what it is called.
        heading: label, a cost's unit, and the arrow of the better direction.
        higher_is_better: None where nothing may be ranked.
        level: "set", "clip" or "cost".
        marks: numbers of the footnotes that hold for the whole column.
    """

    metric: str
    label: str
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
        is_best: better than each other method that saw the same, see `lead`.
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
    """The methods that saw the same, and of each column who leads."""

    conditioning: str
    rows: tuple[MethodRow, ...]
    leads: tuple[Lead, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(row.method for row in self.rows)


def rows_by_cell(rows: Iterable[Row], where: str) -> dict[tuple[str, str, str], Row]:
    """Rows by (conditioning, method, metric).

    Args:
        where: the data set, for messages.

    Raises:
        ValueError: two rows claim the same cell.
    """
    by_cell: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        cell = (row["conditioning"] or "", row["method"], row["metric"])
        if cell in by_cell:
            raise ValueError(f"two all-seeds rows for {cell} on {where}: expected one")
        by_cell[cell] = row
    return by_cell


def method_groups(
    by_cell: Mapping[tuple[str, str, str], Row],
    columns: Sequence[Column],
    method_order: Sequence[str],
    footnotes: Footnotes,
    comparisons: Iterable[Row] = (),
) -> tuple[Group, ...]:
    """The methods in groups by what they saw, from least to most, with a cell for each column.

    Args:
        by_cell: see `rows_by_cell`.
        method_order: methods in the order to show within a group; the others follow by name.
        footnotes: get the reasons for missing values and what else must be said.
        comparisons: rows of the `comparisons` table of the same data set and protocol, with the metric names
            of `columns`; without the test of a pair neither of the two is marked.
    """
    tests = PairedTests(comparisons)
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
        leads = tuple(_lead(column, methods, members, tests, footnotes) for column in columns)
        groups.append(
            Group(
                conditioning or "(not stated)",
                tuple(_method_row(method, columns, members, leads, footnotes) for method in methods),
                leads,
            )
        )
    return tuple(groups)


def group_facts(columns: Sequence[Column], groups: Sequence[Group]) -> list[tuple[str, str]]:
    """(name, text) lines about what is not marked in groups, see `lead.lead_facts`."""
    return lead_facts([column.label for column in columns], groups)


def conditioning_order(conditioning: str) -> tuple[int, str]:
    """Sort key of conditionings: from what saw least to what saw most, unknown ones last."""
    known = [str(member) for member in Conditioning]
    return (known.index(conditioning) if conditioning in known else len(known), conditioning)


def build_columns(rows: Sequence[Row], footnotes: Footnotes) -> tuple[Column, ...]:
    """A column for each metric of the rows, in order; notes that all its rows share stand at the heading."""
    columns = []
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row["metric"], row)
    for metric, row in first.items():
        members = [other for other in rows if other["metric"] == metric]
        shared = footnotes.shared_by([other["notes"] for other in members if is_value(other["value"])])
        higher_is_better = None if _depends_on_load(row) else row["higher_is_better"]
        columns.append(
            Column(
                metric=metric,
                label=row["label"] or metric,
                heading=_heading(row, higher_is_better),
                higher_is_better=higher_is_better,
                level=row["level"] or "",
                marks=footnotes.marks(shared),
            )
        )
    return tuple(columns)


def _depends_on_load(row: Row) -> bool:
    return row["level"] == "cost" and row["unit"] != COUNTED


def _heading(row: Row, higher_is_better: bool | None) -> str:
    arrow = {True: " ↑", False: " ↓"}.get(higher_is_better, "")  # type: ignore[arg-type]
    # The papers' tables give no units for quality; the unit of a cost is the half of it.
    unit = f" ({row['unit']})" if row["level"] == "cost" and row["unit"] else ""
    return f"{row['label'] or row['metric']}{unit}{arrow}"


def _lead(
    column: Column,
    methods: Sequence[str],
    members: Mapping[tuple[str, str], Row | None],
    tests: PairedTests,
    footnotes: Footnotes,
) -> Lead:
    """Who leads a column within one conditioning."""
    found = {method: members[method, column.metric] for method in methods}
    rows = {method: row for method, row in found.items() if row is not None and is_value(row["value"])}
    values = {method: row["value"] for method, row in rows.items()}
    if len(rows) < 2 or column.higher_is_better is None:
        return UNRANKED
    if column.level == "cost":
        # A method whose number is not recorded may have the fewest.
        return counted_lead(values, {m: _text(row) for m, row in rows.items()}) if rows == found else UNRANKED
    if column.level == "set" and len({(row["n"], row["n_reference"]) for row in rows.values()}) > 1:
        footnotes.marks([f"{column.metric}: depends on the number of samples, which differs: no best marked"])
        return UNRANKED
    return measured_lead(column.metric, column.higher_is_better, values, tests)


def _method_row(
    method: str,
    columns: Sequence[Column],
    members: Mapping[tuple[str, str], Row | None],
    leads: Sequence[Lead],
    footnotes: Footnotes,
) -> MethodRow:
    cells = []
    for column, lead in zip(columns, leads, strict=True):
        row = members[method, column.metric]
        if row is None or not is_value(row["value"]):
            marks = footnotes.marks([missing_reason(row, column.metric)])
            cells.append(Cell(format_measurement(None), marks=marks))
            continue
        own = [text for text in footnotes.lines(row["notes"]) if footnotes.number(text) not in column.marks]
        cells.append(
            Cell(
                text=_text(row),
                value=row["value"],
                standard_error=row["standard_error"] if is_value(row["standard_error"]) else None,
                low=row["low"] if is_value(row["low"]) else None,
                high=row["high"] if is_value(row["high"]) else None,
                is_best=lead.best == method,
                marks=footnotes.marks(own),
            )
        )
    rows = [row for row in (members[method, column.metric] for column in columns) if row is not None]
    counts = [row["n"] for row in rows if row["level"] != "cost" and row["n"] is not None]
    coverages = [row["coverage"] for row in rows if row["level"] != "cost" and is_value(row["coverage"])]
    return MethodRow(method, tuple(cells), _range(counts), _percent(min(coverages)) if coverages else "")


def _text(row: Row) -> str:
    if row["unit"] == COUNTED:
        return format_count(row["value"])
    return format_measurement(row["value"], row["standard_error"])


def _range(counts: Sequence[int]) -> str:
    if not counts:
        return ""
    return str(counts[0]) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def _percent(coverage: float) -> str:
    # 99.96 % must not read as whole.
    return "100%" if coverage >= 1 else f"{min(round(coverage * 100, 1), 99.9):g}%"
