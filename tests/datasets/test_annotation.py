"""Faults of annotation files are told with the file, the place and what was expected."""

from __future__ import annotations

import json

import pytest

from reelbench.core.errors import DatasetError
from reelbench.datasets.annotation import caption_text, field, find_file, load_json, plain_name, read_csv


def test_json_with_and_without_a_byte_order_mark(tmp_path) -> None:
    path = tmp_path / "a.json"
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_text(json.dumps({"caption": "Ein Hündchen läuft. 犬が走る"}), encoding)
        assert load_json(path) == {"caption": "Ein Hündchen läuft. 犬が走る"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b'{"a": 1,\n "b": }', "line 2, column 7"),
        (b'{"videos": [1, 2', "line 1"),
        (b"[1, 2]", "expected a JSON object at the top, got a list"),
        (b'{"a": 1}\n\xff\xfe', "line 2: not UTF-8"),
        (b"[" * 100_000, "not readable as JSON"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "not readable as JSON"),
    ],
)
def test_broken_json(tmp_path, content, message) -> None:
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=message) as caught:
        load_json(path)
    assert str(path) in caught.value.message


def test_unreadable_files(tmp_path) -> None:
    with pytest.raises(DatasetError, match="cannot read"):
        load_json(tmp_path / "nowhere.json")
    with pytest.raises(DatasetError, match="cannot read"):
        load_json(tmp_path)
    with pytest.raises(DatasetError, match="cannot read"):
        list(read_csv(tmp_path / "nowhere.csv", ("a",)))


def test_csv_columns_by_name_in_any_order(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('name,extra,id\n"a dog, running",x,1\n\n"two\nlines",y,2\n', "utf-8-sig")
    assert list(read_csv(path, ("id", "name"))) == [(2, ("1", "a dog, running")), (5, ("2", "two\nlines"))]


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (b"", "is empty; expected a header with the columns id, name", None),
        (b"id,nmae\n", "line 1: the column 'name' is missing; there: id, nmae", "rename 'nmae' to 'name'"),
        (b"id,name,id\n", "the column 'id' stands there 2 times", None),
        (b"id,name\n1,a\n2,b,c\n", "line 3: 3 fields, the header has 2", "double quotes"),
        (b"id,name\n1\n", "line 2: 1 fields", None),
        (b'id,name\n1,"cut off', "not valid CSV", None),
        (b"id,name\n1,caf\xe9\n", "not UTF-8", "UTF-8"),
    ],
)
def test_broken_csv(tmp_path, content, message, hint) -> None:
    path = tmp_path / "broken.csv"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=message) as caught:
        list(read_csv(path, ("id", "name")))
    assert str(path) in caught.value.message
    assert hint is None or hint in str(caught.value.hint)


def test_csv_is_streamed(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id\n1\n" + "2\n" * 50_000 + "3,3\n")
    assert next(read_csv(path, ("id",))) == (2, ("1",))


@pytest.mark.parametrize("name", ["video7010", "000001_000050", "1066674784", "a-b.c", "-x", "_"])
def test_plain_names(name) -> None:
    assert plain_name(name, "id", "here") == name


NOT_PLAIN = [
    "../../x",
    "..",
    ".",
    "",
    ".hidden",
    "a/b",
    "/etc/passwd",
    "a\\b",
    "C:",
    "a\0b",
    "a b",
    "a\n",
    "ü",
]


@pytest.mark.parametrize("name", [*NOT_PLAIN, "a" * 201, None, 7, True, ["a"]])
def test_names_that_are_not_plain(name) -> None:
    with pytest.raises(DatasetError, match=r"(?s)^file\.json, videos\[3\]: video_id .* is not a plain name"):
        plain_name(name, "video_id", "file.json, videos[3]")


def test_captions() -> None:
    assert caption_text("日本語 🎬", "here") == "日本語 🎬"
    with pytest.raises(DatasetError, match="the caption must be a string, got null"):
        caption_text(None, "here")
    with pytest.raises(DatasetError, match="half a surrogate pair"):
        caption_text("\ud83c", "here")


def test_fields() -> None:
    assert field({"a": 1}, "a", int, "here") == 1
    with pytest.raises(DatasetError, match="'sen_id' is missing; there: senid, caption") as caught:
        field({"senid": 1, "caption": ""}, "sen_id", int, "here")
    assert caught.value.hint == "did you mean 'senid'?"
    with pytest.raises(DatasetError, match="'a' must be a whole number, got a boolean True"):
        field({"a": True}, "a", int, "here")
    with pytest.raises(DatasetError, match="'a' must be a list, got null"):
        field({"a": None}, "a", list, "here")
    with pytest.raises(DatasetError, match="expected an object, got a string"):
        field("x", "a", list, "here")


def test_find_file_takes_the_first_and_says_where_it_looked(tmp_path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.json").touch()
    assert find_file(tmp_path, ("a.json", "b.json"), ("", "sub"), "X") == tmp_path / "sub" / "b.json"
    with pytest.raises(DatasetError, match=r"X: a\.json is missing from .*; looked in \./, sub/"):
        find_file(tmp_path, ("a.json",), ("", "sub"), "X")
    with pytest.raises(DatasetError, match=r"the root folder .*nowhere' does not exist"):
        find_file(tmp_path / "nowhere", ("a.json",), ("",), "X")
