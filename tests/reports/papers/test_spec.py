"""A table's file: what it may say, and how a fault in it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reelbench.core.errors import ReelbenchError
from reelbench.reports.papers.build import build_table
from reelbench.reports.papers.spec import TableError, load_spec, parse_spec, shipped_tables


@pytest.mark.parametrize("name", shipped_tables())
def test_a_shipped_table_is_valid_and_names_published_figures_that_exist(name: str) -> None:
    spec = load_spec(name)
    assert spec.name == name
    table = build_table(spec)
    assert len(table.parts) == len(spec.published), "a published block of which no column has a figure"


def test_a_file_of_ones_own_works_the_same(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("title: Mine\ncolumns: [{metric: fvd}]\n", encoding="utf-8")
    spec = load_spec(str(path))
    assert (spec.name, spec.title, spec.rows[0].methods) == ("mine", "Mine", ("all",))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"titel": "x"}, "did you mean 'title'?"),
        ({"title": "x"}, "needs `columns`, `costs`, or both"),
        ({"title": "x", "columns": [{"metrik": "fvd"}]}, "columns[0].metrik: unknown key; did you mean"),
        ({"title": "x", "columns": [{"label": "FVD"}]}, "a column needs a `metric`"),
        ({"title": "x", "columns": [{"metric": "fvd", "digits": True}]}, "must not be true or false"),
        ({"title": "x", "columns": [{"metric": "fvd", "scale": 0}]}, "columns[0].scale: must be more than 0"),
        ({"title": "x", "costs": [{"metric": "sampling"}]}, "did you mean 'sampling_s'?"),
        ({"title": "x", "costs": [{"metric": "sampling_s", "size": "256"}]}, "FRAMESxHEIGHTxWIDTH"),
        ({"title": "x", "costs": [{"metric": "speed_up"}]}, "`against`"),
        ({"title": "x", "edits": True, "costs": [{"metric": "sampling_s"}]}, "no `costs`"),
        ({"title": "x", "columns": [{"metric": "fvd"}], "name": "y"}, "`name` is that of the file"),
        (["title"], "expected a mapping"),
    ],
)  # fmt: skip
def test_a_fault_is_told_in_one_line_with_its_place(data: Any, told: str) -> None:
    with pytest.raises(TableError) as caught:
        parse_spec(data, "mine")
    assert told in caught.value.message
    assert "\n" not in caught.value.message


def test_an_unknown_table_is_answered_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="unknown table 'msrvt'") as caught:
        load_spec("msrvt")
    assert "did you mean 'msrvtt'?" in str(caught.value.hint)
    for name in ("nothing.yaml", str(tmp_path)):
        with pytest.raises(TableError, match=r"cannot read the table|unknown table"):
            load_spec(name)
    (tmp_path / "broken.yaml").write_text("title: [", encoding="utf-8")
    with pytest.raises(TableError, match="not valid YAML: line 1"):
        load_spec(str(tmp_path / "broken.yaml"))
    (tmp_path / "bytes.yaml").write_bytes(b"title: \xff\xfe")
    with pytest.raises(TableError, match="not UTF-8"):
        load_spec(str(tmp_path / "bytes.yaml"))


def test_published_figures_that_do_not_exist_are_refused() -> None:
    spec = parse_spec({"title": "x", "columns": [{"metric": "fvd"}], "published": ["msrvt"]}, "mine")
    with pytest.raises(ReelbenchError, match="unknown published benchmark 'msrvt'"):
        build_table(spec)
