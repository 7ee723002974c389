"""What a small run reproduced of a recorded benchmark, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from ..tables.measurement import DASH, format_interval, format_measurement, is_value
from .reproduction import SPREAD_SHARE, Reproduced, Reproduction

NUM_MISSED_SHOWN = 3
"""Clips that are named of each method and metric that was not reproduced."""


def reproduction_text(reproduction: Reproduction) -> str:
    """The reproduction in a few lines: the verdict, a Markdown table that reads as plain text, what was
    missed, and what was not compared. Ends in a line break."""
    rows = reproduction.rows
    if not rows:
        lines = ["Nothing was compared with the recorded benchmark: no score has a recorded counterpart."]
    else:
        several = len({row.dataset for row in rows}) > 1
        table = [_HEADINGS, *map(_line, rows)]
        lines = [
            f"{reproduction.num_reproduced} of {reproduction.num_compared} scores of the recorded benchmark "
            f"were reproduced here (to {SPREAD_SHARE:.0%} of their spread, or the metric's own tolerance).",
            "",
            *_aligned(table if several else [line[1:] for line in table]),
        ]
    missed = [f"- Not reproduced: {_missed_text(row)}" for row in rows if row.missed]
    notes = [*missed, *(f"- {note}" for note in reproduction.notes)]
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"


_HEADINGS = (
    "Data set",
    "Method",
    "Metric",
    "Reproduced",
    "Largest difference (of what is allowed)",
    "Recorded, 95% interval",
    "Clips",
)


def _line(row: Reproduced) -> tuple[str, ...]:
    recorded = row.recorded
    value = format_measurement(recorded["value"], recorded["standard_error"])
    if is_value(recorded["low"]) and is_value(recorded["high"]):
        interval = format_interval(recorded["low"], recorded["high"], recorded["standard_error"])
        value = f"{value.partition(' ± ')[0]} ({interval})"
    return (
        row.dataset,
        row.method,
        row.label,
        f"{row.num_reproduced} of {row.num_compared}"
        + (f", {row.num_failed} failed" if row.num_failed else ""),
        DASH if row.largest is None else f"{row.largest:.2g} (of {row.tolerance:.2g})",
        value,
        str(recorded["n"]),
    )


def _missed_text(row: Reproduced) -> str:
    texts = [
        f"{missed.sample_id} {missed.value:.4g} (recorded: {missed.recorded:.4g})"
        for missed in row.missed[:NUM_MISSED_SHOWN]
    ]
    more = len(row.missed) - len(texts)
    return f"{row.method}, {row.label}: {', '.join(texts)}" + (f" and {more} more" if more else "")


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table whose columns line up as plain text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]
