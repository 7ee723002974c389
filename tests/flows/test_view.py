"""What Prefect's page is told, without a server: states, messages, keys; what if none answers."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from reelbench.core.errors import DatasetError, StoreError
from reelbench.core.run_file import RunFile
from reelbench.flows import benchmark
from reelbench.flows.view import logs
from reelbench.flows.view.outcome import CellsFailedError, failure_rows, failures_message, final_state
from reelbench.flows.view.page import artifact_key
from reelbench.flows.view.sender import Sender
from reelbench.flows.view.step_tasks import step_state
from reelbench.flows.workers.kept_lines import bounded, kept_lines
from reelbench.flows.workers.ray_workers import signals_unwrapped
from reelbench.reports.pages.failures import Failure
from reelbench.stages.results import RunResult
from reelbench.stages.schedule import Stage, Step


def step(num_done: int, num_failed: int) -> Step:
    failures = [("a/b w1", "ValueError", "no\nclip")] * num_failed
    return Step(Stage.SAMPLE, "a/b", 4, list, num_done, num_failed, failures=failures)


@pytest.mark.parametrize(
    ("num_done", "num_failed", "is_stopped", "state", "message"),
    [
        (4, 0, False, "Completed", "4 done, 0 failed"),
        (3, 1, False, "Failed", "1 of 4 failed, the first: ValueError: no clip"),
        (2, 0, False, "Failed", "the run ended before this was finished: 2 of 4 done"),
        (2, 0, True, "Cancelled", "the run ended before this was finished: 2 of 4 done"),
        (1, 1, True, "Failed", "1 of 2 failed, the first: ValueError: no clip"),
    ],
)
def test_a_task_ends_as_its_cell_did(
    num_done: int, num_failed: int, is_stopped: bool, state: str, message: str
) -> None:
    found = step_state(step(num_done, num_failed), is_stopped)
    assert (found.name, found.message) == (state, message)


def result(num_failures: int, *failures: Failure, num_defects: int = 0) -> RunResult:
    return RunResult(Path("out"), 7, num_failures, num_defects, failures)


def run(failed_cells: str) -> RunFile:
    entries = [{"name": "one"}]
    return RunFile.model_validate(
        {"name": "a", "methods": entries, "datasets": entries, "failed_cells": failed_cells}
    )


def test_failures_are_named_by_cell_the_worst_first() -> None:
    failures = [
        Failure("extract clip", "x", "set", "OSError: gone", 1, ("w1",)),
        Failure("sample", "x", "set", f"ValueError: {'long ' * 99}", 2, ("w1", "w2")),
        Failure("sample", "x", "set", "ValueError: other", 3, ("w3", "w4", "w5")),
        Failure("sample", "y", "set", "KeyError: 'k'", 4, ("w1", "w2", "w3")),
    ]
    left_out = [DatasetError("no such list")]
    found = result(13, *failures, num_defects=2)
    message = failures_message(found, left_out)
    assert message.startswith(
        "13 failures: data set left out: no such list; sample, x on set: 5 (ValueError: lo"
    )
    assert message.endswith("; sample, y on set: 4 (KeyError: 'k'); and 2 more")
    assert len(message) < 500
    assert failure_rows(failures, left_out)[0] == ("plan", "DatasetError", "no such list")
    assert failure_rows(failures)[3] == ("sample, y on set: 4 x (w1, w2, w3, ...)", "KeyError", "'k'")


def test_the_state_of_a_run_follows_its_cells_and_its_run_file() -> None:
    failed = result(1, Failure("sample", "x", "set", "ValueError: no", 1, ("w1",)))
    state: Any = final_state(run("fail"), failed, [], {"run": "a"})
    assert state.name == "Failed"
    assert isinstance(state.data, CellsFailedError)
    assert state.data.result == {"run": "a"}
    state = final_state(run("complete"), failed, [], {"run": "a"})
    assert (state.type, state.name, state.data) == ("COMPLETED", "CompletedWithFailures", {"run": "a"})
    state = final_state(run("fail"), result(0), [], {})
    assert (state.name, state.message) == ("Completed", "7 clips, nothing failed")


def test_keys_of_artifacts_are_what_prefect_takes() -> None:
    assert artifact_key("My.run_2", "progress") == "my-run-2-progress"


def test_a_server_that_takes_nothing_is_asked_three_times_and_never_waited_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = []

    def fail() -> None:
        calls.append(1)
        raise OSError("no answer")

    sender = Sender()
    for _ in range(10):
        sender.send(fail)
    sender.wait(30)
    assert len(calls) == 3
    (line,) = (record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)
    assert "its server does not take it (no answer)" in line


def test_what_a_worker_says_is_kept_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "showwarning", lambda *args: None)
    with kept_lines() as lines:
        logging.getLogger("reelbench.methods").info("loaded\nall")
        logging.getLogger("another.library").warning("noise")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            for number in range(30):
                warnings.warn(f"{number} " + "x" * 600, stacklevel=1)
    logging.getLogger("reelbench.methods").info("later")
    first, second, *_, last = bounded(lines)
    assert first == (logging.INFO, "loaded all")
    assert second[0] == logging.WARNING
    assert second[1].startswith("UserWarning: 0 x")
    assert len(second[1]) <= 500
    assert last == (logging.INFO, "... and 11 more lines")


def test_a_signal_that_strikes_in_ray_is_raised_as_it_was() -> None:
    def strike() -> None:
        try:
            raise SystemExit(128 + signal.SIGTERM)
        except SystemExit as stop:
            raise SystemError("returned a result with an exception set") from stop

    with pytest.raises(SystemExit), signals_unwrapped():
        strike()
    with pytest.raises(SystemError), signals_unwrapped():
        raise SystemError("another")


def test_a_run_whose_tables_cannot_be_written_ends_with_that_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = [{"name": "any"}]
    run = RunFile.model_validate({"name": "demo", "methods": entry, "datasets": entry, "output": tmp_path})
    score = benchmark.score_run

    def refuse(*_: Any) -> None:
        raise StoreError("cannot write the tables: no space left")

    def as_prefect_does(name: str, state: Any, return_state: bool) -> None:
        with contextlib.suppress(StoreError):
            score.fn(name, state)

    done = SimpleNamespace(plan=SimpleNamespace(failures=()), parts=(), store=None, files=None)
    monkeypatch.setattr(benchmark, "load_run_file", lambda path: run)
    monkeypatch.setattr(benchmark, "do_what_is_missing", lambda *_: done)
    monkeypatch.setattr(benchmark, "build_results", refuse)
    monkeypatch.setattr(benchmark, "score_run", as_prefect_does)
    monkeypatch.setattr(benchmark, "report_run", lambda *_: pytest.fail("there is nothing to report"))
    for name in ("Page", "StepTasks", "logs_on_page"):
        monkeypatch.setattr(benchmark, name, MagicMock())
    with pytest.raises(StoreError, match="no space left"):
        benchmark.benchmark.fn("run.yaml")


def test_no_secret_of_a_worker_reaches_the_page() -> None:
    with kept_lines() as lines:
        logging.getLogger("reelbench.some").info("from http://me:hunter2@host/x")
    lines.append((logging.WARNING, "UserWarning: password=hunter2"))
    assert bounded(lines) == ((20, "from http://***@host/x"), (30, "UserWarning: password=***"))


def test_no_secret_of_a_librarys_error_reaches_the_page() -> None:
    try:
        raise RuntimeError("at http://me:" + "hunter2" + "@host/x")
    except RuntimeError:
        record = logging.LogRecord("prefect.flow_runs", 40, __file__, 1, "failed", (), sys.exc_info())
    assert logs._WITHOUT_TRACEBACKS.filter(record)
    shown = logging.Formatter().format(record)
    assert shown.endswith("RuntimeError: at http://***@host/x")
    assert "Traceback" in shown
