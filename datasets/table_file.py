"""Lists in tables (CSV, TSV, semicolons), read strictly: a row that is not surely understood is refused.

What a table may look like:

* A header, whose columns are found by name; others may stand between them.
* Comma, semicolon or tab, whichever gives the header the columns that are looked for.
* Double quotes around a field that holds the delimiter, a line break or a double quote (doubled there). In
  a field without quotes a double quote stands for itself (`a 5" disk`), unless it may be one of a pair that
  lost its partner: the field begins with it or ends with an odd one, or two fields of the row have odd ones.
* Line ends of any kind. Blank lines and rows of blank fields hold nothing and are passed over.

What the csv module takes in silence is refused: too many or too few fields, text behind a closing quote, a
quote that is never closed. A missing quote that leaves a sound table behind cannot be seen in general; see
`text_column` of `table_rows` for what can.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import DatasetError, nearest
from .text_file import text_lines

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
_NUM_SHOWN = 80


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
class RowFault:
    """Why a row is refused.

    Attributes:
        line: where the row begins.
        what: what is wrong, with the row.
        hint: what to do.
    """

    line: int
    what: str
    hint: str


def read_rows(
    path: Path,
    columns: Sequence[str],
    is_loose: bool = False,
    has_header: bool = True,
    has_spare_fields: bool = False,
    delimiters: str = "".join(DELIMITERS),
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The rows of a data set's list, as `table_rows` yields them, up to the first that is refused.

    Args:
        is_loose: names of columns are alike whatever their case, and with spaces, "_" or "-" between words:
            for sheets that people save themselves.
        has_header, has_spare_fields, delimiters: see `table_rows`.

    Raises:
        DatasetError: as `table_rows`, or a row that is refused.
    """
    wanted = [WantedColumn(name) for name in columns]
    forms = (loose_name,) if is_loose else (str,)
    for found in table_rows(path, wanted, forms, has_header, has_spare_fields, delimiters):
        if isinstance(found, RowFault):
            raise DatasetError(f"{path}, line {found.line}: {found.what}", found.hint)
        yield found


def table_rows(
    path: Path,
    columns: Sequence[WantedColumn],
    forms: Sequence[Callable[[str], str]] = (str,),
    has_header: bool = True,
    has_spare_fields: bool = False,
    delimiters: str = "".join(DELIMITERS),
    text_column: str | None = None,
) -> Iterator[tuple[int, tuple[str, ...]] | RowFault]:
    """The rows of a table: (line where the row begins, values of `columns` in order), or why one is refused.

    Streams: nothing but the current row is held. Values are as the file has them, with blanks and line ends.

    Args:
        forms: names of columns are compared in the first of these forms in which one is found.
        has_header: False where the file has no header by design: `columns` are then all its columns.
        has_spare_fields: rows may end with more empty fields than the header has, as sheets are exported.
        delimiters: those that the table may have.
        text_column: the name of a column of running text. What looks like such a text without the quotes that
            it needs is refused, too: a blank at the start of the field behind it (`a red square, moving`
            where another column follows; not where the header has such blanks itself), and a quoted text of
            several lines, one of which reads like a row of its own (a stray quote has swallowed it).

    Raises:
        DatasetError: unreadable, no UTF-8, empty; a needed column is missing, one stands there twice, or more
            than one delimiter makes sense of the header.
    """
    lines = _KeptLines(path)
    if has_header:
        table = _open_table(path, lines, columns, forms, delimiters)
    else:
        table = _Table(delimiters[0], [column.name for column in columns], list(range(len(columns))))
    reader = csv.reader(lines.lines, delimiter=table.delimiter, strict=True)
    text_place = None
    if text_column is not None:
        text_place = table.places[[column.name for column in columns].index(text_column)]
    num_fields, width = len(table.header), table.width
    while True:
        lines.kept.clear()
        begin = lines.number + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield RowFault(begin, *_csv_fault(error, begin, lines))
            continue
        if not row or (not row[0].strip() and not any(cell.strip() for cell in row)):
            continue
        if len(row) != width:
            is_counted = len(row) > width if has_spare_fields else len(row) == num_fields
            if not is_counted or any(cell.strip() for cell in row[width:]):
                yield RowFault(begin, *_count_fault(row, table, lines))
                continue
        if text_place is not None or ('"' in lines.kept[0] and any('"' in cell for cell in row)):
            fault = _quote_fault(row, table, text_place, lines)
            if fault is not None:
                yield RowFault(begin, *fault)
                continue
        yield begin, tuple("" if place is None else row[place] for place in table.places)


