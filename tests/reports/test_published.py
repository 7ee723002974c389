"""Published figures: cited, marked, and never mistaken for measured ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelbench.core.errors import ReelbenchError, UnknownNameError
from reelbench.reports.pages.markdown_report import published_markdown
from reelbench.reports.published import load_published, published_by_method, published_together


def test_every_figure_is_cited_and_marked() -> None:
    figures = load_published()
    used = set()
    for benchmark in figures.benchmarks:
        assert benchmark.protocol.strip()
        for figure in benchmark.figures:
            assert figure.mark in "PCTDU"
            used.add(figure.source)
    assert used == set(figures.sources)


def test_known_figures() -> None:
    table = published_by_method("webvid")
    assert table.headings == ("Method", "FVD, published", "CLIPSIM, published")
    assert table.rows == (("SimDA", "363.98 [P]", "0.3054 [P]"),)
    assert "As published: WebVid" in published_markdown(table)
    assert "Not measured here" in published_markdown(table)


def test_a_recollection_is_left_out_or_marked_as_one() -> None:
    figures = {
        (benchmark.benchmark, figure.method, figure.value): figure
        for benchmark in load_published().benchmarks
        for figure in benchmark.figures
    }
    assert ("msrvtt", "SimDA", 456.0) not in figures
    recalled = {place for place, figure in figures.items() if figure.mark == "U"}
    assert recalled == {("bridge", "Seer", 246.3)}
    # What is derived from one says so.
    assert "recollection" in figures["bridge", "AID", 21.7].note


def test_figures_that_are_not_known_are_told_from_those_that_were_never_published() -> None:
    table = published_together("both", ["msrvtt", "epic"])
    assert table.headings == (
        "Method",
        "MSR-VTT, zero-shot text-to-video CLIPSIM, published",
        "MSR-VTT, zero-shot text-to-video FVD, published",
        "Epic-Kitchens-100 FVD, published",
        "Epic-Kitchens-100 KVD, published",
    )
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["SimDA"] == ("0.2945 [P]", "–", "–", "– [?]")
    assert rows["Seer"] == ("–", "–", "271.4 [T]", "– [?]")
    assert "[?]: not known here. KVD: no page" in table.protocol
    assert "[?]" not in published_by_method("msrvtt").protocol


def test_an_unknown_benchmark_is_answered() -> None:
    with pytest.raises(UnknownNameError, match="msrvtt"):
        published_by_method("msrvt")


@pytest.mark.parametrize(
    "text",
    [
        "sources: {}\nbenchmarks: [{benchmark: a, title: a, protocol: p, figures: "
        "[{method: m, metric: f, value: 1, mark: X, source: s}]}]",
        "sources: {}\nbenchmarks: [{benchmark: a, title: a, protocol: p, figures: [], unknown: [{why: w}]}]",
        "sources: {}\nbenchmarks: [{benchmark: a, title: a, protocol: p, figures: "
        "[{method: m, metric: f, value: 1, mark: P, source: nowhere}]}]",
        "sources: [",
    ],
)
def test_a_faulty_data_file_is_one_clear_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "published.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ReelbenchError, match="cannot read the published figures"):
        load_published(path)
