"""The pool on a real Ray and on processes of this machine: results, exceptions, killed workers, resources."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from reelbench.core.errors import ResourcesError
from reelbench.core.run_file import ResourcesEntry
from reelbench.core.store import Store
from reelbench.flows.environment import quiet_environment
from reelbench.flows.workers import cluster
from reelbench.flows.workers.cluster import RayNotStartedError, _address, _end, _start_head, connect
from reelbench.flows.workers.local_workers import LocalWorkers, num_cores
from reelbench.flows.workers.pool import MAX_DEATHS, Pool, Workers
from reelbench.flows.workers.ray_folder import ray_folder
from reelbench.flows.workers.ray_workers import RayWorkers
from reelbench.stages.work import ShardResult, WorkerContext

pytestmark = pytest.mark.e2e

WORKERS = ResourcesEntry(num_actors=2)


class Listed:
    """Shards that are all known; see `pool.Source`."""

    def __init__(self, shards: Iterable[Any]) -> None:
        self.pending = list(shards)
        self.results: list[Any] = []

    @property
    def num_ready(self) -> int:
        return len(self.pending)

    def take(self, loaded: Sequence[str]) -> Any:
        return self.pending.pop(0) if self.pending else None

    def overdue(self) -> None:
        return None

    def finish(self, shard: Any, result: Any) -> None:
        self.results.append(result)


def run_all(pool: Pool, shards: Iterable[Any]) -> list[Any]:
    """Run these shards; their results, in the order in which they came."""
    listed = Listed(shards)
    pool.run(listed)
    return listed.results


RUN_ALL = "from __future__ import annotations\n" + inspect.getsource(Listed) + inspect.getsource(run_all)
"""For drivers in processes of their own."""


@dataclass(frozen=True)
class Tiny:
    """A shard that answers with its number and process, or fails as it is told to."""

    number: int
    behaviour: str = "answer"
    notes: str = ""
    """A folder where it leaves a file for each attempt."""

    @property
    def label(self) -> str:
        return f"tiny {self.number}"

    @property
    def size(self) -> int:
        return 1

    @property
    def model(self) -> str:
        return "model"

    @property
    def timing_key(self) -> None:
        return None

    def run(self, context: WorkerContext) -> ShardResult:
        attempt = 0
        if self.notes:
            attempt = len(list(Path(self.notes).iterdir()))
            Path(self.notes, f"{attempt}-{os.getpid()}").touch()
        if self.behaviour == "raise":
            raise ValueError(f"number {self.number} will not do")
        if self.behaviour == "always die" or (self.behaviour == "die once" and attempt == 0):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.behaviour == "slow":
            time.sleep(0.2)
        context.session("model", object)
        told = {
            "number": self.number,
            "pid": os.getpid(),
            "device": context.device,
            "store": str(context.store.root),
            "sessions": len(context._sessions),
            "threads": torch_threads() if self.behaviour == "use torch" else None,
        }
        return ShardResult(1, 0, 0.0, (("told", "", json.dumps(told)),))

    def failed(self, error: BaseException, store: Store) -> ShardResult:
        return ShardResult(0, 1, 0.0, ((self.label, type(error).__name__, str(error)),))


def told(result: ShardResult) -> dict[str, Any]:
    """What a shard that did not fail tells of its worker, where failures would be."""
    ((_, _, text),) = result.failures
    return json.loads(text)


def torch_threads() -> int:
    import torch

    return torch.get_num_threads()


def skip_if_busy(why: str) -> None:
    """Ray rarely comes up on a busy machine; on an idle one that it does not is a fault of ours."""
    assert os.getloadavg()[0] > num_cores(), why
    pytest.skip(f"this machine is too busy for Ray: {why}")


@pytest.fixture(scope="module")
def ray_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Ray for the file; the pools join it."""
    quiet_environment()
    try:
        connection = connect(tmp_path_factory.mktemp("ray") / "ray.log")
    except RayNotStartedError as error:
        skip_if_busy(error.message)
    yield
    connection.close()


