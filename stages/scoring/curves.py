"""Set metrics against N: the `curves` table."""

from __future__ import annotations

import itertools
from dataclasses import asdict

import numpy as np

from ...core.contracts import SetMetric
from ...core.errors import MetricError
from ...core.tables import CurveRow
from ...metrics.sets.sample_size import SizeCurve, size_curve
from ..measuring import Measuring
from .metric_calls import Defects, set_value
from .observations import Observations
from .set_scores import SetSide, set_side


class _NoCurveError(MetricError):
    """The metric gives no number alone."""


def curve_rows(measuring: Measuring, observations: Observations, defects: Defects) -> list[CurveRow]:
    """The curve of every set metric that offers one, system and data set. Of several seeds, the first."""
    rows = []
    seed = observations.seeds[0]
    for dataset, system, metric in itertools.product(
        observations.splits, observations.systems, measuring.set_metrics
    ):
        try:
            curve = _curve(
                metric,
                set_side(metric, observations.of(system.label, dataset, seed)),
                set_side(metric, observations.references_of(dataset)),
            )
        except MetricError as error:
            defects.note(metric.name, dataset, f"no curve against N: {error.message}")
            continue
        rows += [
            CurveRow(
                run=observations.run,
                metric=metric.name,
                label=metric.label,
                protocol=measuring.protocol.name,
                protocol_digest=measuring.protocol.digest,
                method=system.label,
                dataset=dataset,
                split=observations.splits[dataset],
                seed=seed,
                extrapolated=curve.extrapolated,
                **asdict(point),
            )
            for point in curve.points
        ]
    return rows


def _curve(metric: SetMetric, generated: SetSide, references: SetSide) -> SizeCurve:
    """The curve; without points where there is none."""

    def value_of(generated_ND: np.ndarray, reference_MD: np.ndarray) -> float:
        value = set_value(metric, generated_ND, reference_MD)
        if value is None:
            raise _NoCurveError(f"{metric.name} gives no number alone")
        return value

    if not generated.ids or not references.ids:
        return SizeCurve((), None)
    try:
        return size_curve(
            value_of,
            generated.stacked,
            references.stacked,
            generated.sources,
            references.sources,
        )
    except _NoCurveError:
        return SizeCurve((), None)
