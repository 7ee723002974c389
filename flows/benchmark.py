"""The Prefect flow `benchmark`: plan -> tune -> sample -> upscale -> extract -> score -> report.

Prefect sees one task per stage and cell, never tensors and never one task per clip. Its tasks are a view
(`flows.view`): the work is in one queue (`stages.schedule`) that one pool of workers empties
(`flows.workers.pool`), and a task runs from the cell's first shard to its last. The store is the truth:
Prefect's result cache stays off, and what is missing is looked up first.
"""

from __future__ import annotations

import dataclasses
import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from prefect.states import Completed, Failed, State

from ..core.run_file import RunFile
from ..core.run_file_loading import load_run_file
from ..core.waiting import page_logger
from ..reports.mlflow.place import tracking_of
from ..stages.results import RunResult, build_results
from .environment import quiet_environment
from .missing_work import Done, do_what_is_missing
from .parameters import check_parameters
from .servers.server_watch import server_watched
from .view.logs import StepLines, logs_on_page
from .view.names import flow_run_name, flow_run_page
from .view.outcome import final_state
from .view.page import Page
from .view.step_tasks import StepTasks

if TYPE_CHECKING:
    from ..reports.mlflow.logging_process import Logged

NUM_FAILURES_RETURNED = 100

finished: list[State[Any]] = []
"""The state that the last flow of this process ended in, for a caller who does not get it: where Prefect's
server is gone, Prefect raises that instead."""


@dataclass
class _State:
    """What the last tasks share; a plain class, which Prefect neither looks into nor serialises."""

    run: RunFile
    done: Done
    started: datetime.datetime
    run_file: Path
    result: RunResult | None = None
    error: Exception | None = None
    """Why there is no result."""
    logged: Logged | None = None
    prefect_page: str | None = None
    """The address of the flow run's page, where there is one."""


@task(name="score", task_run_name="score {run}", cache_policy=NO_CACHE, retries=0)
def score_run(run: str, state: _State) -> State[Any]:
    """Score, compare and write the run's tables, from features alone."""
    done = state.done
    num_left_out = len(done.plan.failures)
    try:
        state.result = build_results(
            state.run, done.parts, done.store, done.files, num_left_out, state.started, state.run_file
        )
    except Exception as error:
        state.error = error
        raise
    if state.result.num_defects:
        return Failed(message=f"{state.result.num_defects} numbers are missing through a defect of a metric")
    return Completed(message=f"{state.result.num_clips} clips")


@task(name="report", task_run_name="report {run}", cache_policy=NO_CACHE, retries=0)
def report_run(run: str, state: _State) -> str:
    """Write the Markdown and HTML reports and log the comparison to MLflow."""
    from ..reports.publish import publish

    assert state.result is not None
    state.logged = publish(state.result.folder, state.run, state.prefect_page)
    if state.logged.problem is not None:
        page_logger.warning("%s; `reelbench report` logs it later", state.logged.problem)
    return state.logged.page or state.logged.run_id or state.logged.problem or "MLflow is off"


@flow(name="benchmark", flow_run_name=flow_run_name, validate_parameters=False)
def benchmark(
    run_file: str,
    limit: int | None = None,
    only: list[str] | None = None,
    output: str | None = None,
    failed_cells: str | None = None,
) -> dict[str, Any]:
    """Run a benchmark; what the store already holds is not done again.

    Args:
        run_file: path of the YAML run file.
        limit, only, output: as on the command line of `reelbench run`.
        failed_cells: "fail" or "complete", in place of the run file's.

    Returns:
        {"run", "id", "folder", "num_samples", "num_failures", "failures", "mlflow"}: small, JSON-able;
        "mlflow" has the run's "run_id", its "page" on a server, and the "problem" where it was not logged.

    Raises:
        ReelbenchError: the run file or what it names is not valid, or not what a deployment may name.
        CellsFailedError: the run is finished, cells failed, and `failed_cells` is "fail".
    """
    started = datetime.datetime.now(datetime.UTC)
    quiet_environment()
    finished.clear()
    with logs_on_page(flow_run.id), server_watched():
        check_parameters(run_file=run_file, output=output)
        run = load_run_file(Path(run_file)).amended(
            limit=limit, only=only or (), output=Path(output) if output else None, failed_cells=failed_cells
        )
        run = run.model_copy(update={"output": run.output.absolute(), "store": run.store_dir.absolute()})
        tracking_of(run)  # an address that cannot be is refused now
        page = Page(run.name)
        with StepTasks() as tasks:
            done = do_what_is_missing(run, (tasks, StepLines(), page))
        state = _State(run, done, started, Path(run_file), prefect_page=flow_run_page())
        score_run(run.name, state, return_state=True)
        if state.error is not None:
            raise state.error
        report_run(run.name, state)
        assert state.result is not None
        page.show_results(run, state.result, done.plan.failures, _places(state))
        returned = {
            "run": run.name,
            "id": state.result.run_id,
            "folder": str(state.result.folder),
            "num_samples": done.plan.num_samples,
            "num_failures": state.result.num_failures,
            "failures": [list(failure) for failure in done.failures[:NUM_FAILURES_RETURNED]],
            "mlflow": None if state.logged is None else dataclasses.asdict(state.logged),
        }
        finished.append(final_state(run, state.result, done.plan.failures, returned))
        # Prefect takes the state for the run's, and gives its data to the caller.
        return finished[-1]  # type: ignore[return-value]


def _places(state: _State) -> list[tuple[str, str]]:
    """What a person may open of a finished run."""
    assert state.result is not None
    places = [
        ("Report", str(state.result.folder / "report" / "index.html")),
        ("Report as one file", str(state.result.folder / "report.html")),
        ("Tables", str(state.result.tables_dir)),
    ]
    tracking, logged = tracking_of(state.run), state.logged
    if tracking is None or logged is None:
        return places
    if logged.problem is not None:
        return [*places, ("MLflow", logged.problem)]
    if logged.page is not None:
        return [*places, ("MLflow's run", logged.page)]
    return [*places, ("MLflow's page", tracking.how_to_open()), ("MLflow's run", str(logged.run_id))]
