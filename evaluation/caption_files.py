"""Captions and pairs as people keep them: CSV, TSV, JSON, JSONL, lines, or a folder of text files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import EvaluationError

_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "name": ("name", "video", "video_id", "videoid", "clip", "file", "filename", "generated", "id"),
    "caption": ("caption", "prompt", "text", "sentence", "description"),
    "source": ("source", "group"),
    "generated": ("generated", "name", "video", "clip", "file", "id"),
    "reference": ("reference", "real", "ground_truth", "gt"),
}


@dataclass(frozen=True)
class CaptionRow:
    """A caption; `source` is "" where none is given."""

    name: str
    caption: str
    source: str = ""


@dataclass(frozen=True)
class PairRow:
    """What belongs to a generated clip; "" and None where a column is missing or empty."""

    generated: str
    reference: str = ""
    caption: str | None = None
    source: str = ""


def read_captions(path: Path) -> list[CaptionRow]:
    """Captions by clip name.

    * `.csv`, `.tsv`: a header with a name column (name, id, video, ...), a caption column (caption, prompt,
      text, ...) and optionally source; comma, semicolon or tab.
    * `.json`: {"name": "caption"}, {"name": ["caption", ...]}, or a list of objects with those columns;
      `.jsonl`: one such object a line.
    * other files: lines `name<TAB>caption` or `name|caption`.
    * a folder: `<name>.txt` files.

    Raises:
        EvaluationError: the file is not there, not UTF-8, empty, or has no such columns.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*.txt") if not file.name.startswith("."))
        rows = [
            CaptionRow(file.relative_to(path).with_suffix("").as_posix(), _text(file).strip())
            for file in files
        ]
        empty = [row.name for row in rows if not row.caption]
        if empty:
            raise EvaluationError(
                f"{len(empty)} caption files in {str(path)!r} are empty: {empty[0]}.txt, ..."
            )
    else:
        text = _text(path)
        suffix = path.suffix.lower()
        if suffix in (".csv", ".tsv"):
            table = _Table(path, text, ("name", "caption"))
            rows = [CaptionRow(row["name"], row["caption"], row.get("source", "")) for row in table.rows()]
        elif suffix in (".json", ".jsonl"):
            rows = _from_json(path, text)
        else:
            rows = [
                _from_line(path, number, line) for number, line in enumerate(_lines(text), 1) if line.strip()
            ]
    if not rows:
        raise EvaluationError(f"{str(path)!r} holds no caption", "expected rows of name and caption")
    return rows


def read_pairs(path: Path) -> list[PairRow]:
    """What belongs together: a CSV or TSV with a column `generated` and any of reference, caption, source.

    Raises:
        EvaluationError: as in `read_captions`.
    """
    table = _Table(path, _text(path), ("generated",))
    rows = [
        PairRow(row["generated"], row.get("reference", ""), row.get("caption") or None, row.get("source", ""))
        for row in table.rows()
    ]
    if not rows:
        raise EvaluationError(f"{str(path)!r} holds no row", "expected generated,reference,caption,source")
    return rows


class _Table:
    """A CSV with a header, its columns found by their usual names."""

    def __init__(self, path: Path, text: str, needed: Sequence[str]) -> None:
        self._path, self._needed = path, needed
        first = text.partition("\n")[0]
        # Spreadsheets of some countries write semicolons; the header has no quotes to mislead a count.
        self._delimiter = max("\t;,", key=first.count)
        self._lines = csv.reader(io.StringIO(text, newline=""), delimiter=self._delimiter)
        header = [cell.strip().lower() for cell in next(self._lines, [])]
        self._columns: dict[str, int] = {}
        taken: set[int] = set()
        for role in (*needed, *(role for role in ("reference", "caption", "source") if role not in needed)):
            places = [header.index(name) for name in _SYNONYMS[role] if name in header]
            free = [place for place in places if place not in taken]
            if free:
                self._columns[role] = free[0]
                taken.add(free[0])
        missing = [role for role in needed if role not in self._columns]
        if missing:
            raise EvaluationError(
                f"{str(path)!r} has no column {missing[0]!r}; its header is {', '.join(header) or 'empty'}",
                f"any of these names will do: {', '.join(_SYNONYMS[missing[0]])}",
            )

    def rows(self) -> list[dict[str, str]]:
        """The rows; blank lines are passed over.

        Raises:
            EvaluationError: a row lacks a needed cell.
        """
        found = []
        try:
            for cells in self._lines:
                if not any(cell.strip() for cell in cells):
                    continue
                row = {
                    role: cells[place].strip() if place < len(cells) else ""
                    for role, place in self._columns.items()
                }
                for role in self._needed:
                    if not row[role]:
                        raise EvaluationError(
                            f"{str(self._path)!r}, line {self._lines.line_num}: the {role} is empty",
                            "fill it in, or take the row out",
                        )
                found.append(row)
        except csv.Error as error:
            raise EvaluationError(
                f"{str(self._path)!r}, line {self._lines.line_num}: not readable as CSV ({error})"
            ) from error
        return found


def _from_json(path: Path, text: str) -> list[CaptionRow]:
    try:
        if path.suffix.lower() == ".jsonl":
            data: Any = [json.loads(line) for line in _lines(text) if line.strip()]
        else:
            data = json.loads(text)
    except ValueError as error:
        raise EvaluationError(f"{str(path)!r} is not valid JSON: {error}") from error
    if isinstance(data, dict):
        return [
            CaptionRow(name, _string(path, caption))
            for name, found in data.items()
            for caption in (found if isinstance(found, list) else [found])
        ]
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise EvaluationError(
            f"{str(path)!r}: expected an object of names and captions, or a list of objects",
            'for example {"clip1": "a dog runs"} or [{"name": "clip1", "caption": "a dog runs"}]',
        )
    rows = []
    for item in data:
        name, caption, source = (_pick(item, role) for role in ("name", "caption", "source"))
        if name is None or caption is None:
            raise EvaluationError(
                f"{str(path)!r}: an object has no name or no caption: {json.dumps(item)[:80]}",
                f"names: {', '.join(_SYNONYMS['name'])}; captions: {', '.join(_SYNONYMS['caption'])}",
            )
        rows.append(CaptionRow(str(name), _string(path, caption), "" if source is None else str(source)))
    return rows


def _pick(item: Mapping[str, Any], role: str) -> Any:
    """The value of the first of a role's names that the object has; None where it has none."""
    lower = {str(key).lower(): value for key, value in item.items()}
    return next((lower[name] for name in _SYNONYMS[role] if lower.get(name) not in (None, "")), None)


def _string(path: Path, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise EvaluationError(f"{str(path)!r}: a caption must be a text, got {str(value)[:60]!r}")
    return value.strip()


def _from_line(path: Path, number: int, line: str) -> CaptionRow:
    for mark in ("\t", "|"):
        name, found, caption = line.partition(mark)
        if found and name.strip() and caption.strip():
            return CaptionRow(name.strip(), caption.strip())
    raise EvaluationError(
        f"{str(path)!r}, line {number}: expected name<TAB>caption or name|caption, got {line.strip()[:60]!r}",
        "a table with a header should be called .csv or .tsv",
    )


def _lines(text: str) -> list[str]:
    # Not splitlines: a caption may hold one of Unicode's other line marks.
    return [line.rstrip("\r") for line in text.split("\n")]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # Windows programs begin files with a mark
    except OSError as error:
        raise EvaluationError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise EvaluationError(
            f"{str(path)!r} is not UTF-8 (byte {error.start})", "save it as UTF-8, for example with iconv"
        ) from error
