"""Text files that others wrote: UTF-8, with or without a byte order mark, any line ends; nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ..core.errors import DatasetError

_LINE_END = re.compile(rb"\r\n?|\n")

_OTHER_KINDS = {
    b"PK\x03\x04": "a workbook (Excel, LibreOffice) or another zip archive",
    b"\xd0\xcf\x11\xe0": "a workbook of an old Excel",
    b"PAR1": "a Parquet table",
    b"\x1f\x8b": "packed by gzip",
}
"""What people give where text is read, by how it begins."""


def text_lines(path: Path) -> Iterator[str]:
    r"""The lines of a text file with their ends as they are ("\n", "\r\n" or "\r"), one at a time.

    Unicode's other line marks end no line: captions hold them.

    Raises:
        DatasetError: unreadable, of another kind (a workbook), not UTF-8 (with line and byte), or with a NUL
            (with the line).
    """
    try:
        _refuse_other_kinds(path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, line in enumerate(file, 1):
                if "\0" in line:
                    raise DatasetError(
                        f"{path}, line {number}: holds a NUL, which no text does; it may be UTF-16 without a "
                        "mark, or another kind of file",
                        "save the file as UTF-8",
                    )
                yield line
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _not_utf8(path) from error


def read_text(path: Path) -> str:
    """The whole text of a file, line ends as they are.

    Raises:
        DatasetError: as `text_lines`.
    """
    return "".join(text_lines(path))


def _refuse_other_kinds(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(4)
    for mark, kind in _OTHER_KINDS.items():
        if start.startswith(mark):
            raise DatasetError(f"{path} is {kind}, not text", "save it as text: CSV, UTF-8")


def _not_utf8(path: Path) -> DatasetError:
    """The error with the first such place; the decoder counts from the start of its last block only."""
    line, place = 1, 0
    with path.open("rb") as file:
        for part in file:  # ends with b"\n", which is a part of no other character
            try:
                part.decode()
            except UnicodeDecodeError as error:
                line += len(_LINE_END.findall(part[: error.start]))
                place += error.start
                found = f"byte {place} of the file is 0x{part[error.start]:02x}"
                if place == 0 and part[:2] in (b"\xff\xfe", b"\xfe\xff"):
                    found = "it is UTF-16"
                return DatasetError(f"{path}, line {line}: not UTF-8 ({found})", "save the file as UTF-8")
            line += len(_LINE_END.findall(part))
            place += len(part)
    return DatasetError(f"{path}: not UTF-8", "save the file as UTF-8")  # mended while it was read
