"""A table as HTML: one small page that stands alone, or can be pasted; all texts are escaped."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from ...published import PublishedFigures
from ...tables.method_table import marks_text
from ..paper_table import AS_PUBLISHED, PaperCell, PaperRow, PaperTable, RowGroup, TablePart

_STYLE = """
:root:has(> body > .reelbench-table) { color-scheme: light dark; }
.reelbench-table { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; max-width: 75rem; }
.reelbench-table .scroll { overflow-x: auto; }
.reelbench-table table { border-collapse: collapse; border-block: 2px solid;
  font-variant-numeric: tabular-nums; }
.reelbench-table caption { text-align: left; padding-block: .5em; }
.reelbench-table th, .reelbench-table td { padding: .25em .8em; text-align: right; white-space: nowrap; }
.reelbench-table th[scope=row], .reelbench-table .text { text-align: left; font-weight: normal;
  white-space: normal; overflow-wrap: anywhere; min-width: 13em; vertical-align: top; }
.reelbench-table thead tr:last-child th { border-bottom: 1px solid; }
.reelbench-table th[colspan].over { text-align: center; border-bottom: 1px solid; }
.reelbench-table tbody { border-top: 1px solid color-mix(in srgb, currentColor 40%, transparent); }
.reelbench-table .part th { font-weight: bold; text-align: left; }
.reelbench-table .group th { font-style: italic; font-weight: normal; text-align: left; }
.reelbench-table .published { color: #6b7280; }
.reelbench-table small { opacity: .85; }
.reelbench-table ul, .reelbench-table ol, .reelbench-table p { font-size: .85em; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) { .reelbench-table .published { color: #9ca3af; } }
"""


def table_html(
    table: PaperTable, figures: PublishedFigures, *, errors: bool = True, significance: bool = True
) -> str:
    """The table as a page.

    Args:
        figures: where the published ones' sources are.
        errors, significance: whether standard errors and stars are printed.
    """
    lines = [
        "<!doctype html>",
        '<html lang="en">',
        '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>{escape(table.title)}</title><style>{_STYLE}</style></head>",
        '<body><main class="reelbench-table">',
        f"<h1>{escape(table.title)}</h1>",
        '<div class="scroll"><table>',
        f"<caption>{escape(table.caption)}</caption>" if table.caption else "",
        *_head(table),
    ]
    for part in table.parts:
        lines += _part(table, part, errors, significance)
    lines += ["</table></div>", f"<p>{escape(table.legend)}</p>", "<ul>"]
    lines += [f"<li><b>{escape(name)}:</b> {escape(text)}</li>" for name, text in table.facts]
    for number, text in enumerate(table.footnotes, 1):
        lines.append(f'<li id="note-{number}">[{number}] {escape(text)}</li>')
    for key in table.sources:
        source = figures.sources[key]
        link = f' <a href="{escape(source.url)}">{escape(source.url)}</a>' if _is_web(source.url) else ""
        lines.append(f'<li id="source-{escape(key)}">{escape(key)}: {escape(str(source))}{link}</li>')
    lines += [
        "</ul>",
        f"<p><code>{escape(table.command)}</code></p>" if table.command else "",
        "</main></body></html>",
    ]
    return "\n".join(filter(None, lines)) + "\n"


def _head(table: PaperTable) -> Iterator[str]:
    names = [*([table.group_heading] if table.group_heading else []), "Method", *table.settings]
    yield "<thead>"
    headings = list(table.headings())
    if any(text for text, _ in headings):
        over = "".join(
            f'<th class="over" colspan="{span}">{escape(text)}</th>'
            if text
            else f'<td colspan="{span}"></td>'
            for text, span in headings
        )
        yield f'<tr><td colspan="{len(names)}"></td>{over}</tr>'
    cells = [f'<th class="text" scope="col">{escape(name)}</th>' for name in names]
    for column in table.columns:
        text = escape(f"{column.label} {column.arrow}".strip() + marks_text(column.marks))
        cells.append(f'<th scope="col">{text}</th>')
    if table.shows_n:
        cells.append('<th scope="col">N</th>')
    yield f"<tr>{''.join(cells)}</tr>"
    yield "</thead>"


def _part(table: PaperTable, part: TablePart, errors: bool, significance: bool) -> Iterator[str]:
    width = bool(table.group_heading) + 1 + len(table.settings) + len(table.columns) + table.shows_n
    yield '<tbody class="published">' if part.is_published else "<tbody>"
    if part.title:
        yield f'<tr class="part"><th colspan="{width}">{escape(part.title)}</th></tr>'
    for group in part.groups:
        if group.heading and not table.group_heading:
            yield f'<tr class="group"><th colspan="{width}">{escape(group.heading)}</th></tr>'
        yield from _rows(table, part, group, errors, significance)
    yield "</tbody>"


def _rows(
    table: PaperTable, part: TablePart, group: RowGroup, errors: bool, significance: bool
) -> Iterator[str]:
    for number, row in enumerate(group.rows):
        cells = [f'<th scope="row">{_name(row, part.is_published)}</th>']
        if table.group_heading and number == 0:
            cells.insert(0, f'<td class="text" rowspan="{len(group.rows)}">{escape(group.heading)}</td>')
        cells += [f'<td class="text">{escape(text)}</td>' for text in row.settings]
        cells += [f"<td>{_cell(cell, errors, significance, not row.sources)}</td>" for cell in row.cells]
        if table.shows_n:
            cells.append(f"<td>{escape(row.n)}</td>")
        yield f"<tr>{''.join(cells)}</tr>"


def _name(row: PaperRow, is_published: bool) -> str:
    if not is_published:
        return escape(row.label)
    return f"{escape(row.label)} {AS_PUBLISHED}{''.join(map(_cited, row.sources))}"


def _cited(source: str) -> str:
    return f' <small>[<a href="#source-{escape(source)}">{escape(source)}</a>]</small>'


def _cell(cell: PaperCell, errors: bool, significance: bool, cites: bool) -> str:
    if cell.figures:
        return "<br>".join(
            f"{escape(figure.text)} <small>[{figure.mark}]</small>{_cited(figure.source) if cites else ''}"
            for figure in cell.figures
        ) + escape(marks_text(cell.marks))
    text = escape(cell.text)
    if cell.rank:
        tag = "b" if cell.rank == "best" else "u"
        text = f"<{tag}>{text}</{tag}>"
    if errors and cell.error:
        text += f" <small>± {escape(cell.error)}</small>"
    if cell.corrected:
        text += f" ({escape(cell.corrected)})"
    if significance and cell.stars:
        text += f"<sup>{cell.stars}</sup>"
    return text + escape(marks_text(cell.marks))


def _is_web(url: str) -> bool:
    return url.startswith(("https://", "http://"))
