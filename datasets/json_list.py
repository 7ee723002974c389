"""A JSON file with a list at the top: refused with the place of the fault, as `annotation.load_json` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core.errors import DatasetError
from .annotation import parse_json
from .text_file import read_text


def load_json_list(path: Path, what: str) -> list[Any]:
    """The list in a JSON file (UTF-8, with or without a byte order mark).

    Args:
        what: what the list holds, for messages ("entries with id and label").

    Raises:
        DatasetError: unreadable, empty, not UTF-8, not JSON (with line and column), an object with two
            values of one name, or not a list.
    """
    text = read_text(path)
    if not text.strip():
        raise DatasetError(f"{path} is empty; expected a JSON list of {what}", "copy the file again")
    value = parse_json(text, path)
    if not isinstance(value, list):
        raise DatasetError(f"{path}: expected a JSON list of {what} at the top, got {value!r:.40}")
    return value
