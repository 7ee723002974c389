"""prefect.yaml on a local server, pool and worker: the deployed flow gives the tables of `reelbench run`."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parent.parent.parent
PREFECT = str(Path(sys.executable).with_name("prefect"))


@pytest.fixture
def prefect(bench: Any, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a fresh Prefect server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **bench.environment,
        "DO_NOT_TRACK": "true",
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "REELBENCH_HOME": str(bench.folder),
    }
    server = subprocess.Popen(
        [PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"],
        env=environment,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        bench.wait_for(lambda: _answers(environment["PREFECT_API_URL"] + "/health"), "the server")
        yield environment
    finally:
        server.terminate()
        server.wait(30)


def test_the_deployment_gives_the_same_tables(
    bench: Any, undisturbed: Path, prefect: dict[str, str], tmp_path: Path
) -> None:
    def call(*arguments: str) -> None:
        done = subprocess.run(
            [PREFECT, "--no-prompt", *arguments],
            env=prefect,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=bench.timeout_s,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    call("work-pool", "create", "reelbench", "--type", "process")
    call("deploy", "--all")
    worker = subprocess.Popen(
        [PREFECT, "worker", "start", "--pool", "reelbench", "--type", "process", "--limit", "1"],
        env=prefect,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        output = tmp_path / "out"
        # run.yaml is named as in prefect.yaml: relative to REELBENCH_HOME.
        call(
            *("deployment", "run", "benchmark/demo", "--watch"),
            *("--param", f"run_file={json.dumps(bench.run_file.name)}"),
            *("--param", f"output={json.dumps(str(output))}"),
        )
    finally:
        worker.terminate()
        worker.wait(30)
    assert bench.results(output) == bench.results(undisturbed)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
