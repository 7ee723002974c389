"""Logging a run to MLflow in a process of its own, so that it ends after a while whatever it waits for.

A dead server holds MLflow up for many minutes, and a hanging one for ever: its own limits are for each
request. The process is ended when MLflow took nothing for a minute, or for five where it is a file; as
logging can be killed at any moment, `reelbench report` finishes it later.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ...core import waiting
from ...core.redaction import masked
from ...core.sqlite_url import sqlite_path
from ...core.waiting import Waiting, seconds_text
from .log import find_logged, log_run, set_damage_aside
from .place import Tracking, why_not_reached

STILL_LIMIT_S = 60.0
"""How long MLflow may take for one part (a run of it with its files)."""
FILE_LIMIT_S = 300.0
"""The same of a file: nothing but a busy machine is waited for, which takes minutes to make its tables."""
WHOLE_LIMIT_S = 600.0
"""How long it may take for all."""
_LOOK_AGAIN_S = 5.0

_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
"""Of a request. Whoever has set these is obeyed, within the limits above."""


@dataclass(frozen=True)
class Logged:
    """What came of logging.

    Attributes:
        run_id: of MLflow's run; None where it could not be logged.
        page: the address of the run's page on a server.
        problem: why it was not logged, one line without secrets.
    """

    run_id: str | None = None
    page: str | None = None
    problem: str | None = None


def log_within_limits(
    tables_folder: Path,
    tracking: Tracking,
    report_path: Path | None = None,
    say: Callable[[str], None] | None = None,
    prefect_page: str | None = None,
) -> Logged:
    """Log a run as `log.log_run` does; what goes wrong is told and raises nothing.

    Args:
        tables_folder, report_path, prefect_page: see `log.log_run`.
        say: is called with a line now and then while it takes long; default: `core.waiting.say`.
    """
    if (aside := set_damage_aside(tracking.uri, tracking.folder)) is not None:
        (say or waiting.say)(aside)
    found = find_logged(tables_folder, tracking.uri, report_path)
    if found is not None:
        return Logged(found)
    problem = why_not_reached(tracking)
    if problem is not None:
        time.sleep(_LOOK_AGAIN_S)  # it may just start again
        problem = why_not_reached(tracking)
    if problem is not None:
        return Logged(problem=_told(tracking, problem))
    settings = {
        "tables": str(tables_folder),
        "uri": tracking.uri,
        "experiment": tracking.experiment,
        "report": None if report_path is None else str(report_path),
        "folder": str(tracking.folder),
        "prefect_page": prefect_page,
    }
    process = subprocess.Popen(
        # -P: the working directory is not a place to import from.
        [sys.executable, "-P", "-m", "reelbench.reports.mlflow.logging_process"],
        env=_PATIENCE | os.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # Ctrl-C is for us
    )
    try:
        assert process.stdin is not None
        # Not as an argument, which others on this machine see: the address may hold a password.
        with contextlib.suppress(OSError):
            process.stdin.write(json.dumps(settings) + "\n")
            process.stdin.flush()
        return _outcome(process, tracking, say)
    finally:
        process.kill()
        process.wait()


def _outcome(process: subprocess.Popen[str], tracking: Tracking, say: Callable[[str], None] | None) -> Logged:
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    assert process.stdout is not None
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    wait, advanced = (
        Waiting(f"MLflow at {tracking.shown} to take the run", WHOLE_LIMIT_S, say),
        time.monotonic(),
    )
    still_limit_s = STILL_LIMIT_S if sqlite_path(tracking.uri) is None else FILE_LIMIT_S
    while True:
        with contextlib.suppress(queue.Empty):
            line = lines.get(timeout=0.5)
            advanced = time.monotonic()
            if not line:
                return Logged(problem=_told(tracking, f"the process that logs has ended ({process.wait()})"))
            answer = json.loads(line)
            if "problem" in answer:
                return Logged(problem=answer["problem"])
            if "run_id" in answer:
                return Logged(answer["run_id"], tracking.page(answer["experiment_id"], answer["run_id"]))
        if wait.is_over:
            return Logged(
                problem=_told(tracking, f"it has not taken all within {seconds_text(WHOLE_LIMIT_S)}")
            )
        still_s = time.monotonic() - advanced
        if still_s > still_limit_s:
            return Logged(problem=_told(tracking, f"it took nothing for {seconds_text(still_s)}"))
        wait.look()


def _told(tracking: Tracking, problem: str) -> str:
    return masked(f"cannot log to MLflow at {tracking.uri}: {problem}")


def _read(stream: IO[str], lines: queue.SimpleQueue[str]) -> None:
    for line in stream:
        lines.put(line)
    lines.put("")


def main() -> None:
    """Log what standard input says; a line on standard output for each step, and one for the end."""
    from ...core.errors import ReelbenchError

    answers, sys.stdout = sys.stdout, sys.stderr  # for what libraries print

    def answer(**what: str) -> None:
        print(json.dumps(what), file=answers, flush=True)

    settings = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_driver, daemon=True).start()
    try:
        answer(step="begun")
        uri = settings["uri"]
        report = settings["report"]
        run_id = log_run(
            Path(settings["tables"]),
            uri,
            settings["experiment"],
            None if report is None else Path(report),
            Path(settings["folder"]),
            lambda: answer(step="taken"),
            settings["prefect_page"],
        )
        experiment = ""
        if uri.startswith("http"):
            from mlflow.tracking import MlflowClient

            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            experiment = str(client.get_run(run_id).info.experiment_id)
        answer(run_id=run_id, experiment_id=experiment)
    except ReelbenchError as error:
        answer(problem=error.message)
    except (
        Exception
    ) as error:  # MLflow, its drivers and stores raise of any class; the run's tables are whole
        why = (str(error) or type(error).__name__).splitlines()[0][:400]
        answer(problem=masked(f"cannot log to MLflow at {settings['uri']}: {type(error).__name__}: {why}"))


def _end_with_the_driver() -> None:
    while sys.stdin.read(1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
