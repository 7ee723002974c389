"""Workbooks of Excel and LibreOffice (.xlsx): the rows of the first sheet, as the lines of a CSV."""

from __future__ import annotations

import csv
import io
import warnings
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ...core.errors import DatasetError
from .text_file import MOST_BYTES, require_readable_size

SUFFIX = ".xlsx"

_MOST_COLUMNS = 200
"""Sheets that were formatted as a whole have 16,384 columns, all but the first few empty."""


def workbook_lines(path: Path) -> Iterator[str]:
    """The rows of the first sheet that holds anything, each a line of CSV with commas (with more line ends
    where a cell has some). Formulas count as the values that were saved with them, empty cells as "".

    Raises:
        DatasetError: unreadable, no workbook, unpacked larger than MOST_BYTES, or openpyxl is not installed.
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
        _require_unpacked_size(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl tells of formats that it does not know
            book = load_workbook(path, read_only=True, data_only=True, keep_links=False)
            try:
                rows = next((rows for sheet in book.worksheets if (rows := _rows(sheet))), [])
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
    for row in rows:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(row)
        yield line.getvalue()


def _rows(sheet: Any) -> list[list[str]]:
    """The cells as text; as many in each row as the longest one has. Row n of the sheet is element n - 1."""
    sheet.reset_dimensions()  # what some programs write there is wrong
    rows = []
    for cells in sheet.iter_rows(values_only=True):
        row = [_text(cell) for cell in islice(cells, _MOST_COLUMNS)]
        while row and not row[-1]:
            row.pop()
        rows.append(row)
    while rows and not rows[-1]:
        rows.pop()
    width = max(map(len, rows), default=0)
    return [row + [""] * (width - len(row)) for row in rows]


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
