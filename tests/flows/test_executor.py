"""Which executor a run gets, and what it says when that is not the usual one."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reelbench.core.errors import ResourcesError
from reelbench.core.run_file import RunFile
from reelbench.core.run_file_loading import parse_run_file
from reelbench.flows.workers import cluster, executor, heartbeat
from reelbench.flows.workers.cluster import RayLostError, RayNotStartedError
from reelbench.flows.workers.executor import choose_workers
from reelbench.flows.workers.local_workers import LocalWorkers
from reelbench.flows.workers.pool import Pool, WorkersLostError
from reelbench.flows.workers.ray_workers import RayWorkers
from reelbench.stages.schedule import Schedule

TINY = Path(__file__).parent.parent / "plugins" / "tiny.py"


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., RunFile]:
    def made(**changes: Any) -> RunFile:
        data = {
            "name": "tiny",
            "output": str(tmp_path),
            "methods": [{"name": f"{TINY}:Drift", "label": "drift"}],
            "datasets": [{"name": f"{TINY}:Words", "label": "words"}],
            "metrics": [f"{TINY}:Steadiness"],
        }
        return parse_run_file(data | changes)

    return made


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle machine of two cores without a GPU or a cluster."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(executor, "num_cores", lambda: 2)
    monkeypatch.setattr(executor, "gpu_ids", list)
    monkeypatch.setattr("reelbench.flows.workers.local_workers.num_cores", lambda: 2)
    monkeypatch.setattr("reelbench.flows.workers.local_workers.gpu_ids", list)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.5, 0.5, 0.5))


@pytest.fixture
def ray_starts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ray comes up at once, and leaves an entry for each start."""
    starts: list[str] = []

    def start(self: RayWorkers) -> int:
        starts.append("ray")
        return 2

    monkeypatch.setattr(RayWorkers, "start", start)
    return starts


def test_what_the_run_file_says_is_taken(run: Callable[..., RunFile]) -> None:
    assert isinstance(choose_workers(run(executor="local")), LocalWorkers)
    assert isinstance(choose_workers(run(executor="ray")), executor._RayAgain)


class Sleeps(list[float]):
    """Time that passes at once, and what was waited for."""

    def sleep(self, seconds: float) -> None:
        self.append(round(seconds))


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> Sleeps:
    sleeps = Sleeps()
    monkeypatch.setattr(executor, "time", sleeps)
    monkeypatch.setattr(executor, "with_jitter", float)
    return sleeps


def test_ray_is_started_again_with_growing_pauses_and_then_given_up(
    run: Callable[..., RunFile], monkeypatch: pytest.MonkeyPatch, sleeps: Sleeps
) -> None:
    starts: list[int] = []

    def start(self: RayWorkers) -> int:
        starts.append(1)
        if len(starts) < num_needed:
            raise RayNotStartedError("Ray cannot be started on this machine: busy", "a hint")
        return 2

    monkeypatch.setattr(RayWorkers, "start", start)
    said: list[str] = []
    num_needed = 3
    assert choose_workers(run(executor="ray"), said.append).start() == 2
    assert sleeps == [2, 10]
    why = "Ray cannot be started on this machine: busy"
    assert said == [f"{why}; Ray is started again in {delay_s} s" for delay_s in (2, 10)]
    starts.clear()
    num_needed = 4
    with pytest.raises(RayNotStartedError, match="busy"):
        choose_workers(run(executor="ray"), said.append).start()
    assert len(starts) == 3


def test_a_ray_that_is_lost_is_started_again_a_bounded_number_of_times(
    run: Callable[..., RunFile], monkeypatch: pytest.MonkeyPatch, sleeps: Sleeps, ray_starts: list[str]
) -> None:
    def lose(self: RayWorkers, workers: Any, timeout_s: float) -> Any:
        raise RayLostError("Ray on this machine has ended while it was at work", "a hint")

    monkeypatch.setattr(RayWorkers, "wait", lose)
    said: list[str] = []
    workers = choose_workers(run(executor="ray"), said.append)
    workers.start()
    for _ in range(2):
        with pytest.raises(WorkersLostError):
            workers.wait([], 1.0)
    with pytest.raises(RayLostError):
        workers.wait([], 1.0)
    assert ray_starts == ["ray"] * 3
    assert sleeps == [2, 10]
    assert said[0] == "Ray on this machine has ended while it was at work; Ray is started again in 2 s"


@pytest.mark.usefixtures("quiet")
def test_several_workers_run_on_ray(run: Callable[..., RunFile], ray_starts: list[str]) -> None:
    said: list[str] = []
    assert choose_workers(run(), said.append).start() == 2
    assert ray_starts == ["ray"]
    assert said == []


@pytest.mark.usefixtures("quiet")
def test_one_worker_needs_no_ray_and_no_word(run: Callable[..., RunFile], ray_starts: list[str]) -> None:
    said: list[str] = []
    assert choose_workers(run(resources={"num_actors": 1}), said.append).start() == 1
    assert ray_starts == []
    assert said == []


@pytest.mark.usefixtures("quiet")
def test_a_busy_machine_does_not_wait_for_ray(
    run: Callable[..., RunFile], ray_starts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (20.0, 9.0, 3.0))
    said: list[str] = []
    assert choose_workers(run(), said.append).start() == 2
    assert ray_starts == []
    (line,) = said
    assert "load 20 on 2 cores" in line
    assert "2 worker processes without Ray" in line


