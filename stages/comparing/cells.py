"""One metric of two methods: the paired test, the equivalence test, and who wins how often."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ...core.contracts import SetMetric
from ...core.equivalence import (
    Centred,
    centred_pairs,
    centred_sets,
    equivalence_p_value,
    smallest_margin,
    win_rate,
)
from ...core.errors import MetricError, ReelbenchError
from ...core.paired import Pair, PairedComparison, Pairs, pair_up, paired_test
from ...core.statistics import mean_estimate, min_detectable
from ...core.types import Features
from ...metrics.build import build_metric
from ...metrics.protocol import load_protocol
from ...reports.comparing.result import ComparedCell
from ...reports.tables.lead import too_few
from ..scoring.metric_calls import set_value
from .comparable import prompts_differ, reads_references, references_differ
from .measured import Measured, Row
from .sets import SharedSets, shared_sets


@dataclass(frozen=True)
class Tested:
    """A cell before the corrections over all of them.

    Attributes:
        resolution: the smallest p-value that its test can give.
        pairs: of a clip metric.
        sets: of a set metric, with the metric, where its features are there.
    """

    cell: ComparedCell
    resolution: float = 0.0
    pairs: Pairs | None = None
    sets: tuple[SetMetric, SharedSets] | None = None


def clip_cell(cell: ComparedCell, ours: Row, theirs: Row, a: Measured, b: Measured) -> Tested:
    """A clip metric: differences on the samples and seeds that both have."""
    if reads_references(cell.metric) and (num := references_differ(cell.dataset, a, b)):
        return refused(cell, f"the references are other ones: {num} of another content")
    scores = a.scores_of(ours), b.scores_of(theirs)
    notes = [*cell.notes]
    if bool(a.clips) != bool(b.clips):  # of recorded tables, without clips
        scores = _in_single_precision(scores[0]), _in_single_precision(scores[1])
        notes.append("in single precision, which recorded scores have")
    other = prompts_differ(cell.dataset, a, b)
    sources = {**b.sources_of(cell.dataset), **a.sources_of(cell.dataset)}
    alike = {key: value for key, value in scores[0].items() if key[0] not in other}
    pairs = pair_up(alike, scores[1], sources)
    if not pairs.keys:
        why = f": {len(other)} have another prompt or source video" if other else ""
        nums = f"{len(scores[0])} of A, {len(scores[1])} of B"
        return refused(cell, f"no sample and seed in common ({nums}){why}")
    if len(pairs.keys) < max(map(len, scores)):
        nums = f"{len(scores[0])} of A and {len(scores[1])} of B"
        notes.append(f"on the {len(pairs.keys)} pairs that both have, of {nums}")
    if other:
        notes.append(f"{len(other)} samples left out: another prompt or source video in B")
    found = paired_test(pairs)
    means = [mean_estimate(values, pairs.sources) for values in (pairs.a, pairs.b)]
    up = cell.higher_is_better
    cell = replace(
        with_test(replace(cell, notes=tuple(notes)), found, centred_pairs(pairs)),
        value_a=means[0].value,
        value_b=means[1].value,
        error_a=means[0].standard_error,
        error_b=means[1].standard_error,
        wins=None if up is None else win_rate(pairs, up),
    )
    return Tested(_equal(cell) if pairs.are_equal else cell, found.resolution, pairs)


def set_cell(
    cell: ComparedCell, ours: Row, theirs: Row, a: Measured, b: Measured, *, with_features: bool
) -> Tested:
    """A set metric: by its own paired test on the samples that both have, from features in the stores.

    Args:
        with_features: read features also where the run has tested the two methods already.
    """
    counterpart = f"{cell.metric}_others"
    if "own" in (ours["references"], theirs["references"]) and _has(counterpart, cell, a, b):
        return untested(
            cell,
            "clips were made from a part of these references, and closeness to them would count as a "
            f"merit: see {counterpart}",
        )
    counts = [row[name] for row in (ours, theirs) for name in ("n", "n_reference")]
    cell = replace(cell, too_few=too_few(ours["warn_below_n"], *counts))
    recorded = _recorded(cell, a) if a is b else None
    try:
        metric = _set_metric(ours, a)
        sets = None if recorded is not None and not with_features else _sets(metric, ours, theirs, a, b)
    except ReelbenchError as error:
        if recorded is not None:
            return Tested(with_test(cell, recorded, centred_sets(recorded)), recorded.resolution)
        if cell.n_a != cell.n_b:
            nums = f"{cell.n_a} clips of A, {cell.n_b} of B"
            return refused(cell, f"{error.message}; a value of a set depends on its number of clips ({nums})")
        return untested(cell, error.message)
    if sets is None:
        assert recorded is not None
        return Tested(with_test(cell, recorded, centred_sets(recorded)), recorded.resolution)
    is_equal = all((x == y).all() for x, y in zip(sets.a, sets.b, strict=True))
    try:
        found = recorded or (sets.compare(metric))
        if found is not None and len(sets.samples) < max(cell.n_a, cell.n_b):
            cell = _on_shared(cell, metric, sets)
            few = too_few(ours["warn_below_n"], len(sets.samples), len(sets.reference))
            cell = replace(cell, too_few=few)
    except MetricError as error:
        return untested(cell, error.message)
    if found is None:
        return untested(cell, f"{cell.label} has no paired test")
    cell = with_test(cell, found, centred_sets(found))
    return Tested(_equal(cell) if is_equal else cell, found.resolution, sets=(metric, sets))


def with_test(cell: ComparedCell, found: PairedComparison, centred: Centred | None) -> ComparedCell:
    """The cell with what a paired test found, and the equivalence test."""
    margin = cell.margin
    error = found.standard_error
    return replace(
        cell,
        verdict="not told apart",
        difference=found.difference,
        standard_error=error,
        low=found.low,
        high=found.high,
        p_value=found.p_value,
        num_pairs=found.n,
        num_sources=found.num_sources,
        test=found.test,
        min_detectable=None if error is None or found.degrees < 1 else min_detectable(error, found.degrees),
        equivalence_p=None if centred is None or margin is None else equivalence_p_value(centred, margin),
        smallest_margin=None if centred is None else smallest_margin(centred),
        notes=(*cell.notes, *found.notes),
    )


def refused(cell: ComparedCell, *reasons: str) -> Tested:
    """A cell that cannot be compared."""
    return Tested(replace(cell, verdict="refused", notes=reasons))


def untested(cell: ComparedCell, reason: str) -> Tested:
    """A cell whose two values are shown, and no test."""
    return Tested(replace(cell, verdict="not tested", notes=(*cell.notes, f"not tested: {reason}")))


def _in_single_precision(scores: Mapping[Pair, float]) -> dict[Pair, float]:
    return {key: float(np.float32(value)) for key, value in scores.items()}


def _equal(cell: ComparedCell) -> ComparedCell:
    """A cell whose scores are equal to the last bit, which needs no test."""
    return replace(
        cell,
        verdict="equal" if cell.margin is None else "equivalent",
        difference=0.0,
        low=0.0,
        high=0.0,
        p_value=1.0,
        p_holm=1.0,
        equivalence_p=None if cell.margin is None else 0.0,
        smallest_margin=0.0,
        min_detectable=None,
        notes=(*cell.notes, "equal to the last bit"),
    )


def _has(metric: str, cell: ComparedCell, a: Measured, b: Measured) -> bool:
    """Whether both results have a metric on the data set."""
    return all(
        any(row["metric"] == metric and row["dataset"] == cell.dataset for row in side.summary)
        for side in (a, b)
    )


def _recorded(cell: ComparedCell, a: Measured) -> PairedComparison | None:
    """What the run's own table says of two of its methods."""
    with contextlib.suppress(ReelbenchError):
        for row in a.rows("comparisons"):
            names = (row["method_a"], row["method_b"])
            columns = ("dataset", "split", "metric", "protocol_digest")
            same = all(row[column] == getattr(cell, column) for column in columns)
            if not same or set(names) != {cell.method_a, cell.method_b}:
                continue
            sign = 1 if names[0] == cell.method_a else -1
            ends = [None if row[end] is None else sign * row[end] for end in ("low", "high")]
            low, high = ends if sign == 1 else reversed(ends)
            return PairedComparison(
                difference=sign * row["difference"],
                standard_error=row["standard_error"],
                low=low,
                high=high,
                degrees=_degrees(row),
                p_value=row["p_value"],
                test=row["test"],
                # All patterns of few sources; of many, 199 to 999 were drawn.
                resolution=2.0 ** (1 - row["num_sources"]) if row["num_sources"] < 10 else 0.0,
                n=row["num_pairs"],
                num_sources=row["num_sources"],
            )
    return None


