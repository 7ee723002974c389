"""What Prefect's page says of runs: on one server of our own, which all of these tests share."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from reelbench.core.errors import ReelbenchError
from reelbench.flows.parameters import ALLOW_OUTSIDE_HOME, ALLOW_PLUGIN_FILES
from reelbench.flows.servers.prefect_server import prefect_api
from reelbench.flows.servers.stale_runs import SILENT_AFTER_S, is_left_behind, settle_stale_runs

TINY = Path(__file__).parent.parent / "plugins" / "tiny.py"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of a fresh server, to which Prefect's settings point."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("PREFECT_API_URL", raising=False)
        with prefect_api(tmp_path_factory.mktemp("server")) as api:
            from prefect.client.orchestration import get_client

            api.wait()
            with get_client(sync_client=True) as client:
                yield client


def test_a_run_is_left_behind_when_its_worker_is_silent() -> None:
    from prefect.client.schemas.objects import FlowRun
    from prefect.states import Pending

    now = datetime.now(UTC)
    long_ago: Any = Pending(name="Submitting", timestamp=now - timedelta(seconds=SILENT_AFTER_S + 1))
    run = FlowRun(flow_id=uuid4(), state=long_ago, labels={"prefect.worker.name": "one"})
    assert is_left_behind(run, {"another"}, now)
    assert not is_left_behind(run, {"one"}, now)
    run.state = Pending(timestamp=now)
    assert not is_left_behind(run, (), now)


@pytest.mark.e2e
def test_what_ended_workers_left_is_put_back_or_closed(client: Any) -> None:
    from prefect import flow
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.states import Cancelling, Pending, Running

    pool = client.create_work_pool(WorkPoolCreate(name="a-pool", type="process")).name
    client.send_worker_heartbeat(pool, "alive", heartbeat_interval_seconds=30)

    def taken(state: Any) -> Any:
        run = client.create_flow_run(flow(print), work_pool_name=pool)
        client.set_flow_run_state(run.id, state, force=True)
        return run.id

    before: list[Any] = [Pending(name="Submitting"), Running(), Cancelling()]
    runs = [taken(state) for state in before]

    def states() -> list[str]:
        return [client.read_flow_run(run).state.name for run in runs]

    assert settle_stale_runs(pool) == []
    assert states() == ["Submitting", "Running", "Cancelling"]
    assert any(
        "was Submitting without a worker" in line for line in settle_stale_runs(pool, none_is_alive=True)
    )
    assert states() == ["Scheduled", "Crashed", "Cancelled"]
    assert settle_stale_runs(pool, none_is_alive=True) == []


@pytest.mark.e2e
def test_a_failed_cell_fails_its_task_and_the_run_which_has_its_results(
    client: Any, write_run_file: Callable[..., Path], capfd: pytest.CaptureFixture[str]
) -> None:
    from reelbench.flows.benchmark import benchmark

    plugin = f"{TINY}:Drift"
    bad = {"name": plugin, "label": "bad", "config": {"fails_on": ["w01"], "warns": "it is late"}}
    methods = [{"name": plugin, "label": "drift"}, bad]
    run_file = str(write_run_file(name="A.run_1", methods=methods, limit=3, executor="local"))

    state: Any = benchmark(run_file, return_state=True)  # type: ignore[call-overload]
    assert (state.type, state.name) == ("FAILED", "Failed")
    assert state.message.startswith("1 failures: sample, bad on words: 1 (ValueError: no clip for w01")
    run = client.read_flow_run(state.state_details.flow_run_id)
    assert re.fullmatch(r"A\.run_1 \d{4}-\d\d-\d\d \d\d:\d\d", run.name)
    tasks = _tasks(client, run.id)
    assert {name: task.name for name, task in tasks.items()} == {
        "sample drift/words/seed0": "Completed",
        "sample bad/words/seed0": "Failed",
        "extract drift/words/seed0": "Completed",
        "extract bad/words/seed0": "Completed",
        "score A.run_1": "Completed",
        "report A.run_1": "Completed",
    }
    assert tasks["sample bad/words/seed0"].message.startswith("1 of 3 failed, the first: ValueError: no clip")
    artifacts = {artifact.key: artifact for artifact in client.read_artifacts()}
    assert artifacts["a-run-1-progress"].data == 100
    (failure,) = json.loads(artifacts["a-run-1-failures"].data)
    assert (failure["what"], failure["class"]) == ("sample, bad on words: 1 x (w01)", "ValueError")
    compared = json.loads(artifacts["a-run-1-comparison"].data)
    assert [(row["method"], row["n"]) for row in compared] == [("drift", "3"), ("bad", "2")]
    assert "report/index.html" in artifacts["a-run-1-links"].data
    lines = _lines(client, run.id)
    assert "missing: sample 6 clips in 2 cells, extract 6 clips in 2 cells" in lines
    assert any(line.startswith("failed: bad/words/seed0 w01: ValueError: no clip for w01") for line in lines)
    assert any("UserWarning: it is late" in line for line in lines)
    shown = capfd.readouterr().err
    assert "sample bad/words/seed0: 3/3, 1 failed" in shown
    assert "missing: " not in shown

    state = benchmark(run_file, failed_cells="complete", return_state=True)  # type: ignore[call-overload]
    assert (state.type, state.name) == ("COMPLETED", "CompletedWithFailures")
    assert state.message.startswith("1 failures: sample, bad on words: 1")
    assert state.result()["num_failures"] == 1
    again = _tasks(client, state.state_details.flow_run_id)
    assert "sample drift/words/seed0" not in again, "what was done is not done again"
    assert again["sample bad/words/seed0"].message.startswith("1 of 1 failed")
    with pytest.raises(ReelbenchError, match="failed_cells: 'maybe' is none of fail, complete"):
        benchmark(run_file, failed_cells="maybe")


def _tasks(client: Any, flow_run_id: Any) -> dict[str, Any]:
    """The states of a run's tasks, by name, once the server has recorded their ends."""
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
    deadline = time.monotonic() + 30
    while True:
        states = {run.name: run.state for run in client.read_task_runs(flow_run_filter=of_run)}
        if time.monotonic() > deadline or (states and all(state.is_final() for state in states.values())):
            return states
        time.sleep(0.2)


