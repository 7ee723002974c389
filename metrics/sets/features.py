"""What set metrics share: two checked sets of features, and the estimate from a value and its jackknife."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...core.errors import MetricError
from ...core.statistics import group_jackknife, group_sources, t_interval
from ...core.types import Estimate

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

WARN_BELOW_N = 400
MAX_GROUPS = 20
FEW_GROUPS = 16

MIN_TIED = 8
TIED_FROM = 0.1
"""Correlation of clips with their own references from which a note says so; at 0.3 FVD is 10% smaller."""


@dataclass(frozen=True)
class FeatureSets:
    """Two checked sets of features and their jackknife groups.

    Attributes:
        generated_ND, reference_MD: float64, finite, at least two rows (one where that was allowed), one D.
        group_N, group_M: the jackknife group of each row; a source has one group on both sides.
        half_N, half_M: 0 or 1; a source is in one half on both sides, and each group is in both halves.
        source_N, source_M: the number of each row's source, one numbering for both sides.
        num_groups: 0 when there are too few sources to leave any out.
        num_sources: distinct sources on the generated side.
        notes: what a reader of the number must know.
    """

    generated_ND: Floats
    reference_MD: Floats
    group_N: Ints
    group_M: Ints
    half_N: Ints
    half_M: Ints
    source_N: Ints
    source_M: Ints
    num_groups: int
    num_sources: int
    notes: tuple[str, ...]

    @property
    def fractions(self) -> Floats:
        """[G] share of both sides' clips that each group holds."""
        held = np.bincount(self.group_N, minlength=self.num_groups)
        held = held + np.bincount(self.group_M, minlength=self.num_groups)
        return held / held.sum()


