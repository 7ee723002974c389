"""Flow runs that nobody works on any more, though their state says so.

A worker that is killed between taking a run and starting its process leaves the run "Submitting": Prefect
never looks at it again. The same happens to a run whose worker and process die together (the machine lost
power): it stays "Running".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil

SILENT_AFTER_S = 120.0
"""A worker that was not heard of for so long has ended: four of its heartbeats, which are 30 s apart."""

_WORKER = "prefect.worker.name"  # a label that a worker puts on the runs that it takes


def settle_stale_runs(pool: str, *, none_is_alive: bool = False) -> list[str]:
    """Put back or close what ended workers of a work pool left behind; at the server of Prefect's settings.

    A run that was not begun is scheduled again. One that was begun is Crashed, or Cancelled where that was
    asked for; this is known only where `none_is_alive`, and its process is not found on this machine.

    Args:
        pool: the work pool's name.
        none_is_alive: no worker of the pool is at work, whatever its heartbeats say: before the first one is
            started.

    Returns:
        A line for each run that was settled.

    Raises:
        httpx.HTTPError, prefect.exceptions.PrefectException: the server does not answer, or refuses.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
        WorkPoolFilter,
        WorkPoolFilterName,
    )
    from prefect.client.schemas.objects import StateType

    types = [StateType.PENDING]
    if none_is_alive:
        types += [StateType.RUNNING, StateType.CANCELLING]
    lines = []
    with get_client(sync_client=True) as client:
        now = datetime.now(UTC)
        alive = set() if none_is_alive else _living_workers(client, pool, now)
        runs: Any = client.read_flow_runs(
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=types))),
        )
        for run in runs:
            if (none_is_alive or is_left_behind(run, alive, now)) and not _has_process(str(run.id)):
                state = state_of_left_behind(run.state)
                client.set_flow_run_state(run.id, state, force=True)
                lines.append(
                    f"the flow run {run.name} was {run.state.name} without a worker: now {state.name}"
                )
    return lines


def is_left_behind(run: Any, alive: Collection[str], now: datetime) -> bool:
    """Whether a run has waited for long, and the worker that took it is none of those that live."""
    waited = now - run.state.timestamp
    return waited > timedelta(seconds=SILENT_AFTER_S) and run.labels.get(_WORKER) not in alive


def state_of_left_behind(was: Any) -> Any:
    """The state that Prefect's page shows of a run from now on."""
    from prefect.states import Cancelled, Crashed, Scheduled

    why = f"its worker has ended, and left it {was.name}"
    if was.is_pending():
        return Scheduled(message=f"put back: {why}")
    if was.is_cancelling():
        return Cancelled(message=why)
    return Crashed(message=f"{why}; start it again: what is finished is kept")


def _living_workers(client: Any, pool: str, now: datetime) -> set[str]:
    """The names of a pool's workers that were heard of lately."""
    silent = timedelta(seconds=SILENT_AFTER_S)
    return {
        worker.name
        for worker in client.read_workers_for_work_pool(pool)
        if worker.last_heartbeat_time is not None and now - worker.last_heartbeat_time < silent
    }


def _has_process(flow_run_id: str) -> bool:
    """Whether a process of this machine runs it, or makes ready to."""
    return any(
        _environment(process).get("PREFECT__FLOW_RUN_ID") == flow_run_id for process in psutil.process_iter()
    )


def _environment(process: psutil.Process) -> Mapping[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}
