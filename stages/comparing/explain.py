"""Which clips move a difference most."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...core.contracts import SetMetric
from ...core.errors import MetricError
from ...core.paired import Pairs
from ...reports.comparing.result import MovedClip
from ..scoring.metric_calls import set_value
from .cells import Tested
from .measured import Measured
from .sets import SharedSets

MOST_LEFT_OUT = 100
"""Samples of a set metric that are left out one by one: two values each."""


def with_moved(tested: Tested, num: int, a: Measured) -> Tested:
    """The cell with the clips that move its difference most: of a clip metric those that differ most, of a
    set metric those without which the difference would be another one.

    Args:
        num: how many.
        a: knows the prompts.
    """
    cell = tested.cell
    prompts = {row["sample_id"]: row["prompt"] for row in a.clips
               if row["dataset"] == cell.dataset and row["prompt"]}  # fmt: skip
    if tested.pairs is not None:
        moved = _of_clips(tested.pairs, num, prompts)
    elif tested.sets is None:
        return tested
    elif len(tested.sets[1].samples) > MOST_LEFT_OUT:
        said = f"single clips are not left out of more than {MOST_LEFT_OUT}: clip metrics say what moves them"
        return replace(tested, cell=replace(cell, notes=(*cell.notes, said)))
    else:
        try:
            moved = _of_sets(*tested.sets, num, prompts)
        except MetricError:  # too few without one
            return tested
        if not moved:
            said = "single clips cannot be left out of this metric: clip metrics say what moves them"
            return replace(tested, cell=replace(cell, notes=(*cell.notes, said)))
    return replace(tested, cell=replace(cell, moved=tuple(moved)))


def _of_clips(pairs: Pairs, num: int, prompts: dict[str, str]) -> list[MovedClip]:
    differences = pairs.differences
    total = float(differences.sum())
    order = sorted(range(len(differences)), key=lambda i: (-abs(differences[i]), pairs.keys[i]))
    return [
        MovedClip(
            sample_id=pairs.keys[i][0],
            seed=pairs.keys[i][1],
            prompt=prompts.get(pairs.keys[i][0]),
            value_a=float(pairs.a[i]),
            value_b=float(pairs.b[i]),
            difference=float(differences[i]),
            share=float(differences[i]) / total if total else None,
        )
        for i in order[:num]
        if differences[i]
    ]


def _of_sets(metric: SetMetric, sets: SharedSets, num: int, prompts: dict[str, str]) -> list[MovedClip]:
    """By leaving each sample out of both systems, under all seeds; the references stay."""

    def difference(kept: np.ndarray) -> float | None:
        values = [
            (set_value(metric, x[kept], sets.reference), set_value(metric, y[kept], sets.reference))
            for x, y in zip(sets.a, sets.b, strict=True)
        ]
        if any(one is None or other is None for one, other in values):
            return None
        return float(np.mean([one - other for one, other in values]))  # type: ignore[operator]

    everything = np.ones(len(sets.samples), dtype=bool)
    full = difference(everything)
    if full is None:
        return []
    found = []
    for index, name in enumerate(sets.samples):
        kept = everything.copy()
        kept[index] = False
        without = difference(kept)
        if without is not None:
            found.append((full - without, name))
    found.sort(key=lambda item: (-abs(item[0]), item[1]))
    return [
        MovedClip(
            sample_id=name,
            seed=None,
            prompt=prompts.get(name),
            value_a=None,
            value_b=None,
            difference=moved,
        )
        for moved, name in found[:num]
        if moved
    ]
