"""How `reelbench run` ends when it is interrupted, and when something failed."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reelbench.flows.servers.prefect_server import is_running

pytestmark = pytest.mark.e2e


@pytest.mark.drill
def test_interrupted_then_finished_with_a_failure(
    bench: Any, tiny_run_file: Callable[..., Path], tmp_path: Path
) -> None:
    output, diary = tmp_path / "out", tmp_path / "diary"
    diary.mkdir()
    method = {"name": f"{bench.plugin}:Drift", "label": "drift", "config": {"fails_on": ["w01"]}}
    run_file = tiny_run_file(tmp_path / "run.yaml", output, methods=[method], limit=4)
    failing = replace(bench, folder=tmp_path, run_file=run_file)

    # Ctrl-C: 130, one line that says how to go on, and nothing left running.
    process = failing.start(output, TINY_DIARY=str(diary), TINY_SECONDS="3.0")
    failing.wait_for(lambda: any(diary.iterdir()) or process.poll() is not None, "a worker at work")
    process.send_signal(signal.SIGINT)
    printed, errors = failing.end(process)
    assert process.returncode == 130, printed + errors
    assert "the same command goes on from there" in errors
    assert "Traceback" not in printed + errors
    failing.wait_for(lambda: not failing.workers_in(diary), "the workers to end")

    # Failures: 1, what failed and why, and values over the rest with their coverage.
    process = failing.start(output)
    printed, errors = failing.end(process)
    assert process.returncode == 1, printed + errors
    assert "no clip for w01" in printed
    assert "75%" in printed
    assert "Traceback" not in printed + errors


def test_terminated_by_the_batch_system(bench: Any, tmp_path: Path) -> None:
    output, diary = tmp_path / "out", tmp_path / "diary"
    diary.mkdir()
    process = bench.start(output, TINY_DIARY=str(diary), TINY_SECONDS="3.0")
    bench.wait_for(lambda: any(diary.iterdir()) or process.poll() is not None, "a worker at work")
    process.send_signal(signal.SIGTERM)
    printed, errors = bench.end(process)
    assert process.returncode == 143, printed + errors
    assert errors.splitlines()[-1].startswith("terminated: what is finished is kept")
    assert "Traceback" not in printed + errors
    bench.wait_for(lambda: not bench.workers_in(diary), "the workers to end")
    bench.wait_for(lambda: not is_running(output), "the server to end")
