"""Published figures: cited, marked, and never mistaken for measured ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelbench.core.errors import ReelbenchError, UnknownNameError
from reelbench.reports.published import load_published, published_markdown, published_table


def test_every_figure_is_cited_and_marked() -> None:
    figures = load_published()
    used = set()
    for benchmark in figures.benchmarks:
        assert benchmark.protocol.strip()
        for figure in benchmark.figures:
            assert figure.mark in "PCT"
            used.add(figure.source)
    assert used == set(figures.sources)


def test_known_figures() -> None:
    table = published_table("webvid")
    assert [row[:3] for row in table.rows] == [
        ("SimDA", "FVD (published)", "363.98"),
        ("SimDA", "CLIPSIM (published)", "0.3054"),
    ]
    assert "As published: WebVid" in published_markdown(table)
    assert "Not measured here" in published_markdown(table)


def test_recollections_are_left_out() -> None:
    values = {
        (benchmark.benchmark, figure.method, figure.value)
        for benchmark in load_published().benchmarks
        for figure in benchmark.figures
    }
    assert ("msrvtt", "SimDA", 456.0) not in values
    assert not any(name == "bridge" and method == "Seer" for name, method, _ in values)


def test_an_unknown_benchmark_is_answered() -> None:
    with pytest.raises(UnknownNameError, match="msrvtt"):
        published_table("msrvt")


@pytest.mark.parametrize(
    "text",
    [
        "sources: {}\nbenchmarks: [{benchmark: a, title: a, protocol: p, figures: "
        "[{method: m, metric: f, value: 1, mark: U, source: s}]}]",
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
