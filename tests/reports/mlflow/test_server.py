"""Logging to real MLflow servers, and to such as are not there: limits, messages, and nothing twice."""

from __future__ import annotations

import datetime
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from reelbench.core.errors import ReelbenchError, StoreError
from reelbench.core.run_file_loading import parse_run_file
from reelbench.core.tables import read_table, write_table
from reelbench.reports.mlflow import logging_process
from reelbench.reports.mlflow.log import log_run
from reelbench.reports.mlflow.logging_process import log_within_limits
from reelbench.reports.mlflow.place import Tracking, tracking_of, why_not_reached

RUN: dict[str, Any] = {
    "name": "tiny",
    "methods": [{"name": "zs2"}],
    "datasets": [{"name": "msrvtt", "config": {"root": "data"}}],
}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(logging_process, "_LOOK_AGAIN_S", 0.0)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Server:
    """An MLflow server on SQLite or on another database."""

    def __init__(self, folder: Path, backend: str) -> None:
        self.port, self.backend = free_port(), backend
        self.uri = f"http://127.0.0.1:{self.port}"
        self._log = (folder / "server.log").open("wb")
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)),
                *("--workers", "1", "--backend-store-uri", backend),
                *("--artifacts-destination", str(folder / "artifacts")),
            ],
            env={
                **os.environ,
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            },
            cwd=folder,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        deadline = time.monotonic() + 180
        while why_not_reached(Tracking(self.uri, "x", folder)) is not None:
            assert self._process.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < deadline, (folder / "server.log").read_text()
            time.sleep(0.3)

    def stop(self) -> None:
        os.killpg(self._process.pid, 15)
        self._process.wait(30)
        self._log.close()

    @property
    def client(self) -> Any:
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=self.uri)

    def runs(self, experiment: str) -> list[Any]:
        found = self.client.get_experiment_by_name(experiment)
        return [] if found is None else list(self.client.search_runs([found.experiment_id]))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_mlflow: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copyfile(empty_mlflow, folder / "mlflow.db")
    made = Server(folder, f"sqlite:///{folder}/mlflow.db")
    yield made
    made.stop()


@pytest.fixture
def tables(make_tables: Callable[..., Path], tmp_path: Path) -> Path:
    """Tables in a folder that is named by the start of its run, and a report beside them."""
    folder = tmp_path / "out" / "tiny" / "20260102T030405Z"
    folder.mkdir(parents=True)
    shutil.move(make_tables(), folder / "tables")
    (folder / "report.html").write_text("<p>report</p>")
    ended = datetime.datetime(2026, 1, 2, 4, 4, 5, tzinfo=datetime.UTC).timestamp()
    os.utime(folder / "tables" / "runs.parquet", (ended, ended))
    return folder / "tables"


def tracking(uri: str, experiment: str, tables: Path) -> Tracking:
    return Tracking(uri, experiment, tables.parent.parent / "mlflow")


def check_server(server: Server, experiment: str, tables: Path) -> None:
    """Logging to a server: whole, once, with its page, finished where it was cut off."""
    place, report = tracking(server.uri, experiment, tables), tables.parent / "report.html"
    logged = log_within_limits(tables, place, report)
    assert logged.problem is None
    runs = server.runs(experiment)
    assert len(runs) == 5
    (parent,) = [run for run in runs if run.info.run_id == logged.run_id]
    assert logged.page == f"{server.uri}/#/experiments/{parent.info.experiment_id}/runs/{logged.run_id}"
    assert parent.info.artifact_uri.startswith("mlflow-artifacts:")
    names = {file.path for file in server.client.list_artifacts(logged.run_id)}
    assert names == {"chart_sprites.svg", "clips", "comparison.md", "report.html", "tables"}
    # As long as the run was, not as its logging; what nobody recorded of a method is not made up.
    lengths = {run.info.run_id: run.info.end_time - run.info.start_time for run in runs}
    assert lengths.pop(parent.info.run_id) == 3600_000
    assert all(3600_000 - 10 < length <= 3600_000 for length in lengths.values())

    before = [(run.info.run_id, run.data.tags, run.data.metrics, run.info.end_time) for run in runs]
    assert log_run(tables, place.uri, experiment, report) == logged.run_id
    after = server.runs(experiment)
    assert [(run.info.run_id, run.data.tags, run.data.metrics, run.info.end_time) for run in after] == before

    # As a kill leaves it.
    server.client.delete_tag(logged.run_id, "reelbench.artifacts")
    child = next(run for run in runs if run.info.run_id != logged.run_id)
    server.client.update_run(child.info.run_id, status="RUNNING")
    assert log_run(tables, place.uri, experiment, report) == logged.run_id
    after = server.runs(experiment)
    assert {run.info.run_id for run in after} == {run.info.run_id for run in runs}
    assert {run.info.status for run in after} == {run.info.status for run in runs}
    assert "reelbench.artifacts" in server.client.get_run(logged.run_id).data.tags


