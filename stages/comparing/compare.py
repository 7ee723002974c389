"""Two results, or two methods of one, held against each other: `reelbench compare`, and the same from Python.

from reelbench.stages.comparing.compare import compare
found = compare("out/new", "out/old", margins={"clipsim": 0.01})
found.cells, found.costs, found.as_data()       # reports.comparing.text.comparison_text prints them
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ...core.equivalence import check_margin
from ...core.errors import MetricError, ReelbenchError, unknown_name
from ...core.redaction import fit_to_leave
from ...core.run_folders import Results, find_results
from ...core.statistics import ALPHA, holm
from ...reports.comparing.result import ComparedCell, ComparedCost, Comparison, Side, refusals
from ...reports.nights.changes import Difference
from ...reports.tables.lead import keeps_its_sign
from ..nights.differences import differences
from .cells import Tested, clip_cell, refused, set_cell, untested
from .comparable import ACROSS, inequalities, reasons_against
from .explain import with_moved
from .machines import machine_warnings, with_machine_notes
from .measured import Measured, Row

Place = str | Path | Results


class ComparisonError(ReelbenchError):
    """What `compare` was given does not fit together, or nothing of it can be compared."""


def compare(
    a: Place,
    b: Place | None = None,
    *,
    names: tuple[str, str] | None = None,
    methods: Sequence[str] = (),
    method_a: str | None = None,
    method_b: str | None = None,
    metrics: Sequence[str] = (),
    margins: Mapping[str, float] | None = None,
    across: Collection[str] = (),
    explain: int = 0,
) -> Comparison:
    """Compare the methods that two results have in common, or one method of each.

    Args:
        a, b: folders of results (`out/demo`, `out/demo/latest`, of an evaluation, of recorded tables).
            Without `b`, two methods of `a` are compared.
        names: what the two are called; their folders where that is not given.
        methods: only these labels of those that both have.
        method_a, method_b: one label of each, in place of the common ones.
        metrics: only these, by name.
        margins: by metric, the difference below which two methods count as alike, in its unit.
        across: of "conditioning" and "size", what is compared although it differs.
        explain: so many clips that move each difference most.

    Raises:
        ComparisonError: what is given does not fit together, or nothing can be compared; with all reasons.
        StoreError: there are no such results.
    """
    for kind in across:
        if kind not in ACROSS:
            raise unknown_name("kind of difference", kind, ACROSS)
    first = Measured(_results(a))
    second = first if b is None else Measured(_results(b))
    if first.results.tables.resolve() == second.results.tables.resolve():
        second = first
    pairs = _method_pairs(first, second, methods, method_a, method_b)
    margins = margins or {}
    _check_names(metrics, margins, first, second)
    tested, left_out = [], []
    for one, other in pairs:
        for found in _cells(first, second, one, other, metrics, margins, across, explain):
            if isinstance(found, str):
                left_out.append(found)
            else:
                tested.append(found)
    family = [item.cell for item in tested if item.cell.p_value is not None and item.cell.p_holm is None]
    cells = with_machine_notes(_judged(tested), pairs, first, second)
    comparison = Comparison(
        a=_side(names[0] if names else a, first, [one for one, _ in pairs]),
        b=_side(names[1] if names else b or a, second, [other for _, other in pairs]),
        cells=tuple(cells),
        costs=tuple(_costs(first, second, pairs)),
        differences=tuple(_differences(first, second, pairs)),
        warnings=tuple(machine_warnings(first, second, pairs)),
        left_out=tuple(dict.fromkeys(left_out)),
        num_tests=len(family),
    )
    if comparison.is_refused:
        raise _nothing(comparison, _no_common_data(first, second, pairs))
    return comparison


def _results(place: Place) -> Results:
    return place if isinstance(place, Results) else find_results(Path(place))


def _side(place: Place, side: Measured, labels: Sequence[str]) -> Side:
    name = str(place.folder if isinstance(place, Results) else place)
    return Side(
        name=fit_to_leave(name).removeprefix(".../"),
        run=str(side.run["run"] or ""),
        run_id=fit_to_leave(side.results.bundle or side.results.folder.resolve().name),
        methods=tuple(labels),
    )


def _method_pairs(
    a: Measured, b: Measured, methods: Sequence[str], method_a: str | None, method_b: str | None
) -> list[tuple[str, str]]:
    """The labels that are compared: those of A with those of B.

    Raises:
        ComparisonError, UnknownNameError: a label is not there, or it is not clear which are meant.
    """
    for label, side in ((method_a, a), (method_b, b)):
        if label is not None and label not in side.methods:
            raise unknown_name("method", label, side.methods)
    if methods and (method_a is not None or method_b is not None):
        raise ComparisonError(
            "--method was given with --a or --b",
            "--method chooses among the labels that both have; --a and --b name one label of each",
        )
    if a is b and (method_a is None or method_b is None):
        raise ComparisonError(
            "both sides are the same results, and no two methods of it were named",
            f"give --a LABEL --b LABEL: {_listed(a.methods)}; or another RUN",
        )
    if method_a is not None or method_b is not None:
        one, other = method_a or method_b, method_b or method_a
        assert one is not None
        assert other is not None
        for label, side, option in ((one, a, "--a"), (other, b, "--b")):
            if label not in side.methods:
                raise ComparisonError(
                    f"no method {label!r} on the side of {option}", f"{option} LABEL: {_listed(side.methods)}"
                )
        return [(one, other)]
    shared = [label for label in a.methods if label in b.methods]
    for label in methods:
        if label not in shared:
            raise unknown_name("method of both", label, shared)
    if not shared and len(a.methods) == len(b.methods) == 1:
        return [(a.methods[0], b.methods[0])]
    if not shared:
        raise ComparisonError(
            f"the two have no method of one label: {_listed(a.methods)}; {_listed(b.methods)}",
            "name one of each with --a LABEL --b LABEL",
        )
    return [(label, label) for label in shared if not methods or label in methods]


def _listed(labels: Sequence[str], most: int = 12) -> str:
    more = f" and {len(labels) - most} more" if len(labels) > most else ""
    return ", ".join(map(repr, labels[:most])) + more


def _check_names(metrics: Sequence[str], margins: Mapping[str, float], a: Measured, b: Measured) -> None:
    known = {row["metric"] for side in (a, b) for row in side.summary if row["level"] != "cost"}
    for name in (*metrics, *margins):
        if name not in known:
            raise unknown_name("metric", name, known)
    for name, margin in margins.items():
        try:
            check_margin(margin)
        except MetricError as error:
            raise ComparisonError(f"{name}: {error.message}", f"--margin {name}=0.01") from None


def _cells(
    a: Measured,
    b: Measured,
    method_a: str,
    method_b: str,
    metrics: Sequence[str],
    margins: Mapping[str, float],
    across: Collection[str],
    explain: int,
) -> Iterator[Tested | str]:
    """The cells of two methods, and in words what one side alone has."""
    mine, yours = (
        [row for row in side.summary
         if row["method"] == label and row["seed"] is None and row["level"] != "cost"
         and (not metrics or row["metric"] in metrics)]
        for side, label in ((a, method_a), (b, method_b))
    )  # fmt: skip
    for ours, theirs in _matched(mine, yours):
        if ours is None or theirs is None:
            row = ours or theirs
            assert row is not None
            cell_words = f"{row['label']} of {row['method']} on {row['dataset']}"
            yield f"{cell_words}: {'A' if ours else 'B'} alone has it"
            continue
        unequal = tuple(inequalities(ours, theirs, a, b))
        cell = _blank(ours, theirs, margins.get(ours["metric"]), unequal)
        reasons = reasons_against(ours, theirs, a, b, across)
        if reasons:
            yield refused(cell, *reasons)
        elif ours["value"] is None or theirs["value"] is None:
            lacking = [(name, row) for name, row in (("A", ours), ("B", theirs)) if row["value"] is None]
            why = "; ".join(f"{name} has no value: {_why(row)}" for name, row in lacking)
            yield refused(cell, why)
        else:
            try:
                if cell.level == "clip":
                    found = clip_cell(cell, ours, theirs, a, b)
                else:
                    found = set_cell(cell, ours, theirs, a, b, with_features=explain > 0)
            except MetricError as error:
                found = untested(cell, error.message)
            yield with_moved(found, explain, a) if explain else found


def _matched(mine: Sequence[Row], yours: Sequence[Row]) -> Iterator[tuple[Row | None, Row | None]]:
    """Rows of the same data set, split, metric and protocol; else of the same data set and metric, which are
    refused with the reason; else of one side alone."""
    left = list(yours)
    rest = []
    for row in mine:
        names = ("dataset", "split", "metric", "protocol_digest")
        same = next((other for other in left if all(other[n] == row[n] for n in names)), None)
        if same is None:
            rest.append(row)
        else:
            left.remove(same)
            yield row, same
    for row in rest:
        same = next((other for other in left if all(other[n] == row[n] for n in ("dataset", "metric"))), None)
        if same is not None:
            left.remove(same)
        yield row, same
    for row in left:
        yield None, row


def _blank(ours: Row, theirs: Row, margin: float | None, notes: tuple[str, ...]) -> ComparedCell:
    return ComparedCell(
        dataset=ours["dataset"],
        split=ours["split"] or "",
        protocol=ours["protocol"] or "",
        protocol_digest=ours["protocol_digest"] or "",
        metric=ours["metric"],
        label=ours["label"] or ours["metric"],
        level=ours["level"],
        higher_is_better=ours["higher_is_better"],
        method_a=ours["method"],
        method_b=theirs["method"],
        conditioning_a=ours["conditioning"] or "",
        conditioning_b=theirs["conditioning"] or "",
        verdict="not tested",
        value_a=ours["value"],
        value_b=theirs["value"],
        error_a=ours["standard_error"],
        error_b=theirs["standard_error"],
        n_a=ours["n"] or 0,
        n_b=theirs["n"] or 0,
        margin=margin,
        notes=notes,
    )


def _why(row: Row) -> str:
    return fit_to_leave((row["notes"] or "no reason is recorded").splitlines()[0])


def _judged(tested: Sequence[Tested]) -> list[ComparedCell]:
    """The cells with Holm's corrections over all that were tested and differ, and the verdicts."""
    open_cells = [item for item in tested if item.cell.p_value is not None and item.cell.p_holm is None]
    p_holm = iter(holm([item.cell.p_value or 0.0 for item in open_cells]))
    with_margin = [p for item in tested if (p := item.cell.equivalence_p) is not None]
    equivalence = iter(holm(with_margin))
    cells = []
    for item in tested:
        cell = item.cell
        if cell.equivalence_p is not None:
            cell = replace(cell, equivalence_p_holm=next(equivalence))
        if cell.p_value is not None and cell.p_holm is None:
            cell = replace(cell, p_holm=next(p_holm))
            if item.resolution * len(open_cells) > ALPHA:
                said = (
                    f"the smallest p this test can give is {item.resolution:.2g}; over {len(open_cells)} "
                    "tests no difference can be told: compare fewer methods or metrics, or on more sources"
                )
                cell = replace(cell, min_detectable=None, can_tell=False, notes=(*cell.notes, said))
            cell = _with_verdict(cell)
        cells.append(cell)
    return cells


