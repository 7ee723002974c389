"""A comparison on a terminal, with colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .result import Comparison
from .text import (
    COST_HEADINGS,
    HEADINGS,
    VERDICT,
    VERDICT_STYLES,
    cell_texts,
    cost_texts,
    facts,
    legend,
    moved_text,
    numbered_notes,
    sections,
    side_lines,
)

if TYPE_CHECKING:
    from rich.console import Console


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print the comparison with rich."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = console or Console()
    # Text, never str: rich would read brackets in a name as its markup.
    console.print(Text(comparison.headline, style="bold"))
    for line in side_lines(comparison):
        console.print(Text(line))
    for title, cells in sections(comparison):
        console.print(Text(f"\n{title}", style="bold"))
        notes, marks = numbered_notes(cells)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        has_methods = len({cell.methods for cell in cells}) > 1
        shown = [index for index, name in enumerate(HEADINGS) if has_methods or name != "Methods"]
        for index in shown:
            table.add_column(
                HEADINGS[index], justify="left" if index <= VERDICT else "right", overflow="fold"
            )
        for cell, mark in zip(cells, marks, strict=True):
            texts = cell_texts(cell, mark)
            row = [Text(texts[index]) for index in shown]
            row[shown.index(VERDICT)].stylize(VERDICT_STYLES[cell.verdict])
            table.add_row(*row)
        console.print(table)
        for number, note in enumerate(notes, 1):
            console.print(Text(f"[{number}] ", style="dim") + Text(note))
        for cell in cells:
            if cell.moved:
                console.print(Text(f"{cell.label} of {cell.methods}, the clips that move it most:"))
            for moved in cell.moved:
                console.print(Text(f"  {moved_text(moved)}"))
    console.print(Text(f"\n{legend(comparison)}", style="dim"))
    if comparison.costs:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for index, heading in enumerate(COST_HEADINGS):
            table.add_column(heading, justify="right" if index in (2, 3, 4) else "left", overflow="fold")
        for cost in comparison.costs:
            table.add_row(*map(Text, cost_texts(cost)))
        console.print(table)
    for title, lines in facts(comparison):
        console.print(Text(f"\n{title}", style="bold"))
        for line in lines:
            console.print(Text(f"- {line}", style="yellow" if title == "To know" else ""))
