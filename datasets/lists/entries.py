"""Lists of objects, one a clip: JSON, lines of JSON, Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ...core.errors import DatasetError
from .annotation import parse_json, shown
from .text_file import MOST_BYTES, read_text, refuse_stand_ins, text_lines

JSON_LINES = (".jsonl", ".ndjson", ".jsonlines")

_TABLES = (".csv", ".tsv", ".xlsx")

_LOOKED_AT = 1 << 20
"""Characters of a `.json` that say whether it is lines of JSON."""

_ROWS_AT_ONCE = 1000
"""Of Parquet, which a few repeated bytes can make endless: what was read is counted after each so many."""


def load_data(path: Path, expected: str) -> Any:
    """What a file of JSON, lines of JSON or Parquet holds: lines and rows as a list of objects.

    Lines of JSON are recognised by their ending, and where the first line of a `.json` is a whole object
    and others follow, as people name them.

    Args:
        expected: what should be there, for messages ("a list of clips").

    Raises:
        DatasetError: unreadable, empty, or not of that kind (with line and column).
    """
    suffix = path.suffix.lower()
    if suffix in _TABLES:
        raise DatasetError(
            f"{path} is a table by its ending; expected {expected}",
            "JSON, lines of JSON (.jsonl) and Parquet are read here: save it as one of these",
        )
    if suffix == ".parquet":
        return _parquet(path)
    if suffix in JSON_LINES:
        return _lines(path, text_lines(path))
    text = read_text(path)
    if not text.strip():
        raise DatasetError(f"{path} is empty; expected {expected}", "copy the file again")
    return _lines(path, text.split("\n")) if _is_lines(text) else parse_json(text, path)


def numbered(path: Path, entries: Sequence[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The entries of a list with their places ("FILE, entry 3", from 0), for messages.

    Raises:
        DatasetError: one is no object.
    """
    for index, entry in enumerate(entries):
        where = f"{path}, entry {index}"
        if not isinstance(entry, dict):
            raise DatasetError(
                f"{where}: expected an object, got {shown(entry)}",
                "the list may be another one than is asked for",
            )
        yield where, entry


def _lines(path: Path, lines: Iterable[str]) -> list[Any]:
    return [parse_json(line.rstrip(), path, number) for number, line in enumerate(lines, 1) if line.strip()]


def _is_lines(text: str) -> bool:
    """Whether the first two lines that are not blank are objects, each by itself."""
    lines = [line for line in text[:_LOOKED_AT].split("\n") if line.strip()][:3]
    if len(lines) < 2 or (len(lines) == 2 and len(text) > _LOOKED_AT):
        return False
    try:
        return all(isinstance(json.loads(line), dict) for line in lines[:2])
    except (ValueError, RecursionError):
        return False


def _parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    entries: list[dict[str, Any]] = []
    num_bytes = 0
    try:
        refuse_stand_ins(path)
        with pq.ParquetFile(path) as file:
            # Only what is text or a number, or lists of it: hubs keep videos in such files, too.
            names = [field.name for field in file.schema_arrow if _is_plain(field.type)]
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=names):
                num_bytes += batch.nbytes
                if num_bytes > MOST_BYTES:
                    raise DatasetError(
                        f"{path} has more than {MOST_BYTES >> 20} MiB of text",
                        "keep the entries that are measured",
                    )
                entries += batch.to_pylist()
    except (OSError, pa.ArrowException, ValueError) as error:
        raise DatasetError(
            f"{path} cannot be read as Parquet ({str(error).splitlines()[0] if str(error) else 'damaged'})",
            "download it again",
        ) from error
    return entries


def _is_plain(kind: Any) -> bool:
    import pyarrow as pa

    types = pa.types
    if types.is_list(kind) or types.is_large_list(kind):
        kind = kind.value_type
    return (
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_dictionary(kind)
    )