EXECUTORS: dict[str, Callable[..., Workers]] = {"ray": RayWorkers, "local": LocalWorkers}


@pytest.fixture(scope="module", params=sorted(EXECUTORS))
def workers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Workers]:
    """Makes the workers of each executor, at least two cores of this machine being there."""
    # Workers cannot import a test module.
    if request.param == "ray":
        request.getfixturevalue("ray_session")
        from ray import cloudpickle
    else:
        import cloudpickle  # type: ignore[no-redef]
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    folder = tmp_path_factory.mktemp(request.param)
    return lambda resources: EXECUTORS[request.param](resources, folder / "store", folder / "logs")


@pytest.fixture(scope="module")
def pool(workers: Callable[..., Workers]) -> Iterator[Pool]:
    made: Any = workers(WORKERS)
    with Pool(made, made._store_dir) as pool:
        assert pool.num_workers is None
        yield pool


def test_nothing_that_we_start_listens_beyond_this_machine(pool: Pool) -> None:
    me = psutil.Process()
    token = os.environ.get("RAY_AUTH_TOKEN", "?")
    listening: list[tuple[str, str]] = []
    for process in (me, *me.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            for connection in process.net_connections("inet"):
                if connection.status == psutil.CONN_LISTEN:
                    listening.append((process.name(), connection.laddr.ip))
            assert token not in " ".join(process.cmdline())  # which every user sees
    assert {ip for _, ip in listening} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, listening
    if isinstance(pool._workers, RayWorkers):  # else nothing need listen
        assert {"gcs_server", "raylet"} <= {name for name, _ in listening}
        assert len(token) == 64
        logs = [path for path in Path(ray_folder(), "session_latest").resolve().rglob("*") if path.is_file()]
        assert logs
        assert not [path for path in logs if token.encode() in path.read_bytes()]


def numbers(results: list[ShardResult]) -> list[int]:
    return sorted(told(result)["number"] for result in results if not result.num_failed)


def test_every_shard_is_run_once(pool: Pool) -> None:
    results = run_all(pool, [Tiny(number, "slow") for number in range(8)])
    assert numbers(results) == list(range(8))
    assert len({told(result)["pid"] for result in results}) == 2


def test_workers_stay_between_maps_and_keep_their_models(pool: Pool) -> None:
    first = {told(result)["pid"] for result in run_all(pool, [Tiny(n, "slow") for n in range(6)])}
    again = run_all(pool, [Tiny(n, "slow") for n in range(6)])
    assert {told(result)["pid"] for result in again} == first
    assert {told(result)["sessions"] for result in again} == {1}


def test_a_worker_has_the_store_its_device_and_its_threads(pool: Pool) -> None:
    (result,) = run_all(pool, [Tiny(0, "use torch")])
    assert told(result)["store"] == str(pool._store_dir)
    assert told(result)["device"] == "cpu"
    assert told(result)["threads"] == 1


def test_nothing_to_do_starts_nothing(workers: Callable[..., Workers]) -> None:
    with Pool(workers(WORKERS), Path("nowhere")) as pool:
        assert run_all(pool, []) == []
        assert pool.num_workers is None


def test_a_shard_that_raises_counts_as_failed_and_the_rest_goes_on(pool: Pool) -> None:
    results = run_all(pool, [Tiny(0), Tiny(1, "raise"), Tiny(2)])
    assert numbers(results) == [0, 2]
    (failed,) = [result for result in results if result.num_failed]
    assert failed.failures == (("tiny 1", "ValueError", "number 1 will not do"),)


def test_a_shard_whose_worker_is_killed_is_run_again(pool: Pool, tmp_path: Path) -> None:
    shards = [Tiny(0, "slow"), Tiny(1, "die once", str(tmp_path)), *(Tiny(n, "slow") for n in range(2, 6))]
    results = run_all(pool, shards)
    assert numbers(results) == list(range(6))
    attempts = sorted(path.name for path in tmp_path.iterdir())
    assert len(attempts) == 2
    assert len({name.partition("-")[2] for name in attempts}) == 2, "the second attempt is a new process"


def test_a_shard_that_always_kills_its_worker_is_given_up(pool: Pool, tmp_path: Path) -> None:
    shards = [*(Tiny(n, "slow") for n in range(1, 5)), Tiny(0, "always die", str(tmp_path))]
    shards += [Tiny(n, "slow") for n in range(5, 9)]
    results = run_all(pool, shards)
    assert numbers(results) == list(range(1, 9)), "its neighbours in the queue are not blamed"
    (failed,) = [result for result in results if result.num_failed]
    assert failed.failures[0][1] == "WorkerDiedError"
    # The first time, another shard may have been blamed.
    assert MAX_DEATHS <= len(list(tmp_path.iterdir())) <= MAX_DEATHS + 1


def test_a_worker_that_dies_between_two_maps_is_replaced(pool: Pool) -> None:
    pids = {told(result)["pid"] for result in run_all(pool, [Tiny(n, "slow") for n in range(6)])}
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    time.sleep(0.5)
    results = run_all(pool, [Tiny(n, "slow") for n in range(6)])
    assert numbers(results) == list(range(6))
    assert not pids & {told(result)["pid"] for result in results}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (ResourcesEntry(require_gpu=True), "`require_gpu` is set"),
        (ResourcesEntry(num_actors=99), "num_actors: 99"),
        (ResourcesEntry(cpus_per_actor=99), "no worker fits"),
    ],
)
def test_what_there_is_not_is_an_error(
    workers: Callable[..., Workers], tmp_path: Path, entry: ResourcesEntry, message: str
) -> None:
    with Pool(workers(entry), tmp_path) as refused, pytest.raises(ResourcesError, match=message):
        run_all(refused, [Tiny(0)])


