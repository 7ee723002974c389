"""Lists of captions and pairs: each row is read as it was meant, or the file is refused with the fault."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reelbench.core.errors import EvaluationError
from reelbench.datasets.lists import text_file
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
        ("c.json", '[{"name": NaN, "caption": "x"}]', "entry 0: a name or source must be a text"),
        ("c.json", '[{"name": 1e400, "caption": "x"}]', "entry 0: a name or source must be a text"),
        ("c.json", '[{"name": true, "caption": "x"}]', "entry 0: a name or source must be a text"),
        ("c.json", '[{"name": "a", "caption": NaN}]', "entry 0: a caption must be a text, got nan"),
        ("c.json", '[{"name": "a", "caption": "nan"}]', "entry 0: a caption must be a text, got 'nan'"),
        ("c.json", '[{"name": "a", "caption": []}]', r"entry 0: a caption must be a text, got \[\]"),
        ("c.json", '[{"name": "a", "caption": null}]', "entry 0: a caption must be a text, got null"),
        ("c.json", '{"a": null}', "'a': a caption must be a text, got null"),
        ("c.json", '[{"name": "a", "caption": ["x", null]}]', "entry 0: a caption must be a text, got null"),
        ("c.json", '[{"name": "a", "caption": [["x"]]}]', r"entry 0: a caption must be a text, got \['x'\]"),
        ("c.json", '[{"name": "a", "caption": "\\ud83d"}]', "entry 0: a caption holds half a surrogate pair"),
        ("c.json", '{"a": "\\udc00 x"}', "'a': a caption holds half a surrogate pair"),
        ("c.json", '{"a\\ud83d": "x"}', "the name holds half a surrogate pair"),
        ("c.json", '[{"name": "a\\u0000b", "caption": "x"}]', "a name or source must be a text"),
        ("c.json", '{"a": "x\\u0000y"}', "'a': a caption holds half a surrogate pair or a NUL"),
        (
            "c.json",
            '[{"name": "a", "caption": ' + "[" * 900 + "]" * 900 + "}]",
            "a caption must be|nested deeper",
        ),
        ("c.json", "[" * 100_000 + "]" * 100_000, "nested deeper"),
        ("c.json", '{"a": ' * 900 + "1" + "}" * 900, "'a': an object has no name|nested deeper"),
        ("c.json", '{"a": 1' + "0" * 5000 + "}", "not readable as JSON"),
        ("c.json", "[]", "expected an object of names and captions"),
        ("c.json", "{}", "holds no caption"),
        ("c.json", "[1, 2]", "expected an object of names and captions"),
        ("c.json", "\ufeff" + '{"a": ""}', "'a': a caption must be a text"),
        ("c.parquet", "nothing", "cannot be read as Parquet"),
        ("c.xlsx", "name,caption", "cannot be read as a workbook"),
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
    with pytest.raises(EvaluationError, match=message) as caught:
        read_captions(write(tmp_path / name, content))
    assert len(caught.value.message) < 600


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.json", '[{"name": "a", "caption": ["one", "two"]}, {"name": "b", "caption": ["three"]}]'),
        ("c.json", '[{"video": "a", "captions": ["one", "two"]}, {"video": "b", "captions": "three"}]'),
        ("c.json", '{"a": {"caption": ["one", "two"]}, "b": {"prompt": "three", "seed": 1}}'),
        (
            "c.json",
            '{"videos": [{"video_id": "a"}], "sentences": [{"video_id": "a", "caption": "one", "sen_id": 1}, '
            '{"video_id": "a", "caption": "two"}, {"video_id": "b", "caption": "three"}]}',
        ),
        (
            "c.json",
            '{"images": [], "annotations": [{"image_id": "a", "caption": "one", "id": 0}, '
            '{"image_id": "a", "caption": "two", "id": 1}, {"image_id": "b", "caption": "three", "id": 2}]}',
        ),
        ("c.jsonl", '{"file_name": "a", "text": ["one", "two"]}\r\n{"file_name": "b", "text": "three"}\r\n'),
        ("c.json", '{"file_name": "a", "text": ["one", "two"]}\n{"file_name": "b", "text": "three"}\n'),
        ("c.csv", "\ufefffile_name;text\r\na;one\r\na;two\r\nb;three\r\n"),
    ],
)
def test_several_captions_of_a_clip_in_the_forms_of_published_lists(
    tmp_path: Path, name: str, content: str
) -> None:
    rows = read_captions(write(tmp_path / name, content))
    assert [(row.name, row.caption) for row in rows] == [("a", "one"), ("a", "two"), ("b", "three")]
    assert not any(row.is_prompt for row in rows)


def test_a_workbook_and_a_parquet_file(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["Name", "Prompt"], ["a", "one, two"], [7, "three"]):
        book.active.append(row)
    book.save(tmp_path / "c.xlsx")
    assert read_captions(tmp_path / "c.xlsx") == [CaptionRow("a", "one, two"), CaptionRow("7", "three")]
    pq.write_table(pa.table({"video_id": ["a", "b"], "caption": [["one"], ["two"]]}), tmp_path / "c.parquet")
    assert read_captions(tmp_path / "c.parquet") == [CaptionRow("a", "one"), CaptionRow("b", "two")]


@pytest.mark.parametrize("name", ["c.csv", "c.json", "c.jsonl", "c.txt"])
def test_other_encodings_than_utf_8_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    text = {"c.csv": "name,caption\na,x\n", "c.txt": "a\tx\n"}.get(name, '{"name": "a", "caption": "é"}')
    for encoding, message in (("utf-16", "it is UTF-16"), ("utf-16-le", "holds a NUL|not UTF-8")):
        with pytest.raises(EvaluationError, match=message) as caught:
            read_captions(write(tmp_path / name, text.encode(encoding)))
        assert "UTF-8" in str(caught.value.hint)


def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path / "pipe.csv", Path("/dev/zero")):
        with pytest.raises(EvaluationError, match="is a device, a pipe or a socket, not a file"):
            read_captions(path)
    for path in (tmp_path / "nowhere.csv", tmp_path / ("a" * 5000), tmp_path / "a\0b.json"):
        with pytest.raises(EvaluationError, match="cannot read") as caught:
            read_captions(path)
        assert len(caught.value.message) < 600


def test_a_folder_with_a_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("a dog")
    with pytest.raises(EvaluationError, match="is not UTF-8"):
        read_captions(tmp_path)


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "c.csv", "name,caption\na," + "x" * 200_000)
    with pytest.raises(EvaluationError, match="line 2: "):
        read_captions(path)
    monkeypatch.setattr(text_file, "MOST_BYTES", 1000)
    with pytest.raises(EvaluationError, match="is read at once, and may have"):
        read_captions(write(tmp_path / "c.txt", "a|b\n" * 1000))


def test_names_and_sources_in_json_may_be_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "c.json", '[{"id": 7, "caption": "x", "source": 3}]')
    assert read_captions(path) == [CaptionRow("7", "x", "3")]


def test_lines_are_plain_text(tmp_path: Path) -> None:
    path = write(tmp_path / "c.txt", 'a|x\t"a dog", he says\n\nb\ttwo | three\n')
    assert read_captions(path) == [CaptionRow("a|x", '"a dog", he says'), CaptionRow("b", "two | three")]
