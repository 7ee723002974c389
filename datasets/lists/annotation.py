"""Annotation files of published data sets: found, parsed, and refused with the place of the fault.

JSON and YAML as they are distributed, UTF-8 with or without a byte order mark; for tables see `table_file`.
Every error is a `DatasetError` that names the file, the line (and column where there is one) and what was
expected.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from ...core.errors import DatasetError, nearest
from ...core.yaml_text import load_yaml
from .text_file import is_file, is_folder, names_shown, read_text

MISSING = frozenset(["", "nan", "none", "null", "<na>", "#n/a"])
"""How tables write that a value is missing (pandas, Excel), in lower case."""

_ANOTHER = "the file may be another one than is asked for, or of another form"
_CORRECT = "correct it there, or write the list as CSV"

_LONGEST_MISSING = max(map(len, MISSING))

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")


def expanded(path: str) -> Path:
    """A path of a setting, "~" as the home folder.

    Raises:
        DatasetError: "~name" of nobody.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise DatasetError(
            f"the path {path!r:.400} begins with the home folder of a user that does not exist",
            "write './~...' for a folder of such a name",
        ) from error


def require_folder(folder: Path, what: str, setting: str = "root") -> None:
    """Check that the folder of a data set is there.

    Args:
        what: the data set and its part, for the error message.
        setting: which of its settings names the folder.

    Raises:
        DatasetError: it does not exist, or is a file.
    """
    if is_folder(folder):
        return
    why = "is not a folder" if is_file(folder) else "does not exist"
    raise DatasetError(
        f"{what}: the {setting.replace('_', ' ')} folder {str(folder)!r:.400} {why}",
        f"set `{setting}` of the data set to the folder that holds its files",
    )


