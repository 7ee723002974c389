"""Workers as Ray actors: on a cluster that is joined, or on a Ray of our own on this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...core.errors import ResourcesError
from ...core.run_file import ResourcesEntry
from ...core.waiting import waiting
from ...stages.work import Shard, ShardResult
from . import cluster
from .cluster import RayLostError
from .heartbeat import SILENCE_S, bounded
from .pool import ClusterLostError, ShardRaisedError, Worker, WorkerLostError
from .worker import Worker as WorkerProcess
from .worker_layout import WorkerLayout, plan_workers


class RayWorkers:
    """See `pool.Workers`. Restarts and retries are not Ray's: it can tell neither which shard killed a worker
    nor when to give up.

    Args:
        resources: how many workers, and what each needs.
        store_dir: the store, the same path on every node.
        log_dir: where the log of a Ray of our own goes.
    """

    def __init__(self, resources: ResourcesEntry, store_dir: Path, log_dir: Path) -> None:
        self._resources = resources
        self._store_dir = Path(store_dir).absolute()
        self._log_dir = Path(log_dir).absolute()
        self._layout: WorkerLayout | None = None
        self._connection: cluster.Connection | None = None

    def start(self) -> int:
        """Connects to Ray and lays the workers out on its nodes."""
        self._connection = cluster.connect(self._log_dir / "ray.log")
        try:
            self._layout = plan_workers(self._resources, cluster.node_resources())
        except ResourcesError:
            self.close()
            raise
        return self._layout.num_workers

    def new(self, index: int) -> Worker:
        """Starts an actor."""
        import ray

        assert self._layout is not None
        actor_class = ray.remote(
            num_gpus=self._layout.num_gpus, num_cpus=self._layout.num_cpus, max_restarts=0, max_task_retries=0
        )(WorkerProcess)
        settings = (str(self._store_dir), self._layout.num_threads, self._resources.require_gpu)
        try:
            with waiting("Ray to take a new worker", SILENCE_S):
                return bounded(lambda: _RayWorker(actor_class.remote(str(Path.cwd()), *settings)), SILENCE_S)
        except TimeoutError:
            raise self._lost() from None

    def wait(self, workers: Sequence[Worker], timeout_s: float) -> list[Worker]:
        """Waits on the answers that are due next.

        Raises:
            RayLostError: the Ray that we started has ended.
            ClusterLostError: the cluster that was joined answers nobody any more.
        """
        import ray

        heads = {worker.references[0]: worker for worker in workers if isinstance(worker, _RayWorker)}
        ready, _ = ray.wait(list(heads), num_returns=1, timeout=timeout_s)
        # After the wait: that its workers are gone is known later than that Ray is.
        if self._connection is not None and self._connection.has_ended:
            raise RayLostError(
                "Ray on this machine has ended while it was at work",
                "the same command goes on; `executor: local` in the run file does without Ray",
            )
        if self._connection is not None and self._connection.is_lost:
            raise self._lost()
        return [heads[reference] for reference in ready]

    @staticmethod
    def _lost() -> ClusterLostError:
        return ClusterLostError(
            f"the Ray cluster has not answered for {SILENCE_S:.0f} s while it was at work",
            "what is finished is kept: start the cluster again, and the same command goes on",
        )

    def why_none(self) -> str:
        """What each worker asks for and what the cluster has free."""
        import ray

        assert self._layout is not None
        free = ray.available_resources()
        return (
            f"each asks for {self._layout.num_gpus:g} GPU and {self._layout.num_cpus:g} CPU, free are "
            f"{free.get('GPU', 0):g} GPU and {free.get('CPU', 0):g} CPU"
        )

    def close(self) -> None:
        """Ends the Ray that we started; one that was there stays."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _RayWorker:
    """One actor; see `pool.Worker`."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self.references = [actor.ping.remote()]
        """To the answers that are due, the next one first."""
        self._is_up = False

    def submit(self, shard: Shard) -> None:
        self.references.append(self._actor.run.remote(shard))

    def answer(self) -> ShardResult | None:
        import ray

        try:
            result = ray.get(self.references.pop(0))
        except ray.exceptions.RayTaskError as error:
            raise ShardRaisedError(error.cause if isinstance(error.cause, Exception) else error) from None
        except ray.exceptions.RayError as error:
            raise WorkerLostError(_first_line(error)) from None
        if not self._is_up:
            self._is_up = True
            return None
        found: ShardResult = result
        return found

    def kill(self) -> None:
        import ray

        with contextlib.suppress(Exception):
            bounded(lambda: ray.kill(self._actor, no_restart=True), 5.0)


@contextlib.contextmanager
def signals_unwrapped() -> Iterator[None]:
    """What a signal's handler raised, as it was: where it strikes in a call of Ray's, that raises a
    SystemError instead, which nobody would take for an end."""
    try:
        yield
    except SystemError as error:
        cause: BaseException | None = error
        while isinstance(cause, Exception):
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            raise
        raise cause from None


def _first_line(error: Exception) -> str:
    """What Ray says, without its pages of advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    detail = next((line for line in lines if "exit" in line.lower() or "memory" in line.lower()), None)
    return f"{type(error).__name__}: {detail or (lines[0] if lines else '')}"[:300]