DRIVER = (
    RUN_ALL
    + """
import os, signal, sys
from pathlib import Path
from reelbench.core.run_file import ResourcesEntry
from reelbench.flows.workers.cluster import RayNotStartedError, connect
from reelbench.flows.environment import quiet_environment
from reelbench.flows.workers.local_workers import LocalWorkers
from reelbench.flows.workers.pool import Pool
from reelbench.flows.workers.ray_workers import RayWorkers
from reelbench.stages.work import ShardResult

class Report:
    label, size, model = "report", 1, "model"
    timing_key = None
    def run(self, context):
        return ShardResult(1, 0, 0.0, ((str(os.getpid()), "", os.getcwd()),))
    def failed(self, error, store):
        raise error

quiet_environment()
store = Path(sys.argv[2])
kind = {"ray": RayWorkers, "local": LocalWorkers}[sys.argv[1]]
with Pool(kind(ResourcesEntry(num_actors=1), store, store.parent / "logs"), store) as pool:
    (result,) = run_all(pool, [Report()])
    print(*result.failures[0], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
)


@pytest.mark.parametrize("executor", sorted(EXECUTORS))
def test_workers_do_not_outlive_a_killed_driver(tmp_path: Path, executor: str) -> None:
    """A Ray of the pool's own: it says nothing, works where the driver does, and ends with it."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, executor, str(tmp_path / "store")],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        cwd=tmp_path,
    )
    if "RayNotStartedError" in done.stderr:
        skip_if_busy(done.stderr + done.stdout)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [
        line for line in done.stderr.splitlines() if not line.startswith("waiting for Ray to start")
    ] == []
    worker, folder = done.stdout.split()
    assert folder == str(tmp_path), "relative paths of a run file mean the same to a worker"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and Path(f"/proc/{worker}").exists():
        time.sleep(0.2)
    assert not Path(f"/proc/{worker}").exists()


