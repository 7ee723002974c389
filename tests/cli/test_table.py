"""`reelbench table` at the command line: what it prints, what it writes, how it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from reelbench.cli.main import app

BENCHMARK = str(Path(__file__).resolve().parents[2] / "docs" / "benchmark")


def table(*words: str) -> Result:
    return CliRunner().invoke(app, ["table", *words])


def test_the_tables_are_listed() -> None:
    result = table("--list")
    assert result.exit_code == 0
    assert "msrvtt" in result.output


def test_a_table_is_printed_and_written(tmp_path: Path) -> None:
    result = table("msrvtt", BENCHMARK)
    assert result.exit_code == 0
    assert "| ddim-frames | 126.2 ± 4.3" in result.output
    assert "±" not in table("msrvtt", BENCHMARK, "--no-errors").output.partition("Bold")[0]
    assert "- Protocol" not in table("msrvtt", BENCHMARK, "--notes", "short").output
    path = tmp_path / "x.tex"
    result = table("msrvtt", BENCHMARK, "-o", str(path))
    assert result.exit_code == 0
    first = path.read_text().splitlines()[0]
    assert first.startswith("% reelbench table msrvtt ")
    assert str(tmp_path) not in first
    assert "@inproceedings{reelbench-simda," in path.with_suffix(".bib").read_text()
    assert table("msrvtt", "--format", "csv", "--bib", str(tmp_path / "own.bib")).stdout.startswith(
        "table,part,"
    )
    assert (tmp_path / "own.bib").is_file()


def test_a_column_of_figures_that_nobody_published_is_refused(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("title: Own\ncolumns: [{metric: fvd, published: FWD}]\npublished: [msrvtt]\n")
    result = table(str(own))
    assert result.exit_code == 2
    assert "unknown published metric 'FWD'" in result.output
    assert "did you mean" in result.output


def test_somebody_elses_bibliography_is_left_as_it_is(tmp_path: Path) -> None:
    library = tmp_path / "refs.bib"
    library.write_text("@book{knuth, title = {TeX}}\n")
    for words in (["-o", str(tmp_path / "refs.tex")], ["--bib", str(library)]):
        result = table("webvid", *words)
        assert result.exit_code == 2
        assert "'refs.bib' is there, and not a file that `reelbench table` wrote" in result.output
    assert library.read_text() == "@book{knuth, title = {TeX}}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["refs.bib"]


def test_the_sources_of_several_tables_go_into_one_file(tmp_path: Path) -> None:
    shared = tmp_path / "shared.bib"
    for name in ("msrvtt", "speed", "prediction"):
        assert table(name, "-o", str(tmp_path / f"{name}.tex"), "--bib", str(shared)).exit_code == 0
    keys = re.findall(r"^@\w+\{(.*),$", shared.read_text(), re.MULTILINE)
    assert len(keys) == len(set(keys))
    assert {"reelbench-simda", "reelbench-cogvideo", "reelbench-seer"} <= set(keys)
    assert "reelbench-recalled" not in keys
    cited = re.findall(r"\\cite\{([^}]*)\}", "".join(p.read_text() for p in tmp_path.glob("*.tex")))
    assert {key for keys in cited for key in keys.split(",")} <= set(keys)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "no table is named"),
        (("msrvt",), "did you mean 'msrvtt'?"),
        (("msrvtt", "--format", "latx"), "did you mean 'latex'?"),
        (("msrvtt", "--notes", "shrt"), "did you mean 'short'?"),
        (("msrvtt", "-o", "x.pdf"), "the ending of 'x.pdf' is none of a table's"),
        (("msrvtt", "nowhere"), "'nowhere' is not there"),
        (
            ("msrvtt", BENCHMARK, "--protocol", "claen"),
            "'claen'; known: clean",
        ),
        (("webvid", BENCHMARK), "the table needs any of fvd, clipsim on webvid; the run has"),
        (("msrvtt", BENCHMARK, BENCHMARK), "named twice"),
    ],
)
def test_a_refusal_is_a_message_and_exit_code_2(words: tuple[str, ...], told: str) -> None:
    result = table(*words)
    assert result.exit_code == 2
    assert told in result.output.replace("\n  -> ", " ")
    assert "Traceback" not in result.output
