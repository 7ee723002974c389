"""Faults of annotation files are told with the file, the place and what was expected."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from reelbench.core import registry
from reelbench.core.errors import DatasetError
from reelbench.datasets.lists import annotation
from reelbench.datasets.lists.annotation import (
    caption_text,
    field,
    find_file,
    id_name,
    is_missing,
    load_json,
    load_yaml_list,
    parse_json,
    plain_name,
    shown,
)
from reelbench.datasets.lists.entries import load_data
from reelbench.datasets.lists.table_file import read_rows
from reelbench.datasets.lists.text_file import names_shown


def test_json_with_and_without_a_byte_order_mark(tmp_path: Path) -> None:
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
def test_broken_json(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=message) as caught:
        load_json(path)
    assert str(path) in caught.value.message


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot read"):
        load_json(tmp_path / "nowhere.json")
    with pytest.raises(DatasetError, match="cannot read"):
        load_json(tmp_path)


def test_a_name_that_stands_twice_is_refused_in_json_and_yaml(tmp_path: Path) -> None:
    path = tmp_path / "twice"
    path.write_text('{"videos": [{"id": 1, "split": "test", "id": 2}]}')
    with pytest.raises(DatasetError, match="the name 'id' stands twice in one object"):
        load_json(path)
    path.write_text("- video: bear\n  prompt: a lion\n- video: bear\n  prompt: a cat\n  prompt: a dog\n")
    with pytest.raises(DatasetError, match=r"the key 'prompt' stands twice in one mapping, in lines 4 and 5"):
        load_yaml_list(path)
    path.write_text("- {video: bear}\n- {video: bear, prompt: a cat}\n")
    assert load_yaml_list(path) == [{"video": "bear"}, {"video": "bear", "prompt": "a cat"}]


@pytest.mark.parametrize("name", ["video7010", "000001_000050", "1066674784", "a-b.c", "-x", "_"])
def test_plain_names(name: str) -> None:
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
def test_names_that_are_not_plain(name: Any) -> None:
    with pytest.raises(DatasetError, match=r"(?s)^file\.json, videos\[3\]: video_id .* is not a plain name"):
        plain_name(name, "video_id", "file.json, videos[3]")


def test_values_that_are_missing() -> None:
    assert all(map(is_missing, ["", "  ", "nan", " NaN ", "None", "NULL", "<NA>", "#N/A"]))
    assert not any(map(is_missing, ["a", "nan bread", "nothing", "none of them"]))


def test_captions() -> None:
    assert caption_text("日本語 🎬", "here") == "日本語 🎬"
    assert caption_text(None, "here") == caption_text(float("nan"), "here") == ""
    with pytest.raises(DatasetError, match="the caption must be a string, got a whole number"):
        caption_text(3, "here")
    with pytest.raises(DatasetError, match="half a surrogate pair"):
        caption_text("\ud83c", "here")


def test_every_refusal_of_a_list_says_what_to_do() -> None:
    """An error without a hint leaves a user with a fault and no way on."""
    root = Path(annotation.__file__).parents[2]
    files = [
        *root.glob("datasets/*.py"),
        *root.glob("datasets/lists/*.py"),
        root / "evaluation/caption_files.py",
    ]
    bare = [
        f"{file.name}, line {node.lineno}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") in ("DatasetError", "EvaluationError")
        and len(node.args) + len(node.keywords) < 2
    ]
    assert len(files) > 20
    assert bare == []


@pytest.mark.parametrize("name", ["c.json", "c.jsonl", "c.csv", "c.parquet", "c.xlsx"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 123\n", "a pointer of Git LFS"),
        ("/annex/objects/SHA256E-s1--0\n", "a pointer of git-annex"),
        ("\ufeff\n <!DOCTYPE html><html>404</html>", "a web page"),
        ("<HTML>404", "a web page"),
    ],
)
def test_what_a_download_left_in_the_place_of_a_file_is_called_that(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    path = tmp_path / name
    path.write_text(content, "utf-8")
    with pytest.raises(DatasetError, match=f"{name} is {message}, not the file itself") as caught:
        list(read_rows(path, ("name",))) if name in ("c.csv", "c.xlsx") else load_data(path, "a list")
    assert "file" in str(caught.value.hint)


def test_other_files_than_are_asked_for_are_called_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,label\n1,x\n")
    with pytest.raises(
        DatasetError, match=r"a\.csv is a table by its ending; expected a list of clips"
    ) as caught:
        load_data(path, "a list of clips")
    assert "save it as one of these" in str(caught.value.hint)
    path.write_text("name|caption\na|x\n")
    with pytest.raises(DatasetError, match="the column 'name' is missing") as caught:
        list(read_rows(path, ("name",)))
    assert caught.value.hint == "put commas, semicolons or tabs between the columns, not '|'"
    path.write_text(",".join(f"column{number}" for number in range(100_000)))
    with pytest.raises(DatasetError, match=r"line 1: of 1,188,889 characters, which no header has"):
        list(read_rows(path, ("name",)))
    with pytest.raises(DatasetError, match=r"not readable as JSON \(a number has thousands of digits\)"):
        parse_json(f"[{'9' * 6000}]", path)


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


def test_find_file_takes_the_first_and_says_where_it_looked(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.json").touch()
    assert find_file(tmp_path, ("a.json", "b.json"), ("", "sub"), "X") == tmp_path / "sub" / "b.json"
    with pytest.raises(DatasetError, match=r"X: a\.json is missing from .*; looked in \./, sub/"):
        find_file(tmp_path, ("a.json",), ("", "sub"), "X")
    with pytest.raises(DatasetError, match=r"the root folder .*nowhere' does not exist"):
        find_file(tmp_path / "nowhere", ("a.json",), ("",), "X")


def test_find_file_names_what_people_have_instead(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a_v1.json").touch()
    with pytest.raises(DatasetError, match=r"looked in \./, sub/; '.*sub/a_v1\.json' is an older release"):
        find_file(tmp_path, ("a.json",), ("", "sub"), "X", {"*_v1.json": "an older release"})


def test_ids_that_became_numbers() -> None:
    for value in (7, 7.0, "7", "7.0", " 7 "):
        assert id_name(value, "id", "here") == "7"
    assert id_name("a.0", "id", "here") == "a.0"
    odd: Any
    for odd in (True, 7.5, float("nan"), 10**30, None, [], "7.0.0/", ""):
        with pytest.raises(DatasetError, match="is not a plain name"):
            id_name(odd, "id", "here")


def test_what_a_message_shows_is_short_whatever_the_value() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    wide: Any = ["x"] * 9
    for _ in range(30):
        wide = [wide] * 9
    for value in (deep, wide, "x" * 10**6, {"k" * 1000: deep}, 1 << 100_000, [1 << 100_000], b"x" * 1000):
        assert len(shown(value)) <= 80
    assert shown({"a": [1, "b"]}) == "{'a': [1, 'b']}"
    assert names_shown(["a", "\ud83d", "x" * 100, 7]) == rf"a, \ud83d, {'x' * 40}, 7"
    assert names_shown(map(str, range(1000))).endswith(", 15, ...")
    while isinstance(deep, list):  # taken apart, since letting go of it all at once is as deep
        (deep,) = deep


@pytest.mark.parametrize("name", registry.names("datasets"))
@pytest.mark.parametrize("root", ["a" * 5000, "a\0b", "~nobody-of-this-name/x", "/dev/null", "a/" * 3000])
def test_a_root_that_cannot_be_is_refused_in_one_line(name: str, root: str) -> None:
    cls = registry.get("datasets", name)
    config = cls.Config(root=root)
    for settings in (config, config.model_copy(update={"root": "/", "video_root": root, "prompts": root})):
        with pytest.raises(DatasetError) as caught:
            list(cls(settings))
        assert len(caught.value.message) < 700


@pytest.mark.parametrize("name", registry.names("datasets"))
def test_a_root_that_is_not_there_is_said_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    cls = registry.get("datasets", name)
    for root, why in (("nothing", "does not exist"), ("file", "is not a folder")):
        with pytest.raises(DatasetError, match=f"the root folder '{tmp_path / root}' {why}") as caught:
            list(cls(cls.Config(root=str(tmp_path / root))))
        assert "set `root`" in str(caught.value.hint)