def _with_verdict(cell: ComparedCell) -> ComparedCell:
    assert cell.p_holm is not None
    difference, is_up = cell.difference, cell.higher_is_better
    assert difference is not None
    if cell.too_few:
        said = f"below {cell.too_few} clips or references this metric's values are too biased for a verdict"
        return replace(cell, verdict="too few clips", notes=(*cell.notes, said))
    if cell.equivalence_p_holm is not None and cell.equivalence_p_holm <= ALPHA:
        return replace(cell, verdict="equivalent")
    if cell.p_holm > ALPHA:
        return cell
    if not keeps_its_sign(vars(cell)):
        said = "the difference has another sign without its bias, so it is not counted"
        return replace(cell, notes=(*cell.notes, said))
    if is_up is None:
        return replace(cell, verdict="different")
    if cell.low is not None and cell.high is not None and cell.low <= 0 <= cell.high:
        said = "the 95% interval holds 0 although the test finds a difference: take this one with care"
        cell = replace(cell, notes=(*cell.notes, said))
    return replace(cell, verdict="better" if (difference > 0) is is_up else "worse")


def _costs(a: Measured, b: Measured, pairs: Sequence[tuple[str, str]]) -> Iterator[ComparedCost]:
    sides = [
        {
            (row["method"], row["dataset"], row["split"], row["metric"]): row
            for row in side.summary
            if row["level"] == "cost" and row["seed"] is None
        }
        for side in (a, b)
    ]
    for (method, dataset, split, metric), ours in sides[0].items():
        for one, other in pairs:
            theirs = sides[1].get((other, dataset, split, metric))
            if method != one or theirs is None:
                continue
            mine, yours = ours["value"], theirs["value"]
            if mine is None and yours is None:
                continue
            there = mine is not None and yours is not None and math.isfinite(mine) and bool(yours)
            devices = [row["hardware"] or "" for row in (ours, theirs)]
            note = ""
            if metric != "trainable_parameters":
                if not all(devices):
                    note = "the device is not recorded"
                elif devices[0] != devices[1]:
                    note = "other devices: the ratio is theirs as much as the methods'"
            yield ComparedCost(
                dataset=dataset,
                metric=metric,
                label=ours["label"] or metric,
                unit=ours["unit"] or "",
                method_a=one,
                method_b=other,
                value_a=mine,
                value_b=yours,
                ratio=mine / yours if there else None,
                hardware_a=devices[0],
                hardware_b=devices[1],
                note=note,
            )


