"""Workbooks of Excel and LibreOffice (.xlsx): the rows of the first sheet, as the lines of a CSV."""

from __future__ import annotations

import csv
import io
import warnings
import zipfile
from collections.abc import Iterator
from itertools import count, repeat
from pathlib import Path
from typing import Any

from ...core.errors import DatasetError
from .text_file import MOST_BYTES, refuse_stand_ins, require_readable_size

SUFFIX = ".xlsx"

_MOST_ROWS = 1 << 20
"""Of a sheet of Excel; here of all sheets up to the one that is read."""

_MOST_COLUMNS = 200
"""Sheets that were formatted as a whole have 16,384 columns, all but the first few empty."""


def workbook_lines(path: Path) -> Iterator[str]:
    """The rows of the first sheet that holds anything, each a line of CSV with commas (with more line ends
    where a cell has some), an empty row a blank line. Formulas count as the values that were saved with them,
    empty cells as "".

    Raises:
        DatasetError: unreadable, no workbook, unpacked larger than MOST_BYTES, of more than _MOST_ROWS, or
            openpyxl is not installed.
    """
    try:
        from openpyxl import load_workbook
    except ModuleNotFoundError as error:
        raise DatasetError(
            f"{path} is a workbook, which openpyxl reads, and openpyxl is not installed",
            "pip install openpyxl, or save the sheet as CSV (UTF-8)",
        ) from error
    require_readable_size(path)
    try:
        refuse_stand_ins(path)
        _require_unpacked_size(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl tells of formats that it does not know
            book = load_workbook(path, read_only=True, data_only=True, keep_links=False)
            try:
                left = count(_MOST_ROWS, -1)
                rows = next((rows for sheet in book.worksheets if (rows := _rows(path, sheet, left))), {})
            finally:
                book.close()
    except DatasetError:
        raise
    except (
        Exception
    ) as error:  # whatever zip archives, XML and openpyxl find wrong: it has no error of its own
        raise DatasetError(
            f"{path} cannot be read as a workbook ({type(error).__name__}: {error!s:.80})",
            "save it again as .xlsx, or as CSV (UTF-8)",
        ) from error
    width, last = max(map(len, rows.values()), default=0), 0
    for number, row in rows.items():
        yield from repeat("\n", number - last - 1)
        line, last = io.StringIO(), number
        csv.writer(line, lineterminator="\n").writerow(row + [""] * (width - len(row)))
        yield line.getvalue()


def _rows(path: Path, sheet: Any, left: Iterator[int]) -> dict[int, list[str]]:
    """The cells of the rows that hold anything, as text, by the row's number; `left` counts down the rows."""
    sheet.reset_dimensions()  # what some programs write there is wrong
    rows = {}
    for number, cells in enumerate(sheet.iter_rows(values_only=True, max_col=_MOST_COLUMNS), 1):
        if next(left) <= 0:
            raise DatasetError(
                f"{path} has more than {_MOST_ROWS:,} rows, the most that a sheet of Excel has",
                "delete the empty rows and sheets, or save the list as CSV (UTF-8)",
            )
        if cells.count(None) == len(cells):
            continue
        row = [_text(cell) for cell in cells]
        while row and not row[-1]:
            row.pop()
        if row:
            rows[number] = row
    return rows


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def _require_unpacked_size(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        num_bytes = sum(item.file_size for item in archive.infolist())
    if num_bytes > MOST_BYTES:
        raise DatasetError(
            f"{path} has {num_bytes / (1 << 20):,.0f} MiB when unpacked; a workbook may have "
            f"{MOST_BYTES >> 20} MiB",
            "save the sheet as CSV (UTF-8)",
        )
