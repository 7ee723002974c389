"""Set metrics: the value of a system's clips against the references, under one seed and over all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...core.contracts import SetMetric
from ...core.errors import MetricError
from ...core.hashing import digest
from ...core.types import Features
from .clip_scores import Scored
from .metric_calls import Defects, MetricDefectError, score_key, set_estimate
from .observations import Observation
from .reasons import reasons


@dataclass(frozen=True)
class SetSide:
    """The clips of one side that have a set metric's features: their ids and sources, features and keys.

    The order of rows moves the last digits of a sum: it is that of the ids, whatever the data set's.
    """

    ids: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    values: tuple[Features, ...] = ()
    keys: tuple[str, ...] = ()
    why: str = ""
    """Why clips have no features (see `reasons`); empty where all have them."""

    @property
    def stacked(self) -> np.ndarray:
        """The features of all clips; see `stack`."""
        return stack(self.values)


def stack(values: Sequence[Features]) -> np.ndarray:
    """Features of clips as one array, [N, D], or [N, T, D] of features by frame: a clip of fewer frames than
    another ends in rows of NaN. At least one clip has to be there.

    Raises:
        MetricError: shapes differ otherwise.
    """
    shapes = {value.shape for value in values}
    if len(shapes) == 1:
        return np.stack(values)
    if {len(shape) for shape in shapes} != {2} or len({shape[1] for shape in shapes}) > 1:
        raise MetricError(f"the features of the clips have different shapes: {sorted(map(list, shapes))}")
    most = max(len(value) for value in values)
    return np.stack([np.pad(v, ((0, most - len(v)), (0, 0)), constant_values=np.nan) for v in values])


def set_side(metric: SetMetric, items: Sequence[Observation]) -> SetSide:
    """Those of the clips that have the features which a set metric reads."""
    (role,) = metric.needs
    found = [
        (item.clip.sample_id, item.clip.source, cell.values, cell.key)
        for item in sorted(items, key=lambda item: item.clip.sample_id)
        if (cell := item.features.get(role)) is not None and cell.values is not None
    ]
    return SetSide(
        ids=tuple(item[0] for item in found),
        sources=tuple(item[1] for item in found),
        values=tuple(item[2] for item in found),
        keys=tuple(item[3] for item in found),
        why="\n".join(reasons(metric.needs, items)),
    )


def set_score(metric: SetMetric, generated: SetSide, references: SetSide, defects: Defects) -> Scored:
    """The value of a system's clips of one seed."""
    if not generated.ids or not references.ids:
        reason = (
            f"{len(generated.ids)} generated and {len(references.ids)} reference clips have features, "
            f"{metric.name} needs {metric.min_n} on each side"
        )
        side = references if generated.ids else generated
        return None, None, "\n".join(filter(None, [reason, side.why]))
    members = [f"generated:{key}" for key in generated.keys] + [f"reference:{key}" for key in references.keys]
    try:
        estimate = set_estimate(
            metric, generated.stacked, references.stacked, generated.sources, references.sources
        )
        return score_key(metric, members), estimate, ""
    except MetricError as error:
        defects.num_cells += isinstance(error, MetricDefectError)
        return None, None, error.message


def over_seeds(of_seeds: Sequence[Scored]) -> Scored:
    """A set metric over several seeds: the mean of the seeds' values, at the N of one seed.

    Pooling the seeds would change N, on which the value depends. The standard error is the mean of the seeds'
    standard errors: all seeds share prompts and references, so it does not shrink with their number as it
    would for independent sets.
    """
    # The last one first: the order of a sum moves its last digits.
    there = [(key, found) for key, found, _ in reversed(of_seeds) if found is not None]
    if not there:
        return None, None, of_seeds[-1][2]
    if len(there) == 1:
        return *there[0], ""
    per_seed = [estimate for _, estimate in there]
    errors = [item.standard_error for item in per_seed if item.standard_error is not None]
    # Without an interval the correction is known to fall short.
    corrected = [
        item.bias_corrected for item in per_seed if item.bias_corrected is not None and item.low is not None
    ]
    values = [item.value for item in per_seed]
    spread = f"standard deviation between {len(per_seed)} seeds: {float(np.std(values, ddof=1)):.3g}"
    estimate = replace(
        per_seed[0],
        value=float(np.mean(values)),
        standard_error=float(np.mean(errors)) if len(errors) == len(per_seed) else None,
        low=None,
        high=None,
        interval="mean over seeds; standard error: mean of the seeds' jackknife errors",
        bias_corrected=float(np.mean(corrected)) if len(corrected) == len(per_seed) else None,
        notes=(*per_seed[0].notes, spread),
    )
    return digest(sorted(key or "" for key, _ in there)), estimate, ""