def _lines(client: Any, flow_run_id: Any) -> list[str]:
    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
    from prefect.logging.handlers import APILogWorker

    APILogWorker.drain_all(timeout=10)
    return [
        log.message for log in client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run_id])))
    ]


@pytest.mark.e2e
def test_a_cancelled_run_ends_its_work_and_is_cancelled(
    client: Any, write_run_file: Callable[..., Path], tmp_path: Path, bench: Any
) -> None:
    from prefect.states import Cancelling

    from reelbench.flows.benchmark import benchmark

    flow: Any = benchmark
    deployment = client.create_deployment(
        client.create_flow(flow), name="any", entrypoint="reelbench.flows.benchmark:benchmark", path="."
    )
    run_file = write_run_file(executor="local", resources={"shard_size": 1, "num_actors": 2})
    parameters = {"run_file": str(run_file)}
    run = client.create_flow_run_from_deployment(deployment, parameters=parameters)
    (tmp_path / "diary").mkdir()
    allowed = {ALLOW_PLUGIN_FILES: "1", ALLOW_OUTSIDE_HOME: "1"}
    prefect = Path(sys.executable).with_name("prefect")
    process = subprocess.Popen(
        [prefect, "flow-run", "execute", str(run.id)],
        env={**os.environ, **allowed, "TINY_DIARY": str(tmp_path / "diary"), "TINY_SECONDS": "60"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        bench.wait_for(lambda: any((tmp_path / "diary").iterdir()) or process.poll() is not None, "work")
        client.set_flow_run_state(run.id, Cancelling())
        bench.wait_for(lambda: not bench.workers_in(tmp_path / "diary"), "the workers to end")
        bench.wait_for(lambda: client.read_flow_run(run.id).state.is_final(), "the run to end")
    finally:
        printed, _ = bench.end(process)
    states = [state.name for state in client.read_flow_run_states(run.id)]
    assert states[-2:] == ["Cancelling", "Cancelled"], printed
    assert _tasks(client, run.id)["sample drift/words/seed0"].name == "Cancelled"
    assert "Traceback" not in printed
