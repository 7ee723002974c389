"""Whether a small run reproduces the scores of a recorded benchmark, clip by clip.

A run with a `limit` has the first samples of the run without it, and a clip depends on its method, sample and
seed alone: each score of a small run has a recorded counterpart, the same but for the last digits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.markdown import aligned_table
from ..tables.measurement import DASH, format_interval, format_measurement, is_value
from ..tables.run_tables import Row, RunTables, json_object, order_key
from .tables import read_recorded, without_folders

TOLERANCES: dict[str, float] = {}
"""Largest difference, by metric, of a score that counts as reproduced, in the metric's own unit.

A metric that is not named takes `SPREAD_SHARE` of the spread of its recorded scores, which needs no unit."""

SPREAD_SHARE = 0.1
"""The default tolerance as a share of the spread: the standard deviation of the recorded scores of a metric
on a data set about the mean of their method. It is pooled over methods, since those of one (a floor) may
all score the same. Measured on the demo's clips: between an H200 and two kinds of CPU, with two versions of
torch, the largest difference was 5.7% of the spread (docs/benchmark.md)."""

ROUNDING = 1e-6
"""Of a recorded score: the least tolerance, since recorded scores have single precision."""


NUM_MISSED_SHOWN = 3
"""Clips that are named of each method and metric that was not reproduced."""


@dataclass(frozen=True)
class Missed:
    """A score that was not reproduced."""

    sample_id: str
    seed: int
    value: float
    recorded: float


@dataclass(frozen=True)
class Reproduced:
    """The scores of one method under one metric, held against the recorded ones.

    Attributes:
        metric: its registered name; `label` is what tables call it.
        num_compared: scores with a recorded counterpart.
        num_failed: clips that this run was asked for and has no score of.
        largest: the largest absolute difference; None where nothing was compared.
        tolerance: that was allowed.
        missed: the scores beyond it, the worst first.
        recorded: the row of the recorded summary: `value`, `standard_error`, `low`, `high`, `n`.
    """

    dataset: str
    method: str
    metric: str
    label: str
    num_compared: int
    num_failed: int
    largest: float | None
    tolerance: float
    missed: tuple[Missed, ...]
    recorded: Row

    @property
    def num_reproduced(self) -> int:
        """Scores within the tolerance."""
        return self.num_compared - len(self.missed)


@dataclass(frozen=True)
class Reproduction:
    """A run held against recorded tables.

    Attributes:
        rows: by data set, method (in the order of the run file) and metric.
        notes: what was not compared and why, and settings that differ.
    """

    rows: tuple[Reproduced, ...]
    notes: tuple[str, ...]

    @property
    def num_compared(self) -> int:
        """Of all rows."""
        return sum(row.num_compared for row in self.rows)

    @property
    def num_reproduced(self) -> int:
        """Of all rows."""
        return sum(row.num_reproduced for row in self.rows)

    @property
    def is_whole(self) -> bool:
        """Whether scores were compared, none was missed and no clip failed."""
        return bool(self.rows) and not any(row.missed or row.num_failed for row in self.rows)


def compare_with_recorded(
    tables_folder: Path, recorded_folder: Path, tolerances: Mapping[str, float] = TOLERANCES
) -> Reproduction:
    """Hold the scores of a run against recorded ones.

    They are matched by data set, protocol, the method's label, metric, sample and seed. Set metrics are not
    compared: their value depends on the number of clips.

    Args:
        tables_folder: the Parquet tables of the run.
        recorded_folder: see `recorded.record_tables`.
        tolerances: see `TOLERANCES`.

    Raises:
        StoreError: a table is missing or cannot be read.
    """
    run = RunTables(tables_folder)
    theirs = read_recorded(recorded_folder, "scores")
    recorded_rows = [row for row in read_recorded(recorded_folder, "summary") if row["seed"] is None]
    summary, recorded_summary = ({_cell(row): row for row in rows} for rows in (run.summary, recorded_rows))
    recorded = {(*_cell(row), row["sample_id"], row["seed"]): row for row in theirs if is_value(row["value"])}
    spreads = _spreads(recorded.values())
    pairs: dict[_Cell, list[tuple[Row, Row]]] = {}
    alone: dict[tuple[str, str], int] = {}
    for row in run.rows("scores"):
        found = recorded.get((*_cell(row), row["sample_id"], row["seed"]))
        if found is None or _cell(row) not in recorded_summary:
            alone[row["dataset"], row["method"]] = alone.get((row["dataset"], row["method"]), 0) + 1
        elif is_value(row["value"]):
            pairs.setdefault(_cell(row), []).append((row, found))
    rows = []
    for cell in sorted(
        summary.keys() & recorded_summary.keys(),
        key=lambda cell: (*cell[:2], order_key(cell[2], run.method_order), cell[3]),
    ):
        row, mine = summary[cell], pairs.get(cell, [])
        if row["level"] == "clip" and (mine or row["num_failures"]):
            spread = spreads.get(_column(cell), 0.0)
            rows.append(_reproduced(row, mine, recorded_summary[cell], tolerances, spread))
    notes = [
        *_setting_notes(summary, recorded_summary),
        *(
            f"{method} on {dataset}: {count} scores have no recorded counterpart (another sample, seed, "
            "metric or protocol)"
            for (dataset, method), count in alone.items()
        ),
        *_set_metric_notes(summary, recorded_summary),
    ]
    return Reproduction(tuple(rows), tuple(notes))


_Cell = tuple[str, str, str, str]
"""Data set, protocol digest, method, metric."""


def _cell(row: Row) -> _Cell:
    return row["dataset"] or "", row["protocol_digest"] or "", row["method"] or "", row["metric"] or ""


def _column(cell: _Cell) -> tuple[str, str, str]:
    return cell[0], cell[1], cell[3]


def _spreads(scores: Iterable[Row]) -> dict[tuple[str, str, str], float]:
    """sqrt(sum (x - mean of its method)^2 / (scores - methods)) of each column."""
    values: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for row in scores:
        values.setdefault(_column(_cell(row)), {}).setdefault(row["method"], []).append(row["value"])
    spreads = {}
    for column, methods in values.items():
        squares = sum((x - sum(xs) / len(xs)) ** 2 for xs in methods.values() for x in xs)
        degrees = sum(map(len, methods.values())) - len(methods)
        spreads[column] = math.sqrt(squares / degrees) if degrees else 0.0
    return spreads


def _reproduced(
    row: Row, pairs: Sequence[tuple[Row, Row]], recorded: Row, tolerances: Mapping[str, float], spread: float
) -> Reproduced:
    differences = [abs(ours["value"] - theirs["value"]) for ours, theirs in pairs]
    rounding = ROUNDING * max((abs(theirs["value"]) for _, theirs in pairs), default=0.0)
    tolerance = max(tolerances.get(row["metric"], SPREAD_SHARE * spread), rounding)
    worst = sorted(zip(differences, pairs, strict=True), key=lambda item: -item[0])
    return Reproduced(
        dataset=row["dataset"],
        method=row["method"],
        metric=row["metric"],
        label=recorded["label"] or row["metric"],
        num_compared=len(pairs),
        num_failed=row["num_failures"] or 0,
        largest=max(differences, default=None),
        tolerance=tolerance,
        missed=tuple(
            Missed(ours["sample_id"], ours["seed"], ours["value"], theirs["value"])
            for difference, (ours, theirs) in worst
            if difference > tolerance
        ),
        recorded=recorded,
    )


def _setting_notes(summary: Mapping[_Cell, Row], recorded: Mapping[_Cell, Row]) -> list[str]:
    """A line for each method that was not run as it was recorded."""
    notes = {}
    for cell in summary.keys() & recorded.keys():
        ours, theirs = _settings(summary[cell]), _settings(recorded[cell])
        differing = [
            f"{name} {ours.get(name, DASH)} (recorded: {theirs.get(name, DASH)})"
            for name in sorted(ours.keys() | theirs.keys())
            if ours.get(name) != theirs.get(name)
        ]
        if differing:
            notes[cell[2]] = f"{cell[2]} was recorded with other settings: {', '.join(differing)}"
    return [notes[method] for method in sorted(notes)]


def _settings(row: Row) -> dict[str, Any]:
    return {"version": row["method_version"], **json_object(without_folders(row["method_config"]))}


def _set_metric_notes(summary: Mapping[_Cell, Row], recorded: Mapping[_Cell, Row]) -> list[str]:
    found: dict[str, set[tuple[int, int]]] = {}
    for cell in summary.keys() & recorded.keys():
        row = summary[cell]
        if row["level"] == "set":
            found.setdefault(row["label"] or row["metric"], set()).add((row["n"], recorded[cell]["n"]))
    if not found:
        return []
    counts = sorted({pair for pairs in found.values() for pair in pairs})
    text = ", ".join(f"{n} here, {n_recorded} recorded" for n, n_recorded in counts)
    names = " and ".join(sorted(found))
    return [f"{names}: not compared, since a value of a set depends on its number of clips ({text})"]


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
            *aligned_table(table if several else [line[1:] for line in table]),
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
