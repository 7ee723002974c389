"""The pool on a real Ray: results, exceptions, killed workers, resources."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reelbench.core.errors import ResourcesError
from reelbench.core.run_file import ResourcesEntry
from reelbench.core.store import Store
from reelbench.flows.environment import quiet_environment
from reelbench.flows.ray_pool import MAX_DEATHS, RayPool
from reelbench.stages.work import ShardResult, WorkerContext

pytestmark = pytest.mark.e2e

WORKERS = ResourcesEntry(num_actors=2)


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
        return ShardResult(
            1,
            0,
            0.0,
            payload={
                "number": self.number,
                "pid": os.getpid(),
                "device": context.device,
                "store": str(context.store.root),
                "sessions": len(context._sessions),
                "threads": torch_threads() if self.behaviour == "use torch" else None,
            },
        )

    def failed(self, error: BaseException, store: Store) -> ShardResult:
        return ShardResult(0, 1, 0.0, ((self.label, type(error).__name__, str(error)),))


def torch_threads() -> int:
    import torch

    return torch.get_num_threads()


@pytest.fixture(scope="module")
def ray_session() -> Iterator[Any]:
    """One Ray for the file; the pools join it."""
    quiet_environment()
    import ray
    from ray import cloudpickle

    # Workers cannot import a test module.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    pool = RayPool(ResourcesEntry(), Path())
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=128 * 2**20)
    assert pool.num_workers is None
    yield ray
    ray.shutdown()


@pytest.fixture(scope="module")
def pool(ray_session: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayPool]:
    with RayPool(WORKERS, tmp_path_factory.mktemp("store")) as pool:
        yield pool


def numbers(results: list[ShardResult]) -> list[int]:
    return sorted(result.payload["number"] for result in results if result.payload)


def test_every_shard_is_run_once(pool: RayPool) -> None:
    results = list(pool.map([Tiny(number, "slow") for number in range(8)]))
    assert numbers(results) == list(range(8))
    assert len({result.payload["pid"] for result in results}) == 2


def test_workers_stay_between_maps_and_keep_their_models(pool: RayPool) -> None:
    first = {result.payload["pid"] for result in pool.map([Tiny(n, "slow") for n in range(6)])}
    again = list(pool.map([Tiny(n, "slow") for n in range(6)]))
    assert {result.payload["pid"] for result in again} == first
    assert {result.payload["sessions"] for result in again} == {1}


def test_a_worker_has_the_store_its_device_and_its_threads(pool: RayPool) -> None:
    (result,) = pool.map([Tiny(0, "use torch")])
    assert result.payload["store"] == str(pool._store_dir)
    assert result.payload["device"] == "cpu"
    assert result.payload["threads"] == 1


def test_nothing_to_do_gives_nothing() -> None:
    with RayPool(WORKERS, Path("nowhere")) as pool:
        assert list(pool.map([])) == []
        assert pool.num_workers is None


def test_a_shard_that_raises_counts_as_failed_and_the_rest_goes_on(pool: RayPool) -> None:
    results = list(pool.map([Tiny(0), Tiny(1, "raise"), Tiny(2)]))
    assert numbers(results) == [0, 2]
    (failed,) = [result for result in results if result.num_failed]
    assert failed.failures == (("tiny 1", "ValueError", "number 1 will not do"),)


def test_a_shard_whose_worker_is_killed_is_run_again(pool: RayPool, tmp_path: Path) -> None:
    shards = [Tiny(0, "slow"), Tiny(1, "die once", str(tmp_path)), *(Tiny(n, "slow") for n in range(2, 6))]
    results = list(pool.map(shards))
    assert numbers(results) == list(range(6))
    attempts = sorted(path.name for path in tmp_path.iterdir())
    assert len(attempts) == 2
    assert len({name.partition("-")[2] for name in attempts}) == 2, "the second attempt is a new process"


def test_a_shard_that_always_kills_its_worker_is_given_up(pool: RayPool, tmp_path: Path) -> None:
    shards = [*(Tiny(n, "slow") for n in range(1, 5)), Tiny(0, "always die", str(tmp_path))]
    shards += [Tiny(n, "slow") for n in range(5, 9)]
    results = list(pool.map(shards))
    assert numbers(results) == list(range(1, 9)), "its neighbours in the queue are not blamed"
    (failed,) = [result for result in results if result.num_failed]
    assert failed.failures[0][1] == "WorkerDiedError"
    # The first time, another shard may have been blamed.
    assert MAX_DEATHS <= len(list(tmp_path.iterdir())) <= MAX_DEATHS + 1


def test_an_abandoned_map_does_not_disturb_the_next(pool: RayPool) -> None:
    results = pool.map([Tiny(number, "slow") for number in range(6)])
    next(results)
    results.close()
    assert numbers(list(pool.map([Tiny(n) for n in (7, 8)]))) == [7, 8]


def test_a_map_within_a_map_is_refused_rather_than_waiting_for_ever(pool: RayPool) -> None:
    results = pool.map([Tiny(number) for number in range(3)])
    next(results)
    with pytest.raises(RuntimeError, match="not finished"):
        next(pool.map([Tiny(9)]))
    results.close()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (ResourcesEntry(require_gpu=True), "`require_gpu` is set"),
        (ResourcesEntry(num_actors=99), "num_actors: 99"),
        (ResourcesEntry(cpus_per_actor=99), "no worker fits"),
    ],
)
def test_what_the_cluster_cannot_give_is_an_error(
    ray_session: Any, tmp_path: Path, entry: ResourcesEntry, message: str
) -> None:
    with RayPool(entry, tmp_path) as refused, pytest.raises(ResourcesError, match=message):
        list(refused.map([Tiny(0)]))


DRIVER = """
import os, signal, sys
from pathlib import Path
from reelbench.core.run_file import ResourcesEntry
from reelbench.flows.environment import quiet_environment
from reelbench.flows.ray_pool import RayPool
from reelbench.stages.work import ShardResult

class Report:
    label, size = "report", 1
    def run(self, context):
        return ShardResult(1, 0, 0.0, payload=(os.getpid(), os.getcwd()))
    def failed(self, error, store):
        raise error

quiet_environment()
with RayPool(ResourcesEntry(num_actors=1), Path(sys.argv[1])) as pool:
    (result,) = pool.map([Report()])
    print(*result.payload, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_do_not_outlive_a_killed_driver(tmp_path: Path) -> None:
    """A Ray of the pool's own: it says nothing, works where the driver does, and ends with it."""
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(tmp_path / "store")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert done.stderr == ""
    worker, folder = done.stdout.split()
    assert folder == str(tmp_path), "relative paths of a run file mean the same to a worker"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and Path(f"/proc/{worker}").exists():
        time.sleep(0.2)
    assert not Path(f"/proc/{worker}").exists()
