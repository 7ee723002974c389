"""Clip metrics: the value of every clip, and the mean over a system's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...core.contracts import ClipMetric
from ...core.errors import MetricError
from ...core.statistics import mean_estimate
from ...core.tables import ScoreRow
from ...core.types import Estimate
from ..measuring import Measuring
from .metric_calls import Defects, MetricDefectError, clip_value, score_key
from .observations import Observations

Scored = tuple[str | None, Estimate | None, str]
"""Score key, estimate, and why there is none."""


def score_rows(measuring: Measuring, observations: Observations, defects: Defects) -> list[ScoreRow]:
    """The value of every clip under every clip metric: rows of the `scores` table."""
    conditioning = {system.label: system.conditioning for system in observations.systems}
    rows = []
    for metric in measuring.clip_metrics:
        for item in observations.generated:
            features = item.values(metric.needs)
            if features is None:
                continue
            value = error = key = None
            try:
                key = score_key(metric, [item.features[role].key for role in metric.needs])
                value = clip_value(metric, features)
            except MetricError as reason:
                error = reason.message
                defects.num_scores += isinstance(reason, MetricDefectError)
            clip = item.clip
            assert clip.method is not None
            assert clip.seed is not None
            rows.append(
                ScoreRow(
                    run=observations.run,
                    metric=metric.name,
                    protocol=measuring.protocol.name,
                    protocol_digest=measuring.protocol.digest,
                    method=clip.method,
                    dataset=clip.dataset,
                    split=clip.split,
                    conditioning=conditioning[clip.method],
                    sample_id=clip.sample_id,
                    source=clip.source,
                    edit=clip.edit,
                    seed=clip.seed,
                    value=value,
                    error_message=error,
                    score_key=key,
                )
            )
    return rows


def mean_score(metric: ClipMetric, scores: Sequence[ScoreRow]) -> Scored:
    """The mean of a clip metric over these rows, clustered on the source."""
    known = [(row, row.value) for row in scores if row.value is not None]
    errors = [row.error_message for row in scores if row.value is None]
    unscored = f"{len(errors)} clips could not be scored: {errors[0]}" if errors else ""
    if len(known) < metric.min_n:
        reason = f"{len(known)} clips could be scored, {metric.name} needs {metric.min_n}"
        return None, None, "\n".join(filter(None, [reason, unscored]))
    estimate = mean_estimate([value for _, value in known], [row.source for row, _ in known])
    if unscored:
        estimate = replace(estimate, notes=(*estimate.notes, unscored))
    return score_key(metric, [row.score_key or "" for row, _ in known]), estimate, ""
