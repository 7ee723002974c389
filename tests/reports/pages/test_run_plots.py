"""The plots of a run: what is in them, the numbers beside them, and that labels stay text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import pytest

from reelbench.reports.pages.run_plots import _front, quality_plots, size_plots, spread_plots
from reelbench.reports.pages.vega import svg_of
from reelbench.reports.tables.comparison import comparison_table
from reelbench.reports.tables.run_tables import RunTables

HOSTILE = '</svg><script>alert(1)</script> & "b"'


def curve(values: list[float], method: str = "m") -> list[dict[str, Any]]:
    return [
        {
            "dataset": "d", "split": "test", "protocol": "clean", "metric": "fvd", "label": "FVD",
            "method": method, "n": 16 * 2**k, "value": value, "spread": None if k == len(values) - 1 else 1.0,
            "num_subsets": 8, "extrapolated": 33.3,
        }
        for k, value in enumerate(values)
    ]  # fmt: skip


def score(method: str, sample: int, value: float | None, conditioning: str = "text") -> dict[str, Any]:
    return {
        "dataset": "d", "split": "test", "protocol": "clean", "protocol_digest": "c" * 64,
        "metric": "clipsim", "method": method, "sample_id": f"v{sample}", "seed": 0, "value": value,
        "conditioning": conditioning,
    }  # fmt: skip


def texts(svg: str) -> set[str]:
    return {node.text or "" for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}


def test_a_set_metric_against_n_has_its_sizes_bands_and_numbers() -> None:
    run = RunTables(curves=curve([90.0, 60.0, 45.0, 40.0]))
    (plot,) = size_plots(run)
    assert plot.title == "FVD against N, d, test, protocol clean"
    assert {"16", "32", "64", "128", "N, clips on a side"} <= texts(plot.svg)
    assert plot.rows[0] == ("m", "16", "90.00 ± 1.0, 8 parts")
    assert plot.rows[-1] == ("m", "128", "40.00")
    assert plot.notes == ("m: a line in 1/N leads to 33.30 (an extrapolation, not a measurement)",)
    assert plot.svg.count("var(--c0)") >= 3  # band, line and points


def test_negative_values_are_drawn_too() -> None:
    (plot,) = size_plots(RunTables(curves=curve([3.0, -2.0, 1.0, 0.5])))
    assert "NaN" not in plot.svg


def test_a_band_that_reaches_zero_leaves_the_axis_logarithmic() -> None:
    (plot,) = size_plots(RunTables(curves=curve([0.9, 0.6, 0.5, 0.4])))
    assert "NaN" not in plot.svg
    assert "Infinity" not in plot.svg


def test_few_sizes_make_no_plot() -> None:
    assert size_plots(RunTables(curves=curve([3.0, 2.0, 1.0]))) == []
    assert size_plots(RunTables(curves=[])) == []


def test_quality_against_cost(full_summary: list[dict[str, Any]], full_comparisons: list[Any]) -> None:
    run = RunTables(summary=full_summary, comparisons=full_comparisons, runs=[])
    (section,) = comparison_table(run).sections
    methods = ["ddim-frames", "text2video-zero", "zs2", "tune-a-video"]
    fvd, clipsim = quality_plots(section, methods)
    assert fvd.title == "FVD against seconds a clip, sprites, test"
    assert {"FVD ↓", "seconds a clip", *methods} <= texts(fvd.svg)
    assert [row[0] for row in clipsim.rows] == methods
    assert fvd.rows[0] == ("ddim-frames", "text", "0.510 ± 0.012", "298.1 ± 5.3")
    assert fvd.svg.count("stroke-dasharray") == 1  # one line: of those that saw the text


def test_nothing_is_joined_where_the_table_marks_nothing(full_summary: list[dict[str, Any]]) -> None:
    run = RunTables(summary=full_summary, comparisons=[], runs=[])
    (section,) = comparison_table(run).sections
    assert not any("stroke-dasharray" in plot.svg for plot in quality_plots(section, ["ddim-frames", "zs2"]))


@pytest.mark.parametrize(("higher", "expected"), [(True, "ac"), (False, "abd")])
def test_the_front_is_what_nothing_beats_in_both(higher: bool, expected: str) -> None:
    points = [
        {"method": name, "cost": cost, "value": value}
        for name, cost, value in (("a", 1, 5), ("b", 2, 4), ("c", 3, 6), ("d", 4, 3), ("e", 4, 4))
    ]
    assert "".join(point["method"] for point in _front(points, higher)) == expected


def test_values_and_differences_of_clips() -> None:
    scores = [score("floor", n, n / 10) for n in range(9)] + [score("new", n, n / 10 + 0.5) for n in range(8)]
    scores += [score("new", 8, None), score("other", 0, 1.0, "text + reference video")]
    values, differences = spread_plots(RunTables(scores=scores, summary=[], runs=[]))
    assert values.rows[0] == ("floor", "9", "0", "0.2000", "0.4000", "0.6000", "0.8000", "0.4000")
    assert [row[:2] for row in differences.rows] == [("new − floor", "8")]  # where both have a value
    assert set(differences.rows[0][2:]) == {"0.5000"}
    assert {"floor", "new"} <= texts(values.svg)


def test_a_handful_of_clips_has_no_distribution() -> None:
    scores = [score("floor", n, n / 10) for n in range(4)]
    assert spread_plots(RunTables(scores=scores, summary=[], runs=[])) == []


def test_labels_are_text_and_colours_are_the_pages() -> None:
    (plot,) = size_plots(RunTables(curves=curve([90.0, 60.0, 45.0, 40.0], HOSTILE)))
    assert "<script" not in plot.svg
    assert any("script" in text for text in texts(plot.svg))
    assert not re.findall(r"#0a0[bc]", plot.svg)


def test_the_same_numbers_give_the_same_picture(make_plot: Callable[[], str]) -> None:
    assert make_plot() == make_plot()


@pytest.fixture
def make_plot() -> Callable[[], str]:
    from reelbench.reports.pages.vega import _rendered

    def make() -> str:
        _rendered.cache_clear()
        mark = {"mark": "point", "encoding": {"x": {"field": "x", "type": "quantitative"}}}
        return svg_of({"data": {"values": [{"x": 1}]}, **mark}, "a point")

    return make
