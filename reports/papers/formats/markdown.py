"""A table as Markdown (GitHub's)."""

from __future__ import annotations

from ....core.markdown import escape_markdown, table_head, table_line
from ...published import PublishedFigures
from ...tables.method_table import marks_text
from ..paper_table import AS_PUBLISHED, PaperCell, PaperRow, PaperTable


def table_markdown(
    table: PaperTable, figures: PublishedFigures, *, errors: bool = True, significance: bool = True
) -> str:
    """The table under its title, with what belongs to it as a list below.

    Args:
        figures: where the published ones' sources are.
        errors, significance: whether standard errors and stars are printed.

    Returns:
        text that ends in a line break; foreign names cannot break the table or become HTML.
    """
    write = escape_markdown
    first = [table.group_heading] if table.group_heading else []
    names = [*first, "Method", *table.settings]
    headings = [
        f"{column.heading} {column.label} {column.arrow}".strip() + marks_text(column.marks)
        for column in table.columns
    ]
    counts = ["N"] if table.shows_n else []
    width = len(names) + len(headings) + len(counts)
    head = [*map(write, [*names, *headings, *counts])]
    lines = [f"### {write(table.title)}", ""]
    if table.caption:
        lines += [write(table.caption), ""]
    lines += table_head(head, "l" * len(names) + "r")
    for part in table.parts:
        if part.title:
            lines.append(table_line([f"**{write(part.title)}**", *[""] * (width - 1)]))
        for group in part.groups:
            if group.heading and not first:
                lines.append(table_line([f"*{write(group.heading)}*", *[""] * (width - 1)]))
            for number, row in enumerate(group.rows):
                cells = [_cell(cell, errors, significance, not row.sources) for cell in row.cells]
                before = [write(group.heading) if number == 0 else ""] if first else []
                texts = [*before, _name(row, part.is_published), *map(write, row.settings), *cells]
                lines.append(table_line([*texts, *([row.n] if table.shows_n else [])]))
    lines += ["", write(table.legend), ""]
    lines += [f"- {write(name)}: {write(text)}" for name, text in table.facts]
    lines += [f"- {write(f'[{number}]')} {write(text)}" for number, text in enumerate(table.footnotes, 1)]
    lines += [f"- {write(f'[{key}]')} {write(str(figures.sources[key]))}" for key in table.sources]
    return "\n".join(lines) + "\n"


def _name(row: PaperRow, is_published: bool) -> str:
    text = escape_markdown(row.label)
    if not is_published:
        return text
    cited = f" [{', '.join(row.sources)}]" if row.sources else ""
    return f"{text} {AS_PUBLISHED}{escape_markdown(cited)}"


def _cell(cell: PaperCell, errors: bool, significance: bool, cites: bool) -> str:
    if cell.figures:
        text = " / ".join(
            f"{figure.text} [{figure.mark}{f', {figure.source}' if cites else ''}]" for figure in cell.figures
        )
        return escape_markdown(text + marks_text(cell.marks))
    text = escape_markdown(cell.text)
    if errors and cell.error:
        text += f" ± {escape_markdown(cell.error)}"
    if cell.corrected:
        text += f" ({escape_markdown(cell.corrected)})"
    if cell.rank == "best":
        text = f"**{text}**"
    elif cell.rank == "second":
        text = f"<u>{text}</u>"
    stars = escape_markdown(cell.stars) if significance else ""
    return f"{text}{stars}{escape_markdown(marks_text(cell.marks))}"
