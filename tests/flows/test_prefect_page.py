"""What Prefect's page says of runs: on one server of our own, which all of these tests share."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from reelbench.flows.servers.prefect_server import prefect_api
from reelbench.flows.servers.stale_runs import SILENT_AFTER_S, is_left_behind, settle_stale_runs


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