@pytest.mark.e2e
def test_a_server_gets_a_run_once_and_whole(server: Server, tables: Path) -> None:
    check_server(server, "demo", tables)


@pytest.mark.e2e
def test_two_runs_at_once_on_one_server(server: Server, tables: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "tables"
    shutil.copytree(tables, other)
    write_table(other, "runs", [row | {"run_key": "b" * 64} for row in read_table(other, "runs").to_pylist()])
    places = [tracking(server.uri, "at once", folder) for folder in (tables, other)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(log_within_limits, (tables, other), places))
    assert [logged.problem for logged in found] == [None, None]
    assert len({logged.run_id for logged in found}) == 2
    assert len(server.runs("at once")) == 10


@pytest.mark.e2e
def test_what_failed_is_failed_there(
    server: Server, tables: Path, summary_row: Callable[..., dict[str, Any]]
) -> None:
    rows = [summary_row(method="whole", num_failures=0), summary_row(method="broken", num_failures=2)]
    write_table(tables, "summary", rows)
    write_table(tables, "runs", [row | {"num_failures": 2} for row in read_table(tables, "runs").to_pylist()])
    log_run(tables, server.uri, "failed")
    states = {run.data.params.get("method", "parent"): run.info.status for run in server.runs("failed")}
    assert states == {"parent": "FAILED", "whole": "FINISHED", "broken": "FAILED"}


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The address of an empty database of a PostgreSQL of our own."""
    pytest.importorskip("psycopg")
    found = [
        *sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")),
        Path(shutil.which("initdb") or "none"),
    ]
    if not found[0].is_file():
        pytest.skip("no PostgreSQL on this machine")
    binary, port = found[0].parent, free_port()
    # It does not run as root, nor below folders of root's alone.
    user = "postgres" if os.getuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        if user is not None:
            shutil.chown(folder, user)

        def run(program: str, *arguments: str) -> None:
            command = [str(binary / program), "-D", f"{folder}/data", *arguments]
            with Path(folder, f"{program}.log").open("ab") as log:
                subprocess.run(command, user=user, cwd=folder, check=True, stdout=log, stderr=log)

        run("initdb", "-U", "bench", "-A", "trust")
        settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        run("pg_ctl", "-o", settings, "-w", "start")
        yield f"postgresql+psycopg://bench:secret-word@127.0.0.1:{port}/postgres"
        run("pg_ctl", "-m", "immediate", "-w", "stop")


@pytest.mark.e2e
def test_a_server_on_postgresql_and_the_database_itself(postgres: str, tables: Path, tmp_path: Path) -> None:
    server = Server(tmp_path, postgres)
    try:
        check_server(server, "demo", tables)
    finally:
        server.stop()
    place = tracking(postgres, "direct", tables)
    first = log_within_limits(tables, place)
    assert first.problem is None
    assert first.page is None
    assert log_run(tables, postgres, "direct", folder=place.folder) == first.run_id
    assert (tables.parent.parent / "mlflow" / "artifacts").is_dir()
    assert "secret-word" not in place.shown + place.how_to_open()


# -- where there is none ---------------------------------------------------------------------------------


class Answers(BaseHTTPRequestHandler):
    """Answers every request with one status, or never."""

    status: int | None = 500

    def do_GET(self) -> None:
        if self.status is None:
            time.sleep(60)
            return
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def answering() -> Iterator[Callable[[int | None], str]]:
    servers = []

    def start(status: int | None) -> str:
        handler = type("Handler", (Answers,), {"status": status})
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        servers[-1].daemon_threads = True
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://me:secret-word@127.0.0.1:{servers[-1].server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, "refuses us (401); set MLFLOW_TRACKING_USERNAME"),
        (403, "refuses us (403)"),
        (503, "the status 503"),
    ],
)
def test_what_a_server_says_is_told(
    status: int, expected: str, answering: Callable[[int | None], str], tables: Path
) -> None:
    logged = log_within_limits(tables, tracking(answering(status), "demo", tables))
    assert logged.run_id is None
    assert expected in str(logged.problem)
    assert "http://***@127.0.0.1" in str(logged.problem)
    assert "secret-word" not in str(logged)
    assert "\n" not in str(logged.problem)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://127.0.0.1:9", "Connection refused"),
        ("http://no-such-host.invalid:5000", "no-such-host.invalid"),
        ("postgresql://me:secret-word@127.0.0.1:9/mlflow", "Connection refused"),
        ("sqlite:////proc/nowhere/mlflow.db", "cannot log to MLflow at sqlite:////proc/nowhere"),
    ],
)
def test_what_is_not_there_is_told(uri: str, expected: str, tables: Path) -> None:
    logged = log_within_limits(tables, tracking(uri, "demo", tables))
    assert logged.run_id is None
    assert expected in str(logged.problem)
    assert "secret-word" not in str(logged)


def test_one_that_never_answers_is_given_up_with_a_message(
    answering: Callable[[int | None], str], tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, told = tracking(answering(None), "demo", tables), list[str]()
    assert "timed out" in str(why_not_reached(place))
    # It answers the first look, and then no more.
    monkeypatch.setattr(logging_process, "why_not_reached", lambda _: None)
    monkeypatch.setattr(logging_process, "STILL_LIMIT_S", 8.0)
    monkeypatch.setattr("reelbench.core.waiting.EVERY_S", 2.0)
    logged = log_within_limits(tables, place, say=told.append)
    assert "took nothing for" in str(logged.problem)
    assert told
    assert "at most 10 min" in told[0]
    assert "secret-word" not in str(told) + str(logged)


# -- which one -------------------------------------------------------------------------------------------


def test_the_run_file_goes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def of(**changes: Any) -> Tracking | None:
        return tracking_of(parse_run_file({**RUN, "output": str(tmp_path / "out"), **changes}))

    assert of() == Tracking(f"sqlite:///{tmp_path}/out/mlflow/mlflow.db", "tiny", tmp_path / "out" / "mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://of.environment:5000")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "nights")
    found = of()
    assert found is not None
    assert (found.uri, found.experiment) == ("http://of.environment:5000", "nights")
    named = of(mlflow={"tracking_uri": "http://of.run.file", "experiment": "mine"})
    assert named is not None
    assert (named.uri, named.experiment) == ("http://of.run.file", "mine")
    short = of(mlflow="https://of.run.file/prefix/")
    assert short is not None
    assert short.page("1", "abc") == "https://of.run.file/prefix/#/experiments/1/runs/abc"
    assert of(mlflow=False) is None
    assert of(mlflow={"enabled": False}) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("mlruns", "`mlflow` in the run file: tracking URI 'mlruns' is none that MLflow takes"),
        ("file:///tmp/mlruns", "is none that MLflow takes"),
        ("sqlite:///mlflow.db", "relative to the working directory"),
        ("http://", "it names no host"),
        ("http://host:port/", "none that MLflow takes"),
        ("http://me:secret-word@host", "mlflow: holds a password or token"),
        ({"tracking_ury": "http://host"}, "did you mean 'tracking_uri'"),
        (5, "mlflow"),
    ],
)
def test_an_address_that_cannot_be_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ReelbenchError, match=message) as error:
        tracking_of(parse_run_file({**RUN, "mlflow": given}))
    assert "secret-word" not in str(error.value)


def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    with pytest.raises(StoreError, match="MLFLOW_TRACKING_URI: tracking URI"):
        tracking_of(parse_run_file(RUN))