def _degrees(row: Row) -> int:
    """Degrees of freedom of a recorded difference of sets: jackknife groups less one."""
    from ...metrics.sets.features import MAX_GROUPS

    return max(min(row["num_sources"], MAX_GROUPS) - 1, 0)


def _set_metric(row: Row, side: Measured) -> SetMetric:
    """The metric of a row of the summary.

    Raises:
        ReelbenchError: its class or its protocol is not here, or is another one.
    """
    data = json.loads(side.run["run_file"] or "{}")
    names = [row["protocol"], data.get("protocol"), *(d.get("protocol") for d in data.get("datasets", ()))]
    protocol = None
    for name in filter(None, names):
        with contextlib.suppress(ReelbenchError):
            if (found := load_protocol(name)).digest == row["protocol_digest"]:
                protocol = found
                break
    if protocol is None:
        raise MetricError(f"the protocol {row['protocol']!r} is not here as it was")
    classes = [entry for entry in data.get("metrics") or () if isinstance(entry, str) and ":" in entry]
    for name in (row["metric"], *classes):
        with contextlib.suppress(ReelbenchError):
            metric = build_metric(name, protocol)
            if metric.name == row["metric"] and isinstance(metric, SetMetric):
                return metric
    raise MetricError(f"the metric {row['metric']!r} is not here")


