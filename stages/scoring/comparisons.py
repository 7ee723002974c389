"""Paired comparisons of systems that saw the same, on the same samples: the `comparisons` table."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...core.contracts import Metric, SetMetric
from ...core.errors import MetricError
from ...core.statistics import ALPHA, holm, mean_estimate, min_detectable, sign_flip_test
from ...core.tables import ComparisonRow, ScoreRow
from ..measuring import Measuring
from .metric_calls import Defects, MetricDefectError, set_comparison
from .observations import Observations, System
from .set_scores import set_side


@dataclass(frozen=True)
class _Difference:
    """How two systems differ by a metric: what a row says of it, before Holm.

    Attributes:
        degrees: of freedom of the interval.
        resolution: the smallest p-value that the test can give.
    """

    difference: float
    standard_error: float | None
    low: float | None
    high: float | None
    degrees: int
    p_value: float
    resolution: float
    num_pairs: int
    num_sources: int
    test: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Pair:
    metric: Metric
    a: System
    b: System
    found: _Difference


def comparison_rows(
    measuring: Measuring, observations: Observations, scores: Sequence[ScoreRow], defects: Defects
) -> list[ComparisonRow]:
    """The rows of all data sets.

    Clip metrics: differences on the same (sample, seed), tested by sign flips of whole sources. Set metrics:
    the swap test and the paired jackknife on the samples that both systems have under every seed. p-values
    are adjusted by Holm over all comparisons of the data set under the protocol: whatever a reader of that
    table could take for a finding is one family.
    """
    rows = []
    for dataset in observations.splits:
        pairs = list(_pairs(measuring, observations, scores, dataset, defects))
        adjusted = holm([pair.found.p_value for pair in pairs])
        family = f"{len(pairs)} comparisons: all metrics and pairs of methods of this data set and protocol"
        for pair, p_holm in zip(pairs, adjusted, strict=True):
            found = pair.found
            detectable = None
            if found.standard_error is not None:
                detectable = min_detectable(found.standard_error, found.degrees)
            rows.append(
                ComparisonRow(
                    run=observations.run,
                    metric=pair.metric.name,
                    protocol=measuring.protocol.name,
                    protocol_digest=measuring.protocol.digest,
                    dataset=dataset,
                    split=observations.splits[dataset],
                    conditioning=pair.a.conditioning,
                    method_a=pair.a.label,
                    method_b=pair.b.label,
                    level=pair.metric.level,
                    difference=found.difference,
                    standard_error=found.standard_error,
                    low=found.low,
                    high=found.high,
                    p_value=found.p_value,
                    p_holm=p_holm,
                    family=family,
                    min_detectable=detectable,
                    num_pairs=found.num_pairs,
                    num_sources=found.num_sources,
                    test=found.test,
                    notes="\n".join([*found.notes, *_too_coarse(found.resolution, len(pairs))]),
                )
            )
    return rows


def _pairs(
    measuring: Measuring,
    observations: Observations,
    scores: Sequence[ScoreRow],
    dataset: str,
    defects: Defects,
) -> Iterator[_Pair]:
    """The comparisons of a data set for which there is enough."""
    alike = [
        (a, b) for a, b in itertools.combinations(observations.systems, 2) if a.conditioning == b.conditioning
    ]
    for metric in measuring.clip_metrics:
        mine = [row for row in scores if row.dataset == dataset and row.metric == metric.name]
        for a, b in alike:
            if (found := _compare_clips(mine, a.label, b.label)) is not None:
                yield _Pair(metric, a, b, found)
    for set_metric in measuring.set_metrics:
        for a, b in alike:
            try:
                found = _compare_sets(set_metric, observations, dataset, a.label, b.label)
            except MetricDefectError as error:
                defects.note(set_metric.name, dataset, f"methods are not compared by it: {error.message}")
            except MetricError:
                continue  # the summary says why the metric has no value
            else:
                if found is not None:
                    yield _Pair(set_metric, a, b, found)


def _too_coarse(resolution: float, num_comparisons: int) -> list[str]:
    """Said where a test cannot become significant over its family, however large the difference is."""
    if resolution * num_comparisons <= ALPHA:
        return []
    return [
        f"the smallest p this test can give is {resolution:.2g}; over {num_comparisons} comparisons Holm may "
        f"raise it above {ALPHA:g}: for a finding, compare fewer methods or metrics, or on more sources"
    ]


def _compare_clips(scores: Sequence[ScoreRow], a: str, b: str) -> _Difference | None:
    """The mean difference of a clip metric over the (sample, seed) that both systems have."""
    values: dict[str, dict[tuple[str, int], float]] = {a: {}, b: {}}
    source_of = {}
    for row in scores:
        if row.method in values and row.value is not None:
            values[row.method][row.sample_id, row.seed] = row.value
            source_of[row.sample_id] = row.source
    pairs = sorted(set(values[a]) & set(values[b]))
    if not pairs:
        return None
    differences = np.array([values[a][pair] - values[b][pair] for pair in pairs])
    sources = [source_of[sample_id] for sample_id, _ in pairs]
    estimate = mean_estimate(differences, sources)
    test = sign_flip_test(differences, sources)
    return _Difference(
        difference=estimate.value,
        standard_error=estimate.standard_error,
        low=estimate.low,
        high=estimate.high,
        degrees=estimate.num_sources - 1,
        p_value=test.p_value,
        resolution=test.resolution,
        num_pairs=len(pairs),
        num_sources=estimate.num_sources,
        test=test.name,
        notes=estimate.notes,
    )


def _compare_sets(
    metric: SetMetric, observations: Observations, dataset: str, a: str, b: str
) -> _Difference | None:
    """The difference of a set metric over the samples that both systems have under every seed; None where the
    metric cannot compare, or there is too little to compare.

    Raises:
        MetricError: by the metric.
    """
    seeds = sorted(observations.seeds)  # the order of a sum moves its last digits
    sides = [[set_side(metric, observations.of(label, dataset, seed)) for seed in seeds] for label in (a, b)]
    values_of = [[dict(zip(side.ids, side.values, strict=True)) for side in runs] for runs in sides]
    shared = sorted(set.intersection(*(set(values) for runs in values_of for values in runs)))
    references = set_side(metric, observations.references_of(dataset))
    if len(shared) < metric.min_n or len(references.ids) < metric.min_n:
        return None
    source_of = dict(zip(sides[0][0].ids, sides[0][0].sources, strict=True))
    of_a, of_b = ([np.stack([values[name] for name in shared]) for values in runs] for runs in values_of)
    sources = [source_of[name] for name in shared]
    found = set_comparison(metric, of_a, of_b, references.stacked, sources, references.sources)
    if found is None:
        return None
    return _Difference(
        difference=found.difference,
        standard_error=found.standard_error,
        low=found.low,
        high=found.high,
        degrees=found.degrees,
        p_value=found.p_value,
        resolution=found.resolution,
        num_pairs=len(shared),
        num_sources=found.num_sources,
        test=found.test,
        notes=found.notes,
    )
