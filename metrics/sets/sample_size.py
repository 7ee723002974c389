"""How a set metric depends on N: its value on smaller and smaller parts of the same two sets.

FVD at small N is biased by many standard errors, and the bias falls with 1/N; the curve shows where a value
stands on the way down, and whether two values were made at comparable N.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ...core.statistics import group_sources
from .features import Floats

MAX_SUBSETS = 8
SMALLEST_N = 8
LINE_FROM_N = 256
"""Below this (or half the dimension) the bias is not proportional to 1/N, and no line is fitted."""


@dataclass(frozen=True)
class SizePoint:
    """The metric at one N.

    Attributes:
        n, n_reference: clips on each side, averaged over the subsets and rounded.
        value: mean over the subsets.
        spread: standard deviation between disjoint subsets; None where there is one subset.
        num_subsets: how many were looked at.
    """

    n: int
    n_reference: int
    value: float
    spread: float | None
    num_subsets: int


@dataclass(frozen=True)
class SizeCurve:
    """Points from the largest N to the smallest.

    Attributes:
        extrapolated: where a line through the points of large N meets 1/N = 0: an extrapolation, not a
            measurement; None where there are fewer than three such points.
    """

    points: tuple[SizePoint, ...]
    extrapolated: float | None


def size_curve(
    value_of: Callable[[Floats, Floats], float],
    generated_ND: Floats,
    reference_MD: Floats,
    groups: Sequence[str],
    reference_groups: Sequence[str],
) -> SizeCurve:
    """The metric on everything, and on halves, quarters, ... of both sides, cut by source.

    The parts of one size are disjoint, each within one of the next larger size; at most 8 are looked at.

    Args:
        value_of: the metric of two sets, as a number.
        generated_ND, reference_MD: features, finite or as `value_of` takes them; the last axis is D.
        groups, reference_groups: the source of each row; a source goes to the same part on both sides.
    """
    sources = [*groups, *reference_groups]
    num_sources = len(set(sources))
    points = []
    num_parts = 1
    while num_parts <= num_sources:
        dealt = group_sources(sources, num_parts)
        part_N = np.array([dealt[source] for source in groups])
        part_M = np.array([dealt[source] for source in reference_groups])
        counts = np.bincount(part_N, minlength=num_parts), np.bincount(part_M, minlength=num_parts)
        if min(counts[0].min(), counts[1].min()) < SMALLEST_N:
            break
        chosen = range(min(num_parts, MAX_SUBSETS))
        values = [value_of(generated_ND[part_N == k], reference_MD[part_M == k]) for k in chosen]
        points.append(
            SizePoint(
                n=round(float(np.mean(counts[0][: len(values)]))),
                n_reference=round(float(np.mean(counts[1][: len(values)]))),
                value=float(np.mean(values)),
                spread=float(np.std(values, ddof=1)) if len(values) > 1 else None,
                num_subsets=len(values),
            )
        )
        num_parts *= 2
    return SizeCurve(tuple(points), _at_infinity(points, generated_ND.shape[-1]))


def _at_infinity(points: Sequence[SizePoint], num_dimensions: int) -> float | None:
    """The intercept of value = a + b (1/n + 1/m), each point weighted by its number of subsets."""
    smallest = max(LINE_FROM_N, num_dimensions // 2)
    kept = [point for point in points if min(point.n, point.n_reference) >= smallest]
    if len(kept) < 3:
        return None
    x = np.array([1 / point.n + 1 / point.n_reference for point in kept])
    y = np.array([point.value for point in kept])
    # polyfit's weights multiply residuals, so that their squares are the numbers of subsets.
    return float(np.polyfit(x, y, 1, w=np.sqrt([point.num_subsets for point in kept]))[1])
