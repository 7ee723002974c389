"""The pool of workers: it hands shards out, collects their results, and bears with workers that die.

One pool owns every worker: two stages that each wait for half of them would wait for ever. Where the
workers live is `Workers`' affair: on Ray (`ray_workers`) or in processes of this machine (`local_workers`).
Restarting and re-running is done here, since only here is it known which shard killed a worker, and when to
give up.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from ...core.errors import ReelbenchError, ResourcesError
from ...core.store import Store
from ...datasets.video import default_codec
from ...stages.work import Shard, ShardResult

MAX_DEATHS = 3
"""A shard that killed so many workers is given up."""

START_TIMEOUT_S = 300.0
"""How long to wait for a first worker, when others hold the cluster."""

_MAX_FAILED_STARTS = 3
_POLL_S = 1.0
_MODELS_KEPT = 4  # as many as `WorkerContext` keeps


class WorkerDiedError(ReelbenchError):
    """A shard was given up: every worker that ran it died."""


class WorkerLostError(Exception):
    """A worker is gone; the message says what is known of it."""


class WorkersLostError(Exception):
    """All workers are gone at once, through no fault of theirs, and new ones can be had."""


class ShardRaisedError(Exception):
    """The worker lives, but the shard raised `cause`."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Worker(Protocol):
    """One worker, as the pool sees it. It answers once when it is up, then once for each shard, in order."""

    def submit(self, shard: Shard) -> None:
        """Give it a shard, to be run after those that it has."""
        ...

    def answer(self) -> ShardResult | None:
        """The answer that is ready; None for the one that says that it is up.

        Raises:
            WorkerLostError: it is gone.
            ShardRaisedError: the shard that was due raised.
        """
        ...

    def kill(self) -> None:
        """End it, whatever it does."""
        ...


class Workers(Protocol):
    """Where workers live."""

    def start(self) -> int:
        """Make ready for workers; how many there will be.

        Raises:
            ResourcesError: there is no place for them.
        """
        ...

    def new(self, index: int) -> Worker:
        """Start the worker of a place (0 to the number minus 1), and do not wait for it."""
        ...

    def wait(self, workers: Sequence[Worker], timeout_s: float) -> list[Worker]:
        """Those with an answer ready, or gone; when there is one, or the time is up.

        Raises:
            WorkersLostError: all are gone, also those that were not asked about.
            ResourcesError: all are gone, and there are no others.
        """
        ...

    def why_none(self) -> str:
        """Why no worker might have started, for a message: what each asks for and what is free."""
        ...

    def close(self) -> None:
        """End what was started. May be called twice."""
        ...


class Source(Protocol):
    """Where shards come from; see `stages.schedule.Schedule`."""

    @property
    def num_ready(self) -> int:
        """Shards that could be taken now."""
        ...

    def take(self, loaded: Sequence[str]) -> Shard | None:
        """The next shard for a worker that has these sessions loaded; None where nothing is ready."""
        ...

    def finish(self, shard: Shard, result: ShardResult) -> None:
        """Hand in the result of a shard that was taken."""
        ...


@dataclass
class _Job:
    shard: Shard
    num_deaths: int = 0
    is_suspect: bool = False
    """It was with a worker that died, running or waiting: it is run alone from then on, so that the next
    death tells who it was."""


@dataclass
class _Slot:
    """A place for a worker: the one that is there, and the jobs it was given, in the order of their turn."""

    worker: Worker
    is_up: bool = False
    jobs: deque[_Job] = field(default_factory=deque)
    models: deque[str] = field(default_factory=lambda: deque(maxlen=_MODELS_KEPT))
    """What it has loaded, the one used last at the end."""


