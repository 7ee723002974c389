"""A data set's values with their intervals as one picture: a row for each metric, a line for each method."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ...core.redaction import fit_to_leave
from ..tables.build import COUNTED
from ..tables.measurement import format_measurement, is_value
from ..tables.run_tables import Row, order_key
from .names import MetricNames

_LEVELS = {"set": 0, "clip": 1, "cost": 2}
_COLUMNS, _WIDTH, _LINE_HEIGHT = 2, 300, 24


def chart_svg(title: str, rows: Iterable[Row], names: MetricNames, methods: Sequence[str]) -> str | None:
    """Dots with error bars, as SVG; None where there is no value.

    The bar is the interval of the summary, or one standard error where there is none.

    Args:
        title: stands above all.
        rows: of the summary, of one data set and protocol.
        methods: in the order to show.
    """
    rows = sorted(
        (row for row in rows if is_value(row["value"]) and row["unit"] != COUNTED),
        key=lambda row: (_LEVELS.get(row["level"], 3), row["metric"], order_key(row["method"], methods)),
    )
    panels: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        panels.setdefault(_heading(row, names), []).append(_point(row))
    if not panels:
        return None
    shown = [_panel(heading, points) for heading, points in panels.items()]
    import vl_convert

    svg: str = vl_convert.vegalite_to_svg(
        {
            "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
            "title": {"text": fit_to_leave(title), "anchor": "start", "fontSize": 15, "offset": 12},
            "background": "white",
            "padding": 12,
            "columns": _COLUMNS,
            "concat": shown,
            "resolve": {"scale": {"color": "shared", "y": "independent"}},
            "config": {"font": "sans-serif", "view": {"stroke": "#dddddd"}, "axis": {"labelLimit": 220}},
        }
    )
    return svg


def _heading(row: Row, names: MetricNames) -> str:
    """As in the table: with the arrow of the better direction, where one may be ranked."""
    arrow = {True: " ↑", False: " ↓"}.get(row["higher_is_better"], "") if row["level"] != "cost" else ""
    return names.of_row(row) + arrow


def _point(row: Row) -> dict[str, Any]:
    value, error = float(row["value"]), row["standard_error"]
    low, high, bar = row["low"], row["high"], "interval"
    if not (is_value(low) and is_value(high)):
        bar = "± one standard error"
        low, high = (value - error, value + error) if is_value(error) else (value, value)
    return {
        "method": fit_to_leave(row["method"]),
        "saw": row["conditioning"] or "(not stated)",
        "value": value,
        "low": low,
        "high": high,
        "bar": bar,
        "text": format_measurement(value, error),
    }


def _panel(heading: str, points: list[dict[str, Any]]) -> dict[str, Any]:
    y = {"field": "method", "type": "nominal", "sort": None, "title": None}
    color = {"field": "saw", "type": "nominal", "legend": {"title": "Saw", "orient": "bottom"}}
    scale = {"zero": False, "padding": 12}
    return {
        "title": {"text": heading, "anchor": "start", "fontSize": 12},
        "data": {"values": points},
        "width": _WIDTH,
        "height": {"step": _LINE_HEIGHT},
        "encoding": {"y": y, "color": color},
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.6},
                "encoding": {
                    "x": {"field": "low", "type": "quantitative", "title": None, "scale": scale},
                    "x2": {"field": "high"},
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
                "encoding": {"x": {"field": "value", "type": "quantitative"}},
            },
            {
                "mark": {"type": "text", "dy": -9, "fontSize": 9},
                "encoding": {
                    "x": {"field": "value", "type": "quantitative"},
                    "text": {"field": "text", "type": "nominal"},
                },
            },
        ],
    }
