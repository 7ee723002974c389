"""Paired comparisons of systems that saw the same, on the same samples: the `comparisons` table."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from ...core.contracts import Metric, SetMetric
from ...core.errors import MetricError
from ...core.paired import Pair, PairedComparison, pair_up, paired_test
from ...core.statistics import ALPHA, holm, min_detectable
from ...core.tables import ComparisonRow, ScoreRow
from ...core.types import saw_its_reference
from ..measuring import Measuring, counterpart
from .metric_calls import Defects, MetricDefectError, set_comparison
from .observations import Observations, System
from .set_scores import set_side, stack


def comparison_rows(
    measuring: Measuring,
    observations: Observations,
    scores: Sequence[ScoreRow],
    defects: Defects,
    others: Mapping[str, Sequence[float]] = MappingProxyType({}),
) -> list[ComparisonRow]:
    """The rows of all data sets.

    Clip metrics: differences on the same (sample, seed), tested by sign flips of whole sources. Set metrics:
    the swap test and the paired jackknife on the samples that both systems have under every seed. p-values
    are adjusted by Holm over all comparisons of the data set under the protocol: whatever a reader of that
    table could take for a finding is one family.

    Args:
        others: p-values of comparisons that belong to the families and are not made here, by data set.
    """
    rows = []
    for dataset, split in observations.splits.items():
        compared = list(_compared(measuring, observations, scores, dataset, defects))
        not_made = others.get(dataset, ())
        adjusted = holm([*(found.p_value for *_, found in compared), *not_made])[: len(compared)]
        num = len(compared) + len(not_made)
        family = f"{num} comparisons: all metrics and pairs of methods of this data set and protocol"
        for (metric, a, b, found), p_holm in zip(compared, adjusted, strict=True):
            detectable = None
            if found.standard_error is not None and found.resolution * num <= ALPHA:
                detectable = min_detectable(found.standard_error, found.degrees)
            rows.append(
                ComparisonRow(
                    run=observations.run,
                    metric=metric.name,
                    protocol=measuring.protocol.name,
                    protocol_digest=measuring.protocol.digest,
                    dataset=dataset,
                    split=split,
                    conditioning=a.conditioning,
                    method_a=a.label,
                    method_b=b.label,
                    level=metric.level,
                    difference=found.difference,
                    standard_error=found.standard_error,
                    low=found.low,
                    high=found.high,
                    p_value=found.p_value,
                    p_holm=p_holm,
                    family=family,
                    min_detectable=detectable,
                    num_pairs=found.n,
                    num_sources=found.num_sources,
                    test=found.test,
                    notes="\n".join([*found.notes, *_tied(metric, a), *_too_coarse(found.resolution, num)]),
                )
            )
    return rows


def _compared(
    measuring: Measuring,
    observations: Observations,
    scores: Sequence[ScoreRow],
    dataset: str,
    defects: Defects,
) -> Iterator[tuple[Metric, System, System, PairedComparison]]:
    """The comparisons of a data set for which there is enough."""
    pairs = [
        (a, b) for a, b in itertools.combinations(observations.systems, 2) if a.conditioning == b.conditioning
    ]
    for metric in measuring.clip_metrics:
        mine = [row for row in scores if row.dataset == dataset and row.metric == metric.name]
        for a, b in pairs:
            if (found := _compare_clips(mine, a.label, b.label)) is not None:
                yield metric, a, b, found
    set_metrics = measuring.set_metrics_of(observations.conditionings(dataset))
    names = {metric.name for metric in set_metrics}
    for set_metric, (a, b) in itertools.product(set_metrics, pairs):
        if saw_its_reference(a.conditioning) and counterpart(set_metric) in names:
            continue  # closeness to one's own references would count as a merit; the other metric compares
        try:
            found = _compare_sets(set_metric, observations, dataset, a.label, b.label)
        except MetricDefectError as error:
            defects.note(set_metric.name, dataset, f"methods are not compared by it: {error.message}")
        except MetricError:
            continue  # the summary says why the metric has no value
        else:
            if found is not None:
                yield set_metric, a, b, found


def _tied(metric: Metric, system: System) -> list[str]:
    """Said of a set metric that has no form against the references of other clips."""
    if not isinstance(metric, SetMetric) or metric.references == "others":
        return []
    if not saw_its_reference(system.conditioning):
        return []
    return ["the clips were made from a part of these references: closeness to them counts as a merit here"]


def _too_coarse(resolution: float, num_comparisons: int) -> list[str]:
    """Said where a test cannot become significant over its family, however large the difference is."""
    if resolution * num_comparisons <= ALPHA:
        return []
    return [
        f"the smallest p this test can give is {resolution:.2g}; over {num_comparisons} comparisons Holm may "
        f"raise it above {ALPHA:g}: for a finding, compare fewer methods or metrics, or on more sources"
    ]


def _compare_clips(scores: Sequence[ScoreRow], a: str, b: str) -> PairedComparison | None:
    """The mean difference of a clip metric over the (sample, seed) that both systems have."""
    values: dict[str, dict[Pair, float | None]] = {a: {}, b: {}}
    source_of = {}
    for row in scores:
        if row.method in values:
            values[row.method][row.sample_id, row.seed] = row.value
            source_of[row.sample_id] = row.source
    pairs = pair_up(values[a], values[b], source_of)
    return paired_test(pairs) if pairs.keys else None


def _compare_sets(
    metric: SetMetric, observations: Observations, dataset: str, a: str, b: str
) -> PairedComparison | None:
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
    of_a, of_b = ([stack([values[name] for name in shared]) for values in runs] for runs in values_of)
    sources = [source_of[name] for name in shared]
    return set_comparison(metric, of_a, of_b, references.stacked, sources, references.sources)
