"""The edit table and the published figures of editing as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from ..published import PublishedTable, published_by_method, published_markdown
from .editing import EditTable
from .text import (
    count_cells,
    count_headings,
    escape_markdown,
    heading_text,
    legend,
    markdown_cell,
    table_line,
)

PUBLISHED_EDITING = ("davis-editing", "simda-editing", "tgve", "v2vbench")
"""The published benchmarks that stand beside an edit table."""


def published_editing() -> tuple[PublishedTable, ...]:
    """What is published of editing, a row for each method."""
    return tuple(published_by_method(name) for name in PUBLISHED_EDITING)


def edit_markdown(tables: Sequence[EditTable], heading_level: int = 3) -> str:
    """The edit tables, and after them the published figures apart from them; "" where nothing is edited.

    Args:
        tables: see `edit_table.load_edit_tables`.
        heading_level: how many `#` the headings of tables get.
    """
    if not tables:
        return ""
    parts = [_markdown(table, heading_level) for table in tables]
    parts += [published_markdown(table, heading_level) for table in published_editing()]
    return "\n".join(parts)


def _markdown(table: EditTable, heading_level: int) -> str:
    headings = ["Method", *map(heading_text, table.columns), *count_headings(table)]
    lines = [
        f"{'#' * heading_level} Edits: {escape_markdown(table.title)}",
        "",
        table_line([escape_markdown(heading) for heading in headings]),
        table_line(["---", *["---:"] * (len(headings) - 1)]),
    ]
    blank = [""] * (len(headings) - 1)
    for part in table.parts:
        lines.append(table_line([f"**{escape_markdown(part.title)}**, {part.count}", *blank]))
        for group in part.groups:
            lines.append(table_line([f"*Saw: {escape_markdown(group.conditioning)}*", *blank]))
            for row in group.rows:
                cells = [markdown_cell(cell) for cell in row.cells]
                lines.append(table_line([escape_markdown(row.method), *cells, *count_cells(table, row)]))
    lines += ["", legend(table.columns), ""]
    lines += [f"- {name}: {escape_markdown(text)}" for name, text in table.facts]
    lines += [f"- \\[{number}\\] {escape_markdown(text)}" for number, text in enumerate(table.footnotes, 1)]
    return "\n".join(lines) + "\n"
