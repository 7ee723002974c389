"""Lists of objects in JSON, lines of JSON and Parquet."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reelbench.core.errors import DatasetError
from reelbench.datasets.lists import entries, text_file
from reelbench.datasets.lists.entries import load_data, numbered

ROWS = [{"id": "a", "caption": ["one", "two"]}, {"id": "b", "caption": ["猫"]}]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_the_same_list_in_every_form(tmp_path: Path) -> None:
    lines = "\n\n".join(json.dumps(row) for row in ROWS) + "\n"
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    paths = [
        write(tmp_path / "a.json", json.dumps(ROWS, indent=1)),
        write(tmp_path / "b.json", "\ufeff" + json.dumps(ROWS)),
        write(tmp_path / "c.json", lines),
        write(tmp_path / "d.jsonl", lines.replace("\n", "\r\n")),
        tmp_path / "a.parquet",
    ]
    assert [load_data(path, "a list") for path in paths] == [ROWS] * len(paths)
    assert list(numbered(paths[0], ROWS))[1] == (f"{paths[0]}, entry 1", ROWS[1])


def test_videos_in_a_parquet_file_of_a_hub_are_passed_over(tmp_path: Path) -> None:
    rows = [{"id": "a", "video": {"bytes": b"\0" * 50_000, "path": "a.mp4"}, "raw": b"x"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    assert load_data(tmp_path / "a.parquet", "a list") == [{"id": "a"}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "", "is empty; expected a list"),
        ("a.json", '{"a": 1}\n{"b": 2}\n{"c": }\n', "line 3, column 7: not valid JSON"),
        ("a.json", '{"a": 1}\n{"b": }\n', "line 2, column 1: not valid JSON"),
        ("a.jsonl", '{"a": 1}\n[1\n', "line 2, column 3: not valid JSON"),
        ("a.jsonl", "[" * 100_000, "nested deeper"),
        ("a.parquet", "PAR1 and nothing", "cannot be read as Parquet"),
        ("a.parquet", "", "cannot be read as Parquet"),
        ("a.json", b"PAR1", "is a Parquet table, not text"),
    ],
)
def test_what_is_damaged_is_refused_in_one_line(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(DatasetError, match=message) as caught:
        load_data(path, "a list")
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message


def test_an_entry_that_is_no_object_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="entry 1: expected an object, got 'b'"):
        list(numbered(tmp_path / "a.json", [{}, "b"]))


def test_files_beyond_the_bounds_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.json", json.dumps(ROWS))
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    monkeypatch.setattr(text_file, "MOST_BYTES", 20)
    monkeypatch.setattr(entries, "MOST_BYTES", 1)
    with pytest.raises(DatasetError, match="a file of its kind is read at once"):
        load_data(path, "a list")
    with pytest.raises(DatasetError, match="MiB of text"):
        load_data(tmp_path / "a.parquet", "a list")
