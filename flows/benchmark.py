"""The Prefect flow `benchmark`: plan -> tune -> sample -> upscale -> extract -> score -> report.

Prefect sees one task per stage and cell, with strings as results, never tensors and never one task per
clip. Its tasks are a view: the work is in one queue (`stages.schedule`) that one pool of workers empties
(`flows.workers.pool`), and a task runs from the cell's first shard to its last. The store is the truth:
Prefect's result cache stays off, and what is missing is looked up first.
"""

from __future__ import annotations

import datetime
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect import Task, flow, task
from prefect.cache_policies import NO_CACHE

from ..core.errors import ReelbenchError
from ..core.run_file import RunFile
from ..core.run_file_loading import load_run_file
from ..stages.results import RunResult, build_results
from ..stages.schedule import Stage, Step
from .environment import quiet_environment
from .missing_work import Done, do_what_is_missing
from .parameters import check_parameters

NUM_FAILURES_RETURNED = 100


@dataclass
class _Watched:
    """A step that a Prefect task stands for. A plain class, which Prefect neither looks into nor
    serialises."""

    step: Step
    ended: threading.Event = field(default_factory=threading.Event)


def _wait_for(what: str, watched: _Watched) -> str:
    """Stand for a step while workers are at it; what came of it."""
    watched.ended.wait()
    if watched.step.num_left:
        raise ReelbenchError(f"the run ended before {watched.step.name} was finished")
    return watched.step.outcome


def _step_task(name: str, doc: str) -> Task[..., str]:
    made = task(name=name, task_run_name=f"{name} {{what}}", cache_policy=NO_CACHE, retries=0)(_wait_for)
    made.description = doc
    return made


_TASKS = {
    Stage.TUNE: _step_task("tune", "Make the tunings that the missing clips of a cell wait for."),
    Stage.SAMPLE: _step_task("sample", "Make the missing clips of a cell."),
    Stage.UPSCALE: _step_task("upscale", "Enlarge the clips of a cell whose method has an upscaler."),
    Stage.EXTRACT: _step_task("extract", "Make the missing features of a cell's clips, or of references."),
}


class _PrefectTasks:
    """Shows each step as a Prefect task, while it lasts: a listener of `Schedule`; a context manager."""

    def __init__(self) -> None:
        self._watched: dict[Step, _Watched] = {}
        self._futures: list[Any] = []

    def __enter__(self) -> _PrefectTasks:
        return self

    def __exit__(self, *_: object) -> None:
        for watched in self._watched.values():
            watched.ended.set()
        for future in self._futures:
            future.wait()

    def started(self, step: Step) -> None:
        self._watched[step] = _Watched(step)
        self._futures.append(_TASKS[step.stage].submit(step.what, self._watched[step]))

    def advanced(self, step: Step) -> None:
        """Prefect is told of whole steps only."""

    def ended(self, step: Step) -> None:
        self._watched[step].ended.set()


@dataclass
class _State:
    """What the last tasks share; a plain class, as `_Watched`."""

    run: RunFile
    done: Done
    started: datetime.datetime
    result: RunResult | None = None


@task(name="score", cache_policy=NO_CACHE, retries=0)
def score_run(run: str, state: _State) -> str:
    """Score, compare and write the run's tables, from features alone."""
    done = state.done
    state.result = build_results(
        state.run, done.parts, done.store, done.files, len(done.plan.failures), state.started
    )
    return f"{run}: {state.result.num_failures} failures"


@task(name="report", cache_policy=NO_CACHE, retries=0)
def report_run(run: str, state: _State) -> str:
    """Write the Markdown and HTML reports and log the comparison to MLflow."""
    from ..reports.publish import publish

    assert state.result is not None
    return publish(state.result.folder, state.run.name, state.run.output)


@flow(name="benchmark", validate_parameters=False)
def benchmark(
    run_file: str,
    limit: int | None = None,
    only: list[str] | None = None,
    output: str | None = None,
) -> dict[str, Any]:
    """Run a benchmark; what the store already holds is not done again.

    Args:
        run_file: path of the YAML run file.
        limit, only, output: as on the command line of `reelbench run`.

    Returns:
        {"run", "id", "folder", "num_samples", "num_failures", "failures"}: small, JSON-able.

    Raises:
        ReelbenchError: the run file or what it names is not valid, or not what a deployment may name.
    """
    started = datetime.datetime.now(datetime.UTC)
    quiet_environment()
    check_parameters(run_file=run_file, output=output)
    run = load_run_file(Path(run_file)).amended(
        limit=limit, only=only or (), output=Path(output) if output else None
    )
    run = run.model_copy(update={"output": run.output.absolute(), "store": run.store_dir.absolute()})
    with _PrefectTasks() as tasks:
        done = do_what_is_missing(run, (tasks,))
    state = _State(run, done, started)
    score_run(run.name, state)
    report_run(run.name, state)
    assert state.result is not None
    return {
        "run": run.name,
        "id": state.result.run_id,
        "folder": str(state.result.folder),
        "num_samples": done.plan.num_samples,
        "num_failures": state.result.num_failures,
        "failures": [list(failure) for failure in done.failures[:NUM_FAILURES_RETURNED]],
    }
