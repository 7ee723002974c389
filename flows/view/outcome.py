"""How a run ended: the state of its flow run, and the message beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from prefect.states import Completed, Failed, State

from ...core.errors import ReelbenchError
from ...core.run_file import RunFile
from ...reports.pages.failures import Failure
from ...stages.results import RunResult

COMPLETED_WITH_FAILURES = "CompletedWithFailures"

_NUM_CELLS_NAMED = 3
_MAX_REASON = 160


class CellsFailedError(ReelbenchError):
    """A run is finished, with its tables and its report, and some of its cells failed.

    Attributes:
        result: what the flow returns of a run without failures.
    """

    exit_code = 1

    def __init__(self, message: str, result: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.result = result or {}

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), (self.message, self.result)


class RegressionError(CellsFailedError):
    """A run is finished, and values are worse than in the last good night."""


def final_state(
    run: RunFile, result: RunResult, left_out: Sequence[ReelbenchError], returned: dict[str, Any]
) -> State[Any]:
    """The state of a finished run: Completed; where cells failed, what the run's `failed_cells` asks for.

    Args:
        left_out: why data sets failed while the run was planned.
        returned: what the flow returns.
    """
    problem = (returned.get("mlflow") or {}).get("problem")
    note = f"; {problem}" if problem else ""
    if not result.num_failures:
        return Completed(message=f"{result.num_clips} clips, nothing failed{note}", data=returned)
    message = failures_message(result, left_out) + note
    if run.failed_cells == "complete":
        return Completed(name=COMPLETED_WITH_FAILURES, message=message, data=returned)
    return Failed(message=message, data=CellsFailedError(message, returned))


def returned_with(state: State[Any]) -> Any:
    """What the flow returned that ended in a state; an exception, where it ended before its tables."""
    found = state.result(raise_on_failure=False)
    return found.result if isinstance(found, CellsFailedError) else found


def failures_message(result: RunResult, left_out: Sequence[ReelbenchError] = ()) -> str:
    """The cells that failed, those with most failures first, each with its first reason; a line."""
    cells: dict[tuple[str, str, str], tuple[int, str]] = {}
    for failure in result.failures:
        cell = (failure.stage, failure.method, failure.dataset)
        count, cause = cells.get(cell, (0, failure.cause))
        cells[cell] = (count + failure.num_items, cause)
    parts = [f"data set left out: {shortened(error.message)}" for error in left_out]
    for (stage, method, dataset), (count, cause) in sorted(cells.items(), key=lambda item: -item[1][0]):
        parts.append(f"{stage}, {method} on {dataset}: {count} ({shortened(cause)})")
    if result.num_defects:
        parts.append(f"{result.num_defects} numbers are missing through a defect of a metric")
    more = len(parts) - _NUM_CELLS_NAMED
    shown = "; ".join(parts[:_NUM_CELLS_NAMED]) + (f"; and {more} more" if more > 0 else "")
    return f"{result.num_failures} failures: {shown}"


def failure_rows(
    failures: Iterable[Failure], left_out: Iterable[ReelbenchError] = ()
) -> list[tuple[str, str, str]]:
    """(what, class, message) of each cause; those of data sets first."""
    rows = [("plan", type(error).__name__, error.message) for error in left_out]
    for failure in failures:
        kind, _, message = failure.cause.partition(": ")
        samples = ", ".join(failure.samples[:3]) + (", ..." if failure.num_items > 3 else "")
        what = f"{failure.stage}, {failure.method} on {failure.dataset}: {failure.num_items} x ({samples})"
        rows.append((what, kind, message))
    return rows


def shortened(text: str) -> str:
    """The text as one line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= _MAX_REASON else f"{line[: _MAX_REASON - 3]}..."
