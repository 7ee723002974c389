"""Tables are read exactly or refused: what the csv module would guess at is an error with its line."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelbench.core.errors import DatasetError
from reelbench.datasets.lists.table_file import RowFault, read_rows, table_rows
from reelbench.datasets.lists.table_header import WantedColumn


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows_of(path: Path, *columns: str, **options: Any) -> list[tuple[int, tuple[str, ...]]]:
    return list(read_rows(path, columns, **options))


# What is read


def test_columns_are_found_by_name_in_any_order(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", '\ufeffname,extra, id \n"a dog, running",x,1\n\n"two\nlines",y,2\n')
    assert rows_of(path, "id", "name") == [(2, ("1", "a dog, running")), (4, ("2", "two\nlines"))]
    path = write(tmp_path / "a.csv", "Video_Name;TEXT\n1;a dog\n")
    assert rows_of(path, "video name", "text", is_loose=True) == [(2, ("1", "a dog"))]
    with pytest.raises(DatasetError, match="the column 'video name' is missing"):
        rows_of(path, "video name")


@pytest.mark.parametrize("delimiter", ",;\t")
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends(tmp_path: Path, delimiter: str, end: str) -> None:
    rows = ["id,name", "1,a dog", "", '2,"a, b; c\td"', ",", "3,x,y".replace(",y", ""), "", ""]
    text = end.join(row.replace(",", delimiter) if '"' not in row else row for row in rows)
    text = text.replace('2,"', f'2{delimiter}"')
    expected = [(2, ("1", "a dog")), (4, ("2", "a, b; c\td")), (6, ("3", "x"))]
    assert rows_of(write(tmp_path / "a.csv", text), "id", "name") == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ('a 5" disk', 'a 5" disk'),
        ('a "red" square', 'a "red" square'),
        ('a square called "red"', 'a square called "red"'),
        ('"a ""red"" square"', 'a "red" square'),
        ("it's one", "it's one"),
        ("\u2028 and \x85", "\u2028 and \x85"),
        ("", ""),
    ],
)
def test_quotes_that_can_be_read_in_one_way_only(tmp_path: Path, field: str, value: str) -> None:
    assert rows_of(write(tmp_path / "a.csv", f"id,name\n1,{field}\n"), "id", "name") == [(2, ("1", value))]


def test_a_name_of_the_header_may_hold_the_other_delimiters(tmp_path: Path) -> None:
    for header in ("id;name;remarks, if any", 'id;name;"x;y"', 'id;name;"two\nlines"'):
        rows = rows_of(write(tmp_path / "a.csv", f"{header}\n1;a, b;\n"), "id", "name")
        assert [values for _, values in rows] == [("1", "a, b")]


def test_rows_are_streamed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id\n1\n" + "2\n" * 50_000 + "3,3\n")
    assert next(read_rows(path, ("id",))) == (2, ("1",))


ANY_TEXT = st.text(st.sampled_from(" ,;\t\"'\n\rab\u00e9\u2028") | st.characters(codec="utf-8"))


@settings(max_examples=300, deadline=None)
@given(
    rows=st.lists(
        st.lists(ANY_TEXT, min_size=3, max_size=3), max_size=6,
    ),
    delimiter=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)  # fmt: skip
def test_what_the_csv_module_writes_is_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], delimiter: str, end: str, quoting: int
) -> None:
    # Some versions of the writer leave "\r" bare where lines end with "\n": that is a line end to any reader.
    unwritable = "\0\r" if (end, quoting) == ("\n", csv.QUOTE_MINIMAL) else "\0"
    rows = [["".join(c for c in value if c not in unwritable) for value in row] for row in rows]
    rows = [row for row in rows if any(value.strip() for value in row)]
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerows([["id", "name", "source"], *rows])
    path = write(tmp_path_factory.getbasetemp() / "round.csv", text.getvalue())
    assert [list(values) for _, values in read_rows(path, ("id", "name", "source"))] == rows


# What is refused


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (b"", "is empty; expected a header with the columns id, name", None),
        (b"\n \n", "is empty", None),
        (b"id,nmae\n", "line 1: the column 'name' is missing; there: id, nmae", "rename 'nmae' to 'name'"),
        (b"1,a dog\n2,a cat\n", "line 1: the column 'id' is missing", "expected the columns id, name"),
        (b"id,name,id\n", "the column 'id' stands there 2 times", None),
        (b"id,name;id\n", "line 1: .* makes sense with comma and with semicolon", "one of them"),
        (b'id,"name\n1,a\n', "line 1: a double quote of the header is never closed", None),
        (b'id,"na"me\n1,a\n', "line 1: the double quotes of the header .* do not pair up", None),
        (b"id,name\n1,a\n2,b,c\n", "line 3: 3 fields, the header has 2: 2,b,c", "comma must stand in double"),
        (b"id;name\n2;b;c\n", "line 2: 3 fields, the header has 2: 2;b;c", "semicolon must stand in double"),
        (b"id,name\n1\n", "line 2: 1 field, the header has 2: 1", "a comma for each"),
        (b"id,name\n1,a,\n", "line 2: 3 fields", None),
        (b"id,name,\n1,a dog, running\n", "line 2: 3 fields, the header has 2", None),
        (b'id,name\n1, "a, b"\n', "line 2: 3 fields", "no blank may stand"),
        (b'id,name\n1,"cut off', "line 2: not valid CSV: a double quote .* never closed", '""'),
        (b'id,name\n1,"a\n2,b\n3,c\n', "line 2: not valid CSV: a double quote .* never closed", None),
        (b'id,name\n1,a\n2,"b\n3,c\n4,"d"\n', "line 3: not valid CSV: text stands .* in line 5", None),
        (b'id,name\n1,"big" dog\n', "line 2: not valid CSV: text stands behind", None),
        (b'id,name\n1,"a dog" \n', "line 2: not valid CSV: text stands behind", None),
        (b'id,name\n1,a dog"\n', "line 2: a double quote without its partner", None),
        (b'id,name\n1, "dog"\n', "line 2: a double quote without its partner", None),
        (b'id,x,name\n1,the "big,red" dog\n', "line 2: a double quote without its partner", None),
        (b"id,name\n1,ok\n2,caf\xe9\n", r"line 3: not UTF-8 \(byte 18 of the file is 0xe9\)", "UTF-8"),
        (b"id,name\r1,ok\r2,caf\xe9\r", r"line 3: not UTF-8 \(byte 18", None),
        (b"PK\x03\x04\x14\0\x06", "is a workbook .* not text", "save it as text"),
        (b"\x1f\x8b\x08\0", "is packed by gzip, not text", "save it as text"),
        ("id,name\n1,a\n".encode("utf-16"), "line 1: not UTF-8 .it is UTF-16", "UTF-8"),
        ("id,name\n1,a\n".encode("utf-16-be"), "line 1: holds a NUL", "UTF-8"),
        (b"id,name\n1,a\n2,b\0c\n", "line 3: holds a NUL", None),
    ],
)
def test_faults_are_named_with_their_line(
    tmp_path: Path, content: bytes, message: str, hint: str | None
) -> None:
    path = write(tmp_path / "broken.csv", content)
    with pytest.raises(DatasetError, match=message) as caught:
        rows_of(path, "id", "name")
    assert str(path) in caught.value.message
    assert hint is None or hint in str(caught.value.hint)


def test_a_line_in_a_long_file_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", b"id,name\n" + "1,é\n".encode() * 40_000 + b"2,\xe9\n")
    with pytest.raises(DatasetError, match=r"line 40002: not UTF-8 \(byte 200010 "):
        rows_of(path, "id")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.csv", tmp_path):
        with pytest.raises(DatasetError, match="cannot read"):
            rows_of(path, "a")


def test_reading_goes_on_behind_a_faulty_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'id,name\n1,a\n2,b,c\n3,"x" y\n4,d\n5\n6,"e\n')
    found = list(table_rows(path, [WantedColumn("id"), WantedColumn("name")]))
    assert [row.line if isinstance(row, RowFault) else row for row in found] == [
        (2, ("1", "a")), 3, 4, (5, ("4", "d")), 6, 7
    ]  # fmt: skip


# Running text that lacks its quotes


def faults(path: Path, text: str) -> list[int]:
    columns = [WantedColumn("name"), WantedColumn("caption"), WantedColumn("source", is_needed=False)]
    found = table_rows(write(path, text), columns, text_column="caption")
    return [row.line for row in found if isinstance(row, RowFault)]


def test_the_rest_of_a_text_does_not_become_the_next_column(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert faults(path, "name,caption,source\na,a red square, moving\nb,a dog,s\n") == [2]
    assert faults(path, 'name,caption,source\na,a "red" square, moving\n') == [2]
    assert faults(path, 'name,caption,source\na,"a red square, moving",s\nb,"a dog", s\n') == []
    assert faults(path, "name, caption, source\na, a red square, s\n") == []
    assert faults(path, "name,caption,source\na, a red square, s\n") == []
    assert faults(path, "caption,name\na red square, moving\n") == [2]


def test_rows_that_a_stray_quote_swallows_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    assert faults(path, 'name,caption\na,"a dog runs\nb,a cat"\nc,x\n') == [2]
    assert faults(path, 'name,caption,source\na,"a dog runs,s\nb,a cat",s\nc,x,s\n') == [2]
    assert faults(path, 'name, caption\na,"a dog runs\nb, a cat"\n') == [2]
    assert faults(path, 'name,caption,source\na,"a dog\nb,a cat",s\n') == [2]
    assert faults(path, 'notes,name,caption\n"one\ntwo",a,a dog\n') == []
    assert faults(path, 'caption,name\n"a dog runs,a\na cat",b\n') == [2]
    assert faults(path, 'caption,name\n"a dog runs\n",a\n"a cat\nthat sits",b\n') == []
    assert faults(path, 'name,caption\na,"a dog runs,\nthen sits, happily\nor not"\nb,"x\ny"\n') == []


# Forms of published files


def test_empty_fields_at_the_end_are_taken_where_the_reader_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,name,,\nDAVIS:,,,\n1,a dog,,,,\n2,a cat\n")
    rows = rows_of(path, "id", "name", has_spare_fields=True)
    assert [values for _, values in rows] == [("DAVIS:", ""), ("1", "a dog"), ("2", "a cat")]
    with pytest.raises(DatasetError, match="line 3: 6 fields, the header has 2"):
        rows_of(path, "id", "name")
    write(path, "id,name\n1,a dog,,running\n")
    with pytest.raises(DatasetError, match="line 2: 4 fields"):
        rows_of(path, "id", "name", has_spare_fields=True)


def test_a_file_without_a_header(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "1;Folding something, twice\n2;x\n")
    options = {"has_header": False, "delimiters": ";"}
    assert rows_of(path, "id", "text", **options) == [(1, ("1", "Folding something, twice")), (2, ("2", "x"))]
    with pytest.raises(DatasetError, match="line 1: 3 fields"):
        rows_of(write(path, "1;a;b\n"), "id", "text", **options)


def test_lists_as_their_authors_publish_them(tmp_path: Path) -> None:
    epic = (
        "narration_id,participant_id,narration,all_nouns,all_noun_classes\n"
        "P03_02_0,P03,put lunch box,['box:lunch'],[23]\n"
        "P03_02_15,P03,put rubbish in the bin,\"['rubbish', 'bin']\",\"[54, 36]\"\n"
        'P03_02_16,P03,take chef\'s knife,"[""chef\'s knife""]",[4]\n'
    )
    columns = ("narration_id", "narration", "all_nouns")
    assert [values for _, values in rows_of(write(tmp_path / "epic.csv", epic), *columns)] == [
        ("P03_02_0", "put lunch box", "['box:lunch']"),
        ("P03_02_15", "put rubbish in the bin", "['rubbish', 'bin']"),
        ("P03_02_16", "take chef's knife", '["chef\'s knife"]'),
    ]
    webvid = (
        "videoid,name,page_idx,page_dir\n"
        '102,"Flag in the wind in the town, morocco",873,000851_000900\n'
        '103, "A blank, first",873,000851_000900\n'.replace(', "', ',"')
        + '104,"He says ""stop"", twice",873,000851_000900\n'
        "105, A blank at the start,873,000851_000900\n"
    )
    rows = rows_of(write(tmp_path / "webvid.csv", webvid), "videoid", "name")
    assert [values[1] for _, values in rows] == [
        "Flag in the wind in the town, morocco",
        "A blank, first",
        'He says "stop", twice',
        " A blank at the start",
    ]
    for delimiter in ",;":  # copies of the 1k-A list go with either
        text = "key,vid_key,video_id,sentence\nret0,msr9770,video9770,a person speaks\n"
        path = write(tmp_path / "1k-A.csv", text.replace(",", delimiter))
        assert rows_of(path, "video_id", "sentence") == [(2, ("video9770", "a person speaks"))]


@pytest.mark.parametrize(("first", "delimiter"), [("sep=;", ";"), ('"sep=,"', ","), ("SEP=\t", "\t")])
def test_the_line_with_which_excel_names_its_delimiter_is_no_header(
    tmp_path: Path, first: str, delimiter: str
) -> None:
    rows = [["id", "name"], ["1", "a"]]
    text = "\r\n".join([first, *(delimiter.join(row) for row in rows), ""])
    (tmp_path / "t.csv").write_text(text, newline="")
    assert list(read_rows(tmp_path / "t.csv", ("id", "name"))) == [(3, ("1", "a"))]


def test_a_quote_that_the_header_leaves_open_is_found_before_the_end_of_a_long_list(tmp_path: Path) -> None:
    """Each line was counted again with all before it: a list of a million rows took for ever."""
    path = tmp_path / "t.csv"
    path.write_text('id,"name\n' + "1,some caption\n" * 300_000)
    with pytest.raises(DatasetError, match=r"line 1: a double quote of the header is never closed: 'id,"):
        list(read_rows(path, ("id", "name")))
