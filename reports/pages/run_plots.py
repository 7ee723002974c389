"""The plots of a run: quality against cost, set metrics against N, and how the values of clips spread."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..tables.measurement import format_rounded, is_value
from ..tables.method_table import Column, MethodTable
from ..tables.run_tables import Row, RunTables, order_key, protocol_key, titles
from .vega import HEIGHT, QUIET, WIDTH, Plot, method_scales, svg_of

MIN_POINTS = 4
"""Fewer sizes than this make no curve worth a picture."""

MIN_CLIPS = 5
"""Fewer values than this have no distribution."""

COST = "sampling_s"
_MOST_STRIP = 60
"""With more values of a method their single marks would only be a smear over the box."""


def quality_plots(section: MethodTable, methods: Sequence[str]) -> list[Plot]:
    """The first set and the first clip metric of a table against the seconds that a clip takes.

    The line joins the methods that no other beats in both, among those that saw the same: what a method was
    shown is never traded for speed. Where the table marks no best value, nothing is joined. Values against
    the references of other clips go before those against a method's own.
    """
    columns = {column.metric: index for index, column in enumerate(section.columns)}
    if COST not in columns:
        return []
    ranked = [column for column in section.columns if column.higher_is_better is not None]
    ranked.sort(key=lambda column: column.references == "own")
    first = [next((c for c in ranked if c.level == level), None) for level in ("set", "clip")]
    plots = [
        _quality(section, column, columns[column.metric], columns[COST], methods)
        for column in first
        if column
    ]
    return [plot for plot in plots if plot is not None]


def _quality(
    section: MethodTable, column: Column, index: int, cost: int, methods: Sequence[str]
) -> Plot | None:
    points: list[dict[str, Any]] = []
    rows, fronts = [], []
    for group in section.groups:
        own = []
        for row in group.rows:
            cell, seconds = row.cells[index], row.cells[cost]
            if cell.value is not None and seconds.value is not None and seconds.value > 0:
                point = {"method": row.method, "cost": seconds.value, "value": cell.value}
                low = cell.value if cell.low is None else cell.low
                high = cell.value if cell.high is None else cell.high
                own.append(point | {"low": low, "high": high})
                rows.append((row.method, group.conditioning, seconds.text, cell.shown))
        points += own
        front = _front(own, bool(column.higher_is_better)) if group.leads[index].marked else []
        fronts += [{**point, "group": group.conditioning} for point in front if len(front) > 1]
    if len(points) < 2:
        return None
    x: dict[str, Any] = {
        "field": "cost", "type": "quantitative", "title": "seconds a clip",
        "scale": {"type": _scale([point["cost"] for point in points]), "zero": False, "nice": True},
        "axis": {"format": ",~r"},
    }  # fmt: skip
    y: dict[str, Any] = {
        "field": "value",
        "type": "quantitative",
        "title": column.heading,
        "scale": {"zero": False},
    }
    line = {
        "data": {"values": fronts},
        "mark": {"type": "line", "interpolate": "step-after", "color": QUIET, "strokeDash": [4, 3]},
        "encoding": {"x": x, "y": y, "detail": {"field": "group"}},
    }
    bars = {
        "mark": {"type": "rule", "opacity": 0.6},
        "encoding": {
            "x": x,
            "y": y | {"field": "low"},
            "y2": {"field": "high"},
            "color": method_scales(methods)["color"],
        },
    }
    marks = {
        "mark": {"type": "point", "filled": True, "size": 75, "opacity": 1},
        "encoding": {"x": x, "y": y, **_of_those(methods, points)},
    }
    title = f"{column.label} against seconds a clip, {section.title}"
    spec = {"data": {"values": points}, "width": WIDTH, "height": HEIGHT}
    picture = svg_of(spec | {"layer": [*([line] if fronts else []), bars, marks]}, title)
    return Plot(title, picture, ("Method", "Saw", "Seconds a clip", column.heading), tuple(rows))


def _front(points: Iterable[Mapping[str, Any]], higher_is_better: bool) -> list[Mapping[str, Any]]:
    """The points that no other beats in cost and value, from cheap to dear."""
    sign = 1 if higher_is_better else -1
    front: list[Mapping[str, Any]] = []
    for point in sorted(points, key=lambda point: (point["cost"], -sign * point["value"])):
        if not front or sign * point["value"] > sign * front[-1]["value"]:
            front.append(point)
    return front


def size_plots(run: RunTables) -> list[Plot]:
    """Set metrics against N: a plot for each metric, data set and protocol with a curve of enough sizes."""
    groups: dict[tuple[str, ...], dict[str, list[Row]]] = {}
    for row in run.rows("curves"):
        key = tuple(row[name] or "" for name in ("dataset", "split", "protocol", "label", "metric"))
        groups.setdefault(key, {}).setdefault(row["method"], []).append(row)
    plots = []
    for (dataset, split, protocol, label, metric), found in sorted(groups.items()):
        if max(len(rows) for rows in found.values()) >= MIN_POINTS:
            where = ", ".join(filter(None, (dataset, split, f"protocol {protocol}")))
            plots.append(_size_plot(f"{label or metric} against N, {where}", label or metric, found))
    return plots


def _size_plot(title: str, label: str, found: Mapping[str, Sequence[Row]]) -> Plot:
    points, rows, notes = [], [], []
    smallest = min(row["value"] - (row["spread"] or 0) for members in found.values() for row in members)
    lowest = min(row["value"] for members in found.values() for row in members)
    for method, members in found.items():
        for row in sorted(members, key=lambda row: row["n"]):
            spread = row["spread"] or 0.0
            # A band that reaches zero has no end on a logarithmic axis.
            low = (
                row["value"] - spread
                if smallest > 0 or lowest <= 0
                else max(row["value"] - spread, lowest / 2)
            )
            points.append(
                {
                    "method": method,
                    "n": row["n"],
                    "value": row["value"],
                    "low": low,
                    "high": row["value"] + spread,
                }
            )
            shown = format_rounded(row["value"], 4)
            if row["spread"] is not None:
                shown += f" ± {format_rounded(spread)}, {row['num_subsets']} parts"
            rows.append((method, str(row["n"]), shown))
        if (beyond := members[0]["extrapolated"]) is not None:
            words = (
                f"a line in 1/N leads to {format_rounded(beyond, 4)} (an extrapolation, not a measurement)"
            )
            notes.append(f"{method}: {words}")
    sizes = sorted({point["n"] for point in points})
    x = {
        "field": "n", "type": "quantitative", "title": "N, clips on a side",
        "scale": {"type": "log", "base": 2, "nice": False}, "axis": {"values": sizes, "format": "d"},
    }  # fmt: skip
    y = {
        "field": "value", "type": "quantitative", "title": label,
        "scale": {"type": "log" if lowest > 0 else "linear", "zero": False}, "axis": {"format": ",~r"},
    }  # fmt: skip
    scales = _of_those(list(found), points)
    color = {"color": scales["color"]}
    layers = [
        {"mark": {"type": "area", "opacity": 0.16},
         "encoding": {"x": x, "y": y | {"field": "low"}, "y2": {"field": "high"}, **color}},
        {"mark": {"type": "line", "strokeWidth": 2}, "encoding": {"x": x, "y": y, **color}},
        {"mark": {"type": "point", "filled": True, "size": 40, "opacity": 1},
         "encoding": {"x": x, "y": y, **scales}},
    ]  # fmt: skip
    spec = {"data": {"values": points}, "width": WIDTH, "height": HEIGHT, "layer": layers}
    return Plot(title, svg_of(spec, title), ("Method", "N", label), tuple(rows), tuple(notes))


def spread_plots(run: RunTables) -> list[Plot]:
    """How the values of a clip metric spread over the clips of each method, and how each clip differs from
    that of the first method that saw the same: a plot of each for every metric, data set and protocol."""
    known = {row["metric"]: row for row in run.summary}
    found: dict[Any, dict[str, dict[Any, float]]] = {}
    saw: dict[str, str] = {}
    for row in run.rows("scores"):
        if is_value(row["value"]):
            values = found.setdefault((*protocol_key(row), row["metric"]), {}).setdefault(row["method"], {})
            values[row["sample_id"], row["seed"]] = row["value"]
            saw[row["method"]] = row["conditioning"]
    named, plots = titles([key[:4] for key in found]), []
    for key, of_methods in sorted(found.items()):
        label, where = known.get(key[-1], {}).get("label") or key[-1], named[key[:4]]
        ordered = {
            name: of_methods[name]
            for name in sorted(of_methods, key=lambda name: order_key(name, run.method_order))
        }
        numbers = {name: list(clips.values()) for name, clips in ordered.items()}
        plots.append(_spread(f"{label}, {where}", label, numbers))
        title = f"{label}, differences of each clip, {where}"
        plots.append(_spread(title, f"difference in {label}", _differences(ordered, saw), has_zero=True))
    return [plot for plot in plots if plot is not None]


def _differences(
    values: Mapping[str, Mapping[Any, float]], saw: Mapping[str, str]
) -> Mapping[str, Sequence[float]]:
    """By pair: the values of each method less those of the first that saw the same, on the same clips."""
    found = {}
    for conditioning in dict.fromkeys(saw[name] for name in values):
        first, *others = [name for name in values if saw[name] == conditioning]
        for name in others:
            shared = [clip for clip in values[first] if clip in values[name]]
            found[f"{name} − {first}"] = [values[name][clip] - values[first][clip] for clip in shared]
    return found


def _spread(
    title: str, label: str, values: Mapping[str, Sequence[float]], has_zero: bool = False
) -> Plot | None:
    values = {name: numbers for name, numbers in values.items() if len(numbers) >= MIN_CLIPS}
    if not values:
        return None
    boxes, dots, rows = [], [], []
    for name, numbers in values.items():
        low, middle, high = statistics.quantiles(numbers, n=4, method="inclusive")
        reach = 1.5 * (high - low)
        inside = [number for number in numbers if low - reach <= number <= high + reach]
        boxes.append(
            {"method": name, "q1": low, "q2": middle, "q3": high, "low": min(inside), "high": max(inside),
             "mean": statistics.fmean(numbers)}
        )  # fmt: skip
        alone = (
            numbers if len(numbers) <= _MOST_STRIP else [n for n in numbers if abs(n - middle) > reach * 2]
        )
        dots += [{"method": name, "value": number} for number in alone]
        quantiles = (min(numbers), low, middle, high, max(numbers), statistics.fmean(numbers))
        rows.append((name, str(len(numbers)), *(format_rounded(number, 4) for number in quantiles)))
    y = {
        "field": "method", "type": "nominal", "title": None, "sort": list(values),
        "axis": {"labelColor": "#0a0b01", "ticks": False, "domain": False, "labelLimit": 150},
    }  # fmt: skip
    x = {"type": "quantitative", "title": label, "scale": {"zero": has_zero}}
    colored = {"color": "#0a0c00"}
    layers: list[dict[str, Any]] = [
        {"mark": {"type": "rule"}, "encoding": {"y": y, "x": x | {"field": "low"}, "x2": {"field": "high"}}},
        {"mark": {"type": "bar", "height": {"band": 0.5}, "opacity": 0.3, **colored},
         "encoding": {"y": y, "x": x | {"field": "q1"}, "x2": {"field": "q3"}}},
        {"mark": {"type": "tick", "size": 13, "thickness": 2, "color": "#0a0b01"},
         "encoding": {"y": y, "x": x | {"field": "q2"}}},
        {"data": {"values": dots},
         "mark": {"type": "point", "size": 9, "opacity": 0.55, "filled": True, **colored},
         "encoding": {"y": y, "x": x | {"field": "value"}}},
        {"mark": {"type": "point", "shape": "diamond", "size": 45, "filled": False, "color": "#0a0b01"},
         "encoding": {"y": y, "x": x | {"field": "mean"}}},
    ]  # fmt: skip
    if has_zero:
        layers.insert(0, {"data": {"values": [{"zero": 0}]}, "mark": {"type": "rule", "strokeDash": [3, 3]},
                          "encoding": {"x": x | {"field": "zero"}}})  # fmt: skip
    spec = {"data": {"values": boxes}, "width": WIDTH - 110, "height": {"step": 26}, "layer": layers}
    headings = (
        "Difference" if has_zero else "Method",
        "n",
        "Smallest",
        "25%",
        "Median",
        "75%",
        "Largest",
        "Mean",
    )
    return Plot(title, svg_of(spec, title), headings, tuple(rows))


def _of_those(methods: Sequence[str], points: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The scales of all methods, with those in the legend that are in the plot."""
    scales = method_scales(methods)
    there = {point["method"] for point in points}
    legend = {"legend": {"values": [name for name in methods if name in there]}}
    return {name: scale | legend for name, scale in scales.items()}


def _scale(values: Sequence[float]) -> str:
    return "log" if max(values) / min(values) > 8 else "linear"
