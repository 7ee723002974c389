"""The pool of workers: Ray actors that run shards, one pool for the whole run.

One pool owns every worker: two stages that each wait for half of them would wait for ever. Ray is
started with the first shard, so a run in which nothing is missing never starts it. Restarting and
re-running is done here and not by Ray, which can tell neither which shard killed a worker nor when
to give up.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..core.errors import ReelbenchError, ResourcesError
from ..core.run_file import ResourcesEntry
from ..core.store import Store
from ..datasets.codec import default_codec
from ..stages.work import Shard, ShardResult
from . import cluster
from .worker import Worker

MAX_DEATHS = 3
"""A shard that killed so many workers is given up."""

START_TIMEOUT_S = 300.0
"""How long to wait for a first worker, when others hold the cluster."""

_MAX_FAILED_STARTS = 3
_POLL_S = 1.0


class WorkerDiedError(ReelbenchError):
    """A shard was given up: every worker that ran it died."""


@dataclass
class _Job:
    shard: Shard
    num_deaths: int = 0
    is_suspect: bool = False
    """It was with a worker that died, running or waiting: it is run alone from then on, so that the next
    death tells who it was."""


@dataclass
class _Slot:
    """One worker: its actor, and the jobs it was given, in the order in which it runs them."""

    actor: Any
    started: Any
    """Reference to the answer to the first ping; None once it is there."""
    jobs: deque[tuple[Any, _Job]] = field(default_factory=deque)

    @property
    def head(self) -> Any:
        """The reference that is due next."""
        if self.started is not None:
            return self.started
        return self.jobs[0][0] if self.jobs else None


class RayPool:
    """Runs shards on workers; a context manager.

    Args:
        resources: how many workers, and what each needs.
        store_dir: the store, for the workers and for recording what was given up.
    """

    def __init__(self, resources: ResourcesEntry, store_dir: Path) -> None:
        self._resources = resources
        self._store_dir = Path(store_dir).absolute()
        self._slots: list[_Slot] = []
        self._layout: cluster.WorkerLayout | None = None
        self._owns_ray = False
        self._num_failed_starts = 0
        self._lock = threading.Lock()
        self._owner: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def num_workers(self) -> int | None:
        """How many workers there are; None before the first shard."""
        return self._layout.num_workers if self._layout else None

    def close(self) -> None:
        """End the workers, and Ray if it was started here."""
        if self._layout is None:
            return
        import ray

        for slot in self._slots:
            ray.kill(slot.actor, no_restart=True)
        self._slots.clear()
        self._layout = None
        if self._owns_ray:
            ray.shutdown()

    def map(self, shards: Sequence[Shard]) -> Iterator[ShardResult]:
        """Run the shards, and give each one's result as it is ready, in any order.

        A shard that raises, or that kills `MAX_DEATHS` workers, counts as failed (`Shard.failed`);
        the others go on. Several threads may call this: one is served after the other.

        Raises:
            ResourcesError: the cluster cannot give what the run asks for.
        """
        if not shards:
            return
        if self._owner == threading.get_ident():
            raise RuntimeError("RayPool.map was called while an earlier map of this thread is not finished")
        with self._lock:
            self._owner = threading.get_ident()
            try:
                self._start()
                yield from self._run(deque(_Job(shard) for shard in shards))
            finally:
                self._owner = None
                # Jobs of an abandoned iteration: their results are of no interest, their workers are.
                for slot in self._slots:
                    slot.jobs.clear()

    # -- workers -------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._layout is not None:
            return
        self._owns_ray = cluster.connect()
        try:
            layout = cluster.plan_workers(self._resources, cluster.node_resources())
        except ResourcesError:
            if self._owns_ray:
                import ray

                ray.shutdown()
            raise
        self._layout = layout
        self._slots = [self._new_slot() for _ in range(layout.num_workers)]

    def _new_slot(self) -> _Slot:
        import ray

        assert self._layout is not None
        # No restarts and no retries by Ray: see the module's docstring.
        actor_class = ray.remote(
            num_gpus=self._layout.num_gpus, num_cpus=self._layout.num_cpus, max_restarts=0, max_task_retries=0
        )(Worker)
        actor: Any = actor_class.remote(
            str(self._store_dir), self._layout.num_threads, self._resources.require_gpu
        )
        return _Slot(actor, actor.ping.remote())

    # -- the loop ------------------------------------------------------------------------------

    def _run(self, pending: deque[_Job]) -> Iterator[ShardResult]:
        import ray

        last_sign_of_life = time.monotonic()
        while True:
            self._hand_out(pending)
            if not pending and not any(slot.jobs for slot in self._slots):
                return
            heads = {slot.head: index for index, slot in enumerate(self._slots) if slot.head is not None}
            ready, _ = ray.wait(list(heads), num_returns=1, timeout=_POLL_S)
            if ready:
                last_sign_of_life = time.monotonic()
            elif not any(slot.started is None for slot in self._slots):
                self._check_start(time.monotonic() - last_sign_of_life)
            for reference in ready:
                yield from self._collect(heads[reference], pending)

    def _hand_out(self, pending: deque[_Job]) -> None:
        ready = [slot for slot in self._slots if slot.started is None]
        for depth in (1, 2):
            for slot in ready:
                if pending and len(slot.jobs) < depth and (depth == 1 or self._may_queue(slot, pending)):
                    job = pending.popleft()
                    slot.jobs.append((slot.actor.run.remote(job.shard), job))

    def _may_queue(self, slot: _Slot, pending: deque[_Job]) -> bool:
        """Whether to give a busy worker its next job, which hides the way to the driver and back.

        Near the end of the list that would keep work from a worker that is idle or about to start.
        """
        is_suspect = pending[0].is_suspect or any(job.is_suspect for _, job in slot.jobs)
        return len(pending) >= len(self._slots) and not is_suspect

    def _collect(self, index: int, pending: deque[_Job]) -> Iterator[ShardResult]:
        """Take the answer that a slot has ready."""
        import ray

        slot = self._slots[index]
        try:
            answer = ray.get(slot.head)
        except ray.exceptions.RayTaskError as error:
            # The worker lives; the shard raised.
            _, job = slot.jobs.popleft()
            yield self._give_up(job, error.cause if isinstance(error.cause, Exception) else error)
            return
        except ray.exceptions.RayError as error:
            with contextlib.suppress(Exception):
                ray.kill(slot.actor, no_restart=True)  # one that is only out of reach would keep its GPU
            self._slots[index] = self._new_slot()
            if slot.started is not None:
                self._count_failed_start(error)
                return
            # The first job was running, most likely: its answer may have been lost on the way. So a
            # shard can be blamed wrongly once, and is given up only for deaths when it was alone.
            jobs = [job for _, job in slot.jobs]
            jobs[0].num_deaths += 1
            for job in jobs:
                job.is_suspect = True
            if jobs[0].num_deaths >= MAX_DEATHS:
                yield self._give_up(jobs.pop(0), _died(error))
            pending.extendleft(reversed(jobs))
            return
        if slot.started is not None:
            slot.started = None
            self._num_failed_starts = 0
            return
        slot.jobs.popleft()
        yield answer

    def _give_up(self, job: _Job, error: BaseException) -> ShardResult:
        return job.shard.failed(error, Store(self._store_dir, default_codec()))

    def _count_failed_start(self, error: Exception) -> None:
        self._num_failed_starts += 1
        if self._num_failed_starts >= _MAX_FAILED_STARTS:
            raise ResourcesError(
                f"workers die as they start ({self._num_failed_starts} in a row): {_first_line(error)}",
                "`reelbench doctor` shows memory and versions; the workers need the same Reelbench as here",
            )

    def _check_start(self, waited_s: float) -> None:
        if waited_s < START_TIMEOUT_S:
            return
        import ray

        assert self._layout is not None
        free = ray.available_resources()
        raise ResourcesError(
            f"no worker could start within {START_TIMEOUT_S:.0f} s: each asks for "
            f"{self._layout.num_gpus:g} GPU and {self._layout.num_cpus:g} CPU, free are "
            f"{free.get('GPU', 0):g} GPU and {free.get('CPU', 0):g} CPU",
            "others hold the cluster: try again later, or ask for less under `resources` in the run file",
        )


def _died(error: Exception) -> WorkerDiedError:
    return WorkerDiedError(
        f"{MAX_DEATHS} workers died while they ran this shard, the last one so: {_first_line(error)}",
        "usually for too little memory: fewer `num_actors`, or more `gpus_per_actor`, give more to each",
    )


def _first_line(error: Exception) -> str:
    """What Ray says, without its pages of advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    detail = next((line for line in lines if "exit" in line.lower() or "memory" in line.lower()), None)
    return f"{type(error).__name__}: {detail or (lines[0] if lines else '')}"[:300]
