"""`history.html`: a small chart for each value of a run over its nights."""

from __future__ import annotations

import html
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from ...core.atomic_write import write_text_atomic
from ...core.redaction import fit_to_leave
from .history import CellHistory, Point

_WIDTH, _HEIGHT, _MARGIN = 300, 110, 14
_COLOURS = {"worse": "#c0392b", "better": "#1e8449", "changed": "#b7950b"}

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 82rem; padding: 0 1rem;
  color: #222; background: #fff }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 1.2rem }}
figure {{ margin: 0; border: 1px solid #ddd; border-radius: 6px; padding: .6rem .8rem }}
figcaption {{ font-size: 14px }} figcaption b {{ font-weight: 600 }} small {{ color: #666 }}
svg {{ width: 100%; height: auto; display: block }} text {{ font: 10px system-ui, sans-serif; fill: #666 }}
</style></head><body><h1>{title}</h1>
<p>{intro}</p>
<p><small>Dots: <span style="color:#c0392b">worse</span>, <span style="color:#1e8449">better</span> than the
last good run before, by the paired test; <span style="color:#b7950b">changed</span> without a significant
difference; grey: unchanged, or not compared; hollow: clips are missing. Bars: 95% intervals. Lines join
runs of one protocol on the same samples only. Point at a dot for its run.</small></p>
<main>
{charts}
</main></body></html>
"""


def write_history_page(
    run: str, histories: Sequence[CellHistory], path: Path, notes: Sequence[str] = ()
) -> Path:
    """Write the page; the path.

    Args:
        run: the run's name.
        path: of the file.
        notes: what a reader must know, for example which runs are left out.
    """
    ids = sorted({point.run_id for cell in histories for point in cell.points})
    intro = f"{len(ids)} runs, {ids[0]} to {ids[-1]} (UTC)." if ids else "No runs yet."
    said = "<br>".join(html.escape(fit_to_leave(text)) for text in (intro, *notes))
    charts = "\n".join(_chart(cell, ids) for cell in histories)
    title = html.escape(f"{run}: history")
    write_text_atomic(path, _PAGE.format(title=title, intro=said, charts=charts))
    return path


def _chart(cell: CellHistory, ids: Sequence[str]) -> str:
    shown = [point for point in cell.points if point.value is not None]
    arrow = {True: " &uarr;", False: " &darr;", None: ""}[cell.higher_is_better]
    last = cell.points[-1]
    now = last.status if last.value is None else _value(last)
    caption = f"<figcaption><b>{html.escape(cell.title)}</b>{arrow} <small>now {now}</small></figcaption>"
    if not shown:
        why = html.escape(fit_to_leave(last.note.partition("\n")[0]))
        return f"<figure>{caption}<p><small>no value in any of these runs: {why}</small></p></figure>"
    ends = [x for point in shown for x in (point.value, point.low, point.high) if x is not None]
    low, high = min(ends), max(ends)
    room = (high - low) or abs(high) or 1.0

    def x(point: Point) -> float:
        step = (_WIDTH - 2 * _MARGIN) / max(len(ids) - 1, 1)
        return _MARGIN + step * ids.index(point.run_id)

    def y(value: float) -> float:
        return _HEIGHT - _MARGIN - (_HEIGHT - 2 * _MARGIN) * ((value - low) / room if high > low else 0.5)

    parts = []
    for one, other in pairwise(shown):
        if one.series == other.series:
            assert one.value is not None
            assert other.value is not None
            parts.append(
                f'<line x1="{x(one):.1f}" y1="{y(one.value):.1f}" x2="{x(other):.1f}" '
                f'y2="{y(other.value):.1f}" stroke="#99a" stroke-width="1.5"/>'
            )
    for point in shown:
        assert point.value is not None
        verdict = "" if point.change is None else point.change.verdict
        colour = _COLOURS.get(verdict, "#778")
        fill = colour if point.status == "done" else "#fff"
        if point.low is not None and point.high is not None:
            parts.append(
                f'<line x1="{x(point):.1f}" y1="{y(point.low):.1f}" x2="{x(point):.1f}" '
                f'y2="{y(point.high):.1f}" stroke="{colour}" stroke-opacity=".35" stroke-width="4"/>'
            )
        parts.append(
            f'<circle cx="{x(point):.1f}" cy="{y(point.value):.1f}" r="3.5" fill="{fill}" stroke="{colour}">'
            f"<title>{html.escape(_words(point))}</title></circle>"
        )
    for value, place in ((high, _MARGIN - 4), (low, _HEIGHT - 3)):
        parts.append(f'<text x="2" y="{place}">{value:.4g}</text>')
    picture = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{"".join(parts)}</svg>'
    return f"<figure>{caption}{picture}</figure>"


def _value(point: Point) -> str:
    """ "0.8123", and "0.8123 (3 of 8)" where clips are missing."""
    return f"{point.value:.4g}" + ("" if point.status == "done" else f" ({point.status})")


def _words(point: Point) -> str:
    said = f"{point.run_id}: {_value(point)}, {point.n} clips"
    if point.change is None:
        return said
    if point.change.verdict in ("better", "worse", "changed"):
        return f"{said}; {point.change.verdict}: {point.change.words}"
    return f"{said}; {'; '.join([point.change.verdict, *point.change.notes])}"
