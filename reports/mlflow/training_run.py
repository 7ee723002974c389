"""A run of MLflow that numbers and previews of a training are sent to, and what MLflow takes.

MLflow keeps a number once for each (time, step, value), so numbers are dated by the seconds of training.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..tables.run_tables import flat_settings
from .store import MAX_PARAMETER, mlflow_name, quiet_environment, quiet_logging

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_IMPATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
"""MLflow's own patience with a dead server is minutes for each call. Whoever has set these is obeyed."""


@dataclass
class OpenRun:
    """A run of MLflow and what it has.

    Attributes:
        start_ms: its start; a number is dated by the seconds of training since then, so that sending it again
            after a lost answer adds nothing.
        steps: of each metric, those that MLflow has; asked for at a metric's first use.
    """

    client: MlflowClient
    id: str
    start_ms: int
    steps: dict[str, set[int]] = field(default_factory=dict)

    def log(self, lines: list[tuple[int, dict[str, float]]]) -> None:
        """Send the numbers of some steps, except those that are there."""
        from mlflow.entities import Metric

        new: dict[tuple[str, int], Metric] = {}
        for step, values in lines:
            date_ms = self.start_ms + int(1000 * values.get("seconds", 0.0))
            for name, value in values.items():
                if step not in self._steps(name) and (name, step) not in new:
                    new[name, step] = Metric(mlflow_name(name), value, date_ms, step)
        self.client.log_batch(self.id, metrics=list(new.values()))
        for name, step in new:
            self.steps[name].add(step)

    def has(self, folder: Path) -> bool:
        """Whether all files of a folder of previews are there."""
        there = self.client.list_artifacts(self.id, f"previews/{folder.name}")
        return {path.name for path in folder.iterdir()} <= {Path(file.path).name for file in there}

    def show(self, folder: Path) -> None:
        """Send a folder of previews as artifacts in `previews/<its name>`."""
        self.client.log_artifacts(self.id, str(folder), f"previews/{folder.name}")

    def _steps(self, name: str) -> set[int]:
        if name not in self.steps:
            history = self.client.get_metric_history(self.id, mlflow_name(name))
            self.steps[name] = {metric.step for metric in history}
        return self.steps[name]


def flat_params(values: Mapping[str, Any]) -> dict[str, str]:
    """Nested settings as MLflow's parameters: names with dots, texts within its limits."""
    texts = {
        name: value if isinstance(value, str) else json.dumps(value, default=str)
        for name, value in flat_settings(values).items()
    }
    return {mlflow_name(name): text[:MAX_PARAMETER] for name, text in texts.items()}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """MLflow without telemetry, progress bars, long waiting and lines about its database."""
    impatient = {name: value for name, value in _IMPATIENT.items() if name not in os.environ}
    with quiet_environment(impatient), quiet_logging(("mlflow", "alembic", "urllib3"), logging.ERROR):
        yield
