"""The prediction table: FVD and KVD of every data set side by side, published figures apart from them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reelbench.core.tables import write_table
from reelbench.reports.pages.html_report import write_html_report
from reelbench.reports.pages.markdown_report import markdown_report, task_markdown
from reelbench.reports.published_tables import published_prediction
from reelbench.reports.tables.prediction import (
    PredictionData,
    measured_frames,
    prediction_data,
    prediction_tables,
)
from reelbench.reports.tables.run_tables import RunTables

PROTOCOL, DIGEST = "seer", "e" * 64
SIGNATURE = "fvd.1|n:64|nref:64|frames:16|rate:stride1|start:first|context:keep|generated:stored|i3d:1a2b3c4d"
SAW = {
    "cogvideox": "text",
    "fca": "text + first frames",
    "cogvideox-lora": "text + first frames",
    "repeat-last-frame": "text + first frames",
}
DATASETS = [
    {"name": "ssv2", "label": "ssv2", "config": {"root": "data/ssv2"}},
    {"name": "bridge", "label": "arm", "config": {"root": "data/bridge"}},
    {"name": "epic-kitchens-100", "label": "epic", "config": {"root": "data/epic", "num_context_frames": 3}},
]
SPLITS = {"ssv2": "validation", "arm": "val", "epic": "validation"}

Rows = list[dict[str, Any]]


def runs(datasets: Rows = DATASETS) -> Rows:
    """A row of the `runs` table."""
    return [{"run": "demo", "run_file": json.dumps({"name": "demo", "datasets": datasets}), "weights": "{}"}]


@pytest.fixture
def summary(summary_row: Callable[..., dict[str, Any]]) -> Rows:
    """Four methods on three data sets; PSNR is measured too, and left out."""
    rows = []
    for place, dataset in enumerate(SPLITS):
        for rank, (method, conditioning) in enumerate(SAW.items()):
            for metric, label, higher, value in (
                ("kvd_others", "KVD", False, 40.0),
                ("psnr", "PSNR", True, 20.0),
                ("fvd_others", "FVD", False, 200.0),
            ):
                rows.append(
                    summary_row(
                        metric=metric, label=label, higher_is_better=higher, method=method,
                        conditioning=conditioning, dataset=dataset, split=SPLITS[dataset], protocol=PROTOCOL,
                        protocol_digest=DIGEST, value=value + 10 * place + rank, standard_error=2.0, n=64,
                        n_reference=64, num_sources=64, signature=SIGNATURE,
                        references=None if metric == "psnr" else "others",
                    )
                )  # fmt: skip
                rows.append(rows[-1] | {"seed": 0, "value": -777.0})
    return rows


@pytest.fixture
def tests(comparison_row: Callable[..., dict[str, Any]]) -> Rows:
    """FCA is better than each other method that saw the frames, on every data set."""
    return [
        comparison_row(
            dataset=dataset, split=SPLITS[dataset], metric=metric, conditioning=SAW["fca"], protocol=PROTOCOL,
            protocol_digest=DIGEST, method_a="fca", method_b=other, difference=-1.0, p_holm=0.02,
        )
        for dataset in SPLITS
        for metric in ("fvd_others", "kvd_others", "psnr")
        for other in ("cogvideox-lora", "repeat-last-frame")
    ]  # fmt: skip


def run_of(
    summary: Rows, runs: Rows, order: tuple[str, ...] = (), comparisons: Rows | None = None
) -> RunTables:
    run = RunTables(summary=summary, runs=runs, comparisons=comparisons or [])
    run.method_order = order
    return run


def build(*tables: Any, **more: Any) -> Any:
    return prediction_tables(run_of(*tables, **more))


def cells(table: Any, method: str) -> dict[str, Any]:
    (row,) = [row for group in table.groups for row in group.rows if row.method == method]
    return {column.metric: cell for column, cell in zip(table.columns, row.cells, strict=True)}


def test_a_data_set_is_of_prediction_where_it_gives_frames() -> None:
    entries = [
        {"name": "msrvtt", "config": {"root": "data"}},
        {"name": "bridge", "config": {"root": "data"}},  # 1 is its own default
        {"name": "ssv2", "label": "mine", "config": {"root": "data", "num_context_frames": 5}},
        {"name": "gone/plugin.py:Clips", "label": "gone", "config": {"num_context_frames": 4}},
        {"name": "gone/plugin.py:Clips", "label": "other", "config": {}},
    ]
    assert prediction_data(runs(entries)) == (
        PredictionData("bridge", "bridge", 1),
        PredictionData("mine", "ssv2", 5),
        PredictionData("gone", "gone/plugin.py:Clips", 4),
    )


@pytest.mark.parametrize("run_file", [None, "", "no json", "[]", '{"datasets": null}', '{"datasets": ["a"]}'])
def test_a_run_file_that_says_nothing_has_no_data_set_of_prediction(run_file: str | None) -> None:
    assert prediction_data([{"run_file": run_file}]) == ()


def test_fvd_and_kvd_of_each_data_set_stand_in_the_order_of_the_run_file(summary: Rows) -> None:
    (table,) = build(summary, runs())
    assert [column.heading for column in table.columns] == [
        "ssv2 FVD ↓", "ssv2 KVD ↓", "arm FVD ↓", "arm KVD ↓", "epic FVD ↓", "epic KVD ↓",
    ]  # fmt: skip
    assert table.title == "protocol seer"
    fca = cells(table, "fca")
    assert [fca[name].text for name in ("ssv2 fvd_others", "arm fvd_others", "epic kvd_others")] == [
        "201.0 ± 2.0", "211.0 ± 2.0", "61.0 ± 2.0",
    ]  # fmt: skip


def test_the_best_is_marked_among_those_that_saw_the_same(summary: Rows, tests: Rows) -> None:
    (table,) = build(summary, runs(), comparisons=tests)
    assert [group.conditioning for group in table.groups] == ["text", "text + first frames"]
    for column in table.columns:
        marked = {method for method in SAW if cells(table, method)[column.metric].is_best}
        assert marked == {"fca"}  # the text alone gave smaller values, and is ranked with no other


def test_values_against_own_references_have_a_table_of_their_own_and_no_mark(
    summary: Rows, tests: Rows
) -> None:
    own = [row | {"metric": row["metric"].removesuffix("_others"), "references": None} for row in summary]
    tests += [row | {"metric": row["metric"].removesuffix("_others")} for row in tests]
    others, papers = build([*summary, *own], runs(), comparisons=tests)
    assert (others.title, papers.title) == ("protocol seer", "protocol seer, own references as in the papers")
    assert not any(cell.is_best for group in papers.groups for row in group.rows for cell in row.cells)
    text = dict(papers.facts)["Own references, so not ranked"]
    assert text.startswith("ssv2 FVD, ssv2 KVD, arm FVD, ")
    assert "of methods that saw text + first frames: the clips were made from a part of the very" in text
    (text_group, frames) = papers.groups
    assert all(cell.marks for row in frames.rows for cell in row.cells)
    assert not any(cell.marks for row in text_group.rows for cell in row.cells)


def test_a_lead_on_one_data_set_is_none_on_another(summary: Rows, tests: Rows) -> None:
    for row in tests:
        if (row["dataset"], row["metric"]) == ("arm", "fvd_others"):
            row["p_holm"] = 0.2
    tests = [row for row in tests if (row["dataset"], row["metric"]) != ("epic", "kvd_others")]
    (table,) = build(summary, runs(), comparisons=tests)
    marked = [column.metric for column in table.columns if cells(table, "fca")[column.metric].is_best]
    assert marked == ["ssv2 fvd_others", "ssv2 kvd_others", "arm kvd_others", "epic fvd_others"]
    three = "fca, cogvideox-lora and repeat-last-frame"
    assert table.facts[:2] == (
        ("Not told apart from the best value (paired test, Holm, 5%)", f"arm FVD: {three} (detectable: 18)"),
        ("No paired test, so nothing marked", f"epic KVD: {three}"),
    )


def test_one_data_set_is_a_table_too(summary: Rows) -> None:
    only = [row for row in summary if row["dataset"] == "ssv2"]
    run = run_of(only, runs(DATASETS[:1]))
    (table,) = prediction_tables(run)
    assert [column.heading for column in table.columns] == ["ssv2 FVD ↓", "ssv2 KVD ↓"]
    (published,) = published_prediction(run)
    assert all("Something-Something V2" in heading for heading in published.headings[1:])


def test_methods_stand_in_the_order_of_the_run_file(summary: Rows) -> None:
    order = ("repeat-last-frame", "cogvideox-lora", "fca")
    (table,) = build(summary, runs(), order)
    assert tuple(row.method for row in table.groups[1].rows) == order


def test_protocols_are_never_in_one_table(summary: Rows) -> None:
    other = [
        row
        | {
            "protocol": "predicted",
            "protocol_digest": "f" * 64,
            "signature": SIGNATURE.replace("frames:16", "frames:14").replace("context:keep", "context:drop"),
        }
        for row in summary
    ]
    tables = build(summary + other, runs())
    assert [table.title for table in tables] == ["protocol predicted", "protocol seer"]
    predicted, seer = (dict(table.facts) for table in tables)
    assert predicted["Protocol"] == f"predicted ({'f' * 12})"
    assert predicted["Frames"] == "14 of a clip (stride1); those that were given are left out on both sides"
    assert seer["Frames"].startswith("16 of a clip (stride1); those that were given are among them")


def test_facts_say_of_each_data_set_what_was_given_and_how_much_was_measured(summary: Rows) -> None:
    (table,) = build(summary, runs())
    facts = dict(table.facts)
    assert facts["ssv2"] == (
        "validation; 2 frames given; 64 clips per method, of 64 source videos, 1 seed; 64 reference clips"
    )
    assert facts["arm"].startswith("val; 1 frame given; 64 clips")
    assert facts["epic"].startswith("validation; 3 frames given; 64 clips")
    assert facts["Intervals"] == "jackknife over sources (FVD, KVD)"
    assert not table.shows_n


def test_missing_clips_show_in_the_coverage(summary: Rows) -> None:
    for row in summary:
        if (row["method"], row["dataset"]) == ("fca", "arm"):
            row.update(n=60, coverage=0.9375, num_failures=4)
    (table,) = build(summary, runs())
    assert table.shows_n
    fca = next(row for row in table.groups[1].rows if row.method == "fca")
    assert (fca.n, fca.coverage) == ("60 to 64", "93.8% to 100%")
    assert "up to 4 without a value" in dict(table.facts)["arm"]
    # FVD depends on N: with other counts, nothing is the best.
    assert not any(cells(table, method)["arm fvd_others"].is_best for method in SAW)
    assert any("arm FVD: depends on the number of samples" in note for note in table.footnotes)


def test_data_sets_of_different_size_need_no_counts_in_the_rows(summary: Rows, tests: Rows) -> None:
    for row in summary:
        if row["dataset"] == "epic":
            row.update(n=12, n_reference=12)
    (table,) = build(summary, runs(), comparisons=tests)
    assert not table.shows_n
    assert "12 clips per method" in dict(table.facts)["epic"]
    assert cells(table, "fca")["epic fvd_others"].is_best


def test_a_method_without_a_value_is_a_dash_with_the_reason(summary: Rows) -> None:
    for row in summary:
        if (row["method"], row["dataset"], row["metric"]) == ("cogvideox-lora", "epic", "kvd_others"):
            row.update(value=None, standard_error=None, notes="1 clip is too few", n=1, num_failures=63)
    rows = [row for row in summary if (row["method"], row["dataset"]) != ("cogvideox", "arm")]
    (table,) = build(rows, runs())
    for method, column, reason in (
        ("cogvideox-lora", "epic kvd_others", "1 clip is too few; 63 clips without a value"),
        ("cogvideox", "arm fvd_others", "not computed for this method"),
    ):
        cell = cells(table, method)[column]
        assert cell.text == "–"
        assert [table.footnotes[mark - 1] for mark in cell.marks] == [reason]


def test_frames_are_told_only_where_a_signature_tells_them() -> None:
    assert measured_frames("fvd.1|n:4|frames:16|rate:seer-blend|context:keep").startswith(
        "16 of a clip (seer-blend)"
    )
    assert measured_frames("fvd.1|n:4|frames:14|context:drop").startswith(
        "14 of a clip; those that were given"
    )
    for signature in (None, "", "fvd.1", "frames:16", "frames:16|context:unheard-of"):
        assert measured_frames(signature) == ""


def test_nothing_is_shown_where_nothing_is_predicted(
    make_tables: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_tables(videos=False)
    assert prediction_tables(RunTables(folder)) == ()
    assert task_markdown(RunTables(folder)) == ""
    html = write_html_report(folder, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Text-video prediction" not in html
    assert task_markdown(RunTables()) == ""


def test_markdown_of_a_prediction_table(summary: Rows, tests: Rows) -> None:
    only = [row for row in summary if row["dataset"] == "ssv2"]
    text = task_markdown(run_of(only, runs(DATASETS[:1]), tuple(SAW), tests))
    start = """\
