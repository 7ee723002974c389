"""Dot plots with error bars, as data for HTML: positions in percent along a track.

The report's template draws them as inline SVG: labels stay text, and nothing heavy is imported.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Mark:
    """One line of a plot.

    Attributes:
        label: what is measured.
        text: the value in words.
        dot: the value; in a plot its position, percent of the track.
        low, high: ends of the error bar, likewise; None where there is no interval.
        group: heading of the lines that belong together; in a plot only above the first of them, else "".
        is_best: to be highlighted.
    """

    label: str
    text: str
    dot: float
    low: float | None = None
    high: float | None = None
    group: str = ""
    is_best: bool = False


@dataclass(frozen=True)
class Tick:
    """A label on an axis and its position."""

    label: str
    at: float


@dataclass(frozen=True)
class DotPlot:
    """A titled plot: its lines, the axis and, where there is one, the position of zero."""

    title: str
    marks: tuple[Mark, ...]
    ticks: tuple[Tick, ...]
    zero: float | None = None


def dot_plot(title: str, measured: Sequence[Mark], with_zero: bool = False) -> DotPlot | None:
    """The plot of `measured`, on an axis that spans all values and intervals.

    Args:
        title: heading of the plot.
        measured: one for each line, in order, in the units of the metric.
        with_zero: the axis holds zero and marks it (for differences).

    Returns:
        None where there is nothing to draw.
    """
    if not measured:
        return None
    ends = [end for mark in measured for end in (mark.dot, mark.low, mark.high) if end is not None]
    if with_zero:
        ends.append(0.0)
    ticks = axis_ticks(min(ends), max(ends))
    start, stop = min(ticks[0], *ends), max(ticks[-1], *ends)

    def at(value: float) -> float:
        # 3 percent of room at either end, or half a dot would be cut off.
        return round(3 + 94 * (value - start) / (stop - start), 2)

    groups = ["", *(mark.group for mark in measured)]
    marks = tuple(
        replace(
            mark,
            dot=at(mark.dot),
            low=None if mark.low is None else at(mark.low),
            high=None if mark.high is None else at(mark.high),
            group=mark.group if mark.group != before else "",
        )
        for mark, before in zip(measured, groups, strict=False)
    )
    num_decimals = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    labels = tuple(Tick(f"{tick:.{num_decimals}f}", at(tick)) for tick in ticks)
    return DotPlot(title, marks, labels, at(0.0) if with_zero else None)


def axis_ticks(low: float, high: float, num_steps: int = 4) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) that enclose `low` to `high`."""
    span = high - low or abs(high) * 0.1 or 1.0
    raw = span / num_steps
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if first == last:
        last += 1
    return [index * step for index in range(first, last + 1)]