def loose_name(name: str) -> str:
    """A column's name without case, and with one space for what stands between words.

    >>> loose_name("Video_Name ") == loose_name("video name")
    True
    """
    return " ".join(re.split(r"[\s_-]+", name.strip())).casefold()


class _KeptLines:
    """The lines of a file as they are read; those since the last `kept.clear()` are kept, to be shown."""

    def __init__(self, path: Path) -> None:
        self.kept: list[str] = []
        self.number = 0
        self.lines = self._read(path)

    def _read(self, path: Path) -> Iterator[str]:
        for line in text_lines(path):
            self.number += 1
            self.kept.append(line)
            yield line

    def shown(self) -> str:
        """The row as it stands in the file, shortened."""
        text = self.kept[0].rstrip("\r\n")
        return text[:_NUM_SHOWN] + ("..." if len(text) > _NUM_SHOWN or len(self.kept) > 1 else "")


@dataclass(frozen=True)
class _Table:
    """A header that is understood: `places` are the columns' (None for one that is not there)."""

    delimiter: str
    header: list[str]
    places: list[int | None]

    @property
    def width(self) -> int:
        """The fields up to the last one with a name: what stands below no name at the end must be empty."""
        return max(index for index, name in enumerate(self.header, 1) if name.strip())


def _open_table(
    path: Path,
    lines: _KeptLines,
    columns: Sequence[WantedColumn],
    forms: Sequence[Callable[[str], str]],
    delimiters: str,
) -> _Table:
    """Read the header and find its delimiter and columns."""
    names = ", ".join(column.name for column in columns if column.is_needed)
    first = next((line for line in lines.lines if line.strip()), None)
    if first is None:
        raise DatasetError(f"{path} is empty; expected a header with the columns {names}")
    while first.count('"') % 2:  # a name with a line break
        more = next(lines.lines, None)
        if more is None:
            raise DatasetError(f"{path}, line 1: a double quote of the header is never closed")
        first += more
    tables, is_broken = [], False
    for delimiter in delimiters:
        try:
            header = next(csv.reader([first], delimiter=delimiter, strict=True))
        except csv.Error:
            is_broken = True
            continue
        tables.append(_Table(delimiter, header, _places(header, columns, forms)))
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
    path: Path, table: _Table, columns: Sequence[WantedColumn], forms: Sequence[Callable[[str], str]]
) -> None:
    header = [name.strip() for name in table.header]
    for column, place in zip(columns, table.places, strict=True):
        if place is None and column.is_needed:
            unused = [name for index, name in enumerate(header) if index not in table.places and name]
            close = nearest(column.name, unused)
            hint = f"rename {close!r} to {column.name!r}" if close else None
            if column.names:
                hint = f"any of these names will do: {', '.join(column.names)}"
            raise DatasetError(
                f"{path}, line 1: the column {column.name!r} is missing; there: {', '.join(header)}",
                hint or f"expected the columns {', '.join(c.name for c in columns if c.is_needed)}",
            )
        if place is not None:
            count = [forms[-1](name) for name in header].count(forms[-1](header[place]))
            if count > 1:
                raise DatasetError(
                    f"{path}, line 1: the column {header[place]!r} stands there {count} times",
                    "take the others out, or give them other names",
                )


