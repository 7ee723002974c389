"""The table of the papers: grouped by what methods saw, one protocol a table."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from reelbench.core.tables import read_table, write_table
from reelbench.reports.pages.markdown_report import comparison_markdown
from reelbench.reports.pages.terminal_report import print_table
from reelbench.reports.tables.comparison import ComparisonTable, comparison_table
from reelbench.reports.tables.run_tables import Row, RunTables

GOLDEN = """\
### sprites, test

| Method | FVD ↓ | CLIPSIM ↑ | Sampling (s/clip) |
| --- | ---: | ---: | ---: |
| *Saw: text* |  |  |  |
| ddim-frames | 298.1 ± 5.3 | 0.2945 ± 0.0012 | 0.510 ± 0.012 |
| text2video-zero | **276.6 ± 5.3** | 0.3055 ± 0.0012 | 0.910 ± 0.012 |
| zs2 | **255.1 ± 5.3** | **0.3165 ± 0.0012** | 1.310 ± 0.012 |
| *Saw: text + reference video* |  |  |  |
| tune-a-video | 233.6 ± 5.3 \\[1\\] | 0.3275 ± 0.0012 | 1.710 ± 0.012 |

Values ± one standard error. Bold: the best value of those that saw the same, and all that the paired test \
does not tell from it, where it tells any (Holm over all metrics and pairs, 5%).

