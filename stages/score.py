"""The score and compare stages: from features to rows of numbers. Pure: no files, no models."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from ..core import keys
from ..core.contracts import Metric
from ..core.errors import MetricError
from ..core.hashing import canonical_json, digest
from ..core.plan import Plan, PlannedDataset, PlannedMethod
from ..core.power import ALPHA, min_detectable
from ..core.statistics import holm, mean_estimate, sign_flip_test
from ..core.types import Estimate
from ..metrics.sets.sample_size import size_curve
from ..metrics.signature import signature
from .costs import cost_rows
from .measuring import Measuring
from .observations import FeatureCell, Observation, Observations, Reference

Row = dict[str, Any]


def score_rows(plan: Plan, measuring: Measuring, observations: Observations) -> list[Row]:
    """The value of every clip under every clip metric: rows of the `scores` table."""
    rows = []
    for metric in _clip_metrics(measuring):
        for item in observations.generated:
            features = item.values(metric.needs)
            if features is None:
                continue
            value, error = _of_clip(metric, features)
            rows.append(
                {
                    "run": plan.run.name,
                    "metric": metric.name,
                    "protocol": measuring.protocol.name,
                    "protocol_digest": measuring.protocol.digest,
                    "method": item.cell.method_label,
                    "dataset": item.cell.dataset_label,
                    "split": item.cell.dataset.split,
                    "conditioning": str(item.cell.method.plugin.conditioning),
                    "sample_id": item.task.sample.id,
                    "source": item.task.sample.source,
                    "edit": item.task.sample.edit,
                    "seed": item.cell.seed,
                    "value": value,
                    "error_message": error,
                    "score_key": keys.score_key(
                        metric.name,
                        metric.version,
                        metric.parameters(),
                        [item.features[role].key for role in metric.needs],
                    ),
                }
            )
    return rows


def _of_clip(metric: Any, features: Mapping[str, Any]) -> tuple[float | None, str | None]:
    """The value of a clip, or why it has none (one frame has no neighbour, ...)."""
    try:
        return metric.compute(features), None
    except MetricError as error:
        return None, error.message


def summary_rows(
    plan: Plan, measuring: Measuring, observations: Observations, scores: Sequence[Row]
) -> list[Row]:
    """One row for each method, data set, metric and seed, and for all seeds: the `summary` table."""
    by_cell: dict[tuple[str, str, str], list[Row]] = {}
    for row in scores:
        by_cell.setdefault((row["metric"], row["method"], row["dataset"]), []).append(row)
    rows = []
    for dataset, method in itertools.product(plan.datasets, plan.methods):
        items = observations.of(method.label, dataset.label)
        seeds: list[int | None] = [None, *plan.run.seeds]
        for metric in measuring.metrics:
            per_seed: list[tuple[str | None, Estimate]] = []
            reasons: list[str] = []
            mine = by_cell.get((metric.name, method.label, dataset.label), [])
            for seed in reversed(seeds):  # the all-seeds row of a set metric is made from the others
                chosen = [item for item in items if seed is None or item.cell.seed == seed]
                if metric.level == "clip":
                    values = [row for row in mine if seed is None or row["seed"] == seed]
                    score_key, estimate, reason = _mean(metric, values)
                elif seed is None:
                    score_key, estimate, reason = _over_seeds(per_seed, reasons)
                else:
                    references = observations.references_of(dataset.label)
                    score_key, estimate, reason = _set_estimate(metric, chosen, references)
                    if estimate is not None and len(plan.methods) > 1 and not hasattr(metric, "compare"):
                        note = "methods are not compared by it: it offers no paired test"
                        estimate = replace(estimate, notes=(*estimate.notes, note))
                    if estimate is None:
                        reasons.append(reason)
                    else:
                        per_seed.append((score_key, estimate))
                base = _base(plan, method, dataset, chosen, seed)
                rows.append(base | _metric_columns(metric, measuring, chosen, estimate, reason, score_key))
        rows += cost_rows(_base(plan, method, dataset, items, None), items)
    return rows


def comparison_rows(
    plan: Plan, measuring: Measuring, scores: Sequence[Row], observations: Observations
) -> list[Row]:
    """Paired comparisons of methods that saw the same, on the same samples: the `comparisons` table.

    Clip metrics: differences on the same (sample, seed), tested by sign flips of whole sources. Set metrics:
    the swap test and the paired jackknife on the samples that both methods have under every seed. p-values
    are adjusted by Holm over all comparisons of the data set under the protocol: whatever a reader of that
    table could take for a finding is one family.
    """
    rows = []
    for dataset in plan.datasets:
        block: list[Row] = []
        for metric, (a, b) in itertools.product(measuring.metrics, itertools.combinations(plan.methods, 2)):
            if a.plugin.conditioning != b.plugin.conditioning:
                continue
            if metric.level == "clip":
                found = _compare_clips(metric, scores, dataset, a, b)
            else:
                found = _compare_sets(metric, observations, dataset, a, b)
            if found is not None:
                block.append(_comparison_base(plan, measuring, metric, dataset, a, b) | found)
        family = f"{len(block)} comparisons: all metrics and pairs of methods of this data set and protocol"
        adjusted = holm([row["p_value"] for row in block]) if block else []
        for row, p in zip(block, adjusted, strict=True):
            notes = [row["notes"], _too_coarse(row.pop("resolution"), len(block))]
            rows.append(row | {"p_holm": p, "family": family, "notes": "\n".join(filter(None, notes))})
    return rows


def _too_coarse(resolution: float, num_comparisons: int) -> str:
    """Said where a test cannot become significant over its family, however large the difference is."""
    if resolution * num_comparisons <= ALPHA:
        return ""
    return (
        f"the smallest p this test can give is {resolution:.2g}; over {num_comparisons} comparisons Holm may "
        f"raise it above {ALPHA:g}: for a finding, compare fewer methods or metrics, or on more sources"
    )


def curve_rows(plan: Plan, measuring: Measuring, observations: Observations) -> list[Row]:
    """Set metrics that offer their `value` against N: the `curves` table. Of several seeds, the first."""
    rows = []
    for dataset, method, metric in itertools.product(plan.datasets, plan.methods, measuring.metrics):
        if metric.level != "set" or not hasattr(metric, "value"):
            continue
        seed = plan.run.seeds[0]
        items = observations.of(method.label, dataset.label, seed)
        generated, real = _both_sides(metric, items, observations.references_of(dataset.label))
        if not generated or not real:
            continue
        curve = size_curve(
            metric.value,
            np.stack([cell.values for _, cell in generated if cell.values is not None]).astype(np.float64),
            np.stack([cell.values for _, cell in real if cell.values is not None]).astype(np.float64),
            [item.task.sample.source for item, _ in generated],
            [item.sample.source for item, _ in real],
        )
        base = {
            "run": plan.run.name,
            "metric": metric.name,
            "label": metric.label,
            "protocol": measuring.protocol.name,
            "protocol_digest": measuring.protocol.digest,
            "method": method.label,
            "dataset": dataset.label,
            "split": dataset.split,
            "seed": seed,
            "extrapolated": curve.extrapolated,
        }
        rows += [base | asdict(point) for point in curve.points]
    return rows


def _comparison_base(
    plan: Plan,
    measuring: Measuring,
    metric: Metric,
    dataset: PlannedDataset,
    a: PlannedMethod,
    b: PlannedMethod,
) -> Row:
    return {
        "run": plan.run.name,
        "metric": metric.name,
        "level": metric.level,
        "protocol": measuring.protocol.name,
        "protocol_digest": measuring.protocol.digest,
        "dataset": dataset.label,
        "split": dataset.split,
        "conditioning": str(a.plugin.conditioning),
        "method_a": a.label,
        "method_b": b.label,
    }


def _compare_clips(
    metric: Metric, scores: Sequence[Row], dataset: PlannedDataset, a: PlannedMethod, b: PlannedMethod
) -> Row | None:
    """The mean difference of a clip metric over the (sample, seed) that both methods have."""
    values: dict[str, dict[tuple[str, int], Row]] = {a.label: {}, b.label: {}}
    for row in scores:
        if row["dataset"] != dataset.label or row["metric"] != metric.name or row["value"] is None:
            continue
        if row["method"] in values:
            values[row["method"]][row["sample_id"], row["seed"]] = row
    ours, theirs = values[a.label], values[b.label]
    pairs = sorted(set(ours) & set(theirs))
    if not pairs:
        return None
    differences = np.array([ours[pair]["value"] - theirs[pair]["value"] for pair in pairs])
    sources = [ours[pair]["source"] for pair in pairs]
    estimate = mean_estimate(differences, sources)
    test = sign_flip_test(differences, sources)
    detectable = None
    if estimate.standard_error is not None:
        detectable = min_detectable(estimate.standard_error, estimate.num_sources - 1)
    return {
        "difference": estimate.value,
        "standard_error": estimate.standard_error,
        "low": estimate.low,
        "high": estimate.high,
        "p_value": test.p_value,
        "resolution": test.resolution,
        "min_detectable": detectable,
        "num_pairs": len(pairs),
        "num_sources": estimate.num_sources,
        "test": test.name,
        "notes": "\n".join(estimate.notes),
    }


def _compare_sets(
    metric: Any, observations: Observations, dataset: PlannedDataset, a: PlannedMethod, b: PlannedMethod
) -> Row | None:
    """The difference of a set metric over the samples that both methods have under every seed; None where the
    metric cannot compare, or there is too little to compare."""
    if not hasattr(metric, "compare"):
        return None
    (role,) = metric.needs
    runs: dict[tuple[str, int], dict[str, Observation]] = {}
    for label in (a.label, b.label):
        for item in observations.of(label, dataset.label):
            cell = item.features.get(role)
            of_run = runs.setdefault((label, item.cell.seed), {})
            if cell is not None and cell.values is not None:
                of_run[item.task.sample.id] = item
    shared = sorted(set.intersection(*(set(found) for found in runs.values()))) if runs else []
    seeds = sorted({seed for _, seed in runs})
    references = [
        (item, cell.values)
        for item in observations.references_of(dataset.label)
        if (cell := item.features.get(role)) is not None and cell.values is not None
    ]
    references.sort(key=lambda pair: pair[0].sample.id)
    if len(shared) < metric.min_n or len(references) < metric.min_n:
        return None

    def features(label: str, seed: int) -> np.ndarray:
        items = (runs[label, seed][name] for name in shared)
        return np.stack([item.features[role].values for item in items])  # type: ignore[misc]

    try:
        found = metric.compare(
            [features(a.label, seed) for seed in seeds],
            [features(b.label, seed) for seed in seeds],
            np.stack([values for _, values in references]),
            [runs[a.label, seeds[0]][name].task.sample.source for name in shared],
            [item.sample.source for item, _ in references],
        )
    except MetricError:
        return None  # the summary says why the metric has no value
    detectable = None
    if found.standard_error is not None:
        detectable = min_detectable(found.standard_error, found.degrees)
    return {
        "difference": found.difference,
        "standard_error": found.standard_error,
        "low": found.low,
        "high": found.high,
        "p_value": found.p_value,
        "resolution": found.resolution,
        "min_detectable": detectable,
        "num_pairs": len(shared),
        "num_sources": found.num_sources,
        "test": found.test,
        "notes": "\n".join(found.notes),
    }


def _clip_metrics(measuring: Measuring) -> list[Any]:
    return [metric for metric in measuring.metrics if metric.level == "clip"]


_Scored = tuple[str | None, Estimate | None, str]
"""Score key, estimate, and why there is none."""


def _mean(metric: Metric, scores: Sequence[Row]) -> _Scored:
    rows = [row for row in scores if row["value"] is not None]
    errors = [row["error_message"] for row in scores if row["value"] is None]
    unscored = f"{len(errors)} clips could not be scored: {errors[0]}" if errors else ""
    if len(rows) < metric.min_n:
        reason = f"{len(rows)} clips could be scored, {metric.name} needs {metric.min_n}"
        return None, None, "\n".join(filter(None, [reason, unscored]))
    estimate = mean_estimate([row["value"] for row in rows], [row["source"] for row in rows])
    if unscored:
        estimate = replace(estimate, notes=(*estimate.notes, unscored))
    members = [row["score_key"] for row in rows]
    return keys.score_key(metric.name, metric.version, metric.parameters(), members), estimate, ""


def _both_sides(
    metric: Metric, items: Sequence[Observation], references: Sequence[Reference]
) -> tuple[list[tuple[Observation, FeatureCell]], list[tuple[Reference, FeatureCell]]]:
    """The clips of both sides that have the features of a set metric.

    The order of rows moves the last digits of a sum: it is that of the ids, whatever the data set's.
    """
    (role,) = metric.needs
    generated = [(item, item.features[role]) for item in items if role in item.features]
    generated = [(item, cell) for item, cell in generated if cell.values is not None]
    real = [(item, item.features[role]) for item in references]
    real = [(item, cell) for item, cell in real if cell.values is not None]
    generated.sort(key=lambda pair: pair[0].task.sample.id)
    real.sort(key=lambda pair: pair[0].sample.id)
    return generated, real


def _set_estimate(metric: Any, items: Sequence[Observation], references: Sequence[Reference]) -> _Scored:
    generated, real = _both_sides(metric, items, references)
    if not generated or not real:
        return (
            None,
            None,
            f"{len(generated)} generated and {len(real)} reference clips have features, "
            f"{metric.name} needs {metric.min_n} on each side",
        )
    try:
        estimate = metric.compute(
            np.stack([cell.values for _, cell in generated if cell.values is not None]),
            np.stack([cell.values for _, cell in real if cell.values is not None]),
            [item.task.sample.source for item, _ in generated],
            [item.sample.source for item, _ in real],
        )
    except MetricError as error:
        return None, None, error.message
    key = keys.score_key(
        metric.name,
        metric.version,
        metric.parameters(),
        [f"generated:{cell.key}" for _, cell in generated] + [f"reference:{cell.key}" for _, cell in real],
    )
    return key, estimate, ""


def _num_there(metric: Metric, items: Sequence[Observation]) -> int:
    """How many clips a metric without a value had: too few, but none of them failed."""
    if metric.level != "set":
        return 0
    generated, _ = _both_sides(metric, items, ())
    return len(generated)


def _over_seeds(keyed: Sequence[tuple[str | None, Estimate]], reasons: Sequence[str]) -> _Scored:
    """A set metric over several seeds: the mean of the seeds' values, at the N of one seed.

    Pooling the seeds would change N, on which the value depends. The standard error is the mean of
    the seeds' standard errors: all seeds share prompts and references, so it does not shrink with
    their number as it would for independent sets.
    """
    if not keyed:
        return None, None, reasons[0]
    if len(keyed) == 1:
        return *keyed[0], ""
    per_seed = [estimate for _, estimate in keyed]
    errors = [item.standard_error for item in per_seed if item.standard_error is not None]
    error = float(np.mean(errors)) if len(errors) == len(per_seed) else None
    value = float(np.mean([item.value for item in per_seed]))
    spread = float(np.std([item.value for item in per_seed], ddof=1))
    corrected = [item.bias_corrected for item in per_seed if item.bias_corrected is not None]
    estimate = replace(
        per_seed[0],
        value=value,
        standard_error=error,
        low=None,
        high=None,
        interval="mean over seeds; standard error: mean of the seeds' jackknife errors",
        bias_corrected=float(np.mean(corrected)) if len(corrected) == len(per_seed) else None,
        notes=(*per_seed[0].notes, f"standard deviation between {len(per_seed)} seeds: {spread:.3g}"),
    )
    return digest(sorted(key or "" for key, _ in keyed)), estimate, ""


def _base(
    plan: Plan,
    method: PlannedMethod,
    dataset: PlannedDataset,
    items: Sequence[Observation],
    seed: int | None,
) -> Row:
    hardware = sorted(
        {
            str(item.record.provenance.get("hardware"))
            for item in items
            if item.record is not None and item.record.status == "done"
        }
    )
    return {
        "run": plan.run.name,
        "method": method.label,
        "method_name": method.plugin.name,
        "method_version": method.plugin.version,
        "method_config": canonical_json(method.recorded_config),
        "dataset": dataset.label,
        "split": dataset.split,
        "conditioning": str(method.plugin.conditioning),
        "seed": seed,
        "num_seeds": len(plan.run.seeds) if seed is None else 1,
        "hardware": "; ".join(hardware),
    }


def _metric_columns(
    metric: Metric,
    measuring: Measuring,
    items: Sequence[Observation],
    estimate: Estimate | None,
    reason: str,
    score_key: str | None,
) -> Row:
    # A set metric stands for the N of one seed also in the row of all seeds.
    seeds = len({item.cell.seed for item in items}) if metric.level == "set" else 1
    asked = len(items) // max(1, seeds)
    n = estimate.n if estimate else _num_there(metric, items) // max(1, seeds)
    notes = list(estimate.notes) if estimate else [reason]
    digests: Mapping[str, str] = {
        name: value
        for role in metric.needs
        for name, value in measuring.extractors[role].weight_digests.items()
    }
    return {
        "metric": metric.name,
        "label": metric.label,
        "unit": metric.unit,
        "higher_is_better": metric.higher_is_better,
        "level": metric.level,
        "protocol": measuring.protocol.name,
        "protocol_digest": measuring.protocol.digest,
        "value": estimate.value if estimate else None,
        "standard_error": estimate.standard_error if estimate else None,
        "low": estimate.low if estimate else None,
        "high": estimate.high if estimate else None,
        "interval": estimate.interval if estimate else None,
        "bias_corrected": estimate.bias_corrected if estimate else None,
        "n": n,
        "num_sources": estimate.num_sources if estimate else 0,
        "num_failures": asked - n,
        "coverage": n / asked if asked else 0.0,
        "n_reference": estimate.n_reference if estimate else None,
        "signature": signature(
            metric, measuring.protocol, digests, n, estimate.n_reference if estimate else None
        ),
        "notes": "\n".join(note for note in notes if note),
        "score_key": score_key,
    }