class Pool:
    """Runs shards on workers; a context manager.

    Args:
        workers: where they live; started with the first shard, so a run that lacks nothing starts none.
        store_dir: the store, for recording what was given up.
    """

    def __init__(self, workers: Workers, store_dir: Path) -> None:
        self._workers = workers
        self._store_dir = Path(store_dir)
        self._slots: list[_Slot] = []
        self._retry: deque[_Job] = deque()
        self._num_failed_starts = 0

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
        return len(self._slots) or None

    def close(self) -> None:
        """End the workers and what was started for them."""
        for slot in self._slots:
            slot.worker.kill()
        self._slots.clear()
        self._workers.close()

    def run(self, source: Source) -> None:
        """Run all shards of a source, those too that become ready on the way.

        A shard that raises, or that kills `MAX_DEATHS` workers, counts as failed (`Shard.failed`); the others
        go on.

        Raises:
            ResourcesError: there is no place for the workers.
        """
        if not source.num_ready:
            return
        if not self._slots:
            count = self._workers.start()
            self._slots = [_Slot(self._workers.new(index)) for index in range(count)]
        last_sign_of_life = time.monotonic()
        while True:
            self._hand_out(source)
            if not (source.num_ready or self._retry or any(slot.jobs for slot in self._slots)):
                return
            waiting = {id(slot.worker): index for index, slot in enumerate(self._slots) if self._owes(slot)}
            try:
                ready = self._workers.wait([self._slots[i].worker for i in waiting.values()], _POLL_S)
            except WorkersLostError:
                self._replace_all()
                continue
            if ready:
                last_sign_of_life = time.monotonic()
            elif not any(slot.is_up for slot in self._slots):
                self._check_start(time.monotonic() - last_sign_of_life)
            for worker in ready:
                self._collect(waiting[id(worker)], source)

    # -- the loop ------------------------------------------------------------------------------

    @staticmethod
    def _owes(slot: _Slot) -> bool:
        """Whether a worker's answer is awaited."""
        return not slot.is_up or bool(slot.jobs)

    def _hand_out(self, source: Source) -> None:
        up = [slot for slot in self._slots if slot.is_up]
        for depth in (1, 2):
            for slot in up:
                if len(slot.jobs) < depth and (depth == 1 or self._may_queue(slot, source)):
                    job = self._next_job(slot, source)
                    if job is not None:
                        slot.jobs.append(job)
                        slot.worker.submit(job.shard)

    def _next_job(self, slot: _Slot, source: Source) -> _Job | None:
        if self._retry:
            return self._retry.popleft()
        shard = source.take(tuple(slot.models))
        if shard is None:
            return None
        if shard.model in slot.models:
            slot.models.remove(shard.model)
        slot.models.append(shard.model)
        return _Job(shard)

    def _may_queue(self, slot: _Slot, source: Source) -> bool:
        """Whether to give a busy worker its next job, which hides the way to the driver and back.

        Near the end that would keep work from a worker that is idle or about to start.
        """
        is_suspect = bool(self._retry) or any(job.is_suspect for job in slot.jobs)
        return source.num_ready >= len(self._slots) and not is_suspect

    def _collect(self, index: int, source: Source) -> None:
        """Take the answer that a worker has ready."""
        slot = self._slots[index]
        try:
            result = slot.worker.answer()
        except ShardRaisedError as error:
            job = slot.jobs.popleft()
            source.finish(job.shard, self._given_up(job, error.cause))
            return
        except WorkerLostError as error:
            slot.worker.kill()  # one that is only out of reach would keep its GPU
            self._slots[index] = _Slot(self._workers.new(index))
            if slot.is_up:
                self._blame(slot, error, source)
            else:
                self._count_failed_start(error)
            return
        if result is None:
            slot.is_up = True
            self._num_failed_starts = 0
            return
        source.finish(slot.jobs.popleft().shard, result)

    def _replace_all(self) -> None:
        for index, slot in enumerate(self._slots):
            self._retry.extend(slot.jobs)
            self._slots[index] = _Slot(self._workers.new(index))

    def _blame(self, slot: _Slot, error: WorkerLostError, source: Source) -> None:
        """The jobs of a worker that died are run again, alone.

        The first one was running, most likely: its answer may have been lost on the way. So a shard can be
        blamed wrongly once, and is given up only for deaths when it was alone.
        """
        if not slot.jobs:
            return
        first, *others = slot.jobs
        first.num_deaths += 1
        for job in slot.jobs:
            job.is_suspect = True
        if first.num_deaths >= MAX_DEATHS:
            source.finish(first.shard, self._given_up(first, _died(error)))
        else:
            others.insert(0, first)
        self._retry.extendleft(reversed(others))

    def _given_up(self, job: _Job, error: BaseException) -> ShardResult:
        return job.shard.failed(error, Store(self._store_dir, default_codec()))

    def _count_failed_start(self, error: Exception) -> None:
        self._num_failed_starts += 1
        if self._num_failed_starts >= _MAX_FAILED_STARTS:
            raise ResourcesError(
                f"workers die as they start ({self._num_failed_starts} in a row): {error}",
                "`reelbench doctor` shows memory and versions; the workers need the same Reelbench as here",
            )

    def _check_start(self, waited_s: float) -> None:
        if waited_s >= START_TIMEOUT_S:
            raise ResourcesError(
                f"no worker could start within {START_TIMEOUT_S:.0f} s: {self._workers.why_none()}",
                "others hold the cluster: try again later, or ask for less under `resources` in the run file",
            )


def _died(error: WorkerLostError) -> WorkerDiedError:
    return WorkerDiedError(
        f"{MAX_DEATHS} workers died while they ran this shard, the last one so: {error}",
        "usually for too little memory: fewer `num_actors`, or more `gpus_per_actor`, give more to each",
    )