- Own references, so not ranked: FVD of methods that saw text + reference video: the clips were made from a \
part of the very references that they are held against, and closeness to these makes the values smaller even \
where the distribution is wrong; methods are told apart by values against the references of other clips
- Not told apart from the best value (paired test, Holm, 5%): FVD: zs2 and text2video-zero (detectable: 18)
- Protocol: fvd-demo-16x64 (af8a2851503d)
- Samples: 16 clips per method, of 8 source videos, 1 seed
- Reference clips: 16
- Intervals: group jackknife (FVD); t, clustered on source (CLIPSIM)
- Signatures: fvd\\|v1\\|af8a2851 (FVD); clipsim\\|v1\\|af8a2851 (CLIPSIM)
- Hardware: 2 CPU cores
- \\[1\\] own references: the clips were made from a part of the references that they are held against
"""


def build(summary: Sequence[Row], comparisons: Sequence[Row] = ()) -> ComparisonTable:
    return comparison_table(RunTables(summary=summary, comparisons=comparisons))


def load(folder: Path) -> ComparisonTable:
    return comparison_table(RunTables(folder))


def best_methods(table: ComparisonTable) -> set[tuple[str, str]]:
    return {
        (row.method, column.metric)
        for section in table.sections
        for group in section.groups
        for row in group.rows
        for column, cell in zip(section.columns, row.cells, strict=True)
        if cell.is_best
    }


def test_markdown_of_a_run(make_tables: Callable[..., Path]) -> None:
    assert comparison_markdown(load(make_tables(videos=False))) == GOLDEN


def test_best_is_marked_within_a_conditioning_only(
    full_summary: list[dict[str, Any]], full_comparisons: list[dict[str, Any]]
) -> None:
    # tune-a-video has the best values of all, but it is alone in having seen the video.
    table = build(full_summary, comparisons=full_comparisons)
    assert best_methods(table) == {("zs2", "clipsim"), ("zs2", "fvd"), ("text2video-zero", "fvd")}


def test_tests_of_another_protocol_or_data_set_mark_nothing(
    full_summary: list[dict[str, Any]], full_comparisons: list[dict[str, Any]]
) -> None:
    for other in ({"protocol_digest": "f" * 64}, {"dataset": "webvid"}):
        table = build(full_summary, comparisons=[row | other for row in full_comparisons])
        assert best_methods(table) == set()


def test_tables_without_comparisons_are_shown_and_mark_nothing(make_tables: Callable[..., Path]) -> None:
    folder = make_tables(videos=False, comparisons=[])
    without = comparison_markdown(load(folder))
    assert "**" not in without
    assert (
        "- No paired test, so nothing marked: FVD, CLIPSIM: zs2, text2video-zero and ddim-frames" in without
    )
    (folder / "comparisons.parquet").unlink()
    assert comparison_markdown(load(folder)) == without


def test_a_single_method_is_not_the_best(summary_row: Callable[..., dict[str, Any]]) -> None:
    assert best_methods(build([summary_row()])) == set()


def test_of_equal_values_none_is_the_best(summary_row: Callable[..., dict[str, Any]]) -> None:
    assert best_methods(build([summary_row(method="a"), summary_row(method="b")])) == set()


def test_no_best_where_set_metrics_have_other_sample_counts(
    summary_row: Callable[..., dict[str, Any]],
) -> None:
    table = build(
        [summary_row(method="a", value=3.0, n=16), summary_row(method="b", value=2.0, n=12, coverage=0.75)]
    )
    assert best_methods(table) == set()
    assert "- \\[1\\] FVD: depends on the number of samples, which differs" in comparison_markdown(table)
    assert "| Method | FVD ↓ \\[1\\] |" in comparison_markdown(table)
    assert "No paired test" not in comparison_markdown(table)


@pytest.mark.parametrize(
    ("coverage", "best"),
    [((1.0, 1.0), {("a", "psnr")}), ((0.375, 1.0), set()), ((1.0, 0.375), {("a", "psnr")})],
)
def test_a_best_value_of_fewer_clips_than_others_have_is_not_marked(
    coverage: tuple[float, float],
    best: set[tuple[str, str]],
    summary_row: Callable[..., dict[str, Any]],
    comparison_row: Callable[..., dict[str, Any]],
) -> None:
    psnr = {"metric": "psnr", "level": "clip"}
    rows = [
        summary_row(method=method, value=value, label="PSNR", higher_is_better=True, coverage=share, **psnr)
        for method, value, share in zip("ab", (20.0, 16.0), coverage, strict=True)
    ]
    test = comparison_row(method_a="a", method_b="b", difference=4.0, p_holm=0.01, **psnr)
    table = build(rows, [test])
    assert best_methods(table) == best
    assert ("fewer clips than others have" in comparison_markdown(table)) is (not best)


@pytest.mark.parametrize(
    ("metric", "unit"), [("sampling_s", "s/clip"), ("peak_memory_gib", "GiB"), ("tuning_s", "s/tuning")]
)
def test_cost_that_depends_on_the_machines_load_is_not_ranked(
    metric: str, unit: str, summary_row: Callable[..., dict[str, Any]]
) -> None:
    cost = {"metric": metric, "label": "Cost", "level": "cost", "unit": unit}
    rows = [summary_row(method="a", value=1.259, **cost), summary_row(method="b", value=1.264, **cost)]
    table = build(rows)
    assert best_methods(table) == set()
    assert [column.heading for column in table.sections[0].columns] == [f"Cost ({unit})"]
    assert "told apart" not in comparison_markdown(table)


@pytest.mark.parametrize(
    ("numbers", "best"),
    [
        ({"a": 0, "b": 0, "c": 0, "d": 319_236}, set()),  # three share the fewest
        ({"a": 0, "b": 319_236}, {"a"}),
        ({"a": 5_000_001, "b": 5_000_002}, set()),  # both are printed as 5.00 M
        ({"a": 0, "b": None}, set()),  # b's may be none, too
    ],
)
def test_of_trained_parameters_the_fewest_are_marked_where_no_other_has_as_few(
    numbers: dict[str, int | None], best: set[str], summary_row: Callable[..., dict[str, Any]]
) -> None:
    cost = {"metric": "trainable_parameters", "label": "Trained", "level": "cost", "unit": "parameters"}
    rows = [summary_row(method=m, value=n, standard_error=None, **cost) for m, n in numbers.items()]
    table = build(rows)
    assert {method for method, _ in best_methods(table)} == best
    assert table.sections[0].columns[0].heading == "Trained (parameters) ↓"


def test_methods_stand_in_the_order_of_the_run_file(make_tables: Callable[..., Path]) -> None:
    folder = make_tables(videos=False)
    run = read_table(folder, "runs").to_pylist()[0]
    run["run_file"] = json.dumps({"methods": [{"name": "zs2"}, {"name": "x", "label": "text2video-zero"}]})
    write_table(folder, "runs", [run])
    groups = load(folder).sections[0].groups
    assert [row.method for row in groups[0].rows] == ["zs2", "text2video-zero", "ddim-frames"]


def test_groups_go_from_least_to_most_seen(summary_row: Callable[..., dict[str, Any]]) -> None:
    seen = ["text + reference video", "text", "text + first frames"]
    rows = [summary_row(method=f"m{index}", conditioning=text) for index, text in enumerate(seen)]
    (section,) = build(rows).sections
    assert [group.conditioning for group in section.groups] == ["text", "text + first frames", seen[0]]


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_a_missing_value_is_a_dash_with_its_reason(
    value: float | None, summary_row: Callable[..., dict[str, Any]]
) -> None:
    rows = [
        summary_row(method="a"),
        summary_row(
            method="b", value=value, notes="needs 10 clips, got 2", num_failures=14, coverage=0.125, n=2
        ),
    ]
    text = comparison_markdown(build(rows))
    assert "| b | – \\[1\\] | 2 | 12.5% |" in text
    assert "- \\[1\\] needs 10 clips, got 2; 14 clips without a value" in text


def test_a_metric_without_a_row_is_a_dash_too(summary_row: Callable[..., dict[str, Any]]) -> None:
    rows = [
        summary_row(method="a"),
        summary_row(method="a", metric="kvd", label="KVD"),
        summary_row(method="b"),
    ]
    text = comparison_markdown(build(rows))
    assert "| b | 298.1 ± 5.3 | – \\[1\\] |" in text
    assert "not computed for this method" in text


def test_protocols_never_share_a_table(summary_row: Callable[..., dict[str, Any]]) -> None:
    cost = summary_row(
        metric="sampling_s", label="Sampling", level="cost", value=9.0, protocol=None, protocol_digest=None
    )
    rows = [
        summary_row(),
        summary_row(protocol="stylegan-v", protocol_digest="f" * 64, value=100.0),
        cost,
    ]
    sections = build(rows).sections
    assert [section.protocol for section in sections] == ["fvd-demo-16x64", "stylegan-v"]
    # Seconds are seconds under every protocol.
    assert [[column.metric for column in section.columns] for section in sections] == [
        ["fvd", "sampling_s"]
    ] * 2
    values = [section.groups[0].rows[0].cells[0].value for section in sections]
    assert values == [298.1324, 100.0]
    assert "(ffffffffffff)" in comparison_markdown(build(rows))


def test_n_and_coverage_are_columns_only_where_they_matter(
    summary_row: Callable[..., dict[str, Any]],
) -> None:
    whole = build([summary_row(method="a"), summary_row(method="b")])
    assert "coverage" not in comparison_markdown(whole)
    partial = build([summary_row(method="a"), summary_row(method="b", n=15, coverage=0.9996)])
    assert "| b | 298.1 ± 5.3 | 15 | 99.9% |" in comparison_markdown(partial)
    thirds = build([summary_row(method="a", n=4, coverage=4 / 6)])
    assert "| a | 298.1 ± 5.3 | 4 | 66.7% |" in comparison_markdown(thirds)


def test_coverage_is_a_range_where_n_is_one(summary_row: Callable[..., dict[str, Any]]) -> None:
    rows = [
        summary_row(value=None, n=0, coverage=0.0),
        summary_row(metric="psnr", label="PSNR", level="clip", n=4, coverage=1.0),
    ]
    assert "| 0 to 4 | 0% to 100% |" in comparison_markdown(build(rows))


def test_the_legend_speaks_of_parameters_only_where_they_are_a_column(
    summary_row: Callable[..., dict[str, Any]],
) -> None:
    count = summary_row(
        metric="trainable_parameters", label="Trained", unit="parameters", level="cost", value=3.0
    )
    for rows, is_said in (([summary_row()], False), ([summary_row(), count], True)):
        assert ("of trained parameters: fewer" in comparison_markdown(build(rows))) is is_said


def test_notes_are_numbered_once_and_common_ones_stand_at_the_heading(
    summary_row: Callable[..., dict[str, Any]],
) -> None:
    rows = [
        summary_row(method="a", notes="N is small\nonly here"),
        summary_row(method="b", notes="N is small"),
    ]
    text = comparison_markdown(build(rows))
    assert "| Method | FVD ↓ \\[1\\] |" in text
    assert "| a | 298.1 ± 5.3 \\[2\\] |" in text
    assert text.count("N is small") == 1


def test_a_signature_that_differs_within_a_column_names_the_methods(
    summary_row: Callable[..., dict[str, Any]],
) -> None:
    rows = [summary_row(method="a", signature="s1"), summary_row(method="b", signature="s2")]
    assert "- Signatures: s1 (FVD: a); s2 (FVD: b)" in comparison_markdown(build(rows))


def test_names_cannot_break_markdown(summary_row: Callable[..., dict[str, Any]]) -> None:
    text = comparison_markdown(build([summary_row(method="<img src=x>|**b**\n# c")]))
    assert "| &lt;img src=x\\>\\|\\*\\*b\\*\\* \\# c | 298.1 ± 5.3 |" in text


def test_two_rows_for_one_cell_are_a_defect(summary_row: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="two all-seeds rows"):
        build([summary_row(), summary_row()])


def test_terminal_shows_the_values_and_reads_no_markup(summary_row: Callable[..., dict[str, Any]]) -> None:
    from rich.console import Console

    rows = [summary_row(method="[red]a[/red]"), summary_row(method="b", value=None)]
    stream = io.StringIO()
    print_table(build(rows), Console(file=stream, width=100))
    text = stream.getvalue()
    assert "[red]a[/red]" in text
    assert "298.1 ± 5.3" in text
    assert "[1] no value" in text


def test_a_table_too_wide_for_the_terminal_is_printed_in_pieces(
    summary_row: Callable[..., dict[str, Any]],
) -> None:
    from rich.console import Console

    metrics = {f"m{index}": f"A long heading {index}" for index in range(9)}
    rows = [summary_row(metric=metric, label=label) for metric, label in metrics.items()]
    stream = io.StringIO()
    print_table(build(rows), Console(file=stream, width=70))
    text = stream.getvalue()
    assert text.count("298.1 ± 5.3") == 9  # no number is broken
    assert "…" not in text
    assert text.count("Method") == 3


def test_an_empty_summary_says_so() -> None:
    assert comparison_markdown(build([])) == "No results yet.\n"
