"""Lists in tables (CSV, TSV, workbooks), read strictly: a row that is not surely understood is refused.

What a table may look like:

* A header, whose columns are found by name; others may stand between them.
* Comma, semicolon or tab, whichever gives the header the columns that are looked for.
* Double quotes around a field that holds the delimiter, a line break or a double quote (doubled there). In
  a field without quotes a double quote stands for itself (`a 5" disk`), unless it may have lost its partner:
  the field begins with it or ends with an odd one, or two fields of the row have odd ones.
* A workbook (.xlsx), of which the first sheet that holds anything is read.
* Line ends of any kind. Blank lines and rows of blank fields are passed over.

Refused is what the csv module takes in silence: a wrong number of fields, text behind a closing quote, a
quote that is never closed. Not every missing quote can be seen; see `text_column` of `table_rows`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...core.errors import DatasetError
from .table_header import DELIMITERS, TableLayout, WantedColumn, loose_name, open_table
from .text_file import text_lines
from .workbook import SUFFIX, workbook_lines

_NUM_SHOWN = 80


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
    if _is_workbook(path):
        delimiters = ","
    if has_header:
        table = open_table(path, lines.lines, columns, forms, delimiters)
    else:
        table = TableLayout(delimiters[0], [column.name for column in columns], list(range(len(columns))))
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


def _is_workbook(path: Path) -> bool:
    return path.suffix.lower() == SUFFIX


class _KeptLines:
    """The lines of a file as they are read; those since the last `kept.clear()` are kept, to be shown."""

    def __init__(self, path: Path) -> None:
        self.kept: list[str] = []
        self.number = 0
        self.lines = self._read(path)

    def _read(self, path: Path) -> Iterator[str]:
        for line in workbook_lines(path) if _is_workbook(path) else text_lines(path):
            self.number += 1
            self.kept.append(line)
            yield line

    def shown(self) -> str:
        """The row as it stands in the file, shortened."""
        text = self.kept[0].rstrip("\r\n")
        return text[:_NUM_SHOWN] + ("..." if len(text) > _NUM_SHOWN or len(self.kept) > 1 else "")


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


def _count_fault(row: Sequence[str], table: TableLayout, lines: _KeptLines) -> tuple[str, str]:
    kind = DELIMITERS[table.delimiter]
    hint = f"a caption with a {kind} must stand in double quotes"
    if len(row) < table.width:
        hint = f"put a {kind} for each field that is empty"
    elif any(re.match(r'\s+"', cell) for cell in row):
        hint = "no blank may stand between the delimiter and a double quote that opens a field"
    noun = "field" if len(row) == 1 else "fields"
    return f"{len(row)} {noun}, the header has {table.width}: {lines.shown()}", hint


def _quote_fault(
    row: Sequence[str], table: TableLayout, text_place: int | None, lines: _KeptLines
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


def _reads_like_row(line: str, table: TableLayout, is_spaced: bool) -> bool:
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
