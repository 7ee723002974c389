"""The comparison table as Markdown, and on a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from .comparison import ComparisonTable, Section
from .groups import Cell, Column, MethodRow
from .lead import legend_bold

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_MARKDOWN_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~])")
_ESCAPED = re.compile(rf"\\{_MARKDOWN_SPECIAL.pattern}")


def to_markdown(table: ComparisonTable, heading_level: int = 3) -> str:
    """The table as Markdown (GitHub's tables), one part for each data set, split and protocol.

    Args:
        table: what to write.
        heading_level: how many `#` the parts' headings get.

    Returns:
        text that ends in a line break. Names and notes are escaped: none can break the table or
        become HTML.
    """
    if not table.sections:
        return "No results yet.\n"
    return "\n".join(
        _markdown_section(section, title, heading_level)
        for section, title in zip(table.sections, section_titles(table), strict=True)
    )


def escape_markdown(text: str) -> str:
    """`text` with everything escaped that Markdown or HTML would read as markup, on one line."""
    return _MARKDOWN_SPECIAL.sub(r"\\\1", " ".join(text.split())).replace("&", "&amp;").replace("\\<", "&lt;")


def unescape_markdown(text: str) -> str:
    """Markdown as a terminal shows it: without the signs of `escape_markdown`."""
    return _ESCAPED.sub(r"\1", text.replace("&lt;", "<")).replace("&amp;", "&")


def legend(columns: Sequence[Column]) -> str:
    """What stands under a table of these columns."""
    return f"Values ± one standard error. {legend_bold(columns)}"


def section_title(section: Section) -> str:
    """ "msrvtt, test", the title of a part."""
    return ", ".join(part for part in (section.dataset, section.split) if part)


def section_titles(table: ComparisonTable) -> list[str]:
    """The titles of all parts; where a data set was measured under several protocols, with the protocol."""
    plain = [section_title(section) for section in table.sections]
    return [
        title if plain.count(title) == 1 else f"{title}, protocol {section.protocol}"
        for section, title in zip(table.sections, plain, strict=True)
    ]


def marks_text(marks: Sequence[int]) -> str:
    """ " [1, 3]", or nothing. Brackets, since a raised digit would read as a power."""
    return f" [{', '.join(map(str, marks))}]" if marks else ""


class Counting(Protocol):
    """A table that may have columns of counts."""

    @property
    def shows_n(self) -> bool: ...


def count_headings(section: Counting) -> tuple[str, ...]:
    """Headings of the columns behind the metrics: n and coverage, where they are shown."""
    return ("n", "coverage") if section.shows_n else ()


def count_cells(section: Counting, row: MethodRow) -> tuple[str, ...]:
    """The row's cells under `count_headings`."""
    return (row.n, row.coverage) if section.shows_n else ()


def _markdown_section(section: Section, title: str, heading_level: int) -> str:
    headings = ["Method", *(heading_text(column) for column in section.columns), *count_headings(section)]
    lines = [
        f"{'#' * heading_level} {escape_markdown(title)}",
        "",
        table_line([escape_markdown(heading) for heading in headings]),
        table_line(["---", *["---:"] * (len(headings) - 1)]),
    ]
    for group in section.groups:
        lines.append(
            table_line([f"*Saw: {escape_markdown(group.conditioning)}*", *[""] * (len(headings) - 1)])
        )
        for row in group.rows:
            cells = [markdown_cell(cell) for cell in row.cells]
            lines.append(table_line([escape_markdown(row.method), *cells, *count_cells(section, row)]))
    lines += ["", legend(section.columns), ""]
    lines += [f"- {name}: {escape_markdown(text)}" for name, text in section.facts]
    # Not a Markdown list: renderers would renumber or reflow the marks.
    lines += [f"- \\[{number}\\] {escape_markdown(text)}" for number, text in enumerate(section.footnotes, 1)]
    return "\n".join(lines) + "\n"


def table_line(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def heading_text(column: Column) -> str:
    """A column's heading with the marks of its notes."""
    return column.heading + marks_text(column.marks)


def markdown_cell(cell: Cell) -> str:
    """A cell as Markdown: the best in bold, with its marks."""
    text = f"**{cell.text}**" if cell.is_best else cell.text
    return text + marks_text(cell.marks).replace("[", "\\[").replace("]", "\\]")


def print_table(table: ComparisonTable, console: Console | None = None) -> None:
    """Print the table to a terminal with rich; one too wide for it is printed in pieces."""
    from rich.console import Console

    console = console or Console()
    if not table.sections:
        console.print("No results yet.", markup=False)
    for section, title in zip(table.sections, section_titles(table), strict=True):
        _print_section(section, title, console)


def _print_section(section: Section, title: str, console: Console) -> None:
    from rich.text import Text

    console.print(Text(title, style="bold"))
    for part in _column_parts(section, console.width):
        console.print(_grid(section, part))
    console.print(legend(section.columns), markup=False, highlight=False)
    for name, text in section.facts:
        console.print(Text(f"{name}: ", style="dim") + Text(text))
    for number, text in enumerate(section.footnotes, 1):
        console.print(Text(f"[{number}] ", style="dim") + Text(text))
    console.print()


def _grid(section: Section, part: Sequence[int]) -> Table:
    """The columns of `part` with the methods before them."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    headings = [*(heading_text(column) for column in section.columns), *count_headings(section)]
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("Method", no_wrap=True)
    for index in part:
        # A heading breaks between words; numbers never break.
        width = _column_width(section, headings, index)
        grid.add_column(Text(headings[index]), justify="right", min_width=width, vertical="bottom")
    for place, group in enumerate(section.groups):
        if place:
            grid.add_section()
        grid.add_row(Text(f"Saw: {group.conditioning}", style="italic"))
        for row in group.rows:
            # Text, never str: rich would read brackets in a name as its markup.
            cells = [
                Text(cell.text, style="bold" if cell.is_best else "")
                + Text(marks_text(cell.marks), style="dim")
                for cell in row.cells
            ] + [Text(text) for text in count_cells(section, row)]
            grid.add_row(Text(f"  {row.method}"), *(cells[index] for index in part))
    return grid


def _column_parts(section: Section, width: int) -> list[list[int]]:
    """Columns in parts that fit the terminal side by side: a table too wide is printed in pieces."""
    headings = [*(heading_text(column) for column in section.columns), *count_headings(section)]
    labels = [f"  {row.method}" for group in section.groups for row in group.rows]
    labels += [f"Saw: {group.conditioning}" for group in section.groups]
    first = max(map(len, labels), default=6) + 8  # with some room: rich shrinks columns rather than overflow
    parts: list[list[int]] = [[]]
    used = first
    for index in range(len(headings)):
        needed = _column_width(section, headings, index) + 3  # padding and the border
        if parts[-1] and used + needed > width:
            parts.append([])
            used = first
        parts[-1].append(index)
        used += needed
    return parts


def _column_width(section: Section, headings: Sequence[str], index: int) -> int:
    """The widest cell, or word of the heading."""
    widths = [len(word) for word in headings[index].split()]
    for group in section.groups:
        for row in group.rows:
            cells = [cell.text + marks_text(cell.marks) for cell in row.cells]
            widths.append(len([*cells, *count_cells(section, row)][index]))
    return max(widths)
