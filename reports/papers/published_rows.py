"""Published figures as a part of a table: beside the measured values, never ranked with them."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.errors import unknown_name
from ..published import MARKS, PublishedBenchmark, PublishedFigure, PublishedFigures
from ..tables.build import Footnotes
from ..tables.measurement import DASH
from .numbers import as_published
from .paper_table import Figure, PaperCell, PaperRow, RowGroup, TablePart
from .spec import ColumnSpec, CostSpec, PublishedSpec, TableSpec

_Columns = Sequence[ColumnSpec | CostSpec]


def published_part(
    block: PublishedSpec,
    spec: TableSpec,
    labels: Sequence[str],
    figures: PublishedFigures,
    footnotes: Footnotes,
    num_settings: int = 0,
) -> TablePart:
    """The rows of a published block under the table's columns.

    Methods of which nothing was published under these are left out.

    Args:
        labels: of the columns.

    Raises:
        UnknownNameError: there is no such benchmark.
    """
    entries = [(benchmark_of(name, figures), dataset) for name, dataset in block.benchmarks.items()]
    methods = dict.fromkeys(method for entry, _ in entries for method in entry.methods)
    rows = []
    for method in block.methods or methods:
        cells = [
            _cell(method, column, label, spec, entries, footnotes)
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
            )
        )
    title = block.title or "; ".join(entry.title for entry, _ in entries)
    return TablePart((RowGroup("", tuple(rows)),), f"As published: {title}", is_published=True)


def published_facts(
    blocks: Sequence[PublishedSpec], parts: Sequence[TablePart], figures: PublishedFigures
) -> list[tuple[str, str]]:
    """(name, text) lines: what is known of the protocols, and what the letters say."""
    facts = []
    for block, part in zip(blocks, parts, strict=True):
        if not list(part.rows):
            continue
        for name in block.benchmarks:
            entry = benchmark_of(name, figures)
            facts.append((f"As published, {entry.dataset or entry.title}", entry.protocol.strip()))
    shown = [f for part in parts for row in part.rows for cell in row.cells for f in cell.figures]
    letters = "; ".join(f"{mark}: {MARKS[mark]}" for mark in MARKS if any(f.mark == mark for f in shown))
    return [*facts, ("Letters of published figures", letters)] if letters else facts


def benchmark_of(name: str, figures: PublishedFigures) -> PublishedBenchmark:
    """A published benchmark by its name.

    Raises:
        UnknownNameError: there is none.
    """
    by_name = {entry.benchmark: entry for entry in figures.benchmarks}
    if name not in by_name:
        raise unknown_name("published benchmark", name, by_name)
    return by_name[name]


def _cell(
    method: str,
    column: ColumnSpec | CostSpec,
    label: str,
    spec: TableSpec,
    entries: Sequence[tuple[PublishedBenchmark, str]],
    footnotes: Footnotes,
) -> PaperCell:
    dataset = spec.dataset
    if isinstance(column, ColumnSpec):
        dataset = column.dataset or spec.dataset
    wanted = (column.published or label).casefold()
    found: list[PublishedFigure] = []
    unknown: list[str] = []
    for entry, of in entries:
        if of not in ("", dataset):
            continue
        for metric in dict.fromkeys([*entry.metrics, column.published]):
            if metric.casefold() == wanted:
                found += entry.of(method, metric)
                unknown += [gap.text for gap in entry.unknown if gap.cover(method, metric)]
    if not found:
        notes = dict.fromkeys(f"not known here: {text}" for text in unknown)
        return PaperCell(DASH, marks=footnotes.marks(list(notes)))
    shown = tuple(
        Figure(
            text=as_published(figure.printed, figure.scale, column.scale),
            value=figure.value,
            mark=figure.mark,
            source=figure.source,
            note="; ".join(filter(None, [figure.on, figure.note])),
        )
        for figure in found
    )
    marks = footnotes.marks([f"{method}: {figure.text}: {figure.note}" for figure in shown if figure.note])
    return PaperCell(" / ".join(figure.text for figure in shown), figures=shown, marks=marks)
