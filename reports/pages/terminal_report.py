"""The comparison table on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..tables.comparison import ComparisonTable
from ..tables.lead import legend
from ..tables.method_table import MethodTable, marks_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def print_table(table: ComparisonTable, console: Console | None = None) -> None:
    """Print the table to a terminal with rich; one too wide for it is printed in pieces."""
    from rich.console import Console
    from rich.text import Text

    console = console or Console()
    if not table.sections:
        console.print("No results yet.", markup=False)
    for section in table.sections:
        console.print(Text(section.title, style="bold"))
        for part in _column_parts(section, console.width):
            console.print(_grid(section, part))
        console.print(legend(section.columns), markup=False, highlight=False)
        for name, text in section.facts:
            console.print(Text(f"{name}: ", style="dim") + Text(text))
        for number, text in enumerate(section.footnotes, 1):
            console.print(Text(f"[{number}] ", style="dim") + Text(text))
        console.print()


def _headings(section: MethodTable) -> list[str]:
    return [*(column.marked_heading for column in section.columns), *section.count_headings]


def _grid(section: MethodTable, part: Sequence[int]) -> Table:
    """The columns of `part` with the methods before them."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    headings, widths = _headings(section), _column_widths(section)
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("Method", no_wrap=True)
    for index in part:
        # A heading breaks between words; numbers never break.
        grid.add_column(Text(headings[index]), justify="right", min_width=widths[index], vertical="bottom")
    for place, group in enumerate(section.groups):
        if place:
            grid.add_section()
        grid.add_row(Text(f"Saw: {group.conditioning}", style="italic"))
        for row in group.rows:
            # Text, never str: rich would read brackets in a name as its markup.
            cells = [
                Text(cell.shown, style="bold" if cell.is_best else "")
                + Text(marks_text(cell.marks), style="dim")
                for cell in row.cells
            ] + [Text(text) for text in section.count_cells(row)]
            grid.add_row(Text(f"  {row.method}"), *(cells[index] for index in part))
    return grid


def _column_parts(section: MethodTable, width: int) -> list[list[int]]:
    """Columns in parts that fit the terminal side by side: a table too wide is printed in pieces."""
    labels = [f"  {row.method}" for group in section.groups for row in group.rows]
    labels += [f"Saw: {group.conditioning}" for group in section.groups]
    first = max(map(len, labels), default=6) + 8  # with some room: rich shrinks columns rather than overflow
    parts: list[list[int]] = [[]]
    used = first
    for index, column_width in enumerate(_column_widths(section)):
        needed = column_width + 3  # padding and the border
        if parts[-1] and used + needed > width:
            parts.append([])
            used = first
        parts[-1].append(index)
        used += needed
    return parts


def _column_widths(section: MethodTable) -> list[int]:
    """Of each column the widest cell, or word of the heading."""
    lines = [
        [*(cell.shown + marks_text(cell.marks) for cell in row.cells), *section.count_cells(row)]
        for group in section.groups
        for row in group.rows
    ]
    return [
        max(map(len, [*heading.split(), *(line[index] for line in lines)]))
        for index, heading in enumerate(_headings(section))
    ]
