r"""A table as LaTeX: a fragment for `\input`, or a document of its own.

Its first comments say how it was made and which packages it needs: booktabs, multirow, xcolor, graphicx, and
rotating where it is wide. Footnotes are marked by letters, since a raised digit would read as a power.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...published import PublishedFigures
from ..paper_table import PaperCell, PaperRow, PaperTable, RowGroup, TablePart
from .bibliography import bibitems, cite
from .latex_text import breakable, latex_key, latex_text

_LINE_UPRIGHT, _LINE_SIDEWAYS = 75, 115
"""Characters of a line of text, upright and sideways; a table that would shrink too far is turned."""
_LINE_OF_A_COLUMN = 45
_SMALLEST = 0.6
_LONG_LABEL = 34
_LINES_OF_A_PAGE, _NOTE_LINE = 52, 115
_GREY = "gray"
_ARROWS = {"↑": r"$\uparrow$", "↓": r"$\downarrow$", "": ""}


def table_latex(
    table: PaperTable,
    figures: PublishedFigures,
    *,
    errors: bool = True,
    significance: bool = True,
    standalone: bool = False,
) -> str:
    """The table.

    Args:
        figures: where the published ones' sources are.
        errors, significance: whether standard errors and stars are printed.
        standalone: a whole document, with its bibliography; else a fragment that cites by the keys of the
            `.bib`.

    Returns:
        text that ends in a line break.
    """
    grid = list(_grid(table, errors, significance))
    is_wide = _width(grid) * _SMALLEST > _LINE_UPRIGHT
    # With a star both span the page where a document has two columns, and are the plain ones elsewhere.
    environment = "sidewaystable*" if is_wide else "table*" if _width(grid) > _LINE_OF_A_COLUMN else "table"
    packages = ["booktabs", "multirow", "xcolor", "graphicx", *(["rotating"] if is_wide else [])]
    notes = _notes(table)
    num_lines = len(grid) + sum(1 + len(note) // _NOTE_LINE for note in notes) * 0.7
    is_long = num_lines > (_LINES_OF_A_PAGE * 0.6 if is_wide else _LINES_OF_A_PAGE)
    below = [r"{\scriptsize\raggedright", *(rf"{note}\par" for note in notes), "}"] if notes else []
    end = rf"\end{{{environment}}}"
    # Notes that the table leaves no room for are a float of their own, which follows it.
    apart = [r"\begin{table*}[!htbp]", *below, r"\end{table*}"] if is_long and below else []
    float_ = [
        rf"\begin{{{environment}}}[!htbp]",
        r"\centering",
        rf"\caption{{{latex_text(table.caption or table.title)}}}",
        rf"\label{{tab:{latex_key(table.name)}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        *_tabular(table, errors, significance),
        "}",
        *([] if is_long or not below else [r"\par\smallskip", *below]),
        end,
    ]
    comments = [f"% {' '.join(line.split())}" for line in _comments(table, packages)]
    if not standalone:
        return "\n".join([*comments, *float_, *apart]) + "\n"
    document = [
        r"\documentclass{article}",
        r"\usepackage[a4paper,margin=2cm]{geometry}",
        *(rf"\usepackage{{{package}}}" for package in packages),
        r"\begin{document}",
        *float_,
        *([r"\clearpage"] if is_long or is_wide else []),
        *(below if is_long else []),
        *bibitems(table.cited, figures),
        r"\end{document}",
    ]
    return "\n".join([*comments, *document]) + "\n"


def _comments(table: PaperTable, packages: Sequence[str]) -> Iterator[str]:
    if table.command:
        yield table.command
    for signature in table.runs.values():
        yield f"run {signature}"
    yield f"needs {', '.join(packages)}" + (", and the .bib of its sources" if table.sources else "")


def _tabular(table: PaperTable, errors: bool, significance: bool) -> Iterator[str]:
    first = bool(table.group_heading)
    num_names = first + 1 + len(table.settings)
    width = num_names + len(table.columns) + table.shows_n
    yield rf"\begin{{tabular}}{{@{{}}{'l' * num_names}{'r' * (width - num_names)}@{{}}}}"
    yield r"\toprule"
    headings = list(table.headings())
    if any(text for text, _ in headings):
        cells, rules, at = [""] * num_names, [], num_names + 1
        for text, span in headings:
            cells.append(rf"\multicolumn{{{span}}}{{c}}{{{latex_text(text)}}}" if text else "&" * (span - 1))
            if text:
                rules.append(rf"\cmidrule(lr){{{at}-{at + span - 1}}}")
            at += span
        yield " & ".join([*cells, *([""] if table.shows_n else [])]) + r" \\"
        yield " ".join(rules)
    names = [*([table.group_heading] if first else []), "Method", *table.settings]
    columns = [
        f"{latex_text(column.label)} {_ARROWS[column.arrow]}".strip() + _letters(column.marks)
        for column in table.columns
    ]
    yield " & ".join([*map(latex_text, names), *columns, *(["$N$"] if table.shows_n else [])]) + r" \\"
    for part in table.parts:
        yield r"\midrule"
        if part.title:
            title = latex_text(part.title)
            yield rf"\multicolumn{{{width}}}{{@{{}}l}}{{{_grey(title) if part.is_published else title}}} \\"
            yield r"\addlinespace[2pt]"
        for number, group in enumerate(part.groups):
            if number:
                yield rf"\cmidrule{{1-{width}}}" if first else r"\addlinespace"
            if group.heading and not first:
                yield rf"\multicolumn{{{width}}}{{@{{}}l}}{{\textit{{{latex_text(group.heading)}}}}} \\"
            yield from _rows(table, part, group, errors, significance)
    yield r"\bottomrule"
    yield r"\end{tabular}%"


def _rows(
    table: PaperTable, part: TablePart, group: RowGroup, errors: bool, significance: bool
) -> Iterator[str]:
    for number, row in enumerate(group.rows):
        cells = [_cell(cell, errors, significance, not row.sources) for cell in row.cells]
        texts = [_name(row, part.is_published), *map(latex_text, row.settings), *cells]
        if table.shows_n:
            texts.append(latex_text(row.n))
        if part.is_published:
            texts = [_grey(text) if text else "" for text in texts]
        if table.group_heading:
            heading = rf"\multirow{{{len(group.rows)}}}{{*}}{{{latex_text(group.heading)}}}"
            texts.insert(0, heading if number == 0 and group.heading else "")
        yield " & ".join(texts) + r" \\"


def _name(row: PaperRow, is_published: bool) -> str:
    text = latex_text(row.label)
    if len(row.label) > _LONG_LABEL:
        text = rf"\parbox[t]{{{_LONG_LABEL / 2:.0f}em}}{{\raggedright\strut {breakable(row.label)}\strut}}"
    if is_published:
        text += r"$^\dagger$"
        text += cite(row.cited)
    return text


def _cell(cell: PaperCell, errors: bool, significance: bool, cites: bool) -> str:
    if cell.figures:
        parts = []
        for number, figure in enumerate(cell.figures, 1):
            marks = [] if figure.mark == "P" else [figure.mark]
            marks += map(_letter, cell.marks if number == len(cell.figures) else ())
            raised = rf"\textsuperscript{{{','.join(marks)}}}" if marks else ""
            cited = cite([figure.source]) if cites and figure.is_citable else ""
            parts.append(_number(figure.text) + raised + cited)
        return " / ".join(parts)
    text = _number(cell.text)
    if cell.rank == "best":
        text = rf"\textbf{{{text}}}"
    elif cell.rank == "second":
        text = rf"\underline{{{text}}}"
    if errors and cell.error:
        text += rf"{{\scriptsize\,$\pm$\,{_number(cell.error)}}}"
    if cell.corrected:
        text += f" ({_number(cell.corrected)})"
    if significance and cell.stars:
        text += rf"$^{{{cell.stars}}}$"
    return text + _letters(cell.marks)


def _number(text: str) -> str:
    """A number as text, with a true minus."""
    return f"$-${text[1:]}" if text[:1] == "-" and text[1:2].isdigit() else latex_text(text)


def _grey(text: str) -> str:
    return rf"\textcolor{{{_GREY}}}{{{text}}}"


def _letters(marks: Sequence[int]) -> str:
    return rf"\textsuperscript{{{','.join(map(_letter, marks))}}}" if marks else ""


def _letter(number: int) -> str:
    """a, b, ..., z, aa, ab, ...

    >>> _letter(1), _letter(26), _letter(27)
    ('a', 'z', 'aa')
    """
    text = ""
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(ord("a") + rest) + text
    return text


def _notes(table: PaperTable) -> list[str]:
    """What stands under the table: the legend, the facts and the footnotes, a paragraph each."""
    facts = [rf"\textit{{{latex_text(name)}:}} {_sentence(text)}" for name, text in table.facts]
    footnotes = [
        rf"\textsuperscript{{{_letter(number)}}}\,{_sentence(text)}"
        for number, text in enumerate(table.footnotes, 1)
    ]
    return [*filter(None, [latex_text(table.legend), " ".join(facts), " ".join(footnotes)])]


def _sentence(text: str) -> str:
    return latex_text(text if text.endswith((".", "!", "?")) else f"{text}.")


def _grid(table: PaperTable, errors: bool, significance: bool) -> Iterator[list[int]]:
    """How many characters each cell prints, line by line; for its width and height."""
    first = [len(table.group_heading)] if table.group_heading else []
    counts = [3] if table.shows_n else []
    yield [*first, 6, *map(len, table.settings), *(len(c.label) + 2 for c in table.columns), *counts]
    for part in table.parts:
        for group in part.groups:
            before = [len(group.heading)] if first else []
            for row in group.rows:
                cells = []
                for cell in row.cells:
                    text = len(cell.text) + len(cell.marks) * 0.6 + 4 * len(cell.figures)
                    text += (len(cell.error) * 0.7 + 2) * bool(errors and cell.error)
                    text += len(cell.corrected) + 3 * bool(cell.corrected)
                    cells.append(round(text + len(cell.stars) * 0.6 * significance))
                label = min(len(row.label), _LONG_LABEL)
                yield [*before, label + 5 * bool(row.sources), *map(len, row.settings), *cells, *counts]


def _width(grid: Sequence[Sequence[int]]) -> int:
    return sum(max(column) + 2 for column in zip(*grid, strict=True))
