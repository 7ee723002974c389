"""What an experiment's page shows first: its description, and a view with the table's columns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ..tables.measurement import is_value
from .description import EXPERIMENT_NOTE
from .names import OTHERS, OWN, SE
from .records import RunRecords

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

VIEW = "reelbench"
"""The key of the view in the address of an experiment's page: `?viewStateShareKey=reelbench`."""

_NOTE_TAG, _VIEW_TAG = "mlflow.note.content", f"mlflow.sharedViewState.{VIEW}"
_MAX_VIEW = 5000
_LEVELS = {"set": 0, "clip": 1, "cost": 2}
_PARAMS = ("saw", "n", "protocol")


def view_page(server: str, experiment_id: str) -> str:
    """The address of the page that shows an experiment's methods in the table's columns.

    Args:
        server: its address; "" for a link from one of its own pages.
    """
    # The kind of work: MLflow would open on its page of traces.
    query = f"workflowType=machine_learning&viewStateShareKey={VIEW}"
    return f"{server.rstrip('/')}{'/' if server else ''}#/experiments/{experiment_id}/runs?{query}"


def set_view(client: MlflowClient, experiment_id: str, records: RunRecords) -> None:
    """Describe an experiment that has no description, and make the view of the run's columns."""
    tags = client.get_experiment(experiment_id).tags
    if _NOTE_TAG not in tags:
        note = f"[Methods side by side]({view_page('', experiment_id)}): {EXPERIMENT_NOTE}"
        client.set_experiment_tag(experiment_id, _NOTE_TAG, note)
    view = json.dumps(_view(records), separators=(",", ":"))
    if tags.get(_VIEW_TAG) != view and len(view) <= _MAX_VIEW:
        client.set_experiment_tag(experiment_id, _VIEW_TAG, view)


def _view(records: RunRecords) -> dict[str, object]:
    """The state of the page: methods as rows, sorted by the first metric, with the table's columns."""
    rows = sorted(
        (row for child in records.children for row in child.rows if is_value(row["value"])),
        key=lambda row: (_LEVELS.get(row["level"], 3), row["metric"]),
    )
    names = list(dict.fromkeys(map(records.names.of_row, rows)))
    # Values against the own references are not to be compared, where there are others.
    shown = [name for name in names if not name.endswith(OWN) or name.replace(OWN, OTHERS) not in names]
    logged = {name for child in records.children for name, _, _ in child.metrics}
    values = [name for shown_name in shown for name in (shown_name, shown_name + SE) if name in logged]
    columns = [*(f"metrics.`{name}`" for name in values), *(f"params.`{name}`" for name in _PARAMS)]
    return {
        "selectedColumns": columns,
        "columnOrder": columns,
        "searchFilter": "tags.`reelbench.kind` = 'method'",
        "orderByKey": columns[0],
        # The best comes first.
        "orderByAsc": not (rows and rows[0]["higher_is_better"]),
    }
