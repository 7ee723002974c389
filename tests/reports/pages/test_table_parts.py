"""Cost has a table of its own where quality and cost together would not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from reelbench.reports.pages.html_report import MAX_COLUMNS, table_parts, whole_table, write_html_report
from reelbench.reports.pages.markdown_report import comparison_markdown
from reelbench.reports.tables.comparison import comparison_table
from reelbench.reports.tables.run_tables import RunTables

COSTS = {
    "sampling_s": ("Sampling", "s/clip", 11.25),
    "peak_memory_gib": ("Memory", "GiB", 7.5),
    "tuning_s": ("Tuning", "s/tuning", 612.0),
    "tuning_memory_gib": ("Tuning memory", "GiB", 21.5),
    "trainable_parameters": ("Trained", "parameters", 24_855_680.0),
}

Make = Callable[..., dict[str, Any]]


def rows(summary_row: Make, num_metrics: int) -> list[dict[str, Any]]:
    """SimDA with all costs beside a method that tunes nothing."""
    found = []
    for method in ("simda-edit", "ddim-frames"):
        found += [
            summary_row(method=method, metric=f"m{index}", label=f"M{index}", level="clip")
            for index in range(num_metrics)
        ]
    for metric, (label, unit, value) in COSTS.items():
        for method in ("simda-edit", "ddim-frames"):
            if method == "simda-edit" or metric in ("sampling_s", "peak_memory_gib"):
                found.append(
                    summary_row(method=method, metric=metric, label=label, unit=unit, level="cost",
                                value=value, standard_error=None)
                )  # fmt: skip
    return found


def test_a_table_that_fits_is_one(summary_row: Make) -> None:
    (section,) = comparison_table(RunTables(summary=rows(summary_row, MAX_COLUMNS - len(COSTS)))).sections
    assert table_parts(section) == (whole_table(section),)
    assert whole_table(section).columns == tuple(range(MAX_COLUMNS))
    assert whole_table(section).width == 1 + MAX_COLUMNS


def test_a_wider_one_has_cost_below(summary_row: Make) -> None:
    (section,) = comparison_table(RunTables(summary=rows(summary_row, MAX_COLUMNS - len(COSTS) + 1))).sections
    quality, cost = table_parts(section)
    assert (quality.title, quality.columns, quality.has_counts) == ("Quality", (0, 1, 2, 3), True)
    assert (cost.title, cost.columns, cost.has_counts) == ("Cost", (4, 5, 6, 7, 8), False)
    without_cost = [row for row in rows(summary_row, 12) if row["level"] != "cost"]
    (section,) = comparison_table(RunTables(summary=without_cost)).sections
    assert table_parts(section) == (whole_table(section),)


def test_parameters_are_counted_and_what_tunes_nothing_says_so(
    summary_row: Make, make_tables: Callable[..., Path], tmp_path: Path
) -> None:
    summary = rows(summary_row, 6)
    text = comparison_markdown(comparison_table(RunTables(summary=summary)))
    assert "| 24.86 M |" in text
    assert "nothing is tuned on the references" in text
    assert "no number of trained parameters is recorded" in text
    folder = make_tables(summary, prompts=(), videos=False)
    page = write_html_report(folder, tmp_path / "report.html").read_text(encoding="utf-8")
    quality, cost, value = page.index("<h4>Quality</h4>"), page.index("<h4>Cost</h4>"), page.index("24.86 M")
    assert quality < cost < value
