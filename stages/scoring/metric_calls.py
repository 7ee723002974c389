"""Calls of metrics: where a metric's own code raises, or returns no number, that costs a cell and not the
run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from numbers import Real
from typing import Any

import numpy as np

from ...core import keys
from ...core.contracts import ClipMetric, Metric, SetMetric
from ...core.errors import MetricError, raise_unless_plugins
from ...core.paired import PairedComparison
from ...core.sources import source_digest
from ...core.types import Estimate, Features
from ...metrics.protocol import Protocol
from ...metrics.signature import signature


class MetricDefectError(MetricError):
    """A metric's own code raised, or returned something that is no value."""


class Defects:
    """What defects of metrics cost.

    Attributes:
        num_scores: values of single clips.
        num_cells: values of sets, comparisons and curves.
    """

    def __init__(self) -> None:
        self.num_scores = self.num_cells = 0
        self._notes: dict[tuple[str, str], dict[str, None]] = {}

    def note(self, metric: str, dataset: str, text: str) -> None:
        """Count a comparison or curve that could not be made, and keep the reason for the summary."""
        self.num_cells += 1
        self._notes.setdefault((metric, dataset), {})[text] = None

    def notes(self, metric: str, dataset: str) -> tuple[str, ...]:
        """The reasons that were noted of a metric on a data set, each once."""
        return tuple(self._notes.get((metric, dataset), ()))


def clip_value(metric: ClipMetric, features: Mapping[str, Features]) -> float:
    """The value of a clip.

    Raises:
        MetricError: there is none (one frame has no neighbour, ...); a `MetricDefectError` where the metric's
            code is to blame.
    """
    with _named(metric, "compute"):
        return _number(metric.compute(features))


def set_estimate(
    metric: SetMetric,
    generated_ND: np.ndarray,
    reference_MD: np.ndarray,
    groups: Sequence[str],
    reference_groups: Sequence[str],
) -> Estimate:
    """The value of a set with its uncertainty; raises as `clip_value`."""
    with _named(metric, "compute"):
        found = metric.compute(generated_ND, reference_MD, groups, reference_groups)
        _numbers_of(found, Estimate, ("value",), ("standard_error", "low", "high", "bias_corrected"))
    return found


def set_value(metric: SetMetric, generated_ND: np.ndarray, reference_MD: np.ndarray) -> float | None:
    """The number alone, for curves; None where the metric gives none. Raises as `clip_value`."""
    with _named(metric, "value"):
        value = metric.value(generated_ND, reference_MD)
        return None if value is None else _number(value)


def set_comparison(
    metric: SetMetric,
    a: Sequence[np.ndarray],
    b: Sequence[np.ndarray],
    reference_MD: np.ndarray,
    groups: Sequence[str],
    reference_groups: Sequence[str],
) -> PairedComparison | None:
    """The difference of two systems; None where the metric has no such test. Raises as `clip_value`."""
    with _named(metric, "compare"):
        found: PairedComparison | None = metric.compare(a, b, reference_MD, groups, reference_groups)
        if found is not None:
            _numbers_of(found, PairedComparison, ("difference", "p_value"), ("standard_error", "low", "high"))
            if not 0 <= found.p_value <= 1:
                raise ValueError(f"a p-value lies in [0, 1], got {found.p_value}")
    return found


def offers_comparison(metric: SetMetric) -> bool:
    """Whether systems can be compared by a set metric."""
    return type(metric).compare is not SetMetric.compare


def score_key(metric: Metric, members: Sequence[str]) -> str:
    """Key of a number that is made from these features; raises as `clip_value`."""
    with _named(metric, "parameters"):
        source = _source(type(metric))
        return keys.score_key(metric.name, metric.version, metric.parameters(), members, source)


@cache
def _source(cls: type) -> str | None:
    """Once a class and not once a clip: metrics run in this process, as they were imported."""
    return source_digest(cls)


def signature_of(
    metric: Metric, protocol: Protocol, weights: Mapping[str, str], n: int, n_reference: int | None
) -> str | None:
    """The signature of a number; None where the metric's own code cannot say what it depends on."""
    try:
        return signature(metric, protocol, weights, n, n_reference)
    except (Exception, SystemExit) as error:  # told where the number should be
        raise_unless_plugins(error)
        return None


@contextmanager
def _named(metric: Metric, hook: str) -> Iterator[None]:
    """A metric's `MetricError` goes on; anything else becomes a `MetricDefectError` that names the hook."""
    try:
        yield
    except MetricError:
        raise
    except (Exception, SystemExit) as error:
        raise_unless_plugins(error)
        raise MetricDefectError(
            f"{metric.name}: {hook}() failed: {type(error).__name__}: {error}",
            "this is a defect of the metric",
        ) from error


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"it gave {value!r:.60}, which is not a number")
    if not math.isfinite(value):
        raise ValueError(f"it gave {value}, which is not finite")
    return float(value)


def _numbers_of(found: Any, kind: type, needed: Sequence[str], optional: Sequence[str]) -> None:
    """Check the result of a set metric: its class, and that its numbers are finite."""
    if not isinstance(found, kind):
        raise TypeError(f"it gave {found!r:.60}, which is not of class {kind.__name__}")
    for name in (*needed, *optional):
        value = getattr(found, name)
        if name in needed or value is not None:
            _number(value)
