"""Lists of captions and pairs: each row is read as it was meant, or the file is refused with the fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelbench.core.errors import EvaluationError
from reelbench.evaluation.caption_files import CaptionRow, PairRow, read_captions, read_pairs


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_faulty_rows_are_listed_at_once_and_nothing_is_read(tmp_path: Path) -> None:
    rows = ["a,a red square, moving to the right", "b,fine", "c", ",no name", 'd,"x" y']
    path = write(tmp_path / "c.csv", "\n".join(["name,caption", *rows, ""]))
    with pytest.raises(EvaluationError, match=r"c\.csv has 4 faulty rows:") as caught:
        read_captions(path)
    lines = caught.value.message.splitlines()[1:]
    assert lines[0] == "  line 2: 3 fields, the header has 2: a,a red square, moving to the right"
    assert [line.split(":")[0] for line in lines] == ["  line 2", "  line 4", "  line 5", "  line 6"]
    assert "a caption with a comma must stand in double quotes" in str(caught.value.hint)


def test_of_many_faulty_rows_the_first_five_are_shown(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", "name,caption\n" + "a,b,c\n" * 1000)
    with pytest.raises(EvaluationError, match="has 1000 faulty rows") as caught:
        read_captions(path)
    assert len(caught.value.message.splitlines()) == 7
    assert str(caught.value.hint).count("double quotes") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,caption,source\na,a red square, moving\n", "line 2: the field behind the text begins with"),
        ("name,caption,source\na,a red square\n", "line 2: 2 fields, the header has 3"),
        ("name,caption,\na,a red square, moving\n", "line 2: 3 fields, the header has 2"),
        ("name,caption,caption\na,one,two\n", "the column 'caption' stands there 2 times"),
        ("name,caption,source,Source\na,b,s,t\n", "the column 'source' stands there 2 times"),
        ('name,caption\na,"a dog\nb,a cat"\nc,x\n', "line 2: a text in double quotes goes on over the line"),
        ('caption,name\na cat,"a\nb"\n', "line 2: the name goes over several lines"),
        ('name,caption\na,"a dog\nb,a cat\nc,x\n', "line 2: not valid CSV"),
        ("name,caption;source\na,b;c\n", "makes sense with comma and with semicolon"),
        ("a,a dog\nb,a cat\n", "the column 'name' is missing; there: a, a dog"),
        ("name,caption\na,b\0c\n", "line 2: holds a NUL"),
        ("name,caption\n\n\n", "holds no caption"),
        ("name,caption\na, \n", "line 2: the caption is empty"),
    ],
)
def test_tables_that_could_be_read_in_two_ways_are_refused(
    tmp_path: Path, content: str, message: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        read_captions(write(tmp_path / "c.csv", content))


def test_sound_tables(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", 'Video ID , Text,Group\r\na,"one, two",g\r\nb,"x\r\ny",\r\n,,\r\n\r\n')
    assert read_captions(path) == [CaptionRow("a", "one, two", "g"), CaptionRow("b", "x\ny")]
    # A name that is only like one of ours stands behind those that are one.
    write(path, "Video ID,filename,caption\n7,a.mp4,a dog\n")
    assert read_captions(path) == [CaptionRow("a.mp4", "a dog")]


def test_pairs_are_read_as_strictly(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", 'generated;Ground Truth;caption\na;r;"x; y"\nb;;\n')
    assert read_pairs(path) == [PairRow("a", "r", "x; y"), PairRow("b")]
    for row in ("a;r;x; y", "a;r", 'a;r;"x', ";r;x"):
        with pytest.raises(EvaluationError, match="line 2"):
            read_pairs(write(path, f"generated;reference;caption\n{row}\n"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.json", '{"a": "one", "a": "two"}', "the name 'a' stands twice"),
        ("c.json", '[{"name": "a", "Name": "b", "caption": "x"}]', "entry 0: the field 'name' stands there"),
        ("c.json", '[{"name": ["a"], "caption": "x"}]', "entry 0: a name or source must be a text"),
        ("c.json", '[{"name": "a", "caption": "x"}, {"name": "b"}]', "entry 1: an object has no name or no"),
        ("c.json", '{"a": []}', "'a': a caption must be a text"),
        ("c.json", '{"a": null, "b": 7}', r"(?s)2 faulty rows.*'a': .*'b': "),
        ("c.json", '{" ": "x"}', "the name is empty"),
        ("c.json", '{"a": "x",\n "b": }', "line 2, column 7: not valid JSON"),
        ("c.json", '"x"', "expected an object of names and captions"),
        ("c.jsonl", '{"name": "a", "caption": "x"}\n\n{"name": "b"\n', "line 3, column"),
        ("c.jsonl", '{"name": "a", "caption": "x"}\n{"name": "b"}\n', "line 2: an object has no name or no"),
        ("c.txt", "a\tone\ttwo\n", "line 1: expected name<TAB>caption"),
        ("c.txt", "a|one|two\n", "line 1: expected name<TAB>caption"),
        ("c.txt", "a\tone\nb|two\nc\tthree\n", "line 2: expected name<TAB>caption"),
        ("c.txt", "a\tone\nb\t\n", "line 2: expected name<TAB>caption"),
    ],
)
def test_json_and_lines_are_read_as_strictly(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        read_captions(write(tmp_path / name, content))


def test_names_and_sources_in_json_may_be_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "c.json", '[{"id": 7, "caption": "x", "source": 3}]')
    assert read_captions(path) == [CaptionRow("7", "x", "3")]


def test_lines_are_plain_text(tmp_path: Path) -> None:
    path = write(tmp_path / "c.txt", 'a|x\t"a dog", he says\n\nb\ttwo | three\n')
    assert read_captions(path) == [CaptionRow("a|x", '"a dog", he says'), CaptionRow("b", "two | three")]
