"""Published figures as a part of a table: beside the measured values, never ranked with them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from ..published import (
    MARKS,
    PublishedBenchmark,
    PublishedFigure,
    PublishedFigures,
    load_published,
)
from ..tables.build import Footnotes
from ..tables.measurement import DASH
from .numbers import as_published
from .paper_table import Figure, PaperCell, PaperRow, RowGroup, TablePart
from .spec import ColumnSpec, CostSpec, PublishedSpec, TableSpec

_COUNTS = ("M", "B")
"""Units of counts: tables that have no scale of their own write them beside the number."""


@cache
def shipped_figures() -> PublishedFigures:
    """The published figures that come with Reelbench, read once."""
    return load_published()


def published_part(
    block: PublishedSpec,
    spec: TableSpec,
    labels: Sequence[str],
    figures: PublishedFigures,
    footnotes: Footnotes,
    num_settings: int = 0,
) -> TablePart:
    """The rows of a published block under the table's columns; methods without a figure there are left out.

    Args:
        labels: of the columns.

    Raises:
        UnknownNameError: there is no such benchmark.
    """
    entries = [(figures.benchmark(name), dataset) for name, dataset in block.benchmarks.items()]
    methods = dict.fromkeys(method for entry, _ in entries for method in entry.methods)
    rows = []
    for method in block.methods or methods:
        cells = [
            _cell(method, column, label, spec, entries, figures, footnotes)
            for column, label in zip(spec.all_columns, labels, strict=True)
        ]
        if not any(cell.figures or cell.marks for cell in cells):
            continue
        sources = list(dict.fromkeys(figure.source for cell in cells for figure in cell.figures))
        rows.append(
            PaperRow(
                label=method,
                cells=tuple(cells),
                settings=(DASH,) * num_settings,
                sources=tuple(sources) if len(sources) == 1 else (),
                cited=_cited_at(method, sources, figures),
            )
        )
    title = block.title or "; ".join(entry.title for entry, _ in entries)
    return TablePart((RowGroup("", tuple(rows)),), f"As published: {title}", is_published=True)


def _cited_at(method: str, sources: Sequence[str], figures: PublishedFigures) -> tuple[str, ...]:
    """What is cited at a method's name: its own paper, and the source where all of its figures have one."""
    keys = [figures.paper_of(method), *(sources if len(sources) == 1 else ())]
    return tuple(dict.fromkeys(key for key in keys if key in figures.cited))


def published_facts(
    blocks: Sequence[PublishedSpec], parts: Sequence[TablePart], figures: PublishedFigures
) -> list[tuple[str, str]]:
    """(name, text) lines: what is known of the protocols, and what the letters say."""
    facts = []
    for block, part in zip(blocks, parts, strict=True):
        if not list(part.rows):
            continue
        for name in block.benchmarks:
            entry = figures.benchmark(name)
            facts.append((f"As published, {entry.title}", entry.protocol.strip()))
    shown = [f for part in parts for row in part.rows for cell in row.cells for f in cell.figures]
    letters = "; ".join(f"{mark}: {MARKS[mark]}" for mark in MARKS if any(f.mark == mark for f in shown))
    return [*facts, ("Letters of published figures", letters)] if letters else facts


def _cell(
    method: str,
    column: ColumnSpec | CostSpec,
    label: str,
    spec: TableSpec,
    entries: Sequence[tuple[PublishedBenchmark, str]],
    figures: PublishedFigures,
    footnotes: Footnotes,
) -> PaperCell:
    dataset = (column.dataset if isinstance(column, ColumnSpec) else "") or spec.dataset
    metric = published_metric(column, label, figures)
    shown: list[Figure] = []
    gaps: list[str] = []
    for entry, of in entries:
        if of in ("", dataset):
            shown += [_figure(figure, column, metric, figures) for figure in entry.of(method, metric)]
            gaps += [gap.text for gap in entry.unknown if gap.cover(method, metric)]
    if not shown:
        return PaperCell(
            DASH, marks=footnotes.marks([f"published, and not known here: {text}" for text in gaps])
        )
    notes = [", ".join(filter(None, [figure.device, figure.note])) for figure in shown]
    texts = [
        f"{figure.text}: {note}" if len(shown) > 1 else note
        for figure, note in zip(shown, notes, strict=True)
        if note
    ]
    marks = footnotes.marks(texts)
    return PaperCell(" / ".join(figure.text for figure in shown), figures=tuple(shown), marks=marks)


def published_metric(column: ColumnSpec | CostSpec, label: str, figures: PublishedFigures) -> str:
    """What the published figures call a column; its label where they do not know it."""
    wanted = (column.published or label).casefold()
    return next((name for name in figures.metrics if name.casefold() == wanted), column.published or label)


def _figure(
    figure: PublishedFigure, column: ColumnSpec | CostSpec, metric: str, figures: PublishedFigures
) -> Figure:
    unit = figures.metrics[metric].unit
    if unit in _COUNTS and column.scale == 1:
        text = f"{figure.printed} {unit}"
    else:
        text = as_published(figure.printed, figure.scale, column.scale)
    return Figure(
        text=text,
        value=figure.value,
        scale=figure.scale,
        unit=unit,
        mark=figure.mark,
        source=figure.source,
        at=figure.at,
        device=figure.on,
        how=str(figure.made),
        note=figure.note,
        is_citable=figure.source in figures.cited,
    )
