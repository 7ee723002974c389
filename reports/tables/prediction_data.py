"""Which data sets of a run are of text-video prediction, and how many frames they give."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ...core import registry
from ...core.errors import ReelbenchError
from .lead import Row


@dataclass(frozen=True)
class PredictionData:
    """A data set of a run whose methods are given the first frames of a clip.

    Attributes:
        label: how the run's tables call it.
        name: its registered name.
        num_given: how many frames are given.
    """

    label: str
    name: str
    num_given: int


def prediction_data(runs: Iterable[Row]) -> tuple[PredictionData, ...]:
    """The data sets of prediction, in the order of the run file.

    Args:
        runs: rows of the `runs` table.
    """
    found = {}
    for run in runs:
        for entry in _datasets(run["run_file"]):
            num_given = _num_given(entry)
            if num_given:
                label = entry.get("label") or entry["name"]
                found[label] = PredictionData(label, entry["name"], num_given)
    return tuple(found.values())


def _datasets(run_file: str | None) -> list[Mapping[str, Any]]:
    try:
        entries = json.loads(run_file or "{}").get("datasets", [])
        return [entry for entry in entries if isinstance(entry.get("name"), str)]
    except (ValueError, TypeError, AttributeError):
        return []


def _num_given(entry: Mapping[str, Any]) -> int:
    """How many frames a data set gives, 0 where nothing is predicted."""
    given: Any = dict(entry.get("config") or {})
    try:
        # A run file holds what was set; what was not is known to the class.
        config = registry.get("datasets", entry["name"]).Config.model_validate(given)
        return int(getattr(config, "num_context_frames", 0))
    except (ReelbenchError, ImportError, AttributeError, ValueError):
        number = given.get("num_context_frames", 0)
        return number if isinstance(number, int) else 0
