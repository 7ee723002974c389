"""The ablation table: what tells the variants of a method apart is found in what the run recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reelbench.core.hashing import canonical_json
from reelbench.core.plan import config_data
from reelbench.core.tables import write_table
from reelbench.methods.prediction.config import FcaConfig
from reelbench.methods.prediction.fca import FCA
from reelbench.reports.pages.html_report import write_html_report
from reelbench.reports.pages.markdown_report import markdown_report, table_markdown
from reelbench.reports.tables.ablation import ablation_tables
from reelbench.reports.tables.run_tables import RunTables

STRUCTURES = {
    "full": FcaConfig(),
    "no text": FcaConfig(text="off"),
    "no mask": FcaConfig(text="shared"),
    "no frames": FcaConfig(initial_frames="off"),
    "into text": FcaConfig(into="text"),
}
METRICS = {"lpips": "LPIPS", "fvd_others": "FVD", "psnr": "PSNR", "kvd_others": "KVD", "clipsim": "CLIPSIM"}

Rows = list[dict[str, Any]]


def config_of(variant: str, **settings: Any) -> str:
    """A configuration with the structure that was trained; where it lies says nothing of what it is."""
    structure = STRUCTURES[variant].model_dump(mode="json")
    return canonical_json(
        {"base": "base", "num_steps": 50, "trained": f"out/{variant}", "structure": structure} | settings
    )


def runs(variants: list[str] | None = None) -> Rows:
    """A row of the `runs` table."""
    run_file = {"name": "demo", "datasets": [{"name": "ssv2", "config": {"root": "data"}}]}
    weights = {"i3d:i3d": "9" * 64}
    for index, variant in enumerate(variants or STRUCTURES):
        weights |= {f"{variant}:base": "b" * 64, f"{variant}:out/{variant}": str(index) * 64}
    return [{"run": "demo", "run_file": json.dumps(run_file), "weights": json.dumps(weights)}]


def build(summary: Rows, runs: Rows, order: tuple[str, ...] = (), comparisons: Rows | None = None) -> Any:
    run = RunTables(summary=summary, runs=runs, comparisons=comparisons or [])
    run.method_order = order
    return ablation_tables(run)


@pytest.fixture
def summary(summary_row: Callable[..., dict[str, Any]]) -> Rows:
    """Five variants of one method, and another method, on one data set."""
    rows = []
    for rank, variant in enumerate([*STRUCTURES, "floor"]):
        for metric, label in METRICS.items():
            rows.append(
                summary_row(
                    metric=metric, label=label, level="set" if metric.endswith("_others") else "clip",
                    references="others" if metric.endswith("_others") else None,
                    higher_is_better=metric == "psnr", method=variant,
                    method_name="fca" if variant in STRUCTURES else "floor",
                    method_config=config_of(variant) if variant in STRUCTURES else '{"num_frames": 16}',
                    conditioning="text + first frames", dataset="ssv2", split="validation", value=30.0 + rank,
                    standard_error=1.0, protocol="seer", protocol_digest="e" * 64, signature=None,
                )
            )  # fmt: skip
    return rows


@pytest.fixture
def tests(comparison_row: Callable[..., dict[str, Any]]) -> Rows:
    """The variant as published is better than each other one; no test of the floor counts here."""
    return [
        comparison_row(
            dataset="ssv2", split="validation", conditioning="text + first frames", protocol="seer",
            metric="fvd_others", protocol_digest="e" * 64, method_a="full", method_b=other, difference=-1.0,
            p_holm=0.9 if other == "floor" else 0.04,
        )
        for other in [*list(STRUCTURES)[1:], "floor"]
    ]  # fmt: skip


def test_settings_that_differ_are_columns_and_those_that_do_not_are_none(summary: Rows) -> None:
    (table,) = build(summary, runs())
    assert table.title == "fca on ssv2, validation"
    assert set(table.settings) == {"text", "initial_frames", "into"}
    of = {label: dict(zip(table.settings, values, strict=True)) for label, values in table.values.items()}
    assert of["full"] == {"text": "frame-wise", "initial_frames": "base", "into": "video"}
    assert of["no text"] == of["full"] | {"text": "off"}
    assert of["no mask"] == of["full"] | {"text": "shared"}
    assert of["no frames"] == of["full"] | {"initial_frames": "off"}
    assert of["into text"] == of["full"] | {"into": "text"}


def test_metrics_are_the_papers_in_order(summary: Rows) -> None:
    (table,) = build(summary, runs())
    assert [column.heading for column in table.columns] == ["FVD ↓", "KVD ↓", "PSNR ↑", "LPIPS ↓"]


def test_variants_stand_in_the_order_of_the_run_file_and_other_methods_are_none(
    summary: Rows, tests: Rows
) -> None:
    (table,) = build(summary, runs(), tuple(STRUCTURES), tests)
    (group,) = table.groups
    assert [row.method for row in group.rows] == list(STRUCTURES)
    assert [row.cells[0].is_best for row in group.rows] == [True, False, False, False, False]
    assert not any(row.cells[1].is_best for row in group.rows)  # KVD is not tested
    tests[0]["p_holm"] = 0.06  # the second is not told from the first, and shares its mark
    (table,) = build(summary, runs(), tuple(STRUCTURES), tests)
    assert [row.cells[0].is_best for row in table.groups[0].rows] == [True, True, False, False, False]


def test_where_weights_lie_stands_below_with_their_digests(summary: Rows) -> None:
    (table,) = build(summary, runs(), tuple(STRUCTURES))
    assert dict(table.facts)["Weights"].startswith(
        f"full: out/full ({'0' * 12}); no text: out/no text ({'1' * 12}); "
    )


def test_where_weights_lie_is_a_column_when_nothing_else_tells_variants_apart(summary: Rows) -> None:
    for row in summary:
        if row["method"] in ("full", "no mask"):
            row["method_config"] = config_of("full", trained=f"out/{row['method']}")
    two = [row for row in summary if row["method"] in ("full", "no mask")]
    (table,) = build(two, runs())
    assert table.settings == ("trained",)
    assert table.values == {"full": ("out/full",), "no mask": ("out/no mask",)}
    assert "Weights" not in dict(table.facts)
    # Among others that do differ, these two still need it.
    (table,) = build(summary, runs())
    assert "trained" in table.settings


def test_settings_of_one_name_are_told_apart_by_where_they_stand(summary: Rows) -> None:
    chosen = [row for row in summary if row["method"] in ("full", "no text")]
    for row in chosen:
        row["method_config"] = config_of(row["method"], text=row["method"], guidance=None)
        if row["method"] == "full":
            row["method_config"] = config_of("full", text="a", guidance=2.0)
    (table,) = build(chosen, runs())
    assert set(table.settings) == {"guidance", "text", "structure.text"}
    of = {label: dict(zip(table.settings, values, strict=True)) for label, values in table.values.items()}
    assert (of["full"]["guidance"], of["no text"]["guidance"]) == ("2.0", "–")


def test_settings_are_found_in_the_configuration_that_a_run_stores_of_fca(summary: Rows) -> None:
    for row in summary:
        if row["method"] in STRUCTURES:
            method = FCA(FCA.Config(trained=None, untrained=STRUCTURES[row["method"]]))
            row["method_config"] = canonical_json(config_data(method))
    (table,) = build(summary, runs(), tuple(STRUCTURES))
    assert table.settings == ("initial_frames", "into", "text")
    assert table.values["no mask"] == ("base", "video", "shared")
    assert "Weights" not in dict(table.facts)


def test_there_is_no_table_without_variants(summary: Rows) -> None:
    assert build([row for row in summary if row["method"] == "full"], runs()) == ()
    for row in summary:
        row["method_config"] = "{}"  # the same twice, as two labels of one entry would be
    assert build(summary, runs()) == ()


def test_there_is_no_table_where_nothing_is_predicted(summary: Rows) -> None:
    run_file = {"datasets": [{"name": "msrvtt", "label": "ssv2", "config": {"root": "data"}}]}
    assert build(summary, [runs()[0] | {"run_file": json.dumps(run_file)}]) == ()


def test_protocols_have_tables_of_their_own(summary: Rows) -> None:
    other = [row | {"protocol": "predicted", "protocol_digest": "f" * 64} for row in summary]
    tables = build(summary + other, runs())
    assert [table.title for table in tables] == [
        "fca on ssv2, validation, protocol predicted",
        "fca on ssv2, validation, protocol seer",
    ]


def test_missing_clips_show_in_the_coverage(summary: Rows) -> None:
    for row in summary:
        if row["method"] == "no frames":
            row.update(n=15, coverage=0.9375, num_failures=1)
    (table,) = build(summary, runs())
    assert table.shows_n
    (row,) = [row for group in table.groups for row in group.rows if row.method == "no frames"]
    assert (row.n, row.coverage) == ("15", "93.8%")


def test_both_reports_show_settings_beside_the_metrics(
    summary: Rows, tests: Rows, make_tables: Callable[..., Path], tmp_path: Path
) -> None:
    (table,) = build(summary, runs(), tuple(STRUCTURES), tests)
    text = table_markdown(table, table.title)
    head, _, saw, first, second = text.splitlines()[2:7]
    assert head == "| Variant | initial\\_frames | into | text | FVD ↓ | KVD ↓ | PSNR ↑ | LPIPS ↓ |"
    assert saw == "| *Saw: text + first frames* |  |  |  |  |  |  |  |"
    assert first.startswith("| full | base | video | frame-wise | **30.0 ± 1.0** |")
    assert second.startswith("| no text | base | video | off | 31.0 ± 1.0 |")

    folder = make_tables(summary, prompts=(), videos=False)
    write_table(folder, "runs", runs())
    assert "### Variants of fca on ssv2, validation" in markdown_report(folder)
    page = write_html_report(folder, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Variants of fca on ssv2, validation" in page
    start = page.index("Variants of fca")
    body = page[start : page.index("</table>", start)]
    assert '<th scope="col" class="setting">into</th>' in body
    assert '<td class="setting">shared</td>' in body
    assert 'colspan="8"' in body
    rows = body.split("<tr")[1:]
    assert {row.count("<td") for row in rows if "<td" in row} == {8}
    assert rows[0].count("<th ") == 8
