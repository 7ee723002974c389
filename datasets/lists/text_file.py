"""Text files that others wrote: UTF-8, with or without a byte order mark, any line ends; nothing else."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from ...core.errors import DatasetError

MOST_BYTES = 1 << 28
"""Of a file that is read at once, JSON for example: Python's objects take ten times as much memory."""

LONGEST_LINE = 1 << 24
"""Characters of a line that is read on its own; a disk image or a video often has not a single line end."""

_NUM_NAMES, _LONGEST_NAME = 16, 40

_LINE_END = re.compile(rb"\r\n?|\n")

_STAND_INS = {
    b"version https://git-lfs": ("a pointer of Git LFS, not the file itself", "fetch the file: git lfs pull"),
    b"/annex/objects/": ("a pointer of git-annex, not the file itself", "fetch the file: git annex get"),
    b"<!doctype html": (
        "a web page, not the file itself",
        "download the file itself: the page may show an error",
    ),
    b"<html": ("a web page, not the file itself", "download the file itself: the page may show an error"),
}
"""What downloads leave in the place of a file, by how it begins (in lower case), and what to do."""

_OTHER_KINDS = {
    b"PK\x03\x04": "a workbook (Excel, LibreOffice) or another zip archive",
    b"\xd0\xcf\x11\xe0": "a workbook of an old Excel",
    b"PAR1": "a Parquet table",
    b"\x1f\x8b": "packed by gzip",
}
"""What people give where text is read, by how it begins."""


def text_lines(path: Path, longest: int = LONGEST_LINE) -> Iterator[str]:
    r"""The lines of a text file with their ends as they are ("\n", "\r\n" or "\r"), one at a time.

    Unicode's other line marks end no line: captions hold them.

    Args:
        longest: characters that a line may have.

    Raises:
        DatasetError: unreadable, of another kind (a workbook), not UTF-8 (with line and byte), with a NUL
            or a line that is too long (with the line).
    """
    try:
        _refuse_other_kinds(path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, line in enumerate(iter(lambda: file.readline(longest + 1), ""), 1):
                if len(line) > longest:
                    raise DatasetError(
                        f"{path}, line {number}: of more than {longest:,} characters, which no row has",
                        "give the list itself; if it is one, put its rows into lines of their own",
                    )
                if "\0" in line:
                    raise DatasetError(
                        f"{path}, line {number}: holds a NUL, which no text does; it may be UTF-16 without a "
                        "mark, or another kind of file",
                        "save the file as UTF-8",
                    )
                yield line
    except UnicodeDecodeError as error:
        raise _not_utf8(path) from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def read_text(path: Path) -> str:
    """The whole text of a file, line ends as they are.

    Raises:
        DatasetError: as `text_lines`, or of more than MOST_BYTES.
    """
    require_readable_size(path)
    return "".join(text_lines(path, longest=MOST_BYTES))


def refuse_stand_ins(path: Path) -> None:
    """Refuse what a download left in the place of a file of whatever kind.

    Raises:
        DatasetError: a pointer of Git LFS or git-annex, or a web page.
        OSError: unreadable.
    """
    with path.open("rb") as file:
        start = file.read(256).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for mark, (kind, hint) in _STAND_INS.items():
        if start.startswith(mark):
            raise DatasetError(f"{path} is {kind}", hint)


def names_shown(names: Iterable[object]) -> str:
    """The first few of the names of columns or fields, for a message: cut, and odd characters escaped."""
    shown = [repr(str(name)[:_LONGEST_NAME])[1:-1] for name in islice(names, _NUM_NAMES + 1)]
    return ", ".join(shown[:_NUM_NAMES]) + (", ..." if len(shown) > _NUM_NAMES else "") or "none"


def is_file(path: Path) -> bool:
    """Whether a file is there; False for a name that no file can have (too long, a NUL)."""
    return stat.S_ISREG(_mode(path))


def is_folder(path: Path) -> bool:
    """Whether a folder is there, as `is_file`."""
    return stat.S_ISDIR(_mode(path))


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        return 0


def require_readable_size(path: Path) -> None:
    """Refuse a file that is too large to be read at once.

    Raises:
        DatasetError: of more than MOST_BYTES, or not there.
    """
    try:
        num_bytes = path.stat().st_size
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if num_bytes > MOST_BYTES:
        raise DatasetError(
            f"{path} has {num_bytes / (1 << 20):,.0f} MiB; a file of its kind is read at once, and may have "
            f"{MOST_BYTES >> 20} MiB",
            "keep the entries that are measured, or write the list as CSV, which is read row by row",
        )


def _unreadable(path: Path, error: OSError | ValueError) -> DatasetError:
    why = error.strerror if isinstance(error, OSError) else error  # a NUL in the name is a ValueError
    return DatasetError(f"cannot read {path!s:.400}: {why}", "correct the path, or who may read the file")


def _refuse_other_kinds(path: Path) -> None:
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a pipe waits for whoever fills it
        raise DatasetError(f"{path} is a device, a pipe or a socket, not a file", "write the list to a file")
    refuse_stand_ins(path)
    with path.open("rb") as file:
        start = file.read(4)
    for mark, kind in _OTHER_KINDS.items():
        if start.startswith(mark):
            raise DatasetError(
                f"{path} is {kind}, not text",
                "save it as text: CSV, UTF-8; or give it its own ending: .xlsx, .parquet",
            )


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
