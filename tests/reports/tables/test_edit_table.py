"""The edit table: by kind, grouped by what methods saw, and published figures apart from it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reelbench.core.statistics import mean_estimate
from reelbench.core.tables import write_table
from reelbench.reports.pages.html_report import write_html_report
from reelbench.reports.pages.markdown_report import markdown_report, task_markdown
from reelbench.reports.published_tables import PUBLISHED_EDITING, published_editing
from reelbench.reports.tables.editing import EDIT_METRICS, edit_tables
from reelbench.reports.tables.run_tables import RunTables

KINDS = ("style", "object", "background", "multiple")
SAW = {
    "ddim-frames": "text",
    "tune-a-video": "text + reference video",
    "simda-edit": "text + reference video",
}
LABELS = {
    "structure_kept": "Structure kept",
    "textual_alignment": "Textual alignment",
    "frame_consistency_all_pairs": "Frame consistency",
    "clipsim": "CLIPSIM",
}
PROTOCOL, DIGEST = "loveu", "d" * 64

Tables = dict[str, list[dict[str, Any]]]


def value_of(metric: str, method: str, kind: str, video: int) -> float:
    """Frame consistency tells methods apart, structure kept tells kinds apart."""
    place = list(SAW).index(method)
    if metric == "structure_kept":
        return 0.2 * KINDS.index(kind) + 0.01 * video
    return 0.5 + 0.1 * place + 0.01 * video


@pytest.fixture
def edits(
    summary_row: Callable[..., dict[str, Any]], comparison_row: Callable[..., dict[str, Any]]
) -> Tables:
    """Two videos with four edits each under three methods; CLIPSIM is measured too, and left out."""
    scores, clips, summary = [], [], []
    comparisons = [
        comparison_row(metric=metric, dataset="loveu-tgve", conditioning=SAW["simda-edit"], protocol=PROTOCOL,
                       protocol_digest=DIGEST, method_a="tune-a-video", method_b="simda-edit", level="clip",
                       difference=difference, p_holm=p)
        for metric, difference, p in (("frame_consistency_all_pairs", -0.1, 0.01),
                                      ("textual_alignment", -0.1, 0.2), ("structure_kept", 0.0, 1.0))
    ]  # fmt: skip
    for method, conditioning in SAW.items():
        for video in range(2):
            for kind in KINDS:
                sample = {"dataset": "loveu-tgve", "split": "test", "method": method, "seed": 0, "edit": kind,
                          "sample_id": f"v{video}:{kind}", "source": f"v{video}"}  # fmt: skip
                clips.append({**sample, "run": "demo", "side": "generated", "prompt": "p", "status": "done"})
                scores += [
                    {**sample, "run": "demo", "metric": metric, "conditioning": conditioning,
                     "protocol": PROTOCOL, "protocol_digest": DIGEST,
                     "value": value_of(metric, method, kind, video), "error_message": None}
                    for metric in LABELS
                ]  # fmt: skip
        summary += [
            summary_row(metric=metric, label=label, level="clip", higher_is_better=True, method=method,
                        conditioning=conditioning, dataset="loveu-tgve", protocol=PROTOCOL,
                        protocol_digest=DIGEST)
            for metric, label in LABELS.items()
        ]  # fmt: skip
    return {"scores": scores, "summary": summary, "clips": clips, "comparisons": comparisons}


def run_of(tables: Tables, order: tuple[str, ...] = ()) -> RunTables:
    run_file = json.dumps({"methods": [{"name": name} for name in order]})
    return RunTables(runs=[{"run_file": run_file, "weights": None}], **tables)


def build(tables: Tables, order: tuple[str, ...] = ()) -> Any:
    return edit_tables(run_of(tables, order))


def cells(table: Any, title: str, method: str) -> dict[str, Any]:
    (part,) = [part for part in table.parts if part.title == title]
    (row,) = [row for group in part.groups for row in group.rows if row.method == method]
    return {column.metric: cell for column, cell in zip(table.columns, row.cells, strict=True)}


def test_all_edits_come_first_then_the_kinds_in_the_order_of_the_challenge(edits: Tables) -> None:
    (table,) = build(edits)
    assert [part.title for part in table.parts] == ["All edits", "Style", "Object", "Background", "Multiple"]
    assert [part.count for part in table.parts] == ["8 edits of 2 videos", *["2 edits of 2 videos"] * 4]
    assert table.title == "loveu-tgve, test"


def test_columns_are_the_papers_then_what_is_kept(edits: Tables) -> None:
    (table,) = build(edits)
    assert [column.metric for column in table.columns] == [
        "frame_consistency_all_pairs",
        "textual_alignment",
        "structure_kept",
    ]
    assert EDIT_METRICS.index("pickscore") == 2  # when its weights are there


def test_values_are_means_with_errors_clustered_on_the_video(edits: Tables) -> None:
    (table,) = build(edits)
    mine = [
        row for row in edits["scores"] if (row["metric"], row["method"]) == ("structure_kept", "simda-edit")
    ]
    for title, kinds in (("All edits", set(KINDS)), ("Background", {"background"})):
        chosen = [row for row in mine if row["edit"] in kinds]
        expected = mean_estimate([row["value"] for row in chosen], [row["source"] for row in chosen])
        cell = cells(table, title, "simda-edit")["structure_kept"]
        assert (cell.value, cell.standard_error) == (expected.value, expected.standard_error)
        assert (cell.low, cell.high) == (expected.low, expected.high)
    assert cells(table, "Style", "simda-edit")["structure_kept"].value == pytest.approx(0.005)


def test_the_best_is_marked_among_those_that_saw_the_same(edits: Tables) -> None:
    for row in edits["scores"]:
        if row["method"] == "ddim-frames" and row["metric"] == "frame_consistency_all_pairs":
            row["value"] = 9.0  # the best of all, alone in having seen the text only
    (table,) = build(edits)
    for part in table.parts:
        assert [group.conditioning for group in part.groups] == ["text", "text + reference video"]
        marked = {
            method
            for method in SAW
            if cells(table, part.title, method)["frame_consistency_all_pairs"].is_best
        }
        # The run tests its methods over all edits.
        assert marked == ({"simda-edit"} if part.title == "All edits" else set())
        # Equal values have no best.
        assert not any(cells(table, part.title, method)["structure_kept"].is_best for method in SAW)


def test_what_is_not_told_apart_is_named_and_kinds_are_not_tested(edits: Tables) -> None:
    (table,) = build(edits)
    assert table.facts[:2] == (
        (
            "Not told apart from the best value (paired test, Holm, 5%)",
            "Textual alignment, Structure kept: simda-edit and tune-a-video (detectable: 18)",
        ),
        ("Kinds", "methods are tested over all edits, not within a kind: nothing is marked there"),
    )


def test_tests_that_include_clips_of_no_edit_mark_nothing(edits: Tables) -> None:
    edits["scores"].append(edits["scores"][0] | {"edit": None, "sample_id": "plain"})
    (table,) = build(edits)
    assert not any(cells(table, "All edits", method)["frame_consistency_all_pairs"].is_best for method in SAW)


def test_methods_stand_in_the_order_of_the_run_file(edits: Tables) -> None:
    (table,) = build(edits, ("simda-edit", "tune-a-video"))
    assert [row.method for row in table.parts[0].groups[1].rows] == ["simda-edit", "tune-a-video"]


def test_clips_that_failed_or_have_no_value_show_in_the_coverage(edits: Tables) -> None:
    of = ("tune-a-video", "v0:style")
    edits["scores"] = [row for row in edits["scores"] if (row["method"], row["sample_id"]) != of]
    for row in edits["scores"]:
        if (row["method"], row["metric"], row["edit"]) == ("simda-edit", "structure_kept", "object"):
            row.update(value=None, error_message="no structure")
    (table,) = build(edits)
    assert table.shows_n
    style, object_ = (part.groups[1].rows for part in table.parts[1:3])
    assert (style[1].method, style[1].n, style[1].coverage) == ("tune-a-video", "1", "50%")
    assert (object_[0].method, object_[0].n, object_[0].coverage) == ("simda-edit", "0 to 2", "0% to 100%")
    cell = cells(table, "Object", "simda-edit")["structure_kept"]
    assert cell.text == "–"
    assert [table.footnotes[mark - 1] for mark in cell.marks] == [
        "2 clips could not be scored: no structure; coverage 0%"
    ]
    assert cells(table, "All edits", "simda-edit")["structure_kept"].value is not None


def test_a_method_without_any_clip_is_a_row_of_dashes(edits: Tables) -> None:
    edits["scores"] = [row for row in edits["scores"] if row["method"] != "simda-edit"]
    (table,) = build(edits)
    assert {cell.text for cell in cells(table, "Style", "simda-edit").values()} == {"–"}
    assert "2 clips without a value" in " ".join(table.footnotes)


def test_one_kind_is_one_part_and_unknown_kinds_come_last(edits: Tables) -> None:
    only = {
        name: [row for row in rows if row.get("edit", "style") == "style"] for name, rows in edits.items()
    }
    (table,) = build(only)
    assert [part.title for part in table.parts] == ["All edits"]
    for rows in (edits["scores"], edits["clips"]):
        for row in rows:
            row["edit"] = {"object": "a weather"}.get(row["edit"], row["edit"])
    (table,) = build(edits)
    assert [part.title for part in table.parts][1:] == ["Style", "Background", "Multiple", "A weather"]


def test_protocols_have_tables_of_their_own(edits: Tables) -> None:
    for name in ("scores", "summary", "comparisons"):
        edits[name] += [row | {"protocol": "clean", "protocol_digest": "c" * 64} for row in edits[name]]
    tables = build(edits)
    assert [table.title for table in tables] == [
        "loveu-tgve, test, protocol clean",
        "loveu-tgve, test, protocol loveu",
    ]
    assert [dict(table.facts)["Protocol"] for table in tables] == [
        f"clean ({'c' * 12})",
        f"loveu ({'d' * 12})",
    ]
    assert tables[0].parts[0].count == "8 edits of 2 videos"


def test_a_run_that_edits_nothing_has_no_edit_table(make_tables: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_tables(videos=False)
    assert edit_tables(RunTables(folder)) == ()
    assert task_markdown(RunTables()) == ""
    assert "As published" not in markdown_report(folder)
    html = write_html_report(folder, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Edits by kind" not in html
    assert "As published" not in html


def test_markdown_of_an_edit_table(edits: Tables) -> None:
    text = task_markdown(run_of(edits, tuple(SAW)))
    start = """\
