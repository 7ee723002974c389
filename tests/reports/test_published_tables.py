"""Published figures as tables of their own: marked, with notes, and never mistaken for measured ones."""

from __future__ import annotations

import pytest

from reelbench.core.errors import UnknownNameError
from reelbench.reports.pages.markdown_report import published_markdown
from reelbench.reports.published_tables import published_by_method, published_together


def test_a_table_of_one_benchmark() -> None:
    table = published_by_method("webvid")
    assert table.headings == ("Method", "FVD, published", "CLIPSIM, published")
    assert table.rows[0] == ("SimDA", "363.98 [P]", "0.3054 [P]")
    assert "As published: WebVid" in published_markdown(table)
    assert "Not measured here" in published_markdown(table)


def test_sources_that_disagree_stand_in_one_cell_and_are_named_below() -> None:
    table = published_by_method("msrvtt")
    cells = {row[0]: row for row in table.rows}["MagicVideo"]
    assert cells[3] == "998 [T]; 1290 [T] (in ModelScope's table)"
    assert "README.md @ 1e5e6e9" in table.protocol
    assert "Notes on ModelScopeT2V" in table.protocol
    assert (
        "the paper's Table 1 (2,048 videos for FVD and FID-vid, all captions for CLIPSIM; 16 frames; 3 fps;"
        in (table.protocol)
    )


def test_costs_name_their_device() -> None:
    table = published_by_method("speed")
    row = dict(zip(table.headings, table.rows[0], strict=True))
    assert row["latency, published"] == "11.2 [T] (A100 80GB)"
    assert row["speed-up, published"] == "39 [P] (device not stated; over CogVideo)"


def test_figures_that_are_not_known_are_told_from_those_that_were_never_published() -> None:
    table = published_together("both", ["msrvtt", "epic"])
    assert table.headings == (
        "Method",
        *(f"MSR-VTT {metric}, published" for metric in ("CLIPSIM", "FID", "FVD")),
        *(f"Epic-Kitchens-100 {metric}, published" for metric in ("FVD", "KVD")),
    )
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["SimDA"] == ("0.2945 [P]", "–", "– [?]", "–", "– [?]")
    assert rows["Seer"] == ("–", "–", "–", "271.4 [T]", "– [?]")
    assert "[?]: not known here." in table.protocol
    assert "KVD: no page" in table.protocol
    assert "[?]" not in published_by_method("tgve").protocol


def test_a_benchmark_of_which_nothing_is_known_says_so() -> None:
    table = published_by_method("zs2")
    assert {row[1] for row in table.rows} == {"– [?]"}
    assert "[?]: not known here. CLIP score" in table.protocol


def test_an_unknown_benchmark_is_answered() -> None:
    with pytest.raises(UnknownNameError, match="msrvtt"):
        published_by_method("msrvt")
