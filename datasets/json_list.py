"""A JSON file with a list at the top: refused with the place of the fault, as `annotation.load_json` does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..core.errors import DatasetError


def load_json_list(path: Path, what: str) -> list[Any]:
    """The list in a JSON file (UTF-8, with or without a byte order mark).

    Args:
        what: what the list holds, for messages ("entries with id and label").

    Raises:
        DatasetError: unreadable, empty, not UTF-8, not JSON (with line and column), or not a list.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: not UTF-8 ({error.reason})", "save the file as UTF-8") from error
    if not text.strip():
        raise DatasetError(f"{path} is empty; expected a JSON list of {what}", "copy the file again")
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
    if not isinstance(value, list):
        raise DatasetError(f"{path}: expected a JSON list of {what} at the top, got {value!r:.40}")
    return value