def _csv_fault(error: csv.Error, begin: int, lines: _KeptLines) -> tuple[str, str]:
    """What an error of the csv module means, and what to do."""
    hint = 'put a field that holds a double quote in double quotes, and write "" for it there'
    until = f" in line {lines.number}" if lines.number > begin else ""
    if "unexpected end" in str(error):
        what = "a double quote that opens a field is never closed"
    elif "expected after" in str(error):
        what = f"text stands behind the double quote that closes a field{until}"
    else:
        what = f"a double quote may be left open ({error})"
    return f"not valid CSV: {what}: {lines.shown()}", hint


def _count_fault(row: Sequence[str], table: _Table, lines: _KeptLines) -> tuple[str, str]:
    kind = DELIMITERS[table.delimiter]
    hint = f"a caption with a {kind} must stand in double quotes"
    if len(row) < table.width:
        hint = f"put a {kind} for each field that is empty"
    elif any(re.match(r'\s+"', cell) for cell in row):
        hint = "no blank may stand between the delimiter and a double quote that opens a field"
    noun = "field" if len(row) == 1 else "fields"
    return f"{len(row)} {noun}, the header has {table.width}: {lines.shown()}", hint


def _quote_fault(
    row: Sequence[str], table: _Table, text_place: int | None, lines: _KeptLines
) -> tuple[str, str] | None:
    """What is doubtful about the quotes of a row that the csv module has read, and about those it lacks."""
    is_quoted = _quoted_fields(row, "".join(lines.kept))
    odd = 0
    for cell, quoted in zip(row, is_quoted, strict=True):
        if quoted or '"' not in cell:
            continue
        is_odd = cell.count('"') % 2 == 1
        odd += is_odd
        bare = cell.strip()
        if bare.startswith('"') or (is_odd and bare.endswith('"')) or odd > 1:
            return (
                f"a double quote without its partner: {lines.shown()}",
                "put the whole field in double quotes, without blanks around them, and double each within it",
            )
    if text_place is None:
        return None
    is_spaced = any(name[:1].isspace() for name in table.header[1:])
    behind = text_place + 1
    if (
        not is_spaced
        and behind < len(row)
        and row[behind][:1].isspace()
        and not row[text_place][:1].isspace()
        and not is_quoted[text_place]
        and not is_quoted[behind]
    ):
        return (
            f"the field behind the text begins with a blank, like the rest of it: {lines.shown()}",
            f"a caption with a {DELIMITERS[table.delimiter]} must stand in double quotes; if there is none, "
            "take the blank out",
        )
    first, *others = lines.kept
    swallowed = [line for line in others if _reads_like_row(line, table, is_spaced)]
    # Behind a line break in the first field all other fields follow: the line before it must be a row, too.
    if swallowed and (not re.search(r"[\r\n]", row[0]) or _reads_like_row(first, table, is_spaced)):
        return (
            f"a text in double quotes goes on over the line {swallowed[0].strip()!r:.80}, which reads like "
            "a row",
            "close the double quote, or take the line break out of the text",
        )
    return None


def _reads_like_row(line: str, table: _Table, is_spaced: bool) -> bool:
    """Whether a line has the header's number of fields, and not because of commas in running text: a blank
    follows those, which it does not in lists whose header has none."""
    fields = line.rstrip("\r\n").split(table.delimiter)
    has_blank = any(field[:1].isspace() for field in fields)
    return len(fields) == len(table.header) > 1 and (is_spaced or not has_blank)


def _quoted_fields(row: Sequence[str], text: str) -> list[bool]:
    """Which fields of a row stand in double quotes, by going along its text."""
    found, place = [], 0
    for cell in row:
        is_quoted = text.startswith('"', place)
        found.append(is_quoted)
        place += len(cell) + (cell.count('"') + 2 if is_quoted else 0) + 1
    return found
