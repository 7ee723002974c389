"""Dot plots with error bars, as data for HTML: positions in percent along a track.

Drawn by the report's template with a few lines of inline SVG: labels stay text (selectable, of
the page's font and colours, readable on a phone) and nothing heavy is imported.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Mark:
    """One line of a plot.

    Attributes:
        label: what is measured.
        text: the value in words.
        group: heading above the line where a new group begins, else "".
        dot: position of the value, percent of the track.
        low, high: ends of the error bar, percent; None where there is no interval.
        is_best: to be highlighted.
    """

    label: str
    text: str
    group: str
    dot: float
    low: float | None
    high: float | None
    is_best: bool = False


@dataclass(frozen=True)
class Tick:
    """A label on the axis and its position in percent."""

    label: str
    at: float


@dataclass(frozen=True)
class DotPlot:
    """A titled plot: its lines, the axis and, where there is one, the position of zero."""

    title: str
    marks: tuple[Mark, ...]
    ticks: tuple[Tick, ...]
    zero: float | None = None


@dataclass(frozen=True)
class Measured:
    """What a line is drawn from, in the units of the metric."""

    label: str
    text: str
    value: float
    low: float | None = None
    high: float | None = None
    group: str = ""
    is_best: bool = False


def dot_plot(title: str, measured: Sequence[Measured], with_zero: bool = False) -> DotPlot | None:
    """The plot of `measured`, on an axis that spans all values and intervals.

    Args:
        title: heading of the plot.
        measured: one item for each line, in order.
        with_zero: the axis holds zero and marks it (for differences).

    Returns:
        None where there is nothing to draw.
    """
    if not measured:
        return None
    ends = [end for item in measured for end in (item.value, item.low, item.high) if end is not None]
    if with_zero:
        ends.append(0.0)
    ticks = axis_ticks(min(ends), max(ends))
    start, stop = min(ticks[0], *ends), max(ticks[-1], *ends)

    def at(value: float | None) -> float | None:
        # 3 percent of room at either end, or half a dot would be cut off.
        return None if value is None else round(3 + 94 * (value - start) / (stop - start), 2)

    marks, group = [], ""
    for item in measured:
        marks.append(
            Mark(
                item.label,
                item.text,
                item.group if item.group != group else "",
                at(item.value) or 0.0,
                at(item.low),
                at(item.high),
                item.is_best,
            )
        )
        group = item.group
    step = ticks[1] - ticks[0]
    num_decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return DotPlot(
        title,
        tuple(marks),
        tuple(Tick(f"{tick:.{num_decimals}f}", at(tick) or 0.0) for tick in ticks),
        at(0.0) if with_zero else None,
    )


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