def check_sets(
    metric: str,
    generated_ND: np.ndarray,
    reference_MD: np.ndarray,
    groups: Sequence[str],
    reference_groups: Sequence[str],
    min_n: int = 2,
    needed_for: str = "a covariance",
    is_halved: bool = False,
    holds_own: bool = True,
    noun: str = "clips",
) -> FeatureSets:
    """Check two sets of features and deal their sources to jackknife groups.

    Args:
        metric: the label in messages.
        generated_ND, reference_MD: [N, D] and [M, D], any float type.
        groups, reference_groups: the source video of each row.
        min_n: clips that each side must have.
        needed_for: why so many, for the message.
        is_halved: the metric is computed of halves of the sides.
        holds_own: it holds clips against their own references, too.
        noun: what a row is the feature of.

    Raises:
        MetricError: wrong shapes, fewer than `min_n` clips on a side, NaN or infinite features.
    """
    x = _check_side(metric, "generated", generated_ND, groups, min_n, needed_for, noun)
    y = _check_side(metric, "reference", reference_MD, reference_groups, min_n, needed_for, noun)
    if x.shape[1] != y.shape[1]:
        raise MetricError(
            f"{metric}: generated features have {x.shape[1]} dimensions, reference features {y.shape[1]}; "
            "both sides must come from one extractor"
        )
    # 40 places give 20 groups of two halves each; places of one group follow at a distance of 20.
    dealt = group_sources([*groups, *reference_groups], 2 * MAX_GROUPS)
    place_x, place_y = (
        np.array([dealt[source] for source in side], dtype=np.int64) for side in (groups, reference_groups)
    )
    group_x, group_y = place_x % MAX_GROUPS, place_y % MAX_GROUPS
    half_x, half_y = ((place + place // MAX_GROUPS) % 2 for place in (place_x, place_y))
    number = {source: index for index, source in enumerate(dealt)}
    source_x, source_y = (
        np.array([number[source] for source in side], dtype=np.int64) for side in (groups, reference_groups)
    )
    notes = [
        *(small_n_notes(metric, len(x), len(y), is_halved) if noun == "clips" else ()),
        *_duplicate_notes(x, y, noun),
        *([] if not holds_own or noun != "clips" else tied_notes(metric, x, y, source_x, source_y)),
    ]
    num_groups = min(len(dealt), MAX_GROUPS)
    largest_x = np.bincount(group_x, minlength=num_groups).max()
    largest_y = np.bincount(group_y, minlength=num_groups).max()
    few = [
        f"{len(rows)} {side} {noun} of {len(set(of))} {'source' if len(set(of)) == 1 else 'sources'}"
        for side, rows, of, largest in (
            ("generated", x, groups, largest_x),
            ("reference", y, reference_groups, largest_y),
        )
        if num_groups < 2 or len(rows) - largest < 2
    ]
    if few:
        notes.append(f"{' and '.join(few)}: too few to leave any out, no standard error")
        num_groups = 0
    elif num_groups < FEW_GROUPS:
        notes.append(f"{num_groups} jackknife groups, fewer than {FEW_GROUPS}: the standard error is rough")
    return FeatureSets(
        x, y, group_x, group_y, half_x, half_y, source_x, source_y,
        num_groups, len(set(groups)), tuple(notes),
    )  # fmt: skip


def _check_side(
    metric: str,
    side: str,
    features: np.ndarray,
    sources: Sequence[str],
    min_n: int,
    needed_for: str,
    noun: str,
) -> Floats:
    array = np.asarray(features)
    if array.ndim != 2 or array.shape[1] < 1:
        raise MetricError(f"{metric}: {side} features must be [N, D], got shape {list(array.shape)}")
    if len(array) < min_n:
        raise MetricError(
            f"{metric}: {len(array)} {noun} on the {side} side; at least {min_n} are needed"
            + (f" for {needed_for}" if min_n > 1 else ""),
            "measure more clips, or leave out the metric; FVD takes one clip by `single_clip: no-covariance` "
            "of a protocol (`reelbench evaluate --allow-small`)",
        )
    if len(sources) != len(array):
        raise MetricError(f"{metric}: {len(array)} {side} {noun} but {len(sources)} source ids")
    array = array.astype(np.float64)
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        bad = np.flatnonzero(~finite)
        raise MetricError(
            f"{metric}: {len(bad)} of {len(array)} {side} {noun} have NaN or infinite features "
            f"(first: row {bad[0]})",
            "make these features again; NaN usually comes from half precision or damaged weights",
        )
    return array


def small_n_notes(metric: str, n: int, m: int, is_halved: bool = False) -> list[str]:
    """What to say of small and of unequal numbers of clips."""
    notes = []
    warn_below = WARN_BELOW_N * (2 if is_halved else 1)
    if min(n, m) < warn_below:
        halves = ", in two halves" if is_halved else ""
        notes.append(
            f"N = {n} generated, {m} reference{halves}: below {warn_below} {metric} is unreliable; "
            "compare only values of the same N"
        )
    if n != m:
        notes.append(f"unequal N: {n} generated, {m} reference")
    return notes


def _duplicate_notes(x: Floats, y: Floats, noun: str) -> list[str]:
    notes = []
    for side, array in (("generated", x), ("reference", y)):
        repeated = len(array) - len({row.tobytes() for row in array})
        if repeated:
            notes.append(
                f"{repeated} {side} {noun} repeat another one's features: they add to N, not to the rank"
            )
    return notes


def own_pairs(source_N: Ints, source_M: Ints) -> tuple[Ints, Ints]:
    """[P], [P] rows of the two sides that share a source: each clip with its own references."""
    order = np.argsort(source_M, kind="stable")
    first = np.searchsorted(source_M[order], source_N, side="left")
    count = np.searchsorted(source_M[order], source_N, side="right") - first
    rows = np.repeat(np.arange(len(source_N)), count)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    return rows, order[np.repeat(first, count) + within]


def tied_notes(metric: str, x: Floats, y: Floats, source_x: Ints, source_y: Ints) -> list[str]:
    """Said where clips are tied to their own references by more than chance: the correlation of their
    features, about the means and pooled over dimensions, against that with the next clip's reference."""
    rows, columns = own_pairs(source_x, source_y)
    if len(rows) < MIN_TIED:
        return []
    a, b = x[rows] - x[rows].mean(axis=0), y[columns] - y[columns].mean(axis=0)
    norm = float(np.sqrt(np.vdot(a, a) * np.vdot(b, b)))
    if norm == 0:
        return []
    others = np.einsum("pd,pd->p", a, np.roll(b, 1, axis=0))
    correlation, by_chance = np.vdot(a, b) / norm, others.std() * np.sqrt(len(rows)) / norm
    if correlation < max(TIED_FROM, 3 * by_chance):
        return []
    return [
        f"clips follow their own references (correlation {correlation:.1f} of the features), which makes "
        f"{metric} smaller than between independent clips, also where the distribution is wrong"
    ]


def set_estimate(
    value: float,
    sets: FeatureSets,
    left_out_G: Floats | None,
    *,
    jackknife_value: float | None = None,
    notes: tuple[str, ...] = (),
) -> Estimate:
    """Value, standard error, bias-corrected value and 95% interval of a set metric.

    The interval is Student's t (G - 1 degrees) around the bias-corrected value; FVD itself may lie outside.

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
