"""`reelbench serve` as in the README: the deployed flow gives the tables of `reelbench run`, other users are
kept out, and nothing outlives it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from reelbench.flows.parameters import ALLOW_PLUGIN_FILES
from reelbench.flows.servers.processes import MARK, end_marked

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parent.parent.parent
SERVE, ENV, RUN_DEMO = re.search(  # type: ignore[union-attr]
    r"^(reelbench serve)\b.*?^(\. out/serve/env)$.*?^(prefect deployment run .*?--watch)$",
    (ROOT / "README.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
).groups()


class Served:
    """A home with a run file where `reelbench serve` is started."""

    def __init__(self, bench: Any, home: Path) -> None:
        self.bench = bench
        self.home = home
        self.folder = home / "out" / "serve"
        bin_folder = Path(sys.executable).parent
        path = f"{bin_folder}:{bench.environment['PATH']}"
        self.environment = {**bench.environment, "PATH": path, ALLOW_PLUGIN_FILES: "1"}

    def start(self) -> subprocess.Popen[str]:
        log = self.home / "serve.log"
        with log.open("w") as out:
            process = subprocess.Popen(
                SERVE.split(), cwd=self.home, env=self.environment, stdout=out, stderr=out, text=True
            )

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text()
            return "Ctrl-C ends" in log.read_text()

        self.bench.wait_for(is_ready, "reelbench serve")
        return process

    def shell(self, command: str) -> subprocess.CompletedProcess[str]:
        """A command in another shell, after the README's line."""
        return subprocess.run(
            ["sh", "-c", f"{ENV}\n{command}"],
            cwd=self.home,
            env=self.bench.environment,
            capture_output=True,
            text=True,
            timeout=self.bench.timeout_s,
            check=False,
        )

    def states(self) -> list[str]:
        """Of the flow runs, from the first on."""
        return self._rows("select state_type from flow_run order by created")

    def messages(self) -> list[str]:
        """Of the flow runs' states, from the first run on."""
        joined = "flow_run_state on flow_run_state.id = flow_run.state_id"
        return self._rows(f"select message from flow_run join {joined} order by flow_run.created")

    def _rows(self, query: str) -> list[str]:
        database = sqlite3.connect(self.folder / "prefect.db")
        try:
            return [row[0] for row in database.execute(query).fetchall()]
        finally:
            database.close()

    def processes(self) -> list[psutil.Process]:
        """All that know the folder, in their environment or command line."""
        found = []
        for process in psutil.process_iter():
            try:
                if str(self.folder) in process.environ().values():
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found


@pytest.fixture
def served(bench: Any, tmp_path: Path, tiny_run_file: Callable[..., Path]) -> Served:
    shutil.copy(ROOT / "prefect.yaml", tmp_path)
    (tmp_path / "configs").mkdir()
    resources = {"shard_size": 2, "num_actors": 2}
    tiny_run_file(tmp_path / "configs" / "demo.yaml", Path("out"), resources=resources, limit=bench.num_clips)
    return Served(bench, tmp_path)


def test_as_typed_in_the_readme(bench: Any, undisturbed: Path, served: Served) -> None:
    serve = served.start()
    done = served.shell(RUN_DEMO)
    assert done.returncode == 0, done.stdout + done.stderr
    assert bench.results(served.home / "out") == bench.results(undisturbed)

    # Who has no password sees nothing, and it stands nowhere but in files of ours.
    page = re.search(r"^page +(\S+)$", (served.home / "serve.log").read_text(), re.MULTILINE)
    assert page is not None
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{page[1]}/api/admin/version")
    password = (served.folder / "password").read_text().strip().partition(":")[2]
    holders = [
        path for path in served.home.rglob("*") if path.is_file() and password.encode() in path.read_bytes()
    ]
    assert sorted(path.name for path in holders) == ["password", "profiles.toml"]
    assert {path.stat().st_mode & 0o777 for path in holders} == {0o600}
    assert len(served.processes()) >= 2
    assert not [process for process in served.processes() if password in " ".join(process.cmdline())]

    second = subprocess.run(
        SERVE.split(), cwd=served.home, env=served.environment, capture_output=True, text=True, check=False
    )
    assert second.returncode == 2
    assert f"its page is {page[1]}" in second.stderr

    refused = served.shell("prefect deployment run benchmark/any --watch --param run_file=/etc/passwd")
    assert refused.returncode == 1
    assert served.states() == ["COMPLETED", "FAILED"]
    assert "run_file=/etc/passwd is outside of REELBENCH_HOME" in served.messages()[-1]

    started = served.shell("prefect deployment run benchmark/demo")
    assert started.returncode == 0, started.stderr
    bench.wait_for(lambda: served.states()[-1] == "RUNNING", "the run to begin")
    serve.send_signal(signal.SIGINT)
    assert serve.wait(bench.timeout_s) == 130
    assert served.processes() == []
    assert served.states()[-1] == "CRASHED"


def test_what_was_left_is_found_by_its_mark_and_ended(tmp_path: Path) -> None:
    left = subprocess.Popen(["sh", "-c", "sleep 1000 & wait"], env={**os.environ, MARK: str(tmp_path)})
    spared = subprocess.Popen(["sleep", "1000"], env={**os.environ, MARK: str(tmp_path)})
    other = subprocess.Popen(["sleep", "1000"], env={**os.environ, MARK: str(tmp_path / "other")})
    try:
        children = psutil.Process(left.pid).children()
        end_marked(tmp_path, 0.5, spared=[spared.pid])
        assert left.poll() is not None
        assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
        assert spared.poll() is None
        assert other.poll() is None
    finally:
        for process in (left, spared, other):
            process.kill()
            process.wait()
