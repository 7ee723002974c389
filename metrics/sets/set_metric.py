"""The estimate of a set metric: its value, its jackknife, and what has to be said about them."""

from __future__ import annotations

from ...core.statistics import group_jackknife, t_interval
from ...core.types import Estimate
from .features import FeatureSets, Floats


def set_estimate(
    value: float,
    sets: FeatureSets,
    left_out_G: Floats | None,
    *,
    jackknife_value: float | None = None,
    notes: tuple[str, ...] = (),
) -> Estimate:
    """Value, standard error, bias-corrected value and 95% interval of a set metric.

    The interval is Student's t with G - 1 degrees of freedom around the bias-corrected value: the value
    itself can lie outside of it, since FVD at small N is biased by many standard errors.

    Args:
        value: the metric on everything.
        sets: what it was computed on.
        left_out_G: the metric without each group, None where no group can be left out.
        jackknife_value: the value by the formula that made `left_out_G`, where that is another one.
        notes: put before those of `sets`.
    """
    notes = (*notes, *sets.notes)
    n, m = len(sets.generated_ND), len(sets.reference_MD)
    if left_out_G is None:
        return Estimate(value, None, None, None, "none", n, sets.num_sources, m, notes)
    full = value if jackknife_value is None else jackknife_value
    jackknife = group_jackknife(full, left_out_G, sets.fractions)
    corrected = value + (jackknife.bias_corrected - full)
    low, high = t_interval(corrected, jackknife.standard_error, jackknife.num_groups - 1)
    interval = (
        f"95% t ({jackknife.num_groups - 1} df) around the bias-corrected value, "
        f"delete-a-group jackknife over sources ({jackknife.num_groups} groups)"
    )
    return Estimate(
        value=value,
        standard_error=jackknife.standard_error,
        low=low,
        high=high,
        interval=interval,
        n=n,
        num_sources=sets.num_sources,
        n_reference=m,
        notes=notes,
        bias_corrected=corrected,
    )
