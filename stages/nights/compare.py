"""A night of a run against the last good night, by paired tests on the same samples and seeds.

A night is good for a method when all that was asked of it is there. So one method that always fails keeps
none of the others from being compared, and a night in which something failed is compared but is nobody's
measure.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...core.contracts import SetMetric
from ...core.errors import MetricError, ReelbenchError
from ...core.paired import pair_up, paired_test
from ...core.run_folders import Results, results_dir, run_ids
from ...core.statistics import ALPHA, holm
from ...core.store import Store
from ...reports.nights.changes import CellChange, Changes, Difference, MethodFailure, verdict_of
from ..comparing.measured import Measured, Row
from ..comparing.sets import shared_sets
from ..measuring import Measuring
from .differences import differences
from .record import night_ids

MOST_NIGHTS = 60
"""How many earlier nights are looked at for a good one."""


def compare_nights(
    run_dir: Path, run_id: str, measurings: Sequence[Measuring] = (), store: Store | None = None
) -> Changes:
    """Compare the results of a run with those of its last good night.

    Args:
        run_dir: `RunFile.run_dir`.
        run_id: of the results that are compared with earlier ones.
        measurings: as planned; without one under the cell's protocol, and without a store, set metrics that
            differ are shown and not tested.
        store: holds the features.

    Raises:
        StoreError: there are no results with this id, or they cannot be read.
    """
    now = _Night(run_dir, run_id)
    ids = run_ids(run_dir)
    before = set(ids[: ids.index(run_id)])
    earlier = [_Night(run_dir, name) for name in reversed(night_ids(run_dir)) if name in before][:MOST_NIGHTS]
    damaged: dict[str, str] = {}
    baselines = {method: _baseline(now, earlier, method, damaged) for method in now.methods}
    cells = [
        _compare(row, now, baselines[row["method"]], measurings, store)
        for row in now.summary
        if row["seed"] is None and row["level"] != "cost"
    ]
    cells = _adjusted(cells)
    used = {method: night for method, night in baselines.items() if night is not None}
    newest = max((ids.index(night.run_id) for night in used.values()), default=-1)
    damaged = {name: why for name, why in damaged.items() if ids.index(name) > newest}
    differing, notes = _differences(now, used)
    return Changes(
        run=str(now.run["run"]),
        run_id=run_id,
        verdict=verdict_of(cells),
        cells=tuple(cells),
        differences=tuple(differing),
        failures=tuple(_failures(now, baselines)),
        damaged=tuple(damaged),
        notes=(*(f"{name} is damaged, and passed over: {why}" for name, why in damaged.items()), *notes),
    )


def kept_nights(run_dir: Path) -> dict[str, list[str]]:
    """The nights that the next one would be compared with, by id: the methods whose last good one each is."""
    nights = [_Night(run_dir, name) for name in reversed(night_ids(run_dir))]
    found: dict[str, list[str]] = {}
    seen: set[str] = set()
    for index, night in enumerate(nights):
        with contextlib.suppress(ReelbenchError):  # damaged: nothing is compared with it
            for method in night.methods:
                if method not in seen:
                    seen.add(method)
                    base = _baseline(night, nights[index : index + MOST_NIGHTS], method, {})
                    if base is not None:
                        found.setdefault(base.run_id, []).append(method)
    return found


class _Night(Measured):
    """The results of one run, read when they are asked for."""

    def __init__(self, run_dir: Path, run_id: str) -> None:
        folder = results_dir(run_dir, run_id)
        super().__init__(Results(folder, folder / "tables"))
        self.run_id = run_id

    def read(self) -> None:
        """Read all tables that are compared.

        Raises:
            StoreError: one cannot be read.
        """
        for table in ("runs", "clips", "features", "summary", "scores"):
            self.rows(table)

    def asked(self, method: str) -> set[tuple[str, str, int]]:
        """What clips a method was to make: (data set, sample, seed)."""
        return {
            (row["dataset"], row["sample_id"], row["seed"]) for row in self.clips if row["method"] == method
        }

    def is_whole(self, method: str) -> bool:
        """Whether all clips and features of a method are there."""
        rows = [row for row in (*self.clips, *self.features) if row["method"] == method]
        return bool(rows) and all(row["status"] == "done" for row in rows)

    def row_of(self, other: Row) -> dict[str, Any] | None:
        """The summary's row of the same cell as one of another night."""
        names = ("method", "dataset", "split", "metric", "seed")
        same = (row for row in self.summary if all(row[name] == other[name] for name in names))
        return next(same, None)


