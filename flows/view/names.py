"""How Prefect's page calls a flow run, and where it shows it."""

from __future__ import annotations

from pathlib import Path

from prefect.runtime import flow_run
from prefect.utilities.urls import url_for

from ...core.errors import ReelbenchError
from ...core.redaction import masked
from ...core.run_file_loading import load_run_file
from ..parameters import check_parameters

_MAX_LENGTH = 120


def flow_run_page() -> str | None:
    """The address of the flow run's page; None where its server has none."""
    address = url_for("flow-run", obj_id=flow_run.id) if flow_run.id else None
    return masked(address) if address else None


def flow_run_name() -> str:
    """ "demo 2026-11-27 03:00 limit 4": the run file's name, when it was due, and what was changed.

    The time is this machine's local one.
    """
    given = flow_run.parameters
    try:
        check_parameters(run_file=given["run_file"])
        name = load_run_file(Path(given["run_file"])).name
    except ReelbenchError:
        name = Path(str(given["run_file"])).stem  # the flow says what is wrong with the file
    due = flow_run.scheduled_start_time
    parts = [name, due.astimezone().strftime("%Y-%m-%d %H:%M")]
    if given.get("limit") is not None:
        parts.append(f"limit {given['limit']}")
    if given.get("only"):
        parts.append(f"only {', '.join(map(str, given['only']))}")
    return " ".join(parts)[:_MAX_LENGTH]
