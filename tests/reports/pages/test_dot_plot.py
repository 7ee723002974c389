"""Positions of dots, bars and ticks along a track."""

from __future__ import annotations

import pytest

from reelbench.reports.pages.dot_plot import Mark, axis_ticks, dot_plot


@pytest.mark.parametrize(
    ("low", "high"), [(0.291, 0.331), (223.1, 308.7), (-0.02, 0.0), (5.0, 5.0), (0.0, 0.0), (-1e-7, 3e-7)]
)
def test_ticks_are_round_and_enclose_the_values(low: float, high: float) -> None:
    ticks = axis_ticks(low, high)
    step = ticks[1] - ticks[0]
    assert 2 <= len(ticks) <= 7
    assert ticks[0] <= low + 1e-6 * step
    assert ticks[-1] >= high - 1e-6 * step


def test_everything_lies_on_the_track() -> None:
    plot = dot_plot("FVD", [Mark("a", "3", 3.0, 1.0, 9.0, "g"), Mark("b", "5", 5.0, group="g")])
    assert plot is not None
    first, second = plot.marks
    assert first.low is not None
    assert first.high is not None
    assert 0 < first.low < first.dot < second.dot < first.high < 100
    assert (first.group, second.group) == ("g", "")  # the heading stands once
    assert second.low is None
    assert plot.zero is None


def test_differences_show_zero() -> None:
    plot = dot_plot("a - b", [Mark("a - b", "3", 3.0, 2.0, 4.0)], with_zero=True)
    assert plot is not None
    assert plot.zero is not None
    assert plot.zero < plot.marks[0].dot


def test_nothing_measured_is_no_plot() -> None:
    assert dot_plot("FVD", []) is None
