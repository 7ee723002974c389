"""The header of a table: its delimiter, and where the columns that are looked for stand."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import DatasetError, nearest
from .text_file import names_shown
from .workbook import SUFFIX

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}

_LONGEST_HEADER = 1 << 16
_NUM_COMPARED = 200
_FIRST_SHEET = "; of a workbook the first sheet that holds anything is read: put the list there"

_SEPARATOR = re.compile(r'"?sep=(.)"?[\r\n]*', re.IGNORECASE)
"""What Excel understands, and writes, before the header."""


@dataclass(frozen=True)
class WantedColumn:
    """A column that is looked for.

    Attributes:
        name: what messages call it.
        names: the names under which it goes, the first that is there is taken; () for `name` alone.
        is_needed: whether a table without it is refused; else its values are "" there.
    """

    name: str
    names: tuple[str, ...] = ()
    is_needed: bool = True


@dataclass(frozen=True)
class TableLayout:
    """A header that is understood: `places` are the columns' (None for one that is not there)."""

    delimiter: str
    header: list[str]
    places: list[int | None]

    @property
    def width(self) -> int:
        """The fields up to the last one with a name: what stands below no name at the end must be empty."""
        return max(index for index, name in enumerate(self.header, 1) if name.strip())


def loose_name(name: str) -> str:
    """A column's name without case, and with one space for what stands between words.

    >>> loose_name("Video_Name ") == loose_name("video name")
    True
    """
    return " ".join(re.split(r"[\s_-]+", name.strip())).casefold()


def open_table(
    path: Path,
    lines: Iterator[str],
    columns: Sequence[WantedColumn],
    forms: Sequence[Callable[[str], str]],
    delimiters: str,
) -> TableLayout:
    """Read the header, and find its delimiter and columns.

    Args:
        lines: of the file, from its start; what is read of them is the header.
        forms: names of columns are compared in the first of these forms in which one is found.
        delimiters: those that the table may have.

    Raises:
        DatasetError: no header; a needed column is missing, one stands there twice, or more than one
            delimiter makes sense of the header.
    """
    names = ", ".join(column.name for column in columns if column.is_needed)
    written = (line for line in lines if line.strip())
    first = next(written, None)
    if first is not None and (separator := _SEPARATOR.fullmatch(first)) is not None:
        first = next(written, None)
        delimiters = separator[1] if separator[1] in delimiters else delimiters
    if first is None:
        raise DatasetError(
            f"{path} is empty; expected a header with the columns {names}", "copy the file again"
        )
    if len(first) > _LONGEST_HEADER:
        raise DatasetError(
            f"{path}, line 1: of {len(first):,} characters, which no header has: {first[:80]!r}",
            f"put a header with the columns {names} first, in a line of its own",
        )
    is_open = first.count('"') % 2 == 1
    while is_open:  # a name with a line break
        more = next(lines, None)
        if more is None or len(first) > _LONGEST_HEADER:
            raise DatasetError(
                f"{path}, line 1: a double quote of the header is never closed: {first.strip()!r:.80}",
                "close it, or take it out",
            )
        first += more
        is_open ^= more.count('"') % 2 == 1
    tables, is_broken = [], False
    for delimiter in delimiters:
        try:
            header = next(csv.reader([first], delimiter=delimiter, strict=True))
        except csv.Error:
            is_broken = True
            continue
        tables.append(TableLayout(delimiter, header, _places(header, columns, forms)))
    parted = [table for table in tables if len(table.header) > 1] or tables[:1]
    sensible = [table for table in parted if any(place is not None for place in table.places)]
    if is_broken and not sensible:
        raise DatasetError(
            f"{path}, line 1: the double quotes of the header {first.strip()!r:.80} do not pair up",
            "put a name that holds one in double quotes, and double it there",
        )
    if len(sensible) > 1:
        kinds = " and with ".join(DELIMITERS[table.delimiter] for table in sensible)
        raise DatasetError(
            f"{path}, line 1: the header {first.strip()!r:.80} makes sense with {kinds} between the columns",
            "use one of them in the whole file, and put a name that holds the other in double quotes",
        )
    table = max(sensible or parted, key=lambda table: len(table.header))
    _check_columns(path, table, columns, forms)
    return table


def _places(
    header: Sequence[str], columns: Sequence[WantedColumn], forms: Sequence[Callable[[str], str]]
) -> list[int | None]:
    """Where each column stands in a header; no place serves two."""
    taken: list[int | None] = []
    for column in columns:
        names = column.names or (column.name,)
        candidates = (
            place
            for form in forms
            for name in names
            for place, other in enumerate(header)
            if form(other.strip()) == form(name) and place not in taken
        )
        taken.append(next(candidates, None))
    return taken


def _check_columns(
    path: Path, table: TableLayout, columns: Sequence[WantedColumn], forms: Sequence[Callable[[str], str]]
) -> None:
    header = [name.strip() for name in table.header]
    for column, place in zip(columns, table.places, strict=True):
        if place is None and column.is_needed:
            unused = [
                name for place, name in enumerate(header) if place not in table.places and 0 < len(name) < 40
            ]
            close = nearest(column.name, unused[:_NUM_COMPARED])
            hint = f"rename {close!r} to {column.name!r}" if close else None
            if len(header) == 1 and "|" in header[0]:
                hint = "put commas, semicolons or tabs between the columns, not '|'"
            elif column.names:
                hint = f"any of these names will do: {', '.join(column.names)}"
            raise DatasetError(
                f"{path}, line 1: the column {column.name!r} is missing; there: {names_shown(header)}",
                (hint or f"expected the columns {', '.join(c.name for c in columns if c.is_needed)}")
                + (_FIRST_SHEET if path.suffix.lower() == SUFFIX else ""),
            )
        if place is not None:
            count = [forms[-1](name) for name in header].count(forms[-1](header[place]))
            if count > 1:
                raise DatasetError(
                    f"{path}, line 1: the column {header[place]!r} stands there {count} times",
                    "take the others out, or give them other names",
                )