LOSING = (
    RUN_ALL
    + """
import ray  # before its environment is set, as a plug-in or the program that calls the flow may
import os, signal, sys
from pathlib import Path
from reelbench.flows.environment import quiet_environment
quiet_environment()
import cloudpickle
from reelbench.core.run_file_loading import parse_run_file
from reelbench.flows.workers.executor import choose_workers
from reelbench.flows.workers.pool import Pool
from reelbench.stages.work import ShardResult

class Kill:
    label, size, model = "kill", 1, "model"
    timing_key = None
    def __init__(self, number): self.number, self.killed = number, Path(sys.argv[1] + ".killed")
    def run(self, context):
        parent = Path(f"/proc/{os.getppid()}/comm").read_text().strip()
        if parent == "raylet" and not self.killed.exists():
            self.killed.touch()
            os.kill(os.getppid(), signal.SIGKILL)
        return ShardResult(1, 0, 0.0, ((str(self.number), "", parent),))
    def failed(self, error, store):
        return ShardResult(0, 1, 0.0, (("", "", str(error)),))

cloudpickle.register_pickle_by_value(sys.modules["__main__"])
run = parse_run_file({
    "name": "tiny", "output": sys.argv[1], "executor": sys.argv[2], "resources": {"num_actors": 2},
    "methods": [{"name": "zs2"}], "datasets": [{"name": "msrvtt", "config": {"root": "x"}}],
    "metrics": ["fvd"],
})
with Pool(choose_workers(run, print), run.store_dir) as pool:
    for result in run_all(pool, [Kill(number) for number in range(4)]):
        print("result", *result.failures[0])
"""
)


@pytest.mark.parametrize("executor", ["auto", "ray"])
def test_a_ray_that_is_killed_costs_no_shard(tmp_path: Path, executor: str) -> None:
    """ "auto" goes on without it, "ray" with another one: neither waits for workers that never come."""
    done = subprocess.run(
        [sys.executable, "-c", LOSING, str(tmp_path / "out"), executor],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    if "RayNotStartedError" in done.stderr or "rarely comes up" in done.stdout:
        skip_if_busy(done.stderr + done.stdout)
    said = "Ray on this machine has ended while it was at work"
    assert done.returncode == 0, done.stderr
    went_on = (
        "Ray is started again in 2 s" if executor == "ray" else "going on with 2 worker processes without Ray"
    )
    assert f"{said}; {went_on}" in done.stdout
    results = [line.split() for line in done.stdout.splitlines() if line.startswith("result")]
    assert sorted(int(number) for _, number, _ in results) == [0, 1, 2, 3]


JOINING = (
    RUN_ALL
    + """
from pathlib import Path
from reelbench.flows.environment import quiet_environment
quiet_environment()
import sys, cloudpickle
from reelbench.core.run_file import ResourcesEntry
from reelbench.flows.workers.pool import Pool
from reelbench.flows.workers.ray_workers import RayWorkers
from reelbench.stages.work import ShardResult

class Read:
    label, size, model = "read", 1, "model"
    timing_key = None
    def run(self, context):
        return ShardResult(1, 0, 0.0, (("", "", Path("here.txt").read_text()),))
    def failed(self, error, store):
        return ShardResult(0, 1, 0.0, (("", "", str(error)),))

cloudpickle.register_pickle_by_value(sys.modules["__main__"])
with Pool(RayWorkers(ResourcesEntry(num_actors=1), Path("store"), Path("logs")), Path("store")) as pool:
    print(*[result.failures[0][2] for result in run_all(pool, [Read()])])
"""
)


@pytest.mark.drill
def test_a_cluster_that_is_joined_works_in_the_runs_folder_and_asks_for_no_token_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: dict[str, str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "here.txt").write_text("found")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setattr(cluster, "_LOOPBACK", {})  # as a cluster's, and not as a Ray of our own
    head = _start_head(ray_folder(), tmp_path / "ray.log")
    try:
        try:
            address = _address(head, tmp_path / "ray.log")
        except RayNotStartedError as error:
            skip_if_busy(error.message)
        done = subprocess.run(
            [sys.executable, "-c", JOINING],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
            cwd=tmp_path / "run",
            env={**clean_environment, "RAY_ADDRESS": address},
        )
    finally:
        _end(head)
    assert done.stdout == "found\n", done.stderr
