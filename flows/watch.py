"""The flow `watch`: run a benchmark, compare it with its last good night, and end in a state that says it.

| state | name | when |
|---|---|---|
| Failed | Regression | a value is worse by the paired test |
| Failed | Failed | none is, and something failed (`failed_cells: fail`) |
| Completed | CompletedWithFailures | the same, with `failed_cells: complete` |
| Completed | Unchanged, Changed, Better | nothing failed |
| Completed | Completed | there is no earlier night to compare with |
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import StateDetails
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed, State

from ..core.run_file_loading import load_run_file
from ..core.store import Store
from ..datasets.video import default_codec
from ..reports.nights.changes import CHANGES_MD, Changes, changes_markdown, write_changes
from ..stages.nights.compare import compare_nights
from ..stages.planning import plan_run
from .benchmark import benchmark, finished
from .servers.server_watch import server_watched
from .view.names import flow_run_name
from .view.outcome import CellsFailedError, RegressionError, returned_with
from .view.page import artifact_key
from .view.sender import Sender

_NAMES = {"unchanged": "Unchanged", "changed": "Changed", "better": "Better"}
_WAIT_S = 20.0


@flow(name="watch", flow_run_name=flow_run_name, validate_parameters=False)
def watch(
    run_file: str,
    limit: int | None = None,
    only: list[str] | None = None,
    output: str | None = None,
    failed_cells: str | None = None,
) -> dict[str, Any]:
    """Run a benchmark and compare it with its last good night.

    Args:
        run_file, limit, only, output, failed_cells: as of the flow `benchmark`.

    Returns:
        What `benchmark` returns, with "verdict" and the path of "changes".

    Raises:
        ReelbenchError: as `benchmark`.
        RegressionError: a value is worse.
    """
    with server_watched():
        try:
            state: State[Any] = benchmark(run_file, limit, only, output, failed_cells, return_state=True)
        except Exception:
            if not finished:
                raise
            state = finished[-1]  # Prefect's server is gone
        finished.clear()
        returned = returned_with(state)
        if not isinstance(returned, dict):  # it ended before its tables
            return _as_own(state)  # type: ignore[return-value]
        changes = compare_run(run_file, limit, only, output, returned)
        finished.append(_final_state(changes, state, returned))
        return finished[-1]  # type: ignore[return-value]


@task(name="compare", task_run_name="compare {run_file}", cache_policy=NO_CACHE, retries=0)
def compare_run(
    run_file: str, limit: int | None, only: list[str] | None, output: str | None, returned: dict[str, Any]
) -> Changes:
    """Compare with the last good night; writes `changes.md`, `changes.json` and an artifact."""
    run = load_run_file(Path(run_file)).amended(
        limit=limit, only=only or (), output=Path(output) if output else None
    )
    folder = Path(returned["folder"])
    store = Store(run.store_dir.absolute(), default_codec(), read_only=True)
    _, parts = plan_run(run.model_copy(update={"store": run.store_dir.absolute()}), store)
    changes = compare_nights(folder.parent, folder.name, [part.measuring for part in parts], store)
    write_changes(changes, folder)
    get_run_logger().info("%s: %s", run.name, changes.headline)
    text, key = changes_markdown(changes), artifact_key(run.name, "changes")
    sender = Sender()
    sender.send(lambda: create_markdown_artifact(text, key, f"What changed in the run {run.name}"))
    sender.wait(_WAIT_S)
    return changes


def _as_own(state: State[Any]) -> State[Any]:
    """A state of another run as this one's; of states of others Prefect would say "1/1 states failed"."""
    return state.model_copy(update={"state_details": StateDetails()})


def _final_state(changes: Changes, state: State[Any], returned: dict[str, Any]) -> State[Any]:
    """The state of a night, from its comparison and from how the benchmark ended."""
    path = str(Path(returned["folder"]) / CHANGES_MD)
    returned = {**returned, "verdict": changes.verdict, "changes": path}
    message = changes.headline + ("" if not returned["num_failures"] else f"; {state.message}")
    if changes.verdict == "worse":
        return Failed(name="Regression", message=message, data=RegressionError(message, returned))
    if state.is_failed():
        return Failed(message=message, data=CellsFailedError(message, returned))
    name = _NAMES.get(changes.verdict, "Completed") if state.name == "Completed" else state.name
    return Completed(name=name, message=message, data=returned)
