"""The steps of a run as tasks of Prefect."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Cancelled, Completed, Failed, State

from ...stages.schedule import Stage, Step
from .outcome import shortened


@dataclass
class _Watched:
    """A step that a Prefect task stands for. A plain class, which Prefect neither looks into nor
    serialises."""

    step: Step
    ended: threading.Event = field(default_factory=threading.Event)
    is_stopped: bool = False
    """The run was stopped by a signal."""


def step_state(step: Step, is_stopped: bool = False) -> State[Any]:
    """The state of a step's task once nobody works on it: Failed where an item failed, or is left over.

    Args:
        is_stopped: the run was stopped from outside.
    """
    if step.num_failed:
        _, kind, message = (step.failures or [("", "unknown", "")])[0]
        total = step.num_done + step.num_failed
        return Failed(
            message=f"{step.num_failed} of {total} failed, the first: {shortened(f'{kind}: {message}')}"
        )
    if step.num_left:
        message = f"the run ended before this was finished: {step.num_done} of {step.num_items} done"
        return Cancelled(message=message) if is_stopped else Failed(message=message)
    return Completed(message=step.outcome)


def _wait_for(what: str, watched: _Watched) -> State[Any]:
    """Stand for a step while workers are at it."""
    watched.ended.wait()
    return step_state(watched.step, watched.is_stopped)


def _step_task(name: str, doc: str) -> Task[..., State[Any]]:
    made = task(name=name, task_run_name=f"{name} {{what}}", cache_policy=NO_CACHE, retries=0)(_wait_for)
    made.description = doc
    return made


_TASKS = {
    Stage.TUNE: _step_task("tune", "Make the tunings that the missing clips of a cell wait for."),
    Stage.SAMPLE: _step_task("sample", "Make the missing clips of a cell."),
    Stage.UPSCALE: _step_task("upscale", "Enlarge the clips of a cell whose method has an upscaler."),
    Stage.EXTRACT: _step_task("extract", "Make the missing features of a cell's clips, or of references."),
}


class StepTasks:
    """Shows each step as a Prefect task, while it lasts: a listener of `Schedule`; a context manager."""

    def __init__(self) -> None:
        self._watched: dict[Step, _Watched] = {}
        self._futures: list[Any] = []

    def __enter__(self) -> StepTasks:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for watched in self._watched.values():
            watched.is_stopped = kind is not None and not issubclass(kind, Exception)
            watched.ended.set()
        for future in self._futures:
            future.wait()

    def planned(self, steps: Sequence[Step]) -> None:
        """A step has its task when it starts."""

    def started(self, step: Step) -> None:
        """Starts the step's task."""
        self._watched[step] = _Watched(step)
        self._futures.append(_TASKS[step.stage].submit(step.what, self._watched[step]))

    def advanced(self, step: Step) -> None:
        """Prefect is told of whole steps only."""

    def ended(self, step: Step) -> None:
        """Lets the step's task end."""
        self._watched[step].ended.set()
