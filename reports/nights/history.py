"""Each value of a run over time, from the tables of its nights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import StoreError, unknown_name
from ...core.hashing import digest
from ...core.tables import read_table
from ..tables.measurement import is_value
from .changes import CellChange, Changes

MARKS = {"unchanged": "=", "changed": "~", "better": "+", "worse": "!", "not compared": ""}


@dataclass(frozen=True, kw_only=True)
class Point:
    """A value of one night.

    Attributes:
        value: None where there is none.
        low, high: its 95% interval.
        n: clips that it is of, and num_asked those that it was to be of.
        note: why there is no value, or what is to be known of it; may be empty.
        series: equal for values that can be compared: of one protocol, on the same samples and seeds, as many
            as were asked for and as were there.
        change: how it differs from the last good night before; None where that is not known.
    """

    run_id: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    num_asked: int
    note: str
    series: str
    change: CellChange | None

    @property
    def mark(self) -> str:
        """ "=" unchanged, "~" changed, "+" better, "!" worse, empty where it is not compared."""
        if self.change is None or (self.change.verdict == "unchanged" and self.change.before != self.value):
            return ""  # equal on the clips that both nights have, and of others
        return MARKS[self.change.verdict]

    @property
    def status(self) -> str:
        """ "done", "3 of 8" where clips are missing, "failed" where all are, else "no value"."""
        if self.value is None:
            return "failed" if not self.n and self.num_asked else "no value"
        return "done" if self.n >= self.num_asked else f"{self.n} of {self.num_asked}"


@dataclass(frozen=True, kw_only=True)
class CellHistory:
    """One method, data set and metric over the nights, the oldest first."""

    method: str
    dataset: str
    metric: str
    label: str
    higher_is_better: bool | None
    level: str
    points: tuple[Point, ...]

    @property
    def title(self) -> str:
        """ "FVD of zs2 on msrvtt"."""
        return f"{self.label} of {self.method} on {self.dataset}"

    @property
    def series(self) -> str:
        """The series of the newest value of all clips; without one, of the newest value."""
        with_value = [point for point in self.points if point.value is not None] or self.points
        whole = [point for point in with_value if point.status == "done"]
        return (whole or with_value)[-1].series


def read_history(
    nights: Iterable[tuple[str, Path, Changes | None]],
) -> tuple[list[CellHistory], list[str]]:
    """The histories of all cells, in the order of the newest night that has them, and what could not be read.

    Args:
        nights: (id, folder, its changes) the oldest first.
    """
    cells: dict[tuple[str, str, str], list[Point]] = {}
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    notes = []
    for run_id, folder, changes in nights:
        try:
            summary = read_table(folder / "tables", "summary").to_pylist()
            clips = read_table(folder / "tables", "clips").to_pylist()
            scores = read_table(folder / "tables", "scores").to_pylist()
        except StoreError as error:
            notes.append(f"{run_id} is left out: {error.message}")
            continue
        known = {} if changes is None else {(c.method, c.dataset, c.metric): c for c in changes.cells}
        asked, there = _samples(clips), _samples(row for row in clips if row["status"] == "done")
        scored = _samples((row for row in scores if is_value(row["value"])), "metric")
        causes = {
            (row["method"], row["dataset"]): f"{row['error_type']}: {row['error_message']}".partition("\n")[0]
            for row in clips
            if row["error_type"]
        }
        for row in summary:
            if row["seed"] is not None:
                continue
            key = (row["method"], row["dataset"], row["metric"])
            rows.pop(key, None)  # the order is that of the newest night
            rows[key] = row
            measured = scored.get(key) if row["level"] == "clip" else there.get(key[:2])
            series = digest([row["protocol_digest"], asked.get(key[:2]), measured, row["n"]])
            cells.setdefault(key, []).append(
                Point(
                    run_id=run_id,
                    value=row["value"] if is_value(row["value"]) else None,
                    low=row["low"],
                    high=row["high"],
                    n=row["n"],
                    num_asked=row["n"] + row["num_failures"],
                    note=("" if row["n"] else causes.get(key[:2])) or row["notes"] or "",
                    series=series,
                    change=known.get(key),
                )
            )
    found = [
        CellHistory(
            method=key[0],
            dataset=key[1],
            metric=key[2],
            label=row["label"],
            higher_is_better=row["higher_is_better"],
            level=row["level"],
            points=tuple(cells[key]),
        )
        for key, row in rows.items()
    ]
    return found, notes


def selected(
    histories: Sequence[CellHistory], methods: Sequence[str] = (), metrics: Sequence[str] = ()
) -> list[CellHistory]:
    """The histories of these methods and metrics; without any, of all but costs.

    Raises:
        UnknownNameError: there is none of a method or metric.
    """
    for kind, names, known in (
        ("method", methods, {cell.method for cell in histories}),
        ("metric", metrics, {cell.metric for cell in histories}),
    ):
        for name in names:
            if name not in known:
                raise unknown_name(kind, name, known)
    return [
        cell
        for cell in histories
        if (not methods or cell.method in methods)
        and (cell.metric in metrics if metrics else cell.level != "cost")
    ]


def history_rows(histories: Iterable[CellHistory]) -> list[dict[str, Any]]:
    """A row for each value, for CSV and JSON."""
    return [
        {
            "method": cell.method,
            "dataset": cell.dataset,
            "metric": cell.metric,
            "id": point.run_id,
            "value": point.value,
            "low": point.low,
            "high": point.high,
            "n": point.n,
            "asked": point.num_asked,
            "status": point.status,
            "notes": point.note,
            "compared_with": None if point.change is None else point.change.before_id,
            "verdict": None if point.change is None else point.change.verdict,
            "difference": None if point.change is None else point.change.difference,
            "difference_low": None if point.change is None else point.change.low,
            "difference_high": None if point.change is None else point.change.high,
            "p_holm": None if point.change is None else point.change.p_holm,
            "series": point.series[:12],
        }
        for cell in histories
        for point in cell.points
    ]


def _samples(rows: Iterable[dict[str, Any]], *more: str) -> dict[tuple[str, ...], str]:
    """A digest of the samples and seeds of each method and data set (and metric)."""
    found: dict[tuple[str, ...], list[list[Any]]] = {}
    for row in rows:
        if row["method"] is not None:
            cell = (row["method"], row["dataset"], *(row[name] for name in more))
            found.setdefault(cell, []).append([row["sample_id"], row["seed"]])
    return {cell: digest(sorted(samples)) for cell, samples in found.items()}