def _differences(now: _Night, used: Mapping[str, _Night]) -> tuple[list[Difference], list[str]]:
    """What differs from the nights that are used, and of which of all these it is not known."""
    nights = {night.run_id: night for night in (now, *used.values())}
    notes = [
        f"run.json of {name} cannot be read: what differs is unknown"
        for name, night in nights.items()
        if night.record is None
    ]
    if now.record is None:
        return [], notes
    records = {method: (night.run_id, night.record) for method, night in used.items()}
    return differences(now.record, {m: (name, r) for m, (name, r) in records.items() if r is not None}), notes


def _baseline(now: _Night, earlier: Sequence[_Night], method: str, damaged: dict[str, str]) -> _Night | None:
    """The last night that was good for a method and asked the same of it under the same protocol; else the
    last one that has clips of it.

    Args:
        damaged: is given the ids of nights that cannot be read, and why.
    """
    fallback = None
    for night in earlier:
        try:
            night.read()
            if not any(row["method"] == method and row["status"] == "done" for row in night.clips):
                continue
            same = night.run["protocol_digest"] == now.run["protocol_digest"]
            if same and night.is_whole(method) and night.asked(method) == now.asked(method):
                return night
            if fallback is None:
                fallback = night
        except ReelbenchError as error:  # damaged, or of another schema
            damaged[night.run_id] = error.message
    return fallback


def _compare(
    row: Row, now: _Night, before: _Night | None, measurings: Sequence[Measuring], store: Store | None
) -> CellChange:
    cell = CellChange(
        method=row["method"],
        dataset=row["dataset"],
        metric=row["metric"],
        label=row["label"],
        higher_is_better=row["higher_is_better"],
        verdict="not compared",
        now=row["value"],
    )
    if before is None:
        return replace(cell, notes=("no earlier night has clips of this method",))
    cell = replace(cell, before_id=before.run_id)
    other = before.row_of(row)
    if other is None:
        return replace(cell, notes=("that night has no such value",))
    cell = replace(cell, before=other["value"])
    if other["protocol_digest"] != row["protocol_digest"]:
        what = f"{other['protocol']} {other['protocol_digest'][:12]}"
        return replace(cell, notes=(f"that night was measured under another protocol ({what})",))
    if row["value"] is None or other["value"] is None:
        lacking = "tonight" if row["value"] is None else "that night"
        return replace(cell, notes=(f"there is no value {lacking}: {_why(row, other)}",))
    try:
        if row["level"] == "clip":
            return _compare_clips(cell, row, other, now, before)
        return _compare_sets(cell, row, other, now, before, measurings, store)
    except MetricError as error:
        return replace(cell, notes=(error.message,))


def _why(row: Row, other: Row) -> str:
    lacking = row if row["value"] is None else other
    return (lacking["notes"] or "no reason is recorded").splitlines()[0]


def _compare_clips(cell: CellChange, row: Row, other: Row, now: _Night, before: _Night) -> CellChange:
    """Differences on the same (sample, seed), tested by sign flips of whole sources."""
    ours, theirs = now.scores_of(row), before.scores_of(other)
    pairs = pair_up(ours, theirs, now.sources_of(cell.dataset))
    num = len(pairs.keys)
    notes = _partial(num, len(ours), len(theirs))
    if not num:
        return replace(cell, notes=("both nights have no sample in common",))
    cell = replace(cell, num_pairs=num, notes=notes)
    if pairs.are_equal:
        asked = [{(name, seed) for dataset, name, seed in night.asked(cell.method) if dataset == cell.dataset}
                 for night in (now, before)]  # fmt: skip
        # Clips that one night alone was asked for are no change; such as one of them lacks are.
        is_same = set(ours) & asked[1] == set(theirs) & asked[0]
        return replace(cell, verdict="unchanged" if is_same else "changed", difference=0.0)
    found = paired_test(pairs)
    return replace(
        cell,
        verdict="changed",
        difference=found.difference,
        low=found.low,
        high=found.high,
        p_value=found.p_value,
        notes=(*notes, *_coarse(found.resolution)),
    )


