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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, Self

from ...core.errors import ReelbenchError, ResourcesError
from ...core.run_file import LimitsEntry
from ...core.store import Store
from ...core.waiting import Waiting, page_logger, say, seconds_text
from ...datasets.video import default_codec
from ...stages.work import Shard, ShardResult
from .time_limits import TimeLimit, TimeLimits

MAX_DEATHS = 3
"""A shard that killed so many workers is given up."""

MAX_TIMEOUTS = 2
"""A shard that ran into its time limit so often is given up."""

_MAX_FAILED_STARTS = 3
_POLL_S = 1.0
_MODELS_KEPT = 4  # as many as `WorkerContext` keeps


class WorkerDiedError(ReelbenchError):
    """A shard was given up: every worker that ran it died."""


class ShardTimeoutError(ReelbenchError):
    """A shard was given up: it took longer than its limit."""


class WorkerLostError(Exception):
    """A worker is gone; the message says what is known of it."""


class WorkersLostError(Exception):
    """All workers are gone at once, through no fault of theirs, and new ones can be had."""


class ClusterLostError(ResourcesError):
    """There are no workers any more, and no others can be had: the run ends with what is there."""


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

    def overdue(self) -> tuple[Shard, ReelbenchError] | None:
        """A shard that is to be given up and not begun, and why; None where there is none."""
        ...

    def finish(self, shard: Shard, result: ShardResult) -> None:
        """Hand in the result of a shard that was taken."""
        ...


@dataclass
class _Whole:
    """A shard as the source gave it, and what came of the parts that it was run in."""

    shard: Shard
    num_open: int = 1
    seconds: float = 0.0
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    lines: list[tuple[int, str]] = field(default_factory=list)
    num_failed: int = 0


@dataclass
class _Job:
    shard: Shard
    whole: _Whole
    num_deaths: int = 0
    num_timeouts: int = 0
    is_suspect: bool = False
    """It was with a worker that died, running or waiting: it is run alone from then on, so that the next
    death tells who it was."""
    waits: Waiting | None = None
    """For the other run that is at work on it."""
    is_afresh: bool = False
    """It ran out of memory, and is run again on a fresh worker."""


@dataclass
class _Slot:
    """A place for a worker: the one that is there, and the jobs it was given, in the order of their turn."""

    worker: Worker
    is_up: bool = False
    jobs: deque[_Job] = field(default_factory=deque)
    models: deque[str] = field(default_factory=lambda: deque(maxlen=_MODELS_KEPT))
    """What it has loaded, the one used last at the end."""
    limits: deque[TimeLimit] = field(default_factory=deque)
    """Of each job."""
    turn: float = 0.0
    """When the first job's turn came; of the clock that only runs forward."""


