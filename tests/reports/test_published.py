"""Published figures: each with its source, where in it, how it was made, and how sure that is."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelbench.core.errors import ReelbenchError, UnknownNameError
from reelbench.reports.published import MARKS, Made, PublishedFigures, load_published


@pytest.fixture(scope="module")
def published() -> PublishedFigures:
    return load_published()


def test_every_row_has_all_fields(published: PublishedFigures) -> None:
    for benchmark in published.benchmarks:
        assert benchmark.title
        assert benchmark.protocol.strip()
        assert benchmark.figures or benchmark.unknown
        for figure in benchmark.figures:
            assert figure.mark in MARKS
            assert figure.at
            assert figure.source in published.sources
            assert float(figure.printed) == figure.value
            assert published.metrics[figure.metric].better in ("higher", "lower")
            assert bool(figure.on) == published.metrics[figure.metric].cost, figure


def test_every_source_is_used_and_can_be_found_again(published: PublishedFigures) -> None:
    figures = [figure for benchmark in published.benchmarks for figure in benchmark.figures]
    assert {figure.source for figure in figures} == set(published.sources)
    assert {figure.metric for figure in figures} | {"KVD"} == set(published.metrics)
    for key, source in published.sources.items():
        if key != "recalled":
            assert source.authors, key
            assert source.url or source.eprint, key
            assert bool(source.path) == bool(source.commit), f"{key}: a file is named with its commit"


def test_a_recollection_is_marked_as_one(published: PublishedFigures) -> None:
    recalled = {
        (benchmark.benchmark, figure.method, figure.printed)
        for benchmark in published.benchmarks
        for figure in benchmark.figures
        if figure.mark == "U"
    }
    assert recalled == {
        ("bridge", "AID", "21.7"),
        ("bridge", "Seer", "246.3"),
        ("msrvtt-i2v", "FrameBridge", "83"),
        ("msrvtt-i2v", "its diffusion counterpart", "176"),
        ("text2video-zero", "Text2Video-Zero", "31.19"),
        ("text2video-zero", "CogVideo", "29.63"),
    }
    for benchmark in published.benchmarks:
        for figure in benchmark.figures:
            # What is derived from a recollection is no surer.
            assert (figure.mark == "U") == (figure.source == "recalled" or "recollection" in figure.note)
    (derived,) = published.benchmark("bridge").of("AID", "FVD")
    assert derived.source == "aid"


def test_sources_that_disagree_each_have_a_figure(published: PublishedFigures) -> None:
    msrvtt = published.benchmark("msrvtt")
    assert [(f.printed, f.source) for f in msrvtt.of("MagicVideo", "FVD")] == [
        ("998", "t2v-list"),
        ("1290", "modelscope-notes"),
    ]
    assert [f.printed for f in msrvtt.of("ModelScopeT2V", "FVD")] == ["550", "536"]
    assert [f.printed for f in msrvtt.of("Show-1", "FVD")] == ["538", "536"]
    assert [f.printed for f in published.benchmark("webvid").of("CMD", "FVD")] == ["212.7", "238.3"]


def test_sources_that_agree_are_one_figure(published: PublishedFigures) -> None:
    assert len([f for f in published.benchmark("msrvtt").figures if f.method == "LaVie"]) == 2
    (figure,) = published.benchmark("msrvtt").of("LaVie", "CLIPSIM")
    assert figure.printed == "0.2949"


def test_figures_belong_to_the_task_that_their_source_names(published: PublishedFigures) -> None:
    editing = {f.printed for f in published.benchmark("simda-editing").figures}
    assert not editing & {"11.2", "94.9"}
    (latency,) = published.benchmark("speed").of("SimDA", "latency")
    assert (latency.printed, latency.device) == ("11.2", "A100 80GB")
    listed = {f.method for f in published.benchmark("msrvtt").figures if f.source == "t2v-list"}
    assert not listed & {"GODIVA", "NÜWA", "CogVideo (Chinese)", "Video LDM (SD 2.1)"}


def test_digits_are_kept_as_printed(published: PublishedFigures) -> None:
    figure = published.benchmark("msrvtt").of("ModelScopeT2V", "CLIPSIM")[0]
    assert (figure.printed, figure.value) == ("0.2930", 0.293)


def test_a_cell_that_was_published_and_is_not_known(published: PublishedFigures) -> None:
    assert published.benchmark("msrvtt").is_unknown("SimDA", "FVD")
    assert not published.benchmark("msrvtt").is_unknown("LaVie", "FVD")
    assert published.benchmark("zs2").methods == ("DDIM", "Text2Video-Zero", "ZS²")


def test_what_is_known_of_the_making_is_a_line() -> None:
    assert str(Made(samples="2,048 videos", frames="16", fps="3")) == "2,048 videos; 16 frames; 3 fps"
    assert str(Made()) == ""


def test_a_source_is_a_citation(published: PublishedFigures) -> None:
    assert str(published.sources["t2v-list"]).endswith("zero-shot leaderboard (README.md @ 1e5e6e9)")
    assert str(published.sources["cmd-v1"]).endswith("(arXiv 2403.14148v1)")


def test_an_unknown_benchmark_is_answered(published: PublishedFigures) -> None:
    with pytest.raises(UnknownNameError, match="msrvtt"):
        published.benchmark("msrvt")


_FIGURE = """
metrics: {FVD: {better: lower}, latency: {better: lower, cost: true}}
sources: {s: {type: misc, title: t}}
benchmarks:
  - benchmark: a
    title: a
    protocol: p
    reports: [{source: s, at: table 1, mark: P, made: {}, figures: {m: {FVD: "1.0"}}}]
"""


def test_the_smallest_data_file(tmp_path: Path) -> None:
    path = tmp_path / "published.yaml"
    path.write_text(_FIGURE, encoding="utf-8")
    (figure,) = load_published(path).benchmark("a").figures
    assert (figure.method, figure.metric, figure.printed, figure.value) == ("m", "FVD", "1.0", 1.0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("mark: P", "mark: X"),
        ("at: table 1, ", ""),
        ("at: table 1", "at: ''"),
        ("made: {}", "made: {clips: many}"),
        ("made: {}, ", ""),
        ("source: s", "source: nowhere"),
        ("FVD: \"1.0\"", "FID: \"1.0\""),
        ("FVD: \"1.0\"", "FVD: about 1"),
        ("FVD: \"1.0\"", "latency: \"1.0\""),
        ("    reports:", "    unknown: [{why: w}]\n    reports:"),
        ("title: t}", "title: t, commit: main}"),
        ("benchmarks:", "benchmarks: ["),
    ],
)  # fmt: skip
def test_a_faulty_data_file_is_one_clear_error(old: str, new: str, tmp_path: Path) -> None:
    path = tmp_path / "published.yaml"
    assert old in _FIGURE
    path.write_text(_FIGURE.replace(old, new), encoding="utf-8")
    with pytest.raises(ReelbenchError, match="cannot read the published figures"):
        load_published(path)