@pytest.mark.usefixtures("quiet")
def test_a_cluster_is_joined_however_busy_this_machine_is(
    run: Callable[..., RunFile], ray_starts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (20.0, 9.0, 3.0))
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    choose_workers(run()).start()
    assert ray_starts == ["ray"]


@pytest.mark.usefixtures("quiet")
def test_without_ray_installed_runs_go_on(
    run: Callable[..., RunFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else found(name))
    said: list[str] = []
    assert choose_workers(run(), said.append).start() == 2
    assert said == ["Ray is not installed; going on with 2 worker processes without Ray"]


@pytest.mark.usefixtures("quiet")
def test_a_ray_that_does_not_answer_in_time_is_ended_and_the_run_goes_on(
    run: Callable[..., RunFile], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "half_a_head.py").write_text("print('10.0', end='', flush=True); input(); input()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(cluster, "_HEAD_MODULE", "half_a_head")
    monkeypatch.setattr(cluster, "START_TIMEOUT_S", 1.0)
    heads = []
    started = cluster._start_head
    monkeypatch.setattr(cluster, "_start_head", lambda *given: heads.append(started(*given)) or heads[-1])
    said: list[str] = []
    workers = choose_workers(run(), said.append)
    assert workers.start() == 2
    assert said == [
        "Ray cannot be started on this machine: it did not answer within 1 s; "
        "going on with 2 worker processes without Ray"
    ]
    assert heads[0].poll() is not None, "nothing is left of it"


@pytest.mark.usefixtures("quiet")
def test_a_cluster_that_does_not_listen_is_told_at_once(
    run: Callable[..., RunFile], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    joined: list[str] = []
    monkeypatch.setattr(cluster, "_join", lambda *_: joined.append("ray"))
    with socket.socket() as taken:  # bound and not listening: nobody else gets it meanwhile
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(ResourcesError, match=r"nothing answers at RAY_ADDRESS=127.*refused"):
            cluster.connect(tmp_path / "ray.log")
    assert not joined
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    cluster.connect(tmp_path / "ray.log")
    assert joined


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import time; time.sleep(60)", "but no Ray cluster answers there within 2 s"),
        (
            "import sys; sys.exit('x.cc:210: Unauthenticated: InvalidAuthToken')",
            "does not take this run's token",
        ),
        ("import sys; sys.exit('RpcError: no route')", "does not answer: RpcError: no route"),
    ],
)
@pytest.mark.usefixtures("quiet")
def test_a_cluster_that_does_not_answer_or_refuses_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, message: str
) -> None:
    (tmp_path / "other_probe.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(cluster, "_PROBE_MODULE", "other_probe")
    monkeypatch.setattr(cluster, "PROBE_TIMEOUT_S", 2.0)
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        there.listen()
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{there.getsockname()[1]}")
        with pytest.raises(ResourcesError, match=message):
            cluster.connect(tmp_path / "ray.log")


def test_a_cluster_that_stops_answering_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    silent, answers = threading.Event(), threading.Event()

    def nodes() -> list[Any]:
        answers.set()
        silent.wait()
        return []

    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(nodes=nodes))
    monkeypatch.setattr(heartbeat, "EVERY_S", 0.01)
    monkeypatch.setattr(heartbeat, "SILENCE_S", 0.2)
    beat = heartbeat.Heartbeat()
    assert not beat.is_lost
    assert answers.wait(10)
    while not beat.is_lost:
        pass
    silent.set()
    while beat.is_lost:
        pass
    beat.stop()


@pytest.mark.usefixtures("quiet")
def test_a_ray_that_dies_as_it_starts_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cluster, "_HEAD_MODULE", "no_such_module")
    with pytest.raises(RayNotStartedError, match="No module named no_such_module") as caught:
        cluster.connect(tmp_path / "logs" / "ray.log")
    assert "executor: local" in str(caught.value.hint)


@pytest.mark.usefixtures("quiet")
def test_what_does_not_fit_is_told_and_not_worked_around(run: Callable[..., RunFile], tmp_path: Path) -> None:
    asked = run(executor="local", resources={"num_actors": 99})
    with pytest.raises(ResourcesError, match="this machine has 0 GPU and 2 CPU"):
        choose_workers(asked).start()


def test_a_worker_of_this_machine_gets_its_gpus(
    run: Callable[..., RunFile], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("reelbench.flows.workers.local_workers.num_cores", lambda: 8)
    monkeypatch.setattr("reelbench.flows.workers.local_workers.gpu_ids", lambda: ["4", "7"])
    for resources, expected in (
        ({}, [["4"], ["7"]]),
        ({"gpus_per_actor": 0.5}, [["4"], ["4"], ["7"], ["7"]]),
        ({"gpus_per_actor": 2}, [["4", "7"]]),
    ):
        workers = choose_workers(run(executor="local", resources=resources))
        assert isinstance(workers, LocalWorkers)
        count = workers.start()
        assert [workers._gpus(index) for index in range(count)] == expected


def test_importing_what_chooses_an_executor_imports_no_ray() -> None:
    import subprocess

    code = "import sys, reelbench.flows.missing_work; print({'ray', 'prefect', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_pool_without_work_starts_nobody(run: Callable[..., RunFile], tmp_path: Path) -> None:
    with Pool(choose_workers(run()), tmp_path) as pool:
        pool.run(Schedule([]))
        assert pool.num_workers is None
