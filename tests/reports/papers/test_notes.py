"""What stands under a table: all of it, six lines for a paper, or nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest

from reelbench.reports.papers.build import build_table
from reelbench.reports.papers.formats.write import Style, written
from reelbench.reports.papers.notes import NOTES, with_notes
from reelbench.reports.papers.paper_table import PaperTable
from reelbench.reports.papers.spec import load_spec, shipped_tables

from .conftest import MakeRun
from .test_build import spec_of
from .test_shipped_tables import BENCHMARK, ON_THE_BENCHMARK

SIX_LINES = 6 * 125
"""Of small print on A4."""


@pytest.fixture
def table(
    make_run: MakeRun, full_summary: list[dict[str, Any]], full_comparisons: list[dict[str, Any]]
) -> PaperTable:
    """With a note at a value, one at a column, a coverage below 100%, a dash, a cost."""
    for row in full_summary:
        row["notes"] = "all of FVD" if row["metric"] == "fvd" else ""
        if (row["method"], row["metric"]) == ("zs2", "clipsim"):
            row |= {"notes": "of this value", "coverage": 0.9375, "n": 15}
    spec = spec_of(
        {"metric": "fvd"}, {"metric": "clipsim"}, {"metric": "kvd"}, costs=[{"metric": "sampling_s"}]
    )
    return build_table(spec, [make_run(full_summary, full_comparisons)])


def test_short_notes_hold_what_a_paper_must_say(table: PaperTable) -> None:
    short = with_notes(table, "short")
    assert short.facts == short.footnotes == ()
    assert not any(cell.marks for part in short.parts for row in part.rows for cell in row.cells)
    assert not any(column.marks for column in short.columns)
    for said in (
        "Bold: best and what is not told from it; among those that saw the same (paired tests, Holm, 5%).",
        "Against the best: * p ≤ 0.05",
        "±: one standard error.",
        "Protocol fvd-demo-16x64 (af8a2851503d). N = 15 to 16, 8 source videos, 1 seed, 16 reference clips, "
        "coverage from 93.8%.",
        "Costs on 2 CPU cores.",
        "Without marks: CLIPSIM (not of the same number of clips where they saw text); ",
        "FVD (own references where they saw text + reference video).",
        "–: not measured.",
    ):
        assert said in short.legend
    assert "All of FVD." in short.legend
    assert "of this value" not in short.legend


def test_latex_has_short_notes_and_the_rest_has_all(table: PaperTable) -> None:
    for format_, by_default in (("latex", "short"), ("md", "full"), ("html", "full")):
        texts = {notes: str(written(table, format_, Style(notes=notes))) for notes in NOTES}
        assert str(written(table, format_)) == texts[by_default]
        assert len(texts["full"]) > len(texts["short"]) > len(texts["none"])
        assert "of this value" in texts["full"]
        assert "of this value" not in texts["short"]
        assert "best" not in texts["none"].partition("</style>")[2 if format_ == "html" else 0]


def test_signs_that_are_not_printed_are_not_explained(table: PaperTable) -> None:
    for notes in ("full", "short"):
        text = str(written(table, "md", Style(errors=False, significance=False, notes=notes)))
        assert "±" not in text
        assert not re.search(r"p ≤|\*\*\*", text)


@pytest.mark.parametrize("name", shipped_tables())
def test_short_notes_of_a_shipped_table_are_six_lines(name: str) -> None:
    for runs in ([], [BENCHMARK] if name in ON_THE_BENCHMARK else []):
        legend = with_notes(build_table(load_spec(name), runs), "short").legend
        assert 0 < len(legend) <= SIX_LINES or not runs
