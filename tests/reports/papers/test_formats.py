"""Every format of a table: whole, safe against what others wrote, and the same each time."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from reelbench.reports.papers.build import build_table
from reelbench.reports.papers.formats.bibliography import bibtex
from reelbench.reports.papers.formats.latex_text import breakable, latex_key, latex_text
from reelbench.reports.papers.formats.write import (
    FORMATS,
    Style,
    bibliography,
    format_of,
    write_table,
    written,
)
from reelbench.reports.papers.paper_table import PaperTable
from reelbench.reports.papers.spec import TableError, parse_spec
from reelbench.reports.published import PublishedFigures

from .conftest import MakeRun

HOSTILE = (
    "a_b & % $ # {} ~ ^ \\ <script>alert(1)</script>",
    "ZS² ünïcode — “quotes” 你好 Ж λ→∞",
    "=cmd|' /C calc'!A0",
    "[x] in brackets",
    "*starred* `ticks` |pipes|",
    "\\input{secret}\\end{table}",
    "x" * 100,
)
FIGURES = PublishedFigures.model_validate(
    {
        "metrics": {"CLIPSIM": {"better": "higher"}, "FVD": {"better": "lower"}},
        "sources": {
            "paper_a": {"type": "inproceedings", "title": "Paper A: 100% & more", "authors": ["Ann Müller"],
                        "year": 2024, "venue": "CVPR", "eprint": "2400.00001"},
            "page": {"type": "misc", "title": "A page", "url": "https://example.org/a_b", "commit": "a" * 40},
        },
        "benchmarks": [{
            "benchmark": "b", "title": "A benchmark", "protocol": "Known in part.",
            "reports": [
                {"source": "paper_a", "at": "Table 1", "mark": "P", "made": {"samples": "2,048 videos"},
                 "figures": {"Their method": {"CLIPSIM": {"value": 0.293, "printed": "0.2930"}, "FVD": 550}}},
                {"source": "page", "at": "the list", "mark": "T", "made": {},
                 "figures": {"Their method": {"FVD": {"value": 536, "note": "a later version"}}}},
            ],
            "unknown": [{"methods": ["=lost()"], "metric": "FVD", "why": "nobody read it"}],
        }],
    }
)  # fmt: skip


@pytest.fixture
def hostile(make_run: MakeRun, summary_row: Callable[..., dict[str, Any]]) -> PaperTable:
    """Names that would break out of every format, beside published figures."""
    rows = [
        summary_row(metric=metric, label=label, level="clip", higher_is_better=True, method=method,
                    value=value, method_name="zs2", n_reference=None, standard_error=0.01,
                    notes=f"note of {method}")
        for method in HOSTILE
        for metric, label, value in (("clipsim", "CLIP_SIM & co", 0.25), ("other", "=Other", -0.5))
    ]  # fmt: skip
    spec = parse_spec(
        {
            "title": "Hostile & 100% <b>wide</b>",
            "caption": "A caption_with $ and <i>.",
            "columns": [
                {"metric": "clipsim", "published": "CLIPSIM"},
                {"metric": "other", "published": "FVD"},
            ],
            "published": ["b"],
        },
        "hostile",
    )
    return build_table(
        spec, [make_run(rows)], figures=FIGURES, command="reelbench table hostile /home/me/out/x"
    )


def test_markdown(hostile: PaperTable) -> None:
    text = str(written(hostile, "md", figures=FIGURES))
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {4}
    assert "<script>" not in text
    assert (
        "| Their method † | 0.2930 \\[P, paper\\_a\\] | 550 \\[P, paper\\_a\\] / 536 \\[T, page\\] \\["
        in text
    )
    assert "±" not in str(written(hostile, "md", Style(errors=False), FIGURES))


def test_latex(hostile: PaperTable) -> None:
    text = str(written(hostile, "latex", Style(notes="full"), FIGURES))
    assert text.isascii()
    assert text.splitlines()[0] == "% reelbench table hostile .../x"
    assert text.count("\\begin{") == text.count("\\end{")
    assert r"\input{secret}" not in text
    assert r"a\_b \& \% \$ \# \{\} \textasciitilde{} \textasciicircum{} \textbackslash{}" in text
    assert (
        r"\textcolor{gray}{Their method$^\dagger$} & \textcolor{gray}{0.2930~\cite{reelbench-paper-a}}"
        in text
    )
    # Within a table's body a line is a row: nothing begins a new one, and no optional argument of \\ follows.
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    assert not re.search(r"\\\\\s*[\[*]", body)
    whole = str(written(hostile, "latex", Style(standalone=True), FIGURES))
    assert (
        r"\bibitem{reelbench-paper-a} Ann M\"{u}ller. Paper A: 100\% \& more. CVPR. 2024. arXiv:2400.00001"
        in whole
    )


def test_letters_of_latex() -> None:
    assert latex_text("a--b 'c' \"d\" –") == "a-{}-b 'c' ''d'' --"
    assert latex_text("λ Ω é Ǖ ﬁ ① Ａ") == r"$\lambda$ $\Omega$ \'{e} \={\"{U}} fi 1 A"
    assert latex_text("你\u202e\x07") == r"\texttt{{[}U+4F60{]}}"
    assert breakable("arXiv 2303.1; read") == r"arXiv 2303\allowbreak{}.\allowbreak{}1\allowbreak{}; read"
    assert latex_key("a_b%\\x{}") == "a-b-x"


def test_bibtex(hostile: PaperTable) -> None:
    text = bibtex(hostile.sources, FIGURES)
    assert text == bibliography(hostile, FIGURES)
    assert text.startswith(
        "@inproceedings{reelbench-paper-a,\n  title = {{Paper A: 100\\% \\& more}},\n"
        '  author = {Ann M\\"{u}ller},\n'
        "  year = {2024},\n  booktitle = {CVPR},\n  eprint = {2400.00001},\n"
    )
    assert "  url = {https://example.org/a_b},\n" in text
    assert text.count("{") == text.count("}")


def test_csv(hostile: PaperTable) -> None:
    rows = list(csv.DictReader(io.StringIO(str(written(hostile, "csv", figures=FIGURES)))))
    assert len(rows) == 2 * len(HOSTILE) + 3
    texts = [text for row in rows for name, text in row.items() if name not in ("value", "low", "high")]
    assert not [text for text in texts if text.startswith(("=", "+", "-", "@"))]
    assert rows[4]["method"] == "'=cmd|' /C calc'!A0"
    assert rows[1]["value"] == "-0.5"
    first, published = rows[0], rows[-1]
    assert (first["metric"], first["n"], first["coverage"], first["protocol"]) == (
        "clipsim",
        "16",
        "1.0",
        "fvd-demo-16x64",
    )
    assert len(first["protocol_digest"]) == 64
    assert (published["value"], published["published_mark"], published["source_place"]) == (
        "536.0",
        "T",
        "the list",
    )
    assert rows[-3]["published_how"] == "2,048 videos"


def test_json_and_parquet_hold_the_same(hostile: PaperTable) -> None:
    data = json.loads(str(written(hostile, "json", figures=FIGURES)))
    cell = data["parts"][0]["groups"][0]["rows"][0]["cells"][0]
    assert (cell["text"], cell["error"], cell["values"][0]["value"]) == ("0.250", "0.010", 0.25)
    assert data["command"] == "reelbench table hostile .../x"
    assert set(data["sources"]) == {"paper_a", "page"}
    parquet = written(hostile, "parquet", figures=FIGURES)
    assert isinstance(parquet, bytes)
    table = pq.read_table(pa.BufferReader(parquet))
    assert table.schema.field("value").type == pa.float64()
    assert table.schema.metadata[b"reelbench.command"] == b"reelbench table hostile .../x"
    tidy = list(csv.DictReader(io.StringIO(str(written(hostile, "csv", figures=FIGURES)))))
    assert [str(value) for value in table["value"].to_pylist()] == [row["value"] for row in tidy]


def test_html_in_a_browser(hostile: PaperTable, page: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.html"
    write_table(hostile, path, figures=FIGURES)
    page.goto(path.as_uri())
    names = page.locator("tbody th[scope=row]").all_inner_texts()
    assert [name.split(" †")[0] for name in names] == [
        *(" ".join(text.split()) for text in HOSTILE),
        "Their method",
    ]
    assert page.locator("script, i").count() == 0
    assert page.locator("a[href^='#source-']").count() == 3
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=tmp_path / "dark.png")
    with Image.open(tmp_path / "dark.png") as picture:
        assert np.asarray(picture.convert("RGB"))[2, 2].max() < 64, "a dark page behind the table, too"
    page.set_viewport_size({"width": 400, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_ending_decides_and_the_sources_lie_beside_latex(hostile: PaperTable, tmp_path: Path) -> None:
    for format_, ending in zip(FORMATS, ("md", "tex", "csv", "html", "json", "parquet"), strict=True):
        path = tmp_path / "new" / f"x.{ending}"
        assert format_of(path) == format_
        files = write_table(hostile, path, figures=FIGURES)
        assert files == ((path, path.with_suffix(".bib")) if format_ == "latex" else (path,))
        data = written(hostile, format_, figures=FIGURES)
        assert path.read_bytes() == (data if isinstance(data, bytes) else data.encode())
    with pytest.raises(TableError, match=r"ending of 'x\.txt' is none"):
        write_table(hostile, tmp_path / "x.txt", figures=FIGURES)