### Text-video prediction, protocol seer

| Method | ssv2 FVD ↓ | ssv2 KVD ↓ |
| --- | ---: | ---: |
| *Saw: text* |  |  |
| cogvideox | 200.0 ± 2.0 | 40.0 ± 2.0 |
| *Saw: text + first frames* |  |  |
| fca | **201.0 ± 2.0** | **41.0 ± 2.0** |
| cogvideox-lora | 202.0 ± 2.0 | 42.0 ± 2.0 |
| repeat-last-frame | 203.0 ± 2.0 | 43.0 ± 2.0 |

Values ± one standard error. Bold: the best value of those that saw the same, and all that the paired test \
does not tell from it, where it tells any (Holm over all metrics and pairs, 5%).

- Protocol: seer (eeeeeeeeeeee)
"""
    assert text.startswith(start)
    assert "-777" not in text


def test_the_reports_show_measured_and_published_figures_apart(
    summary: Rows, make_tables: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_tables(summary, prompts=(), videos=False)
    write_table(folder, "runs", runs())
    markdown = markdown_report(folder)
    page = write_html_report(folder, tmp_path / "report.html").read_text(encoding="utf-8")
    for text in (markdown, page):
        assert text.index("epic KVD") < text.index("As published: text-video prediction")
        published = text.index("As published: text-video prediction")
        assert text.index("Text-video prediction") < published
        # Figures stand behind the words, each with its mark, and nowhere else.
        for figure, mark in (("291.4", "T"), ("112.9", "T"), ("246.3", "U"), ("271.4", "T"), ("50.2", "D")):
            places = [match.start() for match in re.finditer(rf"(?<![\d.]){re.escape(figure)}\b", text)]
            assert places
            assert min(places) > published
            assert all(re.match(rf"\S+ \\?\[{mark}", text[place:]) for place in places)


def test_published_rows_are_methods_under_data_sets(summary: Rows) -> None:
    (published,) = published_prediction(run_of(summary, runs()))
    rows = {row[0]: dict(zip(published.headings, row, strict=True)) for row in published.rows}
    assert list(rows) == ["Seer", "Tune-A-Video", "the best before Seer", "AID"]
    assert rows["Seer"]["BridgeData FVD, published"] == "246.3 [U]"
    assert rows["AID"]["Epic-Kitchens-100 FVD, published"] == "– [?]"
    assert rows["AID"]["Something-Something V2 FVD, published"].startswith("50.2 [D] (about")
    for data in ("Something-Something V2", "BridgeData", "Epic-Kitchens-100"):
        assert {row[f"{data} KVD, published"] for row in rows.values()} == {"– [?]"}
    for text in (
        "[?]: not known here. KVD: no page that was read gives it for any method;",
        "TATS, MCVD, SimVP",
        "FVD of AID: no figure was found (Epic-Kitchens-100)",
        "[U]: a recollection, not confirmed",
        "2 of 12 frames are given",
    ):
        assert text in published.protocol


def test_a_data_set_of_one_s_own_has_nothing_published_beside_it(summary: Rows) -> None:
    entry = {"name": "gone/plugin.py:Clips", "label": "ssv2", "config": {"num_context_frames": 2}}
    run = run_of(summary, runs([entry]))
    assert len(prediction_tables(run)) == 1
    assert published_prediction(run) == ()
