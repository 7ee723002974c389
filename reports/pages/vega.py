"""Plots as SVG by Vega-Lite: drawn when the page is built, without a browser, in the page's own colours."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 330, 210
"""Of a plot's own field, in pixels; with its axes it fits a phone, and the page enlarges it by little."""

_PLACEHOLDERS = {"#0a0b01": "var(--ink)", "#0a0b02": "var(--quiet)", "#0a0b03": "var(--line)"}
_INK, _QUIET, _LINE = _PLACEHOLDERS
NUM_COLORS = 9
_COLORS = {f"#0a0c{number:02x}": f"var(--c{number})" for number in range(NUM_COLORS)}
_SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
QUIET = _QUIET
"""The colour of lines that only guide the eye."""

_CONFIG = {
    "background": None,
    "padding": {"left": 10, "right": 10, "top": 5, "bottom": 5},
    "view": {"stroke": None},
    "axis": {
        "labelColor": _QUIET, "titleColor": _QUIET, "domainColor": _LINE, "tickColor": _LINE,
        "gridColor": _LINE, "gridOpacity": 0.6, "titleFontWeight": "normal", "labelFontSize": 11,
        "titleFontSize": 11, "labelLimit": 130, "tickCount": 4,
    },
    "legend": {
        "labelColor": _INK, "title": None, "labelFontSize": 11, "orient": "bottom", "columns": 2,
        "labelLimit": 150, "symbolStrokeWidth": 2, "symbolOpacity": 1, "columnPadding": 24,
    },
    "text": {"color": _INK},
    "rule": {"color": _QUIET},
}  # fmt: skip


@dataclass(frozen=True)
class Plot:
    """A picture and its numbers.

    Attributes:
        title: heading.
        svg: the picture.
        headings, rows: the numbers in it, as texts.
        notes: lines under it.
    """

    title: str
    svg: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def method_scales(methods: Sequence[str]) -> dict[str, Any]:
    """Colour and shape of each method, the same in all plots: the encodings of a mark.

    Args:
        methods: all of the run, in the order of its tables.
    """
    colors, names = list(_COLORS), list(methods)
    return {
        "color": {
            "field": "method", "type": "nominal", "sort": names,
            "scale": {"domain": names, "range": [colors[i % NUM_COLORS] for i in range(len(names))]},
        },
        "shape": {
            "field": "method", "type": "nominal", "sort": names,
            "scale": {"domain": names, "range": [_SHAPES[i % len(_SHAPES)] for i in range(len(names))]},
        },
    }  # fmt: skip


def svg_of(spec: Mapping[str, Any], label: str) -> str:
    """The picture of a Vega-Lite specification, with `label` for those who do not see it."""
    from html import escape

    text = _rendered(json.dumps({"config": _CONFIG, **spec}, sort_keys=True))
    # One picture with one name: what a screen reader would say of each mark is in the table of numbers.
    text = re.sub(r' (?:role|aria-\w+)="[^"]*"', "", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1)


@functools.lru_cache(maxsize=256)
def _rendered(spec: str) -> str:
    import vl_convert

    # The default loader may read files and addresses; a specification of ours names none.
    text: str = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
    for placeholder, color in {**_PLACEHOLDERS, **_COLORS}.items():
        text = text.replace(placeholder, color)
    return re.sub(r' font-family="[^"]*"', "", text)