class Pool:
    """Runs shards on workers; a context manager.

    Args:
        workers: where they live; started with the first shard, so a run that lacks nothing starts none.
        store_dir: the store, for recording what was given up.
        limits: the run file's.
    """

    def __init__(self, workers: Workers, store_dir: Path, limits: LimitsEntry | None = None) -> None:
        self._workers = workers
        self._store_dir = Path(store_dir)
        self._limits = limits or LimitsEntry()
        self._times: TimeLimits | None = None
        self._slots: list[_Slot] = []
        self._retry: deque[_Job] = deque()
        self._elsewhere: list[_Job] = []
        """What another run is at work on."""
        self._num_failed_starts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
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
        if self._times is None:
            self._times = TimeLimits(self._limits, self._store())
        if not self._slots:
            count = self._workers.start()
            self._slots = [_Slot(self._workers.new(index)) for index in range(count)]
            page_logger.info("%d worker%s start", count, "" if count == 1 else "s")
        start = self._new_start()
        while True:
            while (overdue := source.overdue()) is not None:
                shard, error = overdue
                source.finish(shard, shard.failed(error, self._store()))
            self._hand_out(source)
            if not (source.num_ready or self._retry or any(slot.jobs for slot in self._slots)):
                if not self._elsewhere:
                    return
                self._look_elsewhere()
            waiting = {id(slot.worker): index for index, slot in enumerate(self._slots) if self._owes(slot)}
            if not waiting:
                time.sleep(_POLL_S)
                continue
            try:
                ready = self._workers.wait([self._slots[i].worker for i in waiting.values()], _POLL_S)
            except WorkersLostError:
                self._replace_all()
                start = self._new_start()
                continue
            if ready or any(slot.is_up for slot in self._slots):
                start = self._new_start()
            else:
                self._check_start(start)
            for worker in ready:
                self._collect(waiting[id(worker)], source)
            self._end_overdue(source)

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
                        self._give(slot, job)

    def _next_job(self, slot: _Slot, source: Source) -> _Job | None:
        if self._retry:
            return self._retry.popleft()
        shard = source.take(tuple(slot.models))
        return None if shard is None else _Job(shard, _Whole(shard))

    def _give(self, slot: _Slot, job: _Job) -> None:
        assert self._times is not None
        model = job.shard.model
        slot.limits.append(self._times.of(job.shard, loads=model not in slot.models))
        if model in slot.models:
            slot.models.remove(model)
        slot.models.append(model)
        if not slot.jobs:
            slot.turn = time.monotonic()
        slot.jobs.append(job)
        slot.worker.submit(job.shard)

    def _may_queue(self, slot: _Slot, source: Source) -> bool:
        """Whether to give a busy worker its next job, which hides the way to the run's process and back.

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
            job, _ = self._ended(slot)
            self._finish(job, self._given_up(job, error.cause), source)
            return
        except WorkerLostError as error:
            self._replace(index)
            if slot.is_up:
                self._blame(slot, error, source)
            else:
                self._count_failed_start(error)
            return
        if result is None:
            slot.is_up = True
            self._num_failed_starts = 0
            return
        job, seconds = self._ended(slot)
        for level, line in result.lines:
            page_logger.log(level, "worker %d, %s: %s", index + 1, job.shard.label, line)
        if result.is_out_of_memory and not job.is_afresh:
            self._run_afresh(index, job, source)
            return
        assert self._times is not None
        self._times.measured(job.shard, seconds)
        self._finish(job, result, source)

    @staticmethod
    def _ended(slot: _Slot) -> tuple[_Job, float]:
        """The job that a worker has ended, and the seconds that it took; the next one's turn comes."""
        now = time.monotonic()
        seconds, slot.turn = now - slot.turn, now
        slot.limits.popleft()
        return slot.jobs.popleft(), seconds

    def _finish(self, job: _Job, result: ShardResult, source: Source) -> None:
        """Count a job's result; the source gets it with the last part of its shard."""
        whole = job.whole
        whole.num_open -= 1
        if result.elsewhere is not None:
            whole.num_open += 1
            what = f"{whole.shard.label}, at which another run is at work"
            limit_s = self._times.of(whole.shard, loads=True).seconds if self._times else None
            self._elsewhere.append(replace(job, shard=result.elsewhere, waits=Waiting(what, limit_s)))
        whole.seconds += result.seconds
        whole.num_failed += result.num_failed
        whole.failures.extend(result.failures)
        whole.lines.extend(result.lines)
        if not whole.num_open:
            source.finish(
                whole.shard,
                ShardResult(
                    whole.shard.size - whole.num_failed,
                    whole.num_failed,
                    whole.seconds,
                    tuple(whole.failures),
                    tuple(whole.lines),
                ),
            )

    def _look_elsewhere(self) -> None:
        """Take back what another run has made or left, and what it takes too long over."""
        store = self._store()
        said = set()
        for job in list(self._elsewhere):
            assert job.waits is not None
            if job.shard.label not in said:  # one line for all shards of a cell
                job.waits.look()
            said.add(job.shard.label)
            if job.waits.is_over or job.shard.is_free(store):
                self._elsewhere.remove(job)
                job.shard = job.shard.alone() if job.waits.is_over else job.shard
                self._retry.append(job)

    def _parts(self, job: _Job, source: Source) -> list[_Job]:
        """A job as one for each of its items that is not done yet, so that a bad one costs itself alone."""
        if job.shard.size <= 1:
            return [job]
        parts = [replace(job, shard=shard) for shard in job.shard.parts(self._store())]
        if not parts:  # it got as far as that
            self._finish(job, ShardResult(job.shard.size, 0, 0.0), source)
            return []
        job.whole.num_open += len(parts) - 1
        return parts

    def _replace(self, index: int) -> None:
        self._slots[index].worker.kill()  # one that is only out of reach would keep its GPU
        self._slots[index] = _Slot(self._workers.new(index))

    def _replace_all(self) -> None:
        for index, slot in enumerate(self._slots):
            self._retry.extend(slot.jobs)
            slot.worker.kill()
            self._slots[index] = _Slot(self._workers.new(index))

    def _end_overdue(self, source: Source) -> None:
        """Kill the workers whose shard takes longer than its limit. It is tried once more, item by item."""
        for index, slot in enumerate(self._slots):
            if not slot.jobs or time.monotonic() - slot.turn < slot.limits[0].seconds:
                continue
            self._replace(index)
            job, limit, *others = slot.jobs.popleft(), slot.limits[0], *slot.jobs
            job.num_timeouts += 1
            error = _too_slow(job.shard, limit)
            if job.num_timeouts >= MAX_TIMEOUTS:
                self._finish(job, self._given_up(job, error), source)
                again = []
            else:
                say(f"{error.message}; its worker was killed, and it is tried again")
                again = self._parts(job, source)
            self._retry.extendleft(reversed([*others, *again]))

    def _run_afresh(self, index: int, job: _Job, source: Source) -> None:
        """Run a job that ran out of memory again, item by item, on a worker that holds nothing yet."""
        others = self._slots[index].jobs
        self._replace(index)
        say(f"{job.shard.label}: out of memory; tried again on a fresh worker")
        job.is_afresh = True
        self._retry.extendleft(reversed([*others, *self._parts(job, source)]))

    def _blame(self, slot: _Slot, error: WorkerLostError, source: Source) -> None:
        """The jobs of a worker that died are run again, alone.

        The first one was running, most likely: its answer may have been lost on the way. So a shard can be
        blamed wrongly once, and is given up only for deaths when it was alone.
        """
        if not slot.jobs:
            return
        first, *others = slot.jobs
        say(f"a worker died at work on {first.shard.label}: {error}")
        first.num_deaths += 1
        for job in slot.jobs:
            job.is_suspect = True
        if first.num_deaths >= MAX_DEATHS:
            self._finish(first, self._given_up(first, _died(error)), source)
        else:
            others = [*self._parts(first, source), *others]
        self._retry.extendleft(reversed(others))

    def _given_up(self, job: _Job, error: BaseException) -> ShardResult:
        return job.shard.failed(error, self._store())

    def _store(self) -> Store:
        return Store(self._store_dir, default_codec())

    def _count_failed_start(self, error: Exception) -> None:
        self._num_failed_starts += 1
        page_logger.warning("a worker died as it started: %s", error)
        if self._num_failed_starts >= _MAX_FAILED_STARTS:
            raise ResourcesError(
                f"workers die as they start ({self._num_failed_starts} in a row): {error}",
                "`reelbench doctor` shows memory and versions; the workers need the same Reelbench as here",
            )

    def _new_start(self) -> Waiting:
        return Waiting("a first worker to start", self._limits.start)

    def _check_start(self, wait: Waiting) -> None:
        if wait.is_over:
            raise ClusterLostError(
                f"no worker could start within {seconds_text(self._limits.start)} (`limits: start` in the "
                f"run file): {self._workers.why_none()}",
                "others hold the cluster: try again later, or ask for less under `resources` in the run file",
            )
        wait.look()


def _too_slow(shard: Shard, limit: TimeLimit) -> ShardTimeoutError:
    count = f" of {shard.size}" if shard.size > 1 else ""
    return ShardTimeoutError(
        f"{shard.label}: a shard{count} was not finished within {seconds_text(limit.seconds)}, its limit "
        f"({limit.reason})",
        "it hangs, or needs more time than that: set `limits: {shard: ...}` in the run file",
    )


def _died(error: WorkerLostError) -> WorkerDiedError:
    return WorkerDiedError(
        f"{MAX_DEATHS} workers died while they ran this shard, the last one so: {error}",
        "usually for too little memory: fewer `num_actors`, or more `gpus_per_actor`, give more to each",
    )
