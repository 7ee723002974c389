"""Captions and pairs as people keep them: tables, JSON, Parquet, lines, or a folder of text files.

All are read strictly: what is not surely understood is refused, with the first few faulty rows at once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import DatasetError, EvaluationError
from ..datasets.lists.annotation import is_missing, shown
from ..datasets.lists.entries import JSON_LINES, load_data
from ..datasets.lists.table_file import RowFault, table_rows
from ..datasets.lists.table_header import WantedColumn, loose_name
from ..datasets.lists.text_file import is_folder, read_text

_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "name": (
        *("name", "video", "video_id", "videoid", "clip", "file", "filename", "generated"),
        *("file_name", "video_name", "clip_name", "image_id", "id", "path", "video_path"),
    ),
    "caption": (
        *("caption", "prompt", "text", "sentence", "description"),
        *("prompt_en", "captions", "cap", "golden_caption", "golden_captions"),
    ),
    "source": ("source", "group"),
    "generated": ("generated", "name", "video", "clip", "file", "id"),
    "reference": ("reference", "real", "ground_truth", "gt"),
}
_WRAPPERS = ("sentences", "annotations", "captions", "data")
"""Fields of an object under which published lists keep their entries."""

_TABLES = (".csv", ".tsv", ".xlsx")
_DATA = (".json", ".parquet", *JSON_LINES)
_NUM_SHOWN = 5


@dataclass(frozen=True)
class CaptionRow:
    """A caption; `source` is "" where none is given.

    `is_prompt`: the list has no names, its captions are what clips are called by (VBench).
    """

    name: str
    caption: str
    source: str = ""
    is_prompt: bool = False


@dataclass(frozen=True)
class PairRow:
    """What belongs to a generated clip; "" and None where a column is missing or empty."""

    generated: str
    reference: str = ""
    caption: str | None = None
    source: str = ""


def read_captions(path: Path) -> list[CaptionRow]:
    """Captions by clip name.

    * `.csv`, `.tsv`, `.xlsx`: a header with a name column (name, id, video, ...), a caption column (caption,
      prompt, text, ...) and optionally source; comma, semicolon or tab. See `datasets.lists.table_file` for
      quotes.
    * `.json`: {"name": "caption"}, {"name": ["caption", ...]}, {"name": {"caption": ...}}, or a list of
      objects with those columns, the caption one or several, also under `sentences` or `annotations` of an
      object; `.jsonl`, `.parquet`: the same list by lines or rows.
    * other files: lines `name<TAB>caption` or `name|caption`, one such mark in each; quotes are text.
    * a folder: `<name>.txt` files.

    A list without any name (VBench's `VBench_full_info.json`, lines without either mark) is one of prompts:
    clips are called `<prompt>-<number>`.

    Raises:
        EvaluationError: the file is not there, not UTF-8, empty, without such columns, or has faulty rows.
    """
    with _as_evaluation_error():
        suffix = path.suffix.lower()
        if is_folder(path):
            rows = _from_folder(path)
        elif suffix in _TABLES:
            table = _from_table(path, ("name", "caption"), ("source",))
            rows = [CaptionRow(name, caption, source) for name, caption, source in table]
        elif suffix in _DATA:
            rows = _from_json(path)
        else:
            rows = _from_lines(path)
    if not rows:
        raise EvaluationError(f"{path} holds no caption", "expected rows of name and caption")
    return rows


def read_pairs(path: Path) -> list[PairRow]:
    """What belongs together: a CSV or TSV with a column `generated` and any of reference, caption, source.

    Raises:
        EvaluationError: as in `read_captions`.
    """
    with _as_evaluation_error():
        rows = [
            PairRow(generated, reference, caption or None, source)
            for generated, reference, caption, source in _from_table(
                path, ("generated",), ("reference", "caption", "source")
            )
        ]
    if not rows:
        raise EvaluationError(f"{path} holds no row", "expected generated,reference,caption,source")
    return rows


@contextmanager
def _as_evaluation_error() -> Iterator[None]:
    try:
        yield
    except DatasetError as error:
        raise EvaluationError(error.message, error.hint) from error


@dataclass(frozen=True)
class _Fault:
    where: str
    what: str
    hint: str


def _refuse(path: Path, faults: Sequence[_Fault]) -> None:
    """Raise an error with the first of the faults, if there are any."""
    if not faults:
        return
    shown = faults[:_NUM_SHOWN]
    hint = "; ".join(dict.fromkeys(fault.hint for fault in shown))
    if len(faults) == 1:
        raise EvaluationError(f"{path}, {shown[0].where}: {shown[0].what}", hint)
    rows = "".join(f"\n  {fault.where}: {fault.what}" for fault in shown)
    more = "\n  ..." if len(faults) > len(shown) else ""
    raise EvaluationError(f"{path} has {len(faults)} faulty rows:{rows}{more}", hint)


def _from_table(path: Path, needed: Sequence[str], optional: Sequence[str]) -> list[tuple[str, ...]]:
    """The values of the columns, stripped; "" where an optional column is not there, empty or "nan"."""
    roles = (*needed, *optional)
    columns = [WantedColumn(role, _SYNONYMS[role], is_needed=role in needed) for role in roles]
    rows, faults = [], []
    # The names as they are first: a column whose name is only like one of these must not come before it.
    for found in table_rows(path, columns, (str.lower, loose_name), text_column="caption"):
        if isinstance(found, RowFault):
            faults.append(_Fault(f"line {found.line}", found.what, found.hint))
            continue
        line, values = found[0], tuple(_one_kind_of_line_end(value).strip() for value in found[1])
        for role, value in zip(roles, values, strict=True):
            if role in needed and (not value or (role == "caption" and is_missing(value))):
                empty = f"the {role} is empty" + (f" ({value!r})" if value else "")
                what, hint = empty, "fill it in, or take the row out"
            elif role != "caption" and "\n" in value:
                what, hint = f"the {role} goes over several lines: {value!r:.80}", "close the double quote"
            else:
                continue
            faults.append(_Fault(f"line {line}", what, hint))
        optional_values = ("" if is_missing(value) else value for value in values[len(needed) :])
        rows.append((*values[: len(needed)], *optional_values))
    _refuse(path, faults)
    return rows


def _from_json(path: Path) -> list[CaptionRow]:
    data = load_data(path, "captions")
    place = "line" if path.suffix.lower() in JSON_LINES else "entry"
    entries: dict[str, Any] = {}
    if isinstance(data, dict):
        wrapper = next((name for name in _WRAPPERS if _is_list_of_objects(data.get(name))), None)
        if wrapper is not None:
            entries = {f"{wrapper}[{index}]": item for index, item in enumerate(data[wrapper])}
        elif data and all(isinstance(item, dict) for item in data.values()):
            entries = {f"{name!r:.60}": {**item, "name": name} for name, item in data.items()}
        else:
            return _from_object(path, data)
    elif isinstance(data, list):
        first = 1 if place == "line" else 0
        items = ({"caption": item} if isinstance(item, str) else item for item in data)
        entries = {f"{place} {index}": item for index, item in enumerate(items, first)}
    if not entries or not all(isinstance(item, dict) for item in entries.values()):
        raise EvaluationError(
            f"{path}: expected an object of names and captions, or a list of objects",
            'for example {"clip1": "a dog runs"} or [{"name": "clip1", "caption": "a dog runs"}]',
        )
    has_names = any(_pick(item, "name") is not None for item in entries.values())
    rows, faults = [], []
    for where, item in entries.items():
        columns = Counter(str(key).lower() for key in item)
        twice = [key for key, count in columns.items() if count > 1]
        name, given, source = (_pick(item, role) for role in ("name", "caption", "source"))
        source = None if isinstance(source, str | float) and is_missing(str(source)) else source
        captions = given if isinstance(given, list) else [given]
        if twice:
            faults.append(_Fault(where, f"the field {twice[0]!r:.60} stands there twice", "keep one of them"))
        elif given is None and _has(item, "caption"):
            faults.append(_no_text(where, None))
        elif given is None or (name is None and has_names):
            names = f"names: {', '.join(_SYNONYMS['name'])}; captions: {', '.join(_SYNONYMS['caption'])}"
            faults.append(_Fault(where, f"an object has no name or no caption: {shown(item)}", names))
        elif odd := [caption for caption in captions or [[]] if not _is_text(caption)]:
            faults.append(_no_text(where, odd[0]))
        elif odd := [value for value in (name, source) if not _is_id(value)]:
            what = f"a name or source must be a text or a number, got {shown(odd[0], 60)}"
            faults.append(_Fault(where, what, "write it as a text"))
        elif name is not None and not _id(name):
            faults.append(_Fault(where, "the name is empty", "fill it in, or take it out"))
        else:
            texts = [caption.strip() for caption in captions]
            rows += [CaptionRow(_id(name) or text, text, _id(source), name is None) for text in texts]
    _refuse(path, faults)
    return rows


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _from_object(path: Path, data: Mapping[str, Any]) -> list[CaptionRow]:
    rows, faults = [], []
    for name, found in data.items():
        captions = found if isinstance(found, list) else [found]
        if not name.strip():
            faults.append(_Fault(f"{name!r:.60}", "the name is empty", "fill it in, or take it out"))
        elif not _is_storable(name):
            what = "the name holds half a surrogate pair or a NUL, which are no characters"
            faults.append(_Fault(f"{name!r:.60}", what, "write the whole character"))
        faults += [
            _no_text(f"{name!r:.60}", caption) for caption in captions or [[]] if not _is_text(caption)
        ]
        rows += [CaptionRow(name, caption.strip()) for caption in captions if _is_text(caption)]
    _refuse(path, faults)
    return rows


def _pick(item: Mapping[str, Any], role: str) -> Any:
    """The value of the first of a role's names that the object has; None where it has none."""
    lower = {str(key).lower(): value for key, value in item.items()}
    return next((lower[name] for name in _SYNONYMS[role] if lower.get(name) not in (None, "")), None)


def _has(item: Mapping[str, Any], role: str) -> bool:
    return any(str(key).lower() in _SYNONYMS[role] for key in item)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not is_missing(value) and _is_storable(value)


def _is_id(value: Any) -> bool:
    if isinstance(value, str):
        return _is_storable(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 10**18
    return value is None or is_number  # NaN is below nothing


def _id(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value).strip()


def _is_storable(text: str) -> bool:
    """Whether text can be stored: without halves of surrogate pairs and NULs."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_text(where: str, caption: Any) -> _Fault:
    if isinstance(caption, str) and not _is_storable(caption):
        what = "a caption holds half a surrogate pair or a NUL, which are no characters"
        return _Fault(where, f"{what}: {shown(caption, 60)}", "write the whole character, or take it out")
    what = "null" if caption is None else shown(caption, 60)
    return _Fault(where, f"a caption must be a text, got {what}", "fill it in, or take it out")


def _from_lines(path: Path) -> list[CaptionRow]:
    numbered = [(number, line) for number, line in enumerate(_lines(read_text(path)), 1) if line.strip()]
    if not any("\t" in line or "|" in line for _, line in numbered):
        return [CaptionRow(line.strip(), line.strip(), is_prompt=True) for _, line in numbered]
    # One mark for the whole file: a name may hold the other one.
    mark = "\t" if sum("\t" in line for _, line in numbered) * 2 >= len(numbered) else "|"
    rows, faults = [], []
    for number, line in numbered:
        name, *captions = (part.strip() for part in line.split(mark))
        if name and len(captions) == 1 and captions[0]:
            rows.append(CaptionRow(name, captions[0]))
        else:
            form = "name<TAB>caption" if mark == "\t" else "name|caption"
            what = f"expected name<TAB>caption or name|caption, here {form}, got {line.strip()[:60]!r}"
            faults.append(
                _Fault(f"line {number}", what, "a table with a header should be called .csv or .tsv")
            )
    _refuse(path, faults)
    return rows


def _from_folder(path: Path) -> list[CaptionRow]:
    files = sorted(file for file in path.rglob("*.txt") if not file.name.startswith("."))
    if odd := next((file for file in files if not _is_storable(str(file))), None):
        raise EvaluationError(f"the name of the caption file {str(odd)!r} is not UTF-8", "rename it")
    rows = [
        CaptionRow(
            file.relative_to(path).with_suffix("").as_posix(), _one_kind_of_line_end(read_text(file)).strip()
        )
        for file in files
    ]
    if empty := [f"{row.name}.txt" for row in rows if not row.caption]:
        more = ", ..." if len(empty) > _NUM_SHOWN else ""
        raise EvaluationError(
            f"{len(empty)} caption files in {str(path)!r} are empty: {', '.join(empty[:_NUM_SHOWN])}{more}",
            "fill them in, or take them out",
        )
    return rows


def _lines(text: str) -> list[str]:
    # Not splitlines: a caption may hold one of Unicode's other line marks.
    return _one_kind_of_line_end(text).split("\n")


def _one_kind_of_line_end(text: str) -> str:
    """A caption is the same on every system that its file was written on."""
    return re.sub(r"\r\n?", "\n", text)
