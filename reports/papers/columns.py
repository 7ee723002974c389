"""The columns of a table: their names, which direction is better, the notes that all of one share."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.redaction import fit_to_leave
from ..published import PublishedFigures
from ..tables.build import COUNTED, Footnotes, note_lines, references_of
from ..tables.lead import OWN_LABEL
from ..tables.measurement import is_value
from ..tables.method_table import Column
from .entries import Entry
from .paper_table import PaperColumn
from .published_rows import published_metric
from .spec import COUNTS, SPEED_UP, ColumnSpec, CostSpec, TableSpec

_COST_LABELS = {
    "total_parameters": "Parameters",
    "trainable_parameters": "Trained",
    "sampling_s": "Sampling (s/clip)",
    "peak_memory_gib": "Memory (GiB)",
    "tuning_s": "Tuning (s)",
    "tuning_memory_gib": "Tuning memory (GiB)",
    SPEED_UP: "Speed-up",
}
_UNRECORDED = "not recorded in these results"


def paper_columns(
    spec: TableSpec, entries: Sequence[Entry], figures: PublishedFigures, footnotes: Footnotes
) -> list[PaperColumn]:
    """The columns, quality and then cost."""
    return [
        _column(index, column, spec, entries, figures, footnotes)
        for index, column in enumerate(spec.all_columns)
    ]


def _column(
    index: int,
    spec: ColumnSpec | CostSpec,
    of_table: TableSpec,
    entries: Sequence[Entry],
    figures: PublishedFigures,
    footnotes: Footnotes,
) -> PaperColumn:
    rows = [entry.rows[index] for entry in entries if index in entry.rows]
    higher = rows[0]["higher_is_better"] if rows else _published_direction(spec, figures)
    if isinstance(spec, CostSpec):
        label = spec.label or _COST_LABELS[spec.metric]
        higher = higher if spec.metric in COUNTS else None
        dataset = heading = ""
    else:
        label = spec.label or (rows[0]["label"] if rows else "") or spec.published or spec.metric
        if spec.direction is not None:
            higher = {"up": True, "down": False, "none": None}[spec.direction]
        dataset = rows[0]["dataset"] if rows else spec.dataset or of_table.dataset
        several = len({one.dataset or of_table.dataset for one in of_table.columns}) > 1
        heading = spec.heading or (spec.dataset or of_table.dataset if several else "")
    notes = shared_notes(entries, index)
    is_there = rows or any(index in e.derived or index in e.reasons for e in entries)
    if entries and spec.metric and not is_there:
        where = f" on {dataset}" if dataset else ""
        notes = [f"{label}: {spec.metric}{where} is {_UNRECORDED}"]
    measured = [row for row in rows if is_value(row["value"])]
    if measured and all(references_of(row) == "own" for row in measured):
        label += OWN_LABEL
    return PaperColumn(
        label=label,
        heading=heading,
        is_cost=isinstance(spec, CostSpec),
        higher_is_better=higher,
        scale=spec.scale,
        metric=spec.metric,
        dataset=dataset,
        marks=footnotes.marks(notes),
    )


def shared_notes(entries: Sequence[Entry], index: int) -> list[str]:
    """Notes of all values of a column, where there are several."""
    rows = [e.rows[index] for e in entries if index in e.rows and is_value(e.rows[index]["value"])]
    if len(rows) < 2:
        return []
    notes = [note_lines(row) for row in rows]
    return [line for line in notes[0] if all(line in other for other in notes)]


def _published_direction(spec: ColumnSpec | CostSpec, figures: PublishedFigures) -> bool | None:
    """The better direction by the published figures of a column that nothing was measured for."""
    known = figures.metrics.get(published_metric(spec, spec.label, figures))
    return None if known is None else known.better == "higher"


def cost_heading(spec: TableSpec, entries: Sequence[Entry]) -> str:
    """What stands over the costs: with the device where all of them were made on one."""
    if not spec.costs:
        return ""
    devices = {
        row["hardware"] or ""
        for entry in entries
        for index, row in entry.rows.items()
        if index >= len(spec.columns) and row["unit"] != COUNTED
    }
    return f"Cost ({fit_to_leave(devices.pop())})" if len(devices) == 1 and devices != {""} else "Cost"


def lead_column(column: PaperColumn, entries: Sequence[Entry], index: int) -> Column:
    """A column as the rule of what is best takes it."""
    rows = [entry.rows[index] for entry in entries if index in entry.rows]
    level = "cost" if column.is_cost else rows[0]["level"] if rows else ""
    references = {references_of(row) for row in rows}
    return Column(
        metric=rows[0]["metric"] if rows else column.metric,
        label=f"{column.heading} {column.label}".strip(),
        heading=column.label,
        higher_is_better=column.higher_is_better,
        level=level,
        references=references.pop() if len(references) == 1 else "",
    )
