"""A set metric against N, as data for the report's inline SVG: one line a method, both axes logarithmic.

Where values reach zero or below (KVD can), the vertical axis is linear.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..tables.run_tables import Row
from .dot_plot import Tick

WIDTH, HEIGHT = 640, 280
"""Of the drawing, in its own units; the page scales it."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 12, 36
MIN_POINTS = 4
"""Fewer sizes than this make no curve worth a picture."""

Scale = Callable[[float], float]
"""From a value to its place in drawing units."""


@dataclass(frozen=True)
class Point:
    """A dot with its error bar (a standard deviation between parts of that size), in drawing units."""

    x: float
    y: float
    low: float | None
    high: float | None
    words: str


@dataclass(frozen=True)
class Line:
    """One method; `path` are the coordinates of a polyline."""

    label: str
    path: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class SizePlot:
    """A titled plot; `notes` are lines of text under it."""

    title: str
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    notes: tuple[str, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    bottom: int = HEIGHT - _BOTTOM


def size_plots(rows: Iterable[Row]) -> list[SizePlot]:
    """One for each metric, data set and protocol of the `curves` table with a method of at least 4 sizes."""
    groups: dict[tuple[str, ...], dict[str, list[Row]]] = {}
    for row in rows:
        key = tuple(row[name] or "" for name in ("dataset", "split", "protocol", "label", "metric"))
        groups.setdefault(key, {}).setdefault(row["method"], []).append(row)
    plots = []
    for (dataset, split, protocol, label, metric), methods in sorted(groups.items()):
        if max(len(members) for members in methods.values()) >= MIN_POINTS:
            where = dataset + (f", {split}" if split else "")
            plots.append(_plot(f"{label or metric} against N on {where}, protocol {protocol}", methods))
    return plots


def _plot(title: str, methods: Mapping[str, Sequence[Row]]) -> SizePlot:
    rows = [row for members in methods.values() for row in members]
    x_of = _scale([row["n"] for row in rows], _LEFT, WIDTH - _RIGHT, logarithmic=True)
    ends = [end for row in rows for end in _ends(row)]
    logarithmic = min(ends) > 0
    y_of = _scale(ends, HEIGHT - _BOTTOM, _TOP, logarithmic)
    lines, notes = [], []
    for label, members in methods.items():
        ordered = sorted(members, key=lambda row: row["n"])
        points = tuple(_point(row, x_of, y_of) for row in ordered)
        path = " ".join(f"{point.x:g},{point.y:g}" for point in points)
        lines.append(Line(label, path, points))
        beyond = ordered[-1]["extrapolated"]
        if beyond is not None:
            notes.append(
                f"{label}: a line in 1/N leads to {beyond:.4g} (an extrapolation, not a measurement)"
            )
    sizes = sorted({row["n"] for row in rows})
    return SizePlot(
        title=title,
        lines=tuple(lines),
        x_ticks=tuple(Tick(str(n), round(x_of(n), 1)) for n in _apart(sizes, x_of)),
        y_ticks=tuple(
            Tick(f"{value:.3g}", round(y_of(value), 1)) for value in _values_between(ends, logarithmic)
        ),
        notes=tuple(notes),
    )


def _ends(row: Row) -> tuple[float, ...]:
    """What a point covers: its value, and its bar where the axis can show it."""
    spread = row["spread"] or 0.0
    low = row["value"] - spread
    return (row["value"], row["value"] + spread, low if low > 0 or row["value"] <= 0 else row["value"])


def _point(row: Row, x_of: Scale, y_of: Scale) -> Point:
    spread = row["spread"]
    _, high, low = _ends(row)
    words = f"N = {row['n']}: {row['value']:.4g}"
    if spread is not None:
        words += f", ± {spread:.2g} between {row['num_subsets']} parts"
    return Point(
        round(x_of(row["n"]), 1),
        round(y_of(row["value"]), 1),
        None if spread is None else round(y_of(low), 1),
        None if spread is None else round(y_of(high), 1),
        words,
    )


def _scale(values: Sequence[float], start: float, end: float, logarithmic: bool) -> Scale:
    """From a value to its place between start and end; a single value lies in the middle."""

    def of(value: float) -> float:
        return math.log(value) if logarithmic else value

    low, high = of(min(values)), of(max(values))
    if high - low < 1e-12:
        return lambda value: (start + end) / 2
    return lambda value: start + (of(value) - low) / (high - low) * (end - start)


def _apart(sizes: Sequence[int], x_of: Scale) -> list[int]:
    """The sizes that can be labelled without overlap, the largest first."""
    kept: list[int] = []
    for size in reversed(sizes):
        if not kept or x_of(kept[-1]) - x_of(size) >= 36:
            kept.append(size)
    return kept[::-1]


def _values_between(ends: Sequence[float], logarithmic: bool) -> list[float]:
    """Four labels from the smallest to the largest value, evenly spaced on the axis."""
    low, high = min(ends), max(ends)
    if high <= low:
        return [low]
    if logarithmic:
        return [low * (high / low) ** (k / 3) for k in range(4)]
    return [low + (high - low) * k / 3 for k in range(4)]
