"""Workbooks as tables: the same rows as from a CSV, and what is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from reelbench.core.errors import DatasetError
from reelbench.datasets.lists import workbook
from reelbench.datasets.lists.table_file import read_rows

openpyxl = pytest.importorskip("openpyxl")

COLUMNS = ("Video name", "Caption")


def save(path: Path, *sheets: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for rows in sheets:
        sheet = book.create_sheet()
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_a_sheet_reads_as_its_csv_would(tmp_path: Path) -> None:
    rows = [
        ["Video name", "Caption", None],
        ["a", 'a "red" cat, running; fast\tand far', None],
        [],
        [7, "two\nlines"],
        [1066674784.0, "  ü 猫 "],
    ]
    found = list(read_rows(save(tmp_path / "s.xlsx", rows), COLUMNS))
    assert found == [
        (2, ("a", 'a "red" cat, running; fast\tand far')),
        (4, ("7", "two\nlines")),
        (5, ("1066674784", "  ü 猫 ")),
    ]


def test_the_first_sheet_that_holds_anything_is_read(tmp_path: Path) -> None:
    path = save(tmp_path / "s.XLSX", [], [list(COLUMNS), ["a", "b"]], [["other"]])
    assert list(read_rows(path, COLUMNS)) == [(2, ("a", "b"))]


def test_a_sheet_formatted_to_its_last_column_is_read_without_its_empty_cells(tmp_path: Path) -> None:
    path = save(tmp_path / "s.xlsx", [list(COLUMNS), ["a", "b"]])
    book = openpyxl.load_workbook(path)
    book.active.cell(2, 16384).number_format = "0.00"
    book.active.cell(5000, 1).number_format = "0.00"
    book.save(path)
    assert list(read_rows(path, COLUMNS)) == [(2, ("a", "b"))]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"name,caption\na,b\n", b"\xd0\xcf\x11\xe0"])
def test_what_is_no_workbook_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.xlsx"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"s\.xlsx cannot be read as a workbook") as caught:
        list(read_rows(path, COLUMNS))
    assert "\n" not in caught.value.message
    with pytest.raises(DatasetError, match="cannot read"):
        list(read_rows(tmp_path / "nowhere.xlsx", COLUMNS))


def test_any_zip_archive_and_a_sheet_without_cells_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.xlsx", "w") as archive:
        archive.writestr("a.txt", "x")
    with pytest.raises(DatasetError, match="cannot be read as a workbook"):
        list(read_rows(tmp_path / "z.xlsx", COLUMNS))
    with pytest.raises(DatasetError, match="is empty; expected a header"):
        list(read_rows(save(tmp_path / "e.xlsx", []), COLUMNS))


def test_a_small_file_that_unpacks_to_a_large_one_is_refused_before_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "s.xlsx", [list(COLUMNS), *(["a", "b" * 20_000] for _ in range(10))])
    monkeypatch.setattr(workbook, "MOST_BYTES", 100_000)
    with pytest.raises(DatasetError, match="MiB when unpacked"):
        list(read_rows(path, COLUMNS))


def with_rows(path: Path, xml: str) -> Path:
    """A workbook of COLUMNS and a row, with rows of XML behind them."""
    save(path, [list(COLUMNS), ["a", "b"]])
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part.replace(b"</sheetData>", xml.encode() + b"</sheetData>"))
    return path


CELL = '<c r="A{0}" t="inlineStr"><is><t>c</t></is></c><c r="B{0}" t="inlineStr"><is><t>d</t></is></c>'


@pytest.mark.parametrize("number", ["1048577", "99999999999", "9" * 400, "1e300"])
def test_rows_that_no_sheet_has_are_refused_before_they_are_counted(tmp_path: Path, number: str) -> None:
    """1.5 kB took memory and time without end: the rows before one of a number are made up."""
    path = with_rows(tmp_path / "s.xlsx", f'<row r="{number}">{CELL.format(3)}</row>')
    with pytest.raises(
        DatasetError, match=r"more than 1,048,576 rows|cannot be read as a workbook"
    ) as caught:
        list(read_rows(path, COLUMNS))
    assert "CSV" in str(caught.value.hint)


def test_the_last_row_of_a_sheet_has_its_number(tmp_path: Path) -> None:
    path = with_rows(tmp_path / "s.xlsx", f'<row r="1048576">{CELL.format(1048576)}</row>')
    assert list(read_rows(path, COLUMNS)) == [(2, ("a", "b")), (1048576, ("c", "d"))]


def test_a_first_sheet_of_another_kind_says_which_sheet_is_read(tmp_path: Path) -> None:
    path = save(tmp_path / "s.xlsx", [["This sheet tells", "what"]], [list(COLUMNS), ["a", "b"]])
    with pytest.raises(DatasetError, match="the column 'Video name' is missing") as caught:
        list(read_rows(path, COLUMNS))
    assert "the first sheet that holds anything is read: put the list there" in str(caught.value.hint)
