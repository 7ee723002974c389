"""A row of the page, and the list of all rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Agreement:
    """One row.

    Attributes:
        stage: decode, resize, network, moments, distance, metric or statistics.
        ours, against: what is compared.
        difference: the largest difference that was found.
        bound: what a test holds it to.
        unit: of both: "levels" of 0 to 255, "relative", "absolute".
    """

    stage: str
    ours: str
    against: str
    difference: float
    bound: float
    unit: str


ROWS: list[Callable[[], Agreement]] = []


def row(
    stage: str, ours: str, against: str, bound: float, unit: str
) -> Callable[[Callable[[], float]], Callable[[], Agreement]]:
    """Registers a function that gives the difference as a row of the page."""

    def register(measure: Callable[[], float]) -> Callable[[], Agreement]:
        def run() -> Agreement:
            return Agreement(stage, ours, against, float(measure()), bound, unit)

        run.__name__ = measure.__name__
        run.describe = lambda: (stage, ours, against)  # type: ignore[attr-defined]
        ROWS.append(run)
        return run

    return register


def largest(a: Any, b: Any) -> float:
    """Largest absolute difference."""
    return float(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).max())


def relative(a: float, b: float) -> float:
    return abs(a - b) / abs(b)
