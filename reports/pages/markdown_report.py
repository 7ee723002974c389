"""The tables of a run as Markdown: the comparison, then those of its tasks with the published figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...core.markdown import escape_markdown, plain_line, table_head, table_line
from ..published_tables import PublishedTable, published_editing, published_prediction
from ..tables.ablation import ablation_tables
from ..tables.comparison import ComparisonTable, comparison_table
from ..tables.editing import edit_tables
from ..tables.lead import legend
from ..tables.method_table import MethodTable, ValueCell, marks_text
from ..tables.prediction import prediction_tables
from ..tables.run_tables import RunTables

Write = Callable[[str], str]
"""How text gets into Markdown."""


def markdown_report(tables_folder: Path) -> str:
    """The tables of the run whose Parquet tables lie in `tables_folder`; what `comparison.md` holds.

    Raises:
        StoreError: a table is missing or cannot be read.
    """
    run = RunTables(tables_folder)
    return "\n".join(filter(None, [comparison_markdown(comparison_table(run)), task_markdown(run)]))


def comparison_markdown(table: ComparisonTable) -> str:
    """The table as Markdown (GitHub's tables), one part for each data set, split and protocol.

    Returns:
        text that ends in a line break. Names and notes are escaped: none can break the table or become HTML.
    """
    sections = [table_markdown(section, section.title) for section in table.sections]
    return "\n".join(sections) or "No results yet.\n"


def task_markdown(run: RunTables, is_plain: bool = False) -> str:
    """The tables of editing by kind and of text-video prediction, where a run has them; "" otherwise.

    Figures as published follow the tables of their task, under headings of their own.

    Args:
        is_plain: for a terminal, which would show the signs of escaping.

    Raises:
        StoreError: a table is missing or cannot be read.
    """
    write = plain_line if is_plain else escape_markdown
    edits, predictions = edit_tables(run), prediction_tables(run)
    parts = [table_markdown(table, f"Edits: {table.title}", write) for table in edits]
    parts += [published_markdown(table, write) for table in (published_editing() if edits else ())]
    parts += [table_markdown(table, f"Text-video prediction, {table.title}", write) for table in predictions]
    parts += [published_markdown(table, write) for table in published_prediction(run)]
    parts += [table_markdown(table, f"Variants of {table.title}", write) for table in ablation_tables(run)]
    return "\n".join(parts)


def table_markdown(table: MethodTable, title: str, write: Write = escape_markdown) -> str:
    """A table of measured values under a heading, with its facts and footnotes."""
    texts = ["Variant" if table.settings else "Method", *table.settings]
    headings = [*texts, *(column.marked_heading for column in table.columns), *table.count_headings]
    blank = [""] * (len(headings) - 1)
    lines = [f"### {write(title)}", "", *table_head([*map(write, headings)], "l" * len(texts) + "r")]
    for part in table.parts:
        if part.title:
            lines.append(table_line([f"**{write(part.title)}**, {part.count}", *blank]))
        for group in part.groups:
            lines.append(table_line([f"*Saw: {write(group.conditioning)}*", *blank]))
            for row in group.rows:
                names = map(write, [row.method, *table.values.get(row.method, ())])
                cells = [_cell(cell, write) for cell in row.cells]
                lines.append(table_line([*names, *cells, *table.count_cells(row)]))
    lines += ["", legend(table.columns), ""]
    lines += [f"- {write(name)}: {write(text)}" for name, text in table.facts]
    # Numbers in brackets: a renderer would count a list anew.
    lines += [f"- {write(f'[{number}]')} {write(text)}" for number, text in enumerate(table.footnotes, 1)]
    return "\n".join(lines) + "\n"


def published_markdown(table: PublishedTable, write: Write = escape_markdown) -> str:
    """Published figures as Markdown, with a line that says what they are."""
    lines = [
        f"### As published: {write(table.benchmark)}",
        "",
        *table_head([*map(write, table.headings)]),
        *(table_line(map(write, row)) for row in table.rows),
        "",
        "Not measured here; not comparable with measured values.",
        write(table.protocol),
    ]
    return "\n".join(lines) + "\n"


def _cell(cell: ValueCell, write: Write) -> str:
    """The best in bold, with its marks."""
    text = f"**{cell.shown}**" if cell.is_best else cell.shown
    return f"{text} {write(marks_text(cell.marks))}".rstrip()
