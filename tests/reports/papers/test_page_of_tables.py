"""docs/tables-of-papers.md: its example is a table, its keys are those that there are, its Python runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reelbench.core.run_folders import find_results
from reelbench.core.yaml_text import load_yaml
from reelbench.reports.papers.build import build_table
from reelbench.reports.papers.formats.write import FORMATS
from reelbench.reports.papers.spec import TableSpec, parse_spec

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "tables-of-papers.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_example_is_filled_from_the_recorded_benchmark() -> None:
    spec = parse_spec(load_yaml(block("yaml")), "mine")
    table = build_table(spec, [find_results(ROOT / "docs" / "benchmark")])
    measured, published = table.parts
    headings = [group.heading for group in measured.groups]
    assert headings == ["Zero-shot", "Trained or tuned"]
    assert [row.label for row in measured.groups[1].rows] == ["simda", "tune-a-video"]
    assert published.is_published


def test_every_key_and_format_is_told() -> None:
    for key in set(TableSpec.model_fields) - {"name"}:
        assert f"`{key}`" in PAGE, key
    for name in FORMATS:
        assert f"`{name}`" in PAGE, name


def test_the_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = block("python").replace('"docs/benchmark"', repr(str(ROOT / "docs" / "benchmark")))
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "page", "exec"), {})
    assert capsys.readouterr().out.startswith("### ")
    assert {path.name for path in tmp_path.iterdir()} == {"msrvtt.tex", "msrvtt.bib"}