### Edits: loveu-tgve, test

| Method | Frame consistency ↑ | Textual alignment ↑ | Structure kept ↑ |
| --- | ---: | ---: | ---: |
| **All edits**, 8 edits of 2 videos |  |  |  |
| *Saw: text* |  |  |  |
| ddim-frames | 0.5050 ± 0.0050 | 0.5050 ± 0.0050 | 0.3050 ± 0.0050 |
| *Saw: text + reference video* |  |  |  |
| tune-a-video | 0.6050 ± 0.0050 | 0.6050 ± 0.0050 | 0.3050 ± 0.0050 |
| simda-edit | **0.7050 ± 0.0050** | 0.7050 ± 0.0050 | 0.3050 ± 0.0050 |
| **Style**, 2 edits of 2 videos |  |  |  |
"""
    assert text.startswith(start)
    assert "- Kept content: Structure, motion and similarity to the source say what was kept" in text


@pytest.fixture
def folder(edits: Tables, make_tables: Callable[..., Path]) -> Path:
    """The tables of an edit run on disk."""
    folder = make_tables(edits["summary"], prompts=(), videos=False, comparisons=edits["comparisons"])
    for name in ("scores", "clips"):
        write_table(folder, name, edits[name])
    return folder


def test_the_reports_show_edits_and_published_figures_apart(folder: Path, tmp_path: Path) -> None:
    markdown = markdown_report(folder)
    page = write_html_report(folder, tmp_path / "report.html").read_text(encoding="utf-8")
    for text in (markdown, page):
        edits, published = text.index("2 edits of 2 videos"), text.index("As published")
        assert text.index("loveu-tgve, test") < edits < published
        # Figures stand behind the words, each with its mark, and nowhere else.
        for figure in ("27.58", "92.40", "85.2", "27.12", "-5.599"):
            places = [match.start() for match in re.finditer(rf"(?<![\d.]){figure}\b", text)]
            assert places
            assert min(places) > published
            assert all(re.match(r"\S+ \\?\[T", text[place:]) for place in places)
    assert "Edits by kind" in page


def test_published_rows_of_editing_are_methods_under_metrics() -> None:
    tables = dict(zip(PUBLISHED_EDITING, published_editing(), strict=True))
    paper = tables["davis-editing"]
    assert all(heading == "Method" or heading.endswith(", published") for heading in paper.headings)
    rows = {row[0]: dict(zip(paper.headings, row, strict=True)) for row in paper.rows}
    assert rows["Tune-A-Video"]["frame consistency, published"] == "92.40 [T]"
    assert rows["CogVideo"]["textual alignment, published"] == "23.91 [T]"
    assert "62.14 [T] (to Plug-and-Play)" in rows["Tune-A-Video"]["preferred for frames, published"]
    assert "[T]: a third party's page" in paper.protocol
    assert "Notes on Tune-A-Video" in paper.protocol
    assert [row[0] for row in tables["simda-editing"].rows] == ["SimDA"]  # no other row is known
    assert "not known here" in tables["simda-editing"].protocol
