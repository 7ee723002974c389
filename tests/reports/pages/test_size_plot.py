"""The plot of a set metric against N."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from reelbench.reports.pages.size_plot import HEIGHT, WIDTH, size_plots


def rows(
    values: list[float], method: str = "m", spread: float | None = 1.0, **more: Any
) -> list[dict[str, Any]]:
    return [
        {
            "dataset": "d",
            "split": "test",
            "protocol": "clean",
            "metric": "fvd",
            "label": "FVD",
            "method": method,
            "n": 16 * 2**k,
            "value": value,
            "spread": spread if k < len(values) - 1 else None,
            "num_subsets": 8,
            "extrapolated": None,
        }
        | more
        for k, value in enumerate(values)
    ]


def test_larger_n_is_further_right_and_larger_values_are_higher() -> None:
    (plot,) = size_plots(rows([90.0, 60.0, 45.0, 40.0]))
    points = plot.lines[0].points
    assert [p.x for p in points] == sorted(p.x for p in points)
    assert [p.y for p in points] == sorted(p.y for p in points)  # SVG's y grows downwards
    assert all(0 <= p.x <= WIDTH and 0 <= p.y <= HEIGHT for p in points)
    assert points[0].high < points[0].y < points[0].low
    assert points[-1].low is None
    assert [tick.label for tick in plot.x_ticks] == ["16", "32", "64", "128"]


def test_doublings_are_evenly_spaced() -> None:
    (plot,) = size_plots(rows([90.0, 60.0, 45.0, 40.0]))
    xs = [p.x for p in plot.lines[0].points]
    assert len({round(b - a) for a, b in pairwise(xs)}) == 1


def test_negative_values_are_drawn_too() -> None:
    (plot,) = size_plots(rows([3.0, -2.0, 1.0, 0.5]))
    assert all(0 <= p.y <= HEIGHT for p in plot.lines[0].points)
    assert plot.y_ticks[0].label.startswith("-")


def test_few_sizes_make_no_plot() -> None:
    assert size_plots(rows([3.0, 2.0, 1.0])) == []
    assert size_plots([]) == []


def test_one_line_a_method_and_the_extrapolation_is_called_so() -> None:
    (plot,) = size_plots(
        [*rows([90.0, 60.0, 45.0, 40.0], extrapolated=38.5), *rows([80.0, 50.0, 40.0, 30.0], "other")]
    )
    assert [line.label for line in plot.lines] == ["m", "other"]
    assert plot.notes == ("m: a line in 1/N leads to 38.5 (an extrapolation, not a measurement)",)


def test_equal_values_do_not_divide_by_zero() -> None:
    (plot,) = size_plots(rows([5.0] * 4, spread=None))
    assert len({p.y for p in plot.lines[0].points}) == 1
