"""The tables of text-video prediction and the published figures beside them as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..published import PublishedTable, published_markdown, published_together
from .ablation import AblationTable
from .groups import Column, Group
from .prediction import PredictionTable
from .text import (
    count_cells,
    count_headings,
    escape_markdown,
    heading_text,
    legend,
    markdown_cell,
    table_line,
)

PUBLISHED_PREDICTION = {"ssv2": "ssv2", "bridge": "bridge", "epic-kitchens-100": "epic"}
"""The published benchmark of each registered data set of prediction."""


def published_prediction(tables: Sequence[PredictionTable]) -> tuple[PublishedTable, ...]:
    """What is published on the data sets of the tables, in one table; none where nothing is.

    A data set is known by its registered name: Sprites in its layout have its published figures beside them,
    too, as figures of another data set under another protocol.
    """
    names = dict.fromkeys(item.name for table in tables for item in table.data)
    benchmarks = [PUBLISHED_PREDICTION[name] for name in names if name in PUBLISHED_PREDICTION]
    if not benchmarks:
        return ()
    return (published_together("text-video prediction, under other protocols", benchmarks),)


def prediction_markdown(
    tables: Sequence[PredictionTable], ablations: Sequence[AblationTable], heading_level: int = 3
) -> str:
    """The prediction tables, the published figures apart from them, then the ablations; "" where nothing is
    predicted.

    Args:
        tables: see `prediction_table.load_prediction_tables`.
        ablations: see `ablation_table.load_ablation_tables`.
        heading_level: how many `#` the headings of tables get.
    """
    parts = [_table_markdown(table, heading_level) for table in tables]
    parts += [published_markdown(table, heading_level) for table in published_prediction(tables)]
    parts += [_ablation_markdown(table, heading_level) for table in ablations]
    return "\n".join(parts)


def _table_markdown(table: PredictionTable, heading_level: int) -> str:
    headings = ["Method", *map(heading_text, table.columns), *count_headings(table)]
    lines = _head(f"Text-video prediction, {table.title}", headings, 1, heading_level)
    lines += _rows(table, table.groups, len(headings), {})
    return _under(lines, table.columns, table.facts, table.footnotes)


def _ablation_markdown(table: AblationTable, heading_level: int) -> str:
    headings = ["Variant", *table.settings, *map(heading_text, table.columns), *count_headings(table)]
    lines = _head(f"Variants of {table.title}", headings, 1 + len(table.settings), heading_level)
    lines += _rows(table, table.groups, len(headings), table.values)
    return _under(lines, table.columns, table.facts, table.footnotes)


def _head(title: str, headings: Sequence[str], num_texts: int, heading_level: int) -> list[str]:
    """A heading and the head of a table, of which the first columns are text."""
    return [
        f"{'#' * heading_level} {escape_markdown(title)}",
        "",
        table_line([escape_markdown(heading) for heading in headings]),
        table_line(["---"] * num_texts + ["---:"] * (len(headings) - num_texts)),
    ]


def _rows(
    table: PredictionTable | AblationTable,
    groups: Sequence[Group],
    width: int,
    settings: Mapping[str, tuple[str, ...]],
) -> list[str]:
    lines = []
    for group in groups:
        lines.append(table_line([f"*Saw: {escape_markdown(group.conditioning)}*", *[""] * (width - 1)]))
        for row in group.rows:
            texts = [row.method, *settings.get(row.method, ())]
            cells = [markdown_cell(cell) for cell in row.cells]
            lines.append(table_line([*map(escape_markdown, texts), *cells, *count_cells(table, row)]))
    return lines


def _under(
    lines: list[str],
    columns: Sequence[Column],
    facts: Sequence[tuple[str, str]],
    footnotes: Sequence[str],
) -> str:
    lines += ["", legend(columns), ""]
    lines += [f"- {escape_markdown(name)}: {escape_markdown(text)}" for name, text in facts]
    lines += [f"- \\[{number}\\] {escape_markdown(text)}" for number, text in enumerate(footnotes, 1)]
    return "\n".join(lines) + "\n"
