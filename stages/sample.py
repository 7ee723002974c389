"""The sample stage: a method makes the missing clips of a cell."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ..core.contracts import Session
from ..core.errors import ClipRefusedError, ReelbenchError
from ..core.plan import Cell, ClipTask
from ..core.records import ClipRecord, TuneRecord
from ..core.store import Store, check_clip
from ..core.types import Sample
from .provenance import peak_memory_gib, provenance, reset_peak_memory
from .work import PluginSpec, TaskShard, WorkerContext, described

PREVIEW_FPS = 8.0
"""Frame rate written into generated clips: a label for players; no metric reads it."""

Record = TypeVar("Record", ClipRecord, TuneRecord)


@dataclass(frozen=True)
class ClipShard(TaskShard[ClipTask]):
    """Some missing clips of a method."""

    method_key: str

    def _is_done(self, task: ClipTask, store: Store) -> bool:
        return store.clips.done(task.key) is not None

    def _barred(self, task: ClipTask, store: Store) -> Exception | None:
        return store.clips.barred(task.key)

    def _keys(self, task: ClipTask) -> tuple[str, ...]:
        return (task.key,)

    def _record_failure(self, task: ClipTask, error: BaseException, store: Store) -> None:
        store.clips.put_failure(task.key, error, **self._fields(task))

    def _fields(self, task: ClipTask) -> dict[str, Any]:
        return {
            "method_key": self.method_key,
            "sample_id": task.sample.id,
            "prompt": task.sample.prompt,
            "seed": task.seed,
        }


@dataclass(frozen=True)
class SampleShard(ClipShard):
    """Some clips that a method samples."""

    method: PluginSpec

    @property
    def model(self) -> str:
        """See `work.Shard`."""
        return self.method_key

    @property
    def timing_key(self) -> str:
        """See `work.Shard`."""
        return self.method_key

    def _name(self, task: ClipTask) -> str:
        return task.sample.id

    def _work(
        self, tasks: Iterable[ClipTask], context: WorkerContext
    ) -> Iterator[tuple[ClipTask, Exception | None]]:
        for _, group in itertools.groupby(tasks, key=_tune_key):
            yield from self._sample(list(group), context)

    def _sample(
        self, tasks: list[ClipTask], context: WorkerContext
    ) -> Iterator[tuple[ClipTask, Exception | None]]:
        """Make the clips of one tuning, and give each task with what went wrong."""
        try:
            session = context.session(self.method_key, lambda: self.method.load(context.device))
            tuned = _tuned(tasks[0], context.store)
            artifact = None if tuned is None else context.store.artifacts.load(tuned)
        except Exception as error:
            yield from ((task, error) for task in tasks)
            return
        for task, made in self._clips(session, tasks, artifact, context):
            failure = made if isinstance(made, Exception) else None
            if isinstance(made, _Made):
                try:
                    self._store(task, made, session, tuned, context)
                except Exception as error:
                    failure = error
            yield task, failure

    def _clips(
        self, session: Session, tasks: list[ClipTask], artifact: bytes | None, context: WorkerContext
    ) -> Iterator[tuple[ClipTask, _Made | Exception]]:
        """Each task with its clip, or why there is none.

        One call of the method makes them all, so that an artifact is loaded once; after an exception the
        remaining ones take a new call, since a generator has ended by then.
        """
        rest: deque[tuple[ClipTask, Sample]] = deque()
        for task in tasks:
            try:
                rest.append((task, _with_context(task)))
            except Exception as error:
                yield task, error
        while rest:
            clips: Iterator[Any] | None = None
            while rest:
                task, sample = rest.popleft()
                truncated_before = _num_truncated(session)
                try:
                    if clips is None:
                        samples = [sample, *(later for _, later in rest)]
                        seeds = [task.seed, *(later.seed for later, _ in rest)]
                        clips = iter(session.generate(samples, artifact, seeds))
                    reset_peak_memory(context.device)
                    started = time.perf_counter()
                    frames = next(clips, None)
                    sampling_s = time.perf_counter() - started
                    if frames is None:
                        raise ClipRefusedError(
                            f"{self.method.name} made no clip for the sample {task.sample.id!r}"
                        )
                except Exception as error:
                    yield task, error
                    break
                yield task, _Made(frames, sampling_s, _num_truncated(session) > truncated_before)

    def _store(
        self,
        task: ClipTask,
        made: _Made,
        session: Session,
        tuned: TuneRecord | None,
        context: WorkerContext,
    ) -> None:
        record = context.store.clips.put(
            task.key,
            check_clip(made.frames, num_frames=self.method.config.get("num_frames")),
            PREVIEW_FPS,
            **self._fields(task),
            sampling_s=made.sampling_s,
            peak_memory_gib=peak_memory_gib(context.device),
            prompt_truncated=made.prompt_truncated,
            trainable_parameters=described(session).get("trainable_parameters"),
            tune_key=None if tuned is None else tuned.key,
            tuning_s=None if tuned is None else tuned.tuning_s,
            tuning_memory_gib=None if tuned is None else tuned.peak_memory_gib,
            provenance=provenance(context.device),
        )
        context.store.put_timing(self.method_key, made.sampling_s, record.size_bytes or 0)


@dataclass(frozen=True)
class _Made:
    """What a method gave for a task."""

    frames: Any
    sampling_s: float
    prompt_truncated: bool


def done_or_why(record: Record | None, what: str, made: str) -> Record:
    """The record of earlier work that this one stands on.

    Args:
        what: its name, for the message.
        made: what is done with it where it is missing: "made", "tuned".

    Raises:
        ReelbenchError: it is not there; says why.
    """
    if record is not None and record.status == "done":
        return record
    if record is not None and record.error is not None:
        raise ReelbenchError(f"{what} failed: {record.error.type}: {record.error.message}")
    raise ReelbenchError(f"{what} is not in the store", f"run the same command again: it is {made} first")


def _tuned(task: ClipTask, store: Store) -> TuneRecord | None:
    """The record of the tuning that a clip is made from, None where it needs none."""
    if task.tune is None:
        return None
    return done_or_why(store.artifacts.record(task.tune.key), f"the tuning on {task.tune.source!r}", "tuned")


def _with_context(task: ClipTask) -> Sample:
    """The sample of a task with the frames that the method is given.

    Raises:
        VideoError: the reference cannot be read, or has no frame after the given ones.
    """
    if task.context is None:
        return task.sample
    from ..datasets.video import read_clip

    wanted = task.context.num_frames
    arguments = dict(task.context.reading)
    # A prediction needs something to predict; and a seeded start depends on the length that is read.
    arguments["num_frames"] = max(wanted + 1, arguments.get("num_frames") or 0)
    arguments["num_given"] = wanted
    return replace(task.sample, context=read_clip(task.context.reference, **arguments)[:wanted])


def _tune_key(task: ClipTask) -> str | None:
    return None if task.tune is None else task.tune.key


def _num_truncated(session: Session) -> int:
    """How many prompts a session has cut to its text encoder's length so far, where it says so."""
    return int(described(session).get("truncated_prompts") or 0)


def sample_shards(cell: Cell, shard_size: int) -> list[SampleShard]:
    """The clips that a cell's method has to make, in shards; those of one tuning stay together."""
    missing = sorted(cell.missing_bases, key=lambda task: _tune_key(task) or "")
    method = PluginSpec.of("methods", cell.method.name, cell.method.plugin)
    return [
        SampleShard(
            label=cell.key,
            tasks=tuple(missing[start : start + shard_size]),
            method_key=cell.method.key,
            method=method,
        )
        for start in range(0, len(missing), shard_size)
    ]