def _sets(metric: SetMetric, ours: Row, theirs: Row, a: Measured, b: Measured) -> SharedSets:
    """The features of both, on the samples that they share.

    Raises:
        MetricError: there are too few, or the references are other ones.
    """
    (role,) = metric.needs
    stores = [side.store for side in (a, b)]
    keys = [side.feature_keys(role, row["method"], row) for side, row in ((a, ours), (b, theirs))]
    references = [side.feature_keys(role, None, row) for side, row in ((a, ours), (b, theirs))]
    lacking = [
        name for name, store, mine in zip("AB", stores, keys, strict=True) if store is None or not mine
    ]
    if lacking:
        raise MetricError(
            f"the store with the features of {' and '.join(lacking)} is not here (features of a bundle are "
            "not read by compare)"
        )
    if set(references[0].values()) != set(references[1].values()):
        num = len(set(references[0].values()) ^ set(references[1].values()))
        raise MetricError(f"the references or their features are other ones ({num} differ)")

    def load(role: str, wanted: object) -> Mapping[str, Features]:
        found: dict[str, Features] = {}
        for store in stores:
            assert store is not None
            found |= store.features.load(role, {*wanted} - found.keys())  # type: ignore[misc]
        return found

    sources = {**b.sources_of(ours["dataset"]), **a.sources_of(ours["dataset"])}
    other = prompts_differ(ours["dataset"], a, b)
    mine, yours = ({key: value for key, value in side.items() if key[0] not in other} for side in keys)
    return shared_sets(metric, mine, yours, references[0], sources, load)


def _on_shared(cell: ComparedCell, metric: SetMetric, sets: SharedSets) -> ComparedCell:
    """The cell with the values of the shared samples, since those of the summaries are of others."""

    def value(side: list[object]) -> float | None:
        values = [set_value(metric, one, sets.reference) for one in side]  # type: ignore[arg-type]
        there = [found for found in values if found is not None]
        return sum(there) / len(there) if len(there) == len(values) else None

    note = f"on the {len(sets.samples)} samples that both have, of {cell.n_a} clips of A and {cell.n_b} of B"
    return replace(
        cell,
        value_a=value([*sets.a]),
        value_b=value([*sets.b]),
        error_a=None,
        error_b=None,
        notes=(*cell.notes, note),
    )
