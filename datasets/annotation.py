"""Annotation files of published data sets: found, parsed, and refused with the place of the fault.

JSON, YAML and CSV as they are distributed: UTF-8 with or without a byte order mark. Every error is a
`DatasetError` that names the file, the line (and column where there is one) and what was expected.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..core.errors import DatasetError, nearest

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")


def find_file(root: Path, names: Sequence[str], folders: Sequence[str], what: str) -> Path:
    """The first of `names` that lies in one of `folders` (relative to `root`, "" is the root itself).

    Args:
        names: the name as published first, then other names of the same content.
        what: the data set and its part, for the error message.

    Raises:
        DatasetError: the root is not a folder, or no folder has the file; says where it is expected.
    """
    if not root.is_dir():
        raise DatasetError(
            f"{what}: the root folder {str(root)!r} does not exist",
            "set `root` of the data set to the folder that holds its files",
        )
    for name in names:
        for folder in folders:
            path = root / folder / name
            if path.is_file():
                return path
    places = ", ".join(f"{folder or '.'}/" for folder in folders)
    raise DatasetError(
        f"{what}: {' or '.join(names)} is missing from {str(root)!r}; looked in {places}",
        f"put it at {str(root / names[0])!r}, or correct `root`",
    )


def load_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        DatasetError: unreadable, empty, not UTF-8, not JSON (with line and column), or not an object.
    """
    text = _read_text(path)
    if not text.strip():
        raise DatasetError(f"{path} is empty; expected a JSON object", "copy the file again")
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise DatasetError(
            f"{path}, line {error.lineno}, column {error.colno}: not valid JSON ({error.msg})",
            "the download may be incomplete: copy the file again",
        ) from error
    except (ValueError, RecursionError) as error:
        # Numbers of thousands of digits, brackets nested thousands deep.
        raise DatasetError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(value, dict):
        raise DatasetError(f"{path}: expected a JSON object at the top, got {_type_name(value)}")
    return value


def load_yaml_list(path: Path) -> list[Any]:
    """The list in a YAML file.

    Raises:
        DatasetError: unreadable, empty, not UTF-8, not YAML (with line and column), or not a list.
    """
    text = _read_text(path)
    try:
        value = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise DatasetError(f"{path}{place}: not valid YAML ({error.problem or error.context})") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: not readable as YAML ({error})") from error
    if not isinstance(value, list):
        raise DatasetError(f"{path}: expected a list at the top, got {_type_name(value)}")
    return value


def read_csv(
    path: Path, columns: Sequence[str], is_loose: bool = False
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The rows of a comma-separated file with a header: (line number, values of `columns` in order).

    Columns are found by name, so their order in the file is free and others may stand between them.
    Streams: nothing but the current row is held.

    Args:
        is_loose: names of columns are alike whatever their case, and with spaces, "_" or "-" between words:
            for sheets that people save themselves.

    Raises:
        DatasetError: unreadable, empty, not UTF-8, a missing or doubled column, or a row whose
            number of fields differs from the header's.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            try:
                header = [name.strip() for name in next(reader, [])]
                wanted = _column_indices(path, header, columns, _loose if is_loose else str)
                for row in reader:
                    if not row:
                        continue
                    if len(row) != len(header):
                        raise DatasetError(
                            f"{path}, line {reader.line_num}: "
                            f"{len(row)} fields, the header has {len(header)}",
                            "a caption with a comma must stand in double quotes",
                        )
                    yield reader.line_num, tuple(row[index] for index in wanted)
            except csv.Error as error:
                raise DatasetError(f"{path}, line {reader.line_num}: not valid CSV ({error})") from error
            except UnicodeDecodeError as error:
                raise DatasetError(
                    f"{path}, after line {reader.line_num}: not UTF-8 ({error.reason})",
                    "save the file as UTF-8",
                ) from error
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error


def plain_name(value: object, what: str, where: str) -> str:
    """`value` when it is safe as one component of a path.

    Ids come from files that others wrote and become file names here: letters, digits, "_", "-" and
    "." (not first), at most 200 characters. So no separators, no "..", no absolute paths.

    Args:
        what: the field's name. where: the file and place.

    Raises:
        DatasetError: anything else.
    """
    if isinstance(value, str) and _PLAIN_NAME.fullmatch(value):
        return value
    shown = repr(value) if len(repr(value)) <= 80 else repr(value)[:77] + "..."
    raise DatasetError(
        f"{where}: {what} {shown} is not a plain name "
        "(letters, digits, '_', '-' and '.', the first not a '.', at most 200)",
        "names become file names, so nothing else is accepted; correct the file",
    )


def caption_text(value: object, where: str) -> str:
    """`value` when it is text that can be stored as UTF-8; blank text passes, as it is.

    Raises:
        DatasetError: not a string, or with half a surrogate pair (a broken escape in JSON).
    """
    if not isinstance(value, str):
        raise DatasetError(f"{where}: the caption must be a string, got {_type_name(value)} {value!r:.80}")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise DatasetError(f"{where}: the caption {value!r:.80} holds half a surrogate pair") from error
    return value


def field(entry: object, name: str, kind: type, where: str) -> Any:
    """`entry[name]`, checked to be there and of type `kind` (a bool is no int).

    Raises:
        DatasetError: the entry is no object, the field is missing (nearest name as the hint), or of
            another type.
    """
    if not isinstance(entry, dict):
        raise DatasetError(f"{where}: expected an object, got {_type_name(entry)}")
    if name not in entry:
        close = nearest(name, entry)
        hint = f"did you mean {close!r}?" if close else None
        raise DatasetError(
            f"{where}: the field {name!r} is missing; there: {', '.join(entry) or 'none'}", hint
        )
    value = entry[name]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise DatasetError(
            f"{where}: {name!r} must be {_JSON_NAMES[kind]}, got {_type_name(value)} {value!r:.80}"
        )
    return value


_JSON_NAMES: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


def _type_name(value: object) -> str:
    return _JSON_NAMES.get(type(value), type(value).__name__)


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DatasetError(
            f"{path}, line {line}: not UTF-8 ({error.reason})", "save the file as UTF-8"
        ) from error


def _loose(name: str) -> str:
    return " ".join(re.split(r"[\s_-]+", name.strip())).casefold()


def _column_indices(
    path: Path, header: list[str], columns: Sequence[str], form: Callable[[str], str]
) -> list[int]:
    """Where the columns stand; names are compared in `form`."""
    if not any(header):
        raise DatasetError(f"{path} is empty; expected a header with the columns {', '.join(columns)}")
    formed, wanted = [form(name) for name in header], [form(name) for name in columns]
    for name, formed_name in zip(columns, wanted, strict=True):
        if formed_name not in formed:
            others = [
                other
                for other, formed_other in zip(header, formed, strict=True)
                if formed_other not in wanted
            ]
            close = nearest(name, others)
            raise DatasetError(
                f"{path}, line 1: the column {name!r} is missing; there: {', '.join(header)}",
                f"rename {close!r} to {name!r}" if close else f"expected the columns {', '.join(columns)}",
            )
        count = formed.count(formed_name)
        if count > 1:
            raise DatasetError(f"{path}, line 1: the column {name!r} stands there {count} times")
    return [formed.index(name) for name in wanted]