def find_file(
    root: Path,
    names: Sequence[str],
    folders: Sequence[str],
    what: str,
    unfit: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """The first of `names` that lies in one of `folders` (relative to `root`, "" is the root itself).

    Args:
        names: the name as published first, then other names of the same content.
        what: the data set and its part, for the error message.
        unfit: patterns of names that people have instead, with what these files are and what helps: the error
            says so.

    Raises:
        DatasetError: the root is not a folder, or no folder has the file; says where it is expected.
    """
    require_folder(root, what)
    for name in names:
        for folder in folders:
            path = root / folder / name
            if is_file(path):
                return path
    places = ", ".join(f"{folder or '.'}/" for folder in folders)
    instead = (
        f"; {str(path)!r} is {why}"
        for folder in folders
        for pattern, why in unfit.items()
        for path in sorted((root / folder).glob(pattern))
    )
    raise DatasetError(
        f"{what}: {' or '.join(names)} is missing from {str(root)!r}; looked in {places}{next(instead, '')}",
        f"put it at {str(root / names[0])!r}, or correct `root`",
    )


def load_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        DatasetError: unreadable, empty, not UTF-8, not JSON (with line and column), an object with two values
            of one name, or not an object.
    """
    value = _json_file(path, "a JSON object")
    if not isinstance(value, dict):
        raise DatasetError(f"{path}: expected a JSON object at the top, got {_type_name(value)}", _ANOTHER)
    return value


def load_json_list(path: Path, what: str) -> list[Any]:
    """The list in a JSON file.

    Args:
        what: what the list holds, for messages ("entries with id and label").

    Raises:
        DatasetError: as `load_json`, or not a list.
    """
    value = _json_file(path, f"a JSON list of {what}")
    if not isinstance(value, list):
        raise DatasetError(
            f"{path}: expected a JSON list of {what} at the top, got {shown(value, 40)}", _ANOTHER
        )
    return value


def _json_file(path: Path, expected: str) -> Any:
    text = read_text(path)
    if not text.strip():
        raise DatasetError(f"{path} is empty; expected {expected}", "copy the file again")
    return parse_json(text, path)


def parse_json(text: str, path: Path, line: int = 1) -> Any:
    """The value of a text of JSON.

    Args:
        path: the file that it comes from. line: where it begins there, from 1.

    Raises:
        DatasetError: not JSON (with line and column), or an object with two values of one name.
    """
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise DatasetError(
            f"{path}, line {line + error.lineno - 1}, column {error.colno}: not valid JSON ({error.msg})",
            "correct it there; if the download was cut off, copy the file again",
        ) from error
    except RecursionError as error:
        raise DatasetError(
            f"{path}: not readable as JSON: brackets are nested deeper than a list's",
            "give the list itself; the file may be damaged",
        ) from error
    except ValueError as error:  # two values of one name, or what `int` says of a number without end
        why = "a number has thousands of digits" if "int_max_str_digits" in str(error) else error
        raise DatasetError(f"{path}: not readable as JSON ({why})", "correct it there") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"the name {name!r:.80} stands twice in one object, and only one can be meant")
    return found


_MOST_YAML = 1 << 21


def load_yaml_list(path: Path) -> list[Any]:
    """The list in a YAML file.

    Raises:
        DatasetError: unreadable, empty, not UTF-8, not YAML (with line and column), a mapping with two values
            of one key, or not a list.
    """
    text = read_text(path)
    if len(text) > _MOST_YAML:
        raise DatasetError(
            f"{path} has {len(text):,} characters; of YAML, which is slow to read, {_MOST_YAML:,} are taken",
            "write the list as CSV",
        )
    try:
        value = load_yaml(text, any_scalar=True)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise DatasetError(
            f"{path}{place}: not valid YAML ({error.problem or error.context})", _CORRECT
        ) from error
    except yaml.YAMLError as error:
        raise DatasetError(f"{path}: not valid YAML ({error})", _CORRECT) from error
    if not isinstance(value, list):
        raise DatasetError(
            f"{path}: expected a list at the top, got {_type_name(value)}", "begin each entry with '- '"
        )
    return value


def plain_name(value: object, what: str, where: str) -> str:
    """`value` when it is safe as one component of a path.

    Ids become file names: letters, digits, "_", "-" and "." (not first), at most 200 characters.

    Args:
        what: the field's name. where: the file and place.

    Raises:
        DatasetError: anything else.
    """
    if isinstance(value, str) and _PLAIN_NAME.fullmatch(value):
        return value
    raise DatasetError(
        f"{where}: {what} {shown(value)} is not a plain name "
        "(letters, digits, '_', '-' and '.', the first not a '.', at most 200)",
        "names become file names, so nothing else is accepted; correct the file",
    )


def id_name(value: object, what: str, where: str) -> str:
    """An id that may be written as a number (7, and 7.0 or "7.0" as tables with gaps make of it), as a plain
    name.

    Raises:
        DatasetError: as `plain_name`.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
        value = str(value)
    if isinstance(value, str):
        value = value.strip()
        if value.endswith(".0") and value[:-2].isdecimal():
            value = value[:-2]
    return plain_name(value, what, where)


def is_missing(text: str) -> bool:
    """Whether a cell is blank, or says that its value is missing ("nan").

    >>> is_missing(" NaN "), is_missing("a nan bread")
    (True, False)
    """
    bare = text.strip()
    return len(bare) <= _LONGEST_MISSING and bare.lower() in MISSING


def caption_text(value: object, where: str, what: str = "the caption") -> str:
    """`value` when it is text that can be stored as UTF-8; blank text passes, as it is, and "" is what JSON
    and YAML mark as missing (null, NaN).

    Raises:
        DatasetError: not a string, or with half a surrogate pair (a broken escape in JSON).
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if not isinstance(value, str):
        raise DatasetError(
            f"{where}: {what} must be a string, got {_type_name(value)} {shown(value)}",
            "write it as a text, or take it out",
        )
    if "\0" in value:
        raise DatasetError(f"{where}: the caption {shown(value)} holds a NUL", "take it out")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise DatasetError(
                f"{where}: the caption {shown(value)} holds half a surrogate pair, which is no character",
                "write the whole character, or take the half out",
            ) from error
    return value


def shown(value: object, most: int = 80) -> str:
    """`value` as a message shows it, of whatever depth and size: its `repr`, cut to `most` characters."""
    try:
        return _SHORT.repr(value)[:most]
    except ValueError:  # a number of more digits than Python writes
        return "a number of thousands of digits"


_SHORT = reprlib.Repr()
# Deep ones exhaust the stack, and YAML's references make a short text a tree without end.
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict, _SHORT.maxstring, _SHORT.maxother = 4, 6, 6, 400, 400


def field(entry: object, name: str, kind: type, where: str) -> Any:
    """`entry[name]`, checked to be there and of type `kind` (a bool is no int).

    Raises:
        DatasetError: the entry is no object, the field is missing (nearest name as the hint), or of
            another type.
    """
    if not isinstance(entry, dict):
        raise DatasetError(f"{where}: expected an object, got {_type_name(entry)}", _ANOTHER)
    if name not in entry:
        close = nearest(name, [key for key in entry if isinstance(key, str) and len(key) < 40][:200])
        hint = f"did you mean {close!r}?" if close else None
        raise DatasetError(f"{where}: the field {name!r} is missing; there: {names_shown(entry)}", hint)
    value = entry[name]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise DatasetError(
            f"{where}: {name!r} must be {_JSON_NAMES[kind]}, got {_type_name(value)} {shown(value)}",
            f"write {_JSON_NAMES[kind]} there; if all entries are so, the file is of another form",
        )
    return value


def text_field(entry: object, name: str, where: str) -> str:
    """`entry[name]`, a text that can be stored; "" where it is null or NaN.

    Raises:
        DatasetError: as `field` and `caption_text`.
    """
    return caption_text(field(entry, name, object, where), where, repr(name))


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