def _compare_sets(
    cell: CellChange,
    row: Row,
    other: Row,
    now: _Night,
    before: _Night,
    measurings: Sequence[Measuring],
    store: Store | None,
) -> CellChange:
    """By the metric's own paired test, on features of both nights from the store."""
    if (row["value"], row["n"]) == (other["value"], other["n"]):
        return replace(cell, verdict="unchanged", difference=0.0, num_pairs=row["n"])
    metric = _set_metric(cell.metric, row["protocol_digest"], measurings)
    if metric is None or store is None:
        return replace(cell, verdict="changed", notes=("not tested: shown from the tables alone",))
    (role,) = metric.needs
    references = now.feature_keys(role, None, row)
    if set(references.values()) != set(before.feature_keys(role, None, other).values()):
        return replace(cell, notes=("the reference clips or their features are other ones",))
    ours, theirs = now.feature_keys(role, cell.method, row), before.feature_keys(role, cell.method, other)
    shared = shared_sets(metric, ours, theirs, references, now.sources_of(cell.dataset), store.features.load)
    nums = (len({sample for sample, _ in keys}) for keys in (ours, theirs))
    notes = _partial(len(shared.samples), *nums)
    compared = shared.compare(metric)
    if compared is None:
        return replace(cell, verdict="changed", notes=("this metric has no paired test",))
    return replace(
        cell,
        verdict="changed",
        difference=compared.difference,
        low=compared.low,
        high=compared.high,
        p_value=compared.p_value,
        num_pairs=compared.n,
        notes=(*notes, *compared.notes, *_coarse(compared.resolution)),
    )


def _set_metric(name: str, protocol: str, measurings: Sequence[Measuring]) -> SetMetric | None:
    for measuring in measurings:
        if measuring.protocol.digest == protocol:
            for metric in measuring.set_metrics_of(["text + reference video"]):
                if metric.name == name:
                    return metric
    return None


def _partial(num: int, num_now: int, num_before: int) -> tuple[str, ...]:
    if num == num_now == num_before:
        return ()
    return (f"on the {num} clips that both nights have, of {num_now} tonight and {num_before} then",)


def _coarse(resolution: float) -> tuple[str, ...]:
    if resolution <= ALPHA:
        return ()
    return (f"so few sources that p cannot be below {resolution:.2g}: no difference can be found",)


def _adjusted(cells: Sequence[CellChange]) -> list[CellChange]:
    """The cells with Holm's correction over all that were tested, and what that makes of them."""
    tested = [cell.p_value for cell in cells if cell.p_value is not None]
    adjusted = iter(holm(tested))
    return [cell if cell.p_value is None else _judged(cell, next(adjusted)) for cell in cells]


def _judged(cell: CellChange, p_holm: float) -> CellChange:
    cell = replace(cell, p_holm=p_holm)
    if p_holm > ALPHA or cell.higher_is_better is None or not cell.difference:
        return cell
    return replace(cell, verdict="better" if (cell.difference > 0) is cell.higher_is_better else "worse")


def _failures(now: _Night, baselines: Mapping[str, _Night | None]) -> Iterator[MethodFailure]:
    cells: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in now.clips:
        if row["side"] == "generated":
            cells.setdefault((row["method"], row["dataset"]), []).append(row)
    for (method, dataset), rows in sorted(cells.items()):
        failed = [row for row in rows if row["status"] != "done"]
        if failed:
            first = failed[0]
            before = baselines.get(method)
            message = str(first["error_message"] or "").partition("\n")[0][:300]
            cause = f"{first['error_type']}: {message}" if first["error_type"] else first["status"]
            is_new = before is not None and before.is_whole(method)
            yield MethodFailure(
                method=method,
                dataset=dataset,
                num_failed=len(failed),
                num_clips=len(rows),
                cause=cause,
                is_new=is_new,
            )