def _differences(a: Measured, b: Measured, pairs: Sequence[tuple[str, str]]) -> list[Difference]:
    """What the sides were made with that differs; of methods where the label is the same."""
    if a is b or a.record is None or b.record is None:
        return []
    name = b.results.folder.resolve().name
    same = [one for one, other in pairs if one == other]
    return differences(a.record, dict.fromkeys(same, (name, b.record)) or {"": (name, b.record)})


def _no_common_data(a: Measured, b: Measured, pairs: Sequence[tuple[str, str]]) -> str:
    """ "fca ran on ssv2, simda on msrvtt: no data set in common"; "" where there is one."""
    sides = [
        {row["dataset"] for row in side.summary if row["method"] in labels}
        for side, labels in ((a, [one for one, _ in pairs]), (b, [other for _, other in pairs]))
    ]
    if sides[0] & sides[1] or not all(sides):
        return ""
    on = [", ".join(sorted(side)) for side in sides]
    names = pairs[0] if len(pairs) == 1 and pairs[0][0] != pairs[0][1] else ("A", "B")
    return f"{names[0]} ran on {on[0]}, {names[1]} on {on[1]}: no data set in common"


def _nothing(comparison: Comparison, no_common_data: str) -> ComparisonError:
    """The error that says why nothing can be compared."""
    found = refusals(comparison.cells)
    if not found:
        few, num_more = comparison.left_out[:6], len(comparison.left_out) - 6
        more = f"; and {num_more} more" if num_more > 0 else ""
        alone = no_common_data or "; ".join(few) + more or "no method of them has a value"
        return ComparisonError(
            f"nothing can be compared: {alone}", "compare results of the same data and metrics"
        )
    lines = [
        f"{reason} ({'; '.join(cells[:3])}{f' and {len(cells) - 3} more' if len(cells) > 3 else ''})"
        for reason, cells in found.items()
    ]
    return ComparisonError(
        "nothing can be compared:\n  " + "\n  ".join(lines),
        "values of different protocols, samples or conditioning are different quantities: measure both alike",
    )
