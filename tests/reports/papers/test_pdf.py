"""What is written as LaTeX compiles as it is. A golden file stands in where there is no TeX."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from reelbench.reports.papers.build import build_table
from reelbench.reports.papers.formats.write import Style, write_table, written
from reelbench.reports.papers.spec import load_spec, parse_spec, shipped_tables

from .conftest import MakeRun
from .test_formats import HOSTILE

needs_tex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex")
GOLDEN = Path(__file__).parent / "golden.tex"


def compile_(folder: Path, name: str, runs: int = 1) -> tuple[str, int]:
    """The log of the last run, and how many pages there are."""
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", f"{name}.tex"]
    for _ in range(runs):
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=60)
        log = (folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        assert done.returncode == 0, log[-2000:]
    pages = re.search(r"Output written on .*?\((\d+) pages?", log.replace("\n", ""))
    assert pages
    return log, int(pages[1])


@needs_tex
def test_every_shipped_table_compiles_in_one_document(tmp_path: Path) -> None:
    inputs = []
    for name in shipped_tables():
        write_table(build_table(load_spec(name)), tmp_path / f"{name}.tex")
        inputs.append(rf"\input{{{name}}}\clearpage")
    packages = r"\usepackage{booktabs,multirow,xcolor,graphicx,rotating}"
    document = [r"\documentclass{article}", packages, r"\begin{document}", *inputs, r"\end{document}"]
    (tmp_path / "all.tex").write_text("\n".join(document), encoding="ascii")
    log, _ = compile_(tmp_path, "all")
    assert "Float too large" not in log


@needs_tex
def test_wide_long_and_hostile_tables_fit_the_page(
    make_run: MakeRun, summary_row: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    metrics = [f"metric_{number}" for number in range(12)]
    methods = [*HOSTILE, *(f"method-{number}" for number in range(23))]
    rows = [
        summary_row(metric=metric, label=metric, level="clip", method=method, method_name="zs2", value=0.3,
                    standard_error=0.0012, n_reference=None, notes=f"note of {method}")
        for method, metric in itertools.product(methods, metrics)
    ]  # fmt: skip
    columns = [{"metric": metric, "heading": "a_b" if metric < "metric_3" else "&"} for metric in metrics]
    spec = parse_spec({"title": "100% & more", "columns": columns}, "wide")
    write_table(build_table(spec, [make_run(rows)]), tmp_path / "wide.tex", style=Style(standalone=True))
    log, pages = compile_(tmp_path, "wide")
    assert not re.search(r"Float too large|Overfull \\hbox \((?!\d\.)", log)
    assert pages <= 3
    assert "sidewaystable" in (tmp_path / "wide.tex").read_text()


@needs_tex
@pytest.mark.parametrize("notes", ["short", "full"])
def test_in_two_columns_wide_tables_span_the_page_and_notes_stay_out_of_the_text(
    tmp_path: Path, notes: Literal["short", "full"]
) -> None:
    names = ("webvid", "msrvtt", "speed", "prediction")
    for name in names:
        path = tmp_path / f"{name}.tex"
        write_table(build_table(load_spec(name)), path, style=Style(notes=notes))
        lines = path.read_text().splitlines()
        inside = False
        for line in lines:
            inside |= line.startswith(r"\begin{") and "table" in line
            assert inside or line.startswith("%"), f"outside of any float: {line}"
            inside &= not re.fullmatch(r"\\end\{(sideways)?table\*?\}", line)
    packages = r"\usepackage{booktabs,multirow,xcolor,graphicx,rotating}"
    inputs = [rf"Before. \input{{{name}}} After." for name in names]
    document = [
        r"\documentclass[twocolumn]{article}",
        packages,
        r"\begin{document}",
        *inputs,
        r"\end{document}",
    ]
    (tmp_path / "all.tex").write_text("\n".join(document), encoding="ascii")
    log, _ = compile_(tmp_path, "all")
    assert "Float too large" not in log


@needs_tex
@pytest.mark.skipif(shutil.which("bibtex") is None, reason="no bibtex")
def test_the_sources_are_a_bibliography_for_bibtex(tmp_path: Path) -> None:
    (files := write_table(build_table(load_spec("msrvtt")), tmp_path / "msrvtt.tex"))
    assert [path.name for path in files] == ["msrvtt.tex", "msrvtt.bib"]
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs,multirow,xcolor,graphicx}\\begin{document}"
        "\\input{msrvtt}\\bibliographystyle{plain}\\bibliography{msrvtt}\\end{document}"
    )
    compile_(tmp_path, "paper")
    done = subprocess.run(["bibtex", "paper"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    log, _ = compile_(tmp_path, "paper", runs=2)
    assert "undefined" not in log


def test_the_golden_file(
    make_run: MakeRun, full_summary: list[dict[str, Any]], full_comparisons: list[dict[str, Any]]
) -> None:
    spec = parse_spec(
        {
            "title": "Golden",
            "dataset": "sprites",
            "columns": [
                {"metric": "fvd", "heading": "Set"},
                {"metric": "clipsim", "scale": 100, "digits": 2},
            ],
            "costs": [{"metric": "sampling_s", "digits": 2}],
        },
        "golden",
    )
    table = build_table(
        spec, [make_run(full_summary, full_comparisons)], command="reelbench table golden.yaml out/demo"
    )
    assert written(table, "latex", Style(standalone=True)) == GOLDEN.read_text(encoding="ascii")
