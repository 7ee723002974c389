"""Markdown tables (GitHub's): the one place that escapes text, aligns columns and joins cells."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~])")
_RULES = {"l": "---", "r": "---:"}


def plain_line(text: str) -> str:
    """`text` on one line, with single spaces."""
    """`text` on one line."""
    return " ".join(text.split())


def escape_markdown(text: str) -> str:
    r"""`text` on one line, with everything escaped that Markdown or HTML would read as markup.

    >>> escape_markdown("<b> a_b [1]")
    '&lt;b\\> a\\_b \\[1\\]'
    """
    return _SPECIAL.sub(r"\\\1", plain_line(text)).replace("&", "&amp;").replace("\\<", "&lt;")


def table_line(cells: Iterable[str]) -> str:
    """A line of a table; the cells are Markdown already."""
    return f"| {' | '.join(cells)} |"


def table_head(headings: Sequence[str], align: str = "l") -> list[str]:
    """The two lines above the rows of a table.

    Args:
        headings: Markdown already.
        align: "l" or "r" for each column; the last letter holds for the rest.

    >>> table_head(["metric", "value", "error"], "lr")
    ['| metric | value | error |', '| --- | ---: | ---: |']
    """
    letters = align.ljust(len(headings), align[-1])
    return [table_line(headings), table_line(_RULES[letter] for letter in letters[: len(headings)])]


def aligned_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table that reads as plain text, too: its columns line up. The first row is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head, *lines = [
        table_line(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows
    ]
    return [head, f"|{'|'.join('-' * (width + 2) for width in widths)}|", *lines]
