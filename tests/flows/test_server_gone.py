"""A Prefect server that goes away in the middle of a run does not hold up the run, and is told in a line."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reelbench.core.run_folders import results_dir
from reelbench.flows.servers import server_watch
from reelbench.flows.servers.prefect_server import _RUN_SETTINGS, prefect_environment, start_server
from reelbench.flows.servers.server_watch import GONE_S, ServerWatch, is_gone

# `reelbench watch` with less patience, so that the test has little to wait for.
PROGRAM = """
from reelbench.flows.servers import server_watch
server_watch.EVERY_S, server_watch.SAY_AFTER_S, server_watch.GONE_S = 0.3, 1.0, 3.0
from reelbench.cli.main import main
main()
"""


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_a_server_that_is_away_is_told_once_then_let_go_and_taken_up_again(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES

    clock, retries = Clock(), PREFECT_CLIENT_MAX_RETRIES.value()
    assert retries > 0
    monkeypatch.setattr(server_watch, "time", clock)
    watch = ServerWatch("http://127.0.0.1:9/api")
    told = []
    for second in range(0, 60, 3):
        clock.now = 100.0 + second
        watch.look("Connection refused")
        told += [second] * len(capfd.readouterr().err.splitlines())
        assert is_gone() == (second >= GONE_S)
        assert PREFECT_CLIENT_MAX_RETRIES.value() == (0 if second >= GONE_S else retries)
    assert told == [12]
    watch.look(None)
    assert capfd.readouterr().err == "Prefect's server answers again\n"
    assert not is_gone()
    assert PREFECT_CLIENT_MAX_RETRIES.value() == retries
    # A restart of some seconds is not worth a line.
    clock.now += 9
    watch.look("Connection refused")
    watch.look(None)
    assert capfd.readouterr().err == ""


@pytest.mark.e2e
def test_a_run_whose_server_is_killed_ends_by_its_cells(
    clean_environment: dict[str, str], write_run_file: Callable[..., Path], bench: Any, tmp_path: Path
) -> None:
    for name in ("home", "diary"):
        (tmp_path / name).mkdir()
    with socket.socket() as listener, prefect_environment({}):
        listener.bind(("127.0.0.1", 0))
        api = start_server(tmp_path / "home", listener, "me:a-word", _RUN_SETTINGS)
    run_file = write_run_file(executor="local", limit=4, resources={"num_actors": 1, "shard_size": 1})
    server = api._process
    assert server is not None
    try:
        api.wait(closes_stale_runs=False)
        run = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "watch", run_file],
            env={
                **clean_environment,
                "PREFECT_API_URL": api.url,
                "PREFECT_API_AUTH_STRING": "me:a-word",
                "PREFECT_LOGGING_LEVEL": "WARNING",  # as of a deployment's run, where Prefect says more
                # Nothing listens there: to wait for MLflow is another test's.
                "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
                "TINY_DIARY": str(tmp_path / "diary"),
                "TINY_SECONDS": "0.5",
            },
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        bench.wait_for(lambda: any((tmp_path / "diary").iterdir()) or run.poll() is not None, "work")
    finally:
        server.kill()
        server.wait()
    printed, errors = bench.end(run)
    assert run.returncode == 0, printed + errors
    assert f"Prefect's server at {api.url} does not answer" in errors
    assert errors.count("The run is finished; Prefect's page lacks the end") == 1
    for raw in ("Traceback", "Error logging", "EventsWorker", "httpx"):
        assert raw not in printed + errors, errors
    assert "there is no earlier night to compare with" in printed
    assert (results_dir(tmp_path / "out" / "tiny") / "tables" / "summary.parquet").is_file()
