"""A run's own Prefect server: it starts, keeps what it is told, and never outlives the run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from reelbench.flows.servers import prefect_server
from reelbench.flows.servers.prefect_server import PrefectApi, PrefectServerError, prefect_api

pytestmark = pytest.mark.e2e

FLOW_SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from reelbench.flows.servers.prefect_server import prefect_api

with prefect_api(Path(sys.argv[1])) as api:
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE

    @task(cache_policy=NO_CACHE)
    def add(number):
        return number + 1

    @flow(name="benchmark")
    def benchmark():
        for number in range(10):
            if number == 5 and sys.argv[2] == "without its server":
                os.kill(api._process.pid, signal.SIGKILL)
            add(number)
        print(api._process.pid, flush=True)
        if sys.argv[2] == "killed":
            os.kill(os.getpid(), signal.SIGKILL)

    api.wait()
    benchmark()
"""


def run_flow(output: Path, end: str) -> tuple[subprocess.CompletedProcess[str], int]:
    """Run the script; its outcome and its server's process id."""
    done = subprocess.run(
        [sys.executable, "-c", FLOW_SCRIPT, str(output), end],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
    )
    assert done.stdout.strip(), done.stderr
    return done, int(done.stdout)


def gone(pid: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not Path(f"/proc/{pid}").exists():
            return True
        time.sleep(0.1)
    return False


def states(output: Path, table: str) -> dict[str, int]:
    database = sqlite3.connect(output / "prefect" / "prefect.db")
    try:
        return dict(database.execute(f"select state_type, count(*) from {table} group by 1").fetchall())
    finally:
        database.close()


def test_a_killed_run_leaves_no_server_and_the_next_one_closes_its_records(tmp_path: Path) -> None:
    killed, server = run_flow(tmp_path, "killed")
    assert killed.returncode == -signal.SIGKILL
    assert gone(server, within_s=20)
    assert states(tmp_path, "flow_run") == {"RUNNING": 1}

    done, server = run_flow(tmp_path, "complete")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert gone(server, within_s=1)
    assert states(tmp_path, "flow_run") == {"CRASHED": 1, "COMPLETED": 1}
    # Every task of the second run is recorded; of the first, those that reached the server.
    assert states(tmp_path, "task_run")["COMPLETED"] >= 10
    assert "RUNNING" not in states(tmp_path, "task_run")


def test_a_server_that_is_killed_is_started_again_and_gets_the_end(tmp_path: Path) -> None:
    done, server = run_flow(tmp_path, "without its server")
    assert done.returncode == 0, done.stderr
    assert "has ended (exit code -9); the work goes on, and the server is started again" in done.stderr
    assert "Traceback" not in done.stderr
    assert states(tmp_path, "flow_run") == {"COMPLETED": 1}
    assert gone(server, within_s=5)


def test_the_users_server_is_used_when_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with prefect_api(tmp_path / "ours") as ours:
        ours.wait()
        assert os.environ["PREFECT_API_URL"] == ours.url
        assert os.environ["PREFECT_HOME"] == str(tmp_path / "ours" / "prefect")
        with urllib.request.urlopen(ours.url + "/health") as answer:
            assert json.load(answer) is True
        # Another user of the machine reaches the port, and has no password.
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(ours.url + "/admin/version")
        assert ours.auth_string == os.environ["PREFECT_API_AUTH_STRING"]
        assert ours._call("GET", "/admin/version")
        assert ours.auth_string not in " ".join(ours._process.args)
        with prefect_api(tmp_path / "theirs") as theirs:
            theirs.wait()
            assert theirs.url == ours.url
        assert not (tmp_path / "theirs").exists()
        # A second run in the same folder keeps out of the first one's database.
        monkeypatch.delenv("PREFECT_API_URL")
        with prefect_api(tmp_path / "ours") as second:
            assert second.home == tmp_path / "ours" / "prefect-2"
            assert second.url != ours.url
    assert ours._process is not None
    assert ours._process.poll() is not None
    assert "PREFECT_API_URL" not in os.environ
    assert "PREFECT_API_AUTH_STRING" not in os.environ


def test_a_users_server_that_does_not_answer_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    with prefect_api(tmp_path) as api, pytest.raises(PrefectServerError, match=r"127\.0\.0\.1:9") as caught:
        api.wait()
    assert "unset PREFECT_API_URL" in str(caught.value.hint)


def test_an_output_that_cannot_be_written_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    (tmp_path / "file").touch()
    with pytest.raises(PrefectServerError, match="cannot write"), prefect_api(tmp_path / "file"):
        pass


def test_a_server_that_was_killed_explains_what_failed_without_it(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as server:
        api = PrefectApi("http://127.0.0.1:9/api", tmp_path, server)
        api.check()
        server.kill()
        server.wait()
        with pytest.raises(
            PrefectServerError, match=r"has ended in the middle of it \(exit code -9\)"
        ) as caught:
            api.check()
    assert "the same command goes on" in str(caught.value.hint)
    with pytest.raises(PrefectServerError, match="does not answer"):
        PrefectApi("http://127.0.0.1:9/api").check()


@pytest.mark.parametrize("damage", ["zeroed", "of another Prefect"])
def test_a_damaged_database_is_set_aside_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    home = tmp_path / "prefect"
    home.mkdir()
    database = home / "prefect.db"
    if damage == "zeroed":
        database.write_bytes(bytes(8192))
    else:  # its head is sound, and the server ends as it starts
        with contextlib.closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
            connection.execute("INSERT INTO alembic_version VALUES ('of_the_future')")
    with prefect_api(tmp_path) as api:
        if damage != "zeroed":  # which is seen before the server starts
            api.wait()
        assert api.exit_code() is None
    assert home.stat().st_mode & 0o777 == 0o700
    [aside] = list(home.glob("prefect.db.*.aside"))
    said = capsys.readouterr().err
    assert f"it is kept as {aside.name}, and a new one is begun" in said
    assert "the work goes on" not in said
    assert damage == "zeroed" or database.is_file()


def test_the_folder_of_another_user_is_left_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = tmp_path / "prefect"
    theirs.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: theirs.stat().st_uid + 1)
    monkeypatch.setattr(os, "access", lambda path, mode: path != theirs)
    home, lock = prefect_server._lock_home(tmp_path)
    lock.close()
    assert home == tmp_path / "prefect-2"
    # A mount may give all files to one user: what is writable is ours.
    monkeypatch.setattr(os, "access", lambda path, mode: True)
    home, lock = prefect_server._lock_home(tmp_path)
    lock.close()
    assert home == theirs
