"""A row of the page, and the list of all rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Measure = Callable[[], float]


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        stage: decode, resize, network, moments, distance, metric or statistics.
        ours, against: what is compared.
        bound: what a test holds the difference to.
        unit: of both: "levels" of 0 to 255, "relative", "absolute".
        measure: gives the largest difference that is found.
    """

    stage: str
    ours: str
    against: str
    bound: float
    unit: str
    measure: Measure


ROWS: list[Row] = []


def row(stage: str, ours: str, against: str, bound: float, unit: str) -> Callable[[Measure], Measure]:
    """Registers a function as the measurement of a row of the page."""

    def register(measure: Measure) -> Measure:
        ROWS.append(Row(stage, ours, against, bound, unit, measure))
        return measure

    return register


def largest(a: Any, b: Any) -> float:
    """Largest absolute difference."""
    return float(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).max())


def relative(a: float, b: float) -> float:
    return abs(a - b) / abs(b)
