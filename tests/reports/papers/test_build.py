"""What a table of a paper says: digits, what is best and second, and what may stand together."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from reelbench.reports.papers.build import build_table
from reelbench.reports.papers.paper_table import PaperTable, TablePart
from reelbench.reports.papers.spec import TableError, TableSpec, parse_spec

from .conftest import MakeRun

Row = dict[str, Any]
MakeRow = Callable[..., Row]

CLIPSIM = {
    "metric": "clipsim",
    "label": "CLIPSIM",
    "higher_is_better": True,
    "level": "clip",
    "n_reference": None,
}


def spec_of(*columns: dict[str, Any], **more: Any) -> TableSpec:
    return parse_spec({"title": "Mine", "columns": list(columns), **more}, "mine")


def cells(part: TablePart) -> dict[str, list[str]]:
    """By method: rank and stars of each cell, behind its text."""
    return {
        row.label: [" ".join(filter(None, [cell.text, cell.rank, cell.stars])) for cell in row.cells]
        for row in part.rows
    }


def facts(table: PaperTable) -> dict[str, str]:
    return dict(table.facts)


@pytest.fixture
def ladder(summary_row: MakeRow, comparison_row: MakeRow) -> tuple[list[Row], list[Row]]:
    """a is best and told from all; b and c are told from d alone."""
    values = {"a": 0.40, "b": 0.33, "c": 0.32, "d": 0.20}
    rows = [
        summary_row(**CLIPSIM, method=method, method_name=method, value=value, standard_error=0.004)
        for method, value in values.items()
    ]
    tests = [
        comparison_row(
            metric="clipsim", level="clip", method_a=a, method_b=b, difference=values[a] - values[b],
            p_holm={("b", "c"): 0.4, ("a", "b"): 0.03, ("a", "c"): 0.004}.get((a, b), 0.0004),
        )
        for a, b in itertools.combinations(values, 2)
    ]  # fmt: skip
    return rows, tests


def test_the_best_is_bold_and_what_is_not_told_from_the_second_is_underlined(
    make_run: MakeRun, ladder: tuple[list[Row], list[Row]]
) -> None:
    table = build_table(spec_of({"metric": "clipsim", "digits": 2}), [make_run(*ladder)])
    assert cells(table.parts[0]) == {
        "a": ["0.40 best"],
        "b": ["0.33 second *"],
        "c": ["0.32 second **"],
        "d": ["0.20 ***"],
    }
    assert "Underlined" in table.legend
    assert "* p ≤ 0.05, ** p ≤ 0.01, *** p ≤ 0.001" in table.legend


def test_without_tests_nothing_is_marked_and_that_is_said(
    make_run: MakeRun, ladder: tuple[list[Row], list[Row]]
) -> None:
    table = build_table(spec_of({"metric": "clipsim"}), [make_run(ladder[0])])
    assert {row.cells[0].rank for row in table.parts[0].rows} == {""}
    assert facts(table)["No paired test, so nothing marked"] == "CLIPSIM: all 4"
    assert "Bold" not in table.legend


def test_what_is_not_shown_is_not_ranked_either(
    make_run: MakeRun, ladder: tuple[list[Row], list[Row]]
) -> None:
    table = build_table(spec_of({"metric": "clipsim"}, rows=[{"methods": ["b", "d"]}]), [make_run(*ladder)])
    assert [row.cells[0].rank for row in table.parts[0].rows] == ["best", ""]
    with pytest.raises(TableError, match="needs any of clipsim, of x; the run has clipsim on sprites"):
        build_table(spec_of({"metric": "clipsim"}, rows=[{"methods": ["x"]}]), [make_run(*ladder)])


def test_the_last_of_two_is_no_second_best(make_run: MakeRun, ladder: tuple[list[Row], list[Row]]) -> None:
    rows, tests = ladder
    table = build_table(spec_of({"metric": "clipsim"}), [make_run([rows[0], rows[3]], tests)])
    assert [row.cells[0].rank for row in table.parts[0].rows] == ["best", ""]


def test_methods_that_saw_something_else_are_ranked_apart(
    make_run: MakeRun, ladder: tuple[list[Row], list[Row]]
) -> None:
    rows, tests = ladder
    rows[0] = {**rows[0], "conditioning": "text + reference video"}
    table = build_table(spec_of({"metric": "clipsim"}), [make_run(rows, tests)])
    assert [group.heading for group in table.parts[0].groups] == ["Saw: text", "Saw: text + reference video"]
    found = {row.label: row.cells[0].rank for row in table.parts[0].rows}
    assert found == {"b": "best", "c": "best", "d": "", "a": ""}
    headed = spec_of(
        {"metric": "clipsim"}, rows=[{"heading": "One", "methods": ["a", "d"]}, {"methods": ["all"]}]
    )
    table = build_table(headed, [make_run(rows, tests)])
    # The group's heading hides it, so each row says it.
    assert table.settings == ("Saw",)
    assert next(row.settings for row in table.parts[0].rows) == ("text + reference video",)


@pytest.mark.parametrize(
    ("column", "text", "error"),
    [
        ({}, "0.2945", "0.0012"),
        ({"scale": 100}, "29.45", "0.12"),
        ({"scale": 100, "digits": 1}, "29.5", "0.1"),
        ({"digits": 2}, "0.29", "<0.01"),
    ],
)
def test_numbers_are_printed_by_scale_and_digits(
    make_run: MakeRun, summary_row: MakeRow, column: dict[str, Any], text: str, error: str
) -> None:
    run = make_run([summary_row(**CLIPSIM, value=0.29451, standard_error=0.00123)])
    cell = build_table(spec_of({"metric": "clipsim", **column}), [run]).parts[0].groups[0].rows[0].cells[0]
    assert (cell.text, cell.error, cell.value) == (text, error, 0.29451)


def test_methods_are_found_by_registered_name_and_label_and_missing_ones_are_named(
    make_run: MakeRun, summary_row: MakeRow
) -> None:
    rows = [summary_row(method=label, method_name=label[:3]) for label in ("zs2 slow", "zs2 fast", "tav")]
    spec = spec_of(
        {"metric": "fvd"},
        rows=[{"heading": "Tuned", "methods": ["tav", "simda"]}, {"heading": "Not", "methods": ["all"]}],
    )
    table = build_table(spec, [make_run(rows)])
    groups = {group.heading: [row.label for row in group.rows] for group in table.parts[0].groups}
    assert groups == {"Tuned": ["tav"], "Not": ["zs2 slow", "zs2 fast"]}
    assert facts(table)["Not among these results"] == "simda"
    by_name = build_table(spec_of({"metric": "fvd"}, rows=[{"methods": ["zs2"]}]), [make_run(rows)])
    assert [row.label for row in by_name.parts[0].rows] == ["zs2 slow", "zs2 fast"]


def test_a_column_that_no_run_has_is_a_dash_with_its_reason(make_run: MakeRun, summary_row: MakeRow) -> None:
    table = build_table(
        spec_of({"metric": "fvd"}, {"metric": "kvd", "label": "KVD"}), [make_run([summary_row()])]
    )
    (row,) = table.parts[0].rows
    assert row.cells[1].text == "–"
    assert table.footnotes[table.columns[1].marks[0] - 1] == "KVD: kvd is not recorded in these results"


def test_a_run_without_anything_of_the_table_is_refused(make_run: MakeRun, summary_row: MakeRow) -> None:
    run = make_run([summary_row(dataset="videos")], datasets={"videos": "webvid"})
    spec = spec_of({"metric": "fvd"}, {"metric": "clipsim"}, dataset="msrvtt")
    with pytest.raises(TableError) as caught:
        build_table(spec, [run])
    message = caught.value.message
    assert "needs any of fvd, clipsim on msrvtt; the run has fvd on videos (webvid)" in message
    # By registered name, by label, and by what the user says it stands for.
    for spec, options in (
        (spec_of({"metric": "fvd"}, dataset="webvid"), {}),
        (spec_of({"metric": "fvd"}, dataset="videos"), {}),
        (spec_of({"metric": "fvd"}, dataset="msrvtt"), {"dataset": "videos"}),
    ):
        assert list(build_table(spec, [run], **options).parts[0].rows)


def test_several_data_sets_or_protocols_must_be_told_apart(make_run: MakeRun, summary_row: MakeRow) -> None:
    run = make_run([summary_row(dataset="a"), summary_row(dataset="b")])
    with pytest.raises(TableError, match="there are several: a, b"):
        build_table(spec_of({"metric": "fvd"}), [run])
    run = make_run([summary_row(), summary_row(protocol="other", protocol_digest="cd" * 32)])
    with pytest.raises(TableError, match="several protocols: fvd-demo-16x64, other"):
        build_table(spec_of({"metric": "fvd"}), [run])
    for table in (
        build_table(spec_of({"metric": "fvd"}), [run], protocol="other"),
        build_table(spec_of({"metric": "fvd", "protocol": "other"}), [run]),
    ):
        assert facts(table)["Protocol"] == "other (cdcdcdcdcdcd)"


def test_a_data_set_each_column_has_its_heading_and_protocol(make_run: MakeRun, summary_row: MakeRow) -> None:
    run = make_run(
        [summary_row(dataset="a"), summary_row(dataset="b", protocol="p", protocol_digest="ef" * 32)]
    )
    columns = [{"metric": "fvd", "dataset": name} for name in "ab"]
    table = build_table(spec_of(*columns), [run])
    assert list(table.headings()) == [("a", 1), ("b", 1)]
    assert facts(table)["Protocol"] == "fvd-demo-16x64 (af8a2851503d) (a FVD); p (efefefefefef) (b FVD)"


# ---- several runs


def clip_rows(method: str, samples: Sequence[str], content: str = "1") -> list[Row]:
    side = {"dataset": "sprites", "split": "test", "status": "done", "run": "x"}
    return [
        *({**side, "side": "generated", "method": method, "sample_id": s, "seed": 0, "num_frames": 8,
           "height": 32, "width": 32} for s in samples),
        *({**side, "side": "reference", "sample_id": s, "content_digest": content} for s in samples),
    ]  # fmt: skip


def test_runs_that_were_measured_alike_are_joined_and_not_tested(
    make_run: MakeRun, ladder: tuple[list[Row], list[Row]]
) -> None:
    rows, tests = ladder
    one = make_run(rows[:2], tests, name="one", clips=clip_rows("a", "xy"))
    two = make_run([rows[0], rows[3]], tests, name="two", clips=clip_rows("a", "xy"))
    table = build_table(spec_of({"metric": "clipsim"}), [one, two])
    assert [row.label for row in table.parts[0].rows] == ["a (one)", "b", "a (two)", "d"]
    assert {row.cells[0].rank for row in table.parts[0].rows} == {""}
    assert "nothing marked" in " ".join(facts(table))
    assert set(table.runs) == {"one", "two"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"protocol_digest": "cd" * 32}, "the protocol is"),
        ({"split": "validation"}, "the split is 'test' in 'one' and 'validation' in 'two'"),
        ({"n": 32}, "N is 16 in 'one' and 32 in 'two'"),
        ({"num_seeds": 3}, "the seeds are"),
        ({"n_reference": 8}, "reference clips are 16 in 'one' and 8 in 'two'"),
    ],
)
def test_runs_that_were_measured_otherwise_are_refused_with_the_difference(
    make_run: MakeRun, summary_row: MakeRow, change: dict[str, Any], told: str
) -> None:
    runs = [make_run([summary_row()], name="one"), make_run([summary_row(**change)], name="two")]
    with pytest.raises(TableError) as caught:
        build_table(spec_of({"metric": "fvd"}), runs)
    assert f"fvd on sprites: {told}" in caught.value.message
    assert "--allow-mixed" in str(caught.value.hint)


def test_other_samples_and_other_references_are_a_difference(make_run: MakeRun, summary_row: MakeRow) -> None:
    one = make_run([summary_row()], name="one", clips=clip_rows("zs2", "xy"))
    for name, clips, told in (
        ("samples", clip_rows("zs2", "xz"), "the samples are 1 others"),
        ("content", clip_rows("zs2", "xy", content="2"), "of another content|another \\(2 of 2 differ\\)"),
    ):
        with pytest.raises(TableError, match=told):
            build_table(spec_of({"metric": "fvd"}), [one, make_run([summary_row()], name=name, clips=clips)])


def test_mixed_runs_are_parts_of_their_own_and_ranked_apart(
    make_run: MakeRun, ladder: tuple[list[Row], list[Row]]
) -> None:
    rows, tests = ladder
    one = make_run(rows, tests, name="one")
    two = make_run([{**row, "n": 8, "value": row["value"] + 0.5} for row in rows], tests, name="two")
    table = build_table(spec_of({"metric": "clipsim"}), [one, two], allow_mixed=True)
    assert [part.title for part in table.parts] == ["Run one", "Run two"]
    assert [next(iter(part.rows)).cells[0].rank for part in table.parts] == ["best", "best"]
    assert table.shows_n


def test_results_of_one_run_are_told_apart_by_their_id_and_not_named_twice(
    make_run: MakeRun, summary_row: MakeRow
) -> None:
    runs = [make_run([summary_row()], folder=f"20261127T0{hour}0000Z") for hour in (1, 2)]
    table = build_table(spec_of({"metric": "fvd"}), runs)
    assert [row.label for row in table.parts[0].rows] == [
        "zs2 (demo/20261127T010000Z)",
        "zs2 (demo/20261127T020000Z)",
    ]
    with pytest.raises(TableError, match="named twice"):
        build_table(spec_of({"metric": "fvd"}), [runs[0], runs[0]])


# ---- costs


def cost_row(summary_row: MakeRow, method: str, value: float, **more: Any) -> Row:
    about = {"metric": "sampling_s", "label": "Sampling", "unit": "s/clip", "level": "cost", "protocol": None,
             "protocol_digest": None, "n_reference": None, "standard_error": 0.1}  # fmt: skip
    return summary_row(**{**about, "method": method, "method_name": method, "value": value, **more})


def test_costs_stand_apart_with_their_device_and_only_counts_are_marked(
    make_run: MakeRun, summary_row: MakeRow
) -> None:
    count = {
        "metric": "trainable_parameters",
        "label": "Trained",
        "unit": "parameters",
        "standard_error": None,
    }
    rows = [
        row
        for method, seconds, parameters in (("slow", 8.0, 2e6), ("fast", 2.0, 1e6))
        for row in (
            cost_row(summary_row, method, seconds),
            cost_row(summary_row, method, parameters, **count),
            summary_row(method=method, method_name=method),
        )
    ]
    costs = [{"metric": name} for name in ("trainable_parameters", "sampling_s")]
    costs.append({"metric": "speed_up", "against": "slow"})
    table = build_table(
        spec_of({"metric": "fvd"}, costs=costs),
        [make_run(rows, clips=clip_rows("slow", "xy") + clip_rows("fast", "xy"))],
    )
    assert list(table.headings()) == [("", 1), ("Cost (2 CPU cores)", 3)]
    assert {label: texts[1:] for label, texts in cells(table.parts[0]).items()} == {
        "slow": ["2.00 M", "8.00", "1.0×"],
        "fast": ["1.00 M best", "2.00", "4.0×"],
    }
    assert [column.arrow for column in table.columns] == ["↓", "↓", "", ""]


def test_costs_of_another_size_or_device_are_left_out_with_the_reason(
    make_run: MakeRun, summary_row: MakeRow
) -> None:
    rows = [cost_row(summary_row, "zs2", 2.0), cost_row(summary_row, "tav", 3.0, hardware="NVIDIA A100")]
    run = make_run(rows, clips=clip_rows("zs2", "x") + clip_rows("tav", "x"))

    def texts(**cost: Any) -> tuple[list[str], str]:
        spec = parse_spec({"title": "x", "costs": [{"metric": "sampling_s", "digits": 0, **cost}]}, "mine")
        table = build_table(spec, [run])
        return [row.cells[0].text for row in table.parts[0].rows], " ".join(table.footnotes)

    assert texts() == (["2", "3"], "")
    assert texts(size="8x32x32") == (["2", "3"], "")
    assert texts(size="16x512x512") == (["–", "–"], "clips of 8x32x32; the table is of 16x512x512")
    assert texts(device="a100") == (["–", "3"], "made on 2 CPU cores; the table is of a100")
    spec = parse_spec({"title": "x", "costs": [{"metric": "speed_up", "against": "tav"}]}, "mine")
    table = build_table(spec, [run])
    assert [row.cells[0].text for row in table.parts[0].rows] == ["–", "1.0×"]
    assert table.footnotes == ("made on another device or data set than tav",)


def test_all_that_a_method_loads_is_counted_where_the_run_says_it(
    make_run: MakeRun, summary_row: MakeRow
) -> None:
    rows = [summary_row(method=method) for method in ("zs2", "tav")]
    spec = spec_of({"metric": "fvd"}, costs=[{"metric": "total_parameters"}])
    table = build_table(spec, [make_run(rows, parameters={"zs2": 1_090_000_000})])
    assert [row.cells[1].text for row in table.parts[0].rows] == ["1.09 B", "–"]
    old = build_table(spec, [make_run(rows)])
    assert "total_parameters is not recorded in these results" in old.footnotes[-1]


# ---- ablations, base models, edits, published figures


def test_an_ablation_shows_the_settings_in_which_its_rows_differ(
    make_run: MakeRun, summary_row: MakeRow
) -> None:
    rows = [
        summary_row(method=f"v{steps}", method_config=json.dumps({"tuning": {"steps": steps}, "same": 1}))
        for steps in (10, 20)
    ]
    spec = spec_of({"metric": "fvd"}, kind="ablation")
    table = build_table(spec, [make_run(rows)])
    assert table.settings == ("steps",)
    assert [row.settings for row in table.parts[0].rows] == [("10",), ("20",)]
    setting = {"path": "tuning.steps", "label": "Steps", "values": {"10": "ten"}}
    table = build_table(spec_of({"metric": "fvd"}, settings=[setting]), [make_run(rows)])
    assert (table.settings, next(iter(table.parts[0].rows)).settings) == (("Steps",), ("ten",))
    table = build_table(spec_of({"metric": "fvd"}, group_by=setting), [make_run(rows)])
    assert table.group_heading == "Steps"
    assert [group.heading for group in table.parts[0].groups] == ["ten", "20"]


def test_methods_are_grouped_by_the_base_model_that_the_run_file_names(
    make_run: MakeRun, summary_row: MakeRow
) -> None:
    rows = [summary_row(method=label, method_name=label[:3]) for label in ("zs2 1", "zs2 2", "tav 1")]
    by_model = {"path": "weights", "label": "Base model", "values": {"hub/1": "SD 1"}}
    table = build_table(spec_of({"metric": "fvd"}, group_by=by_model), [make_run(rows)])
    groups = {group.heading: [row.label for row in group.rows] for group in table.parts[0].groups}
    assert groups == {"SD 1": ["zs2 1", "tav 1"], "hub/2": ["zs2 2"]}


def test_edits_stand_by_kind_and_only_all_of_them_are_ranked(
    make_run: MakeRun, ladder: tuple[list[Row], list[Row]]
) -> None:
    rows, tests = ladder
    kinds = {"x": "style", "y": "object"}
    clips, scores = [], []
    for row, (sample, kind) in itertools.product(rows, kinds.items()):
        its = {"dataset": "sprites", "split": "test", "method": row["method"], "sample_id": sample,
               "source": sample, "edit": kind, "seed": 0, "run": "demo"}  # fmt: skip
        clips.append({**its, "side": "generated", "status": "done"})
        value = row["value"] + (kind == "style")
        scores.append({**its, "metric": "clipsim", "protocol_digest": row["protocol_digest"], "value": value})
    spec = spec_of({"metric": "clipsim", "digits": 2}, edits=True)
    table = build_table(spec, [make_run(rows, tests, clips=clips, scores=scores)])
    assert [part.title for part in table.parts] == [
        "All edits, 2 edits of 2 videos",
        "Style, 1 edit of 1 video",
        "Object, 1 edit of 1 video",
    ]
    assert cells(table.parts[0])["a"] == ["0.40 best"]
    assert cells(table.parts[1])["a"] == ["1.40"]
    with pytest.raises(TableError, match="nothing was edited"):
        build_table(spec, [make_run(rows, tests)])


def test_published_figures_stand_apart_with_their_source_in_the_tables_scale(
    make_run: MakeRun, summary_row: MakeRow
) -> None:
    spec = spec_of(
        {"metric": "fvd", "label": "FVD"},
        {"metric": "clipsim", "label": "CLIPSIM", "scale": 100},
        published=["webvid"],
    )
    table = build_table(spec, [make_run([summary_row()])])
    measured, published = table.parts
    assert (measured.is_published, published.is_published) == (False, True)
    assert "published" in published.title
    simda = next(row for row in published.rows if row.label == "SimDA")
    assert [figure.text for figure in simda.cells[1].figures] == ["30.54"]
    assert {cell.rank for row in published.rows for cell in row.cells} == {""}
    assert "simda" in table.sources
    assert "† " in f"{table.legend} " or "†:" in table.legend


def test_without_a_run_the_published_figures_stand_alone_and_say_how_to_go_on() -> None:
    table = build_table(spec_of({"metric": "fvd", "label": "FVD"}, dataset="webvid", published=["webvid"]))
    assert not table.is_measured
    assert (
        facts(table)["Nothing measured"]
        == "`reelbench table mine RUN` fills it; a run needs any of fvd on webvid"
    )
    assert table.columns[0].arrow == "↓"
