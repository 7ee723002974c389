"""The sample stage: a method makes the missing clips of a cell."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..core import registry
from ..core.errors import ClipRefusedError, ReelbenchError, StoreError
from ..core.plan import Cell, ClipTask, config_data
from ..core.records import TuneRecord
from ..core.store import Store, check_clip, failure_info
from ..core.types import Sample
from .provenance import peak_memory_gib, provenance, reset_peak_memory
from .work import ShardResult, WorkerContext

PREVIEW_FPS = 8.0
"""Frame rate written into generated clips: a label for players; no metric reads it."""


@dataclass(frozen=True)
class SampleShard:
    """Some missing clips of one method; see `work.Shard`."""

    label: str
    method: str
    """Registered name or path/to/file.py:Class."""
    config: dict[str, Any]
    method_key: str
    tasks: tuple[ClipTask, ...]

    @property
    def size(self) -> int:
        return len(self.tasks)

    @property
    def model(self) -> str:
        return self.method_key

    def run(self, context: WorkerContext) -> ShardResult:
        started = time.perf_counter()
        failures: list[tuple[str, str, str]] = []
        for _, group in itertools.groupby(self._pending(context.store), key=_tune_key):
            for task, error in self._run_group(list(group), context):
                if error is not None:
                    info = failure_info(error)
                    failures.append((f"{self.label} {task.sample.id}", info.type, info.message))
        return ShardResult(
            num_done=self.size - len(failures),
            num_failed=len(failures),
            seconds=time.perf_counter() - started,
            failures=tuple(failures),
        )

    def failed(self, error: BaseException, store: Store) -> ShardResult:
        info = failure_info(error)
        failures = []
        for task in self._pending(store):
            self._record_failure(task, error, store)
            failures.append((f"{self.label} {task.sample.id}", info.type, info.message))
        return ShardResult(self.size - len(failures), len(failures), 0.0, tuple(failures))

    def _pending(self, store: Store) -> Iterator[ClipTask]:
        # A shard whose worker was killed comes again; what it finished the first time stays.
        for task in self.tasks:
            record = store.clip_record(task.key)
            if record is None or record.status != "done":
                yield task

    def _run_group(
        self, tasks: list[ClipTask], context: WorkerContext
    ) -> Iterator[tuple[ClipTask, Exception | None]]:
        """Make the clips of one tuning, and give each task with what went wrong."""
        try:
            session = context.session(
                self.method_key, lambda: load_method(self.method, self.config, context.device)
            )
            tuned = self._tuned(tasks[0], context.store)
            artifact = None if tuned is None else context.store.artifacts.load(tuned)
        except Exception as error:
            for task in tasks:
                self._record_failure(task, error, context.store)
                yield task, error
            return
        for task, made in self._clips(session, tasks, artifact, context):
            if isinstance(made, Exception):
                failure: Exception | None = made
            else:
                failure = self._store(task, made, session, tuned, context)
            if failure is not None:
                self._record_failure(task, failure, context.store)
            yield task, failure

    def _tuned(self, task: ClipTask, store: Store) -> TuneRecord | None:
        """The record of the tuning that a clip is made from, None where it needs none.

        Raises:
            ReelbenchError: it is not there; says why.
        """
        if task.tune is None:
            return None
        record = store.artifacts.record(task.tune.key)
        if record is not None and record.status == "done":
            return record
        if record is not None and record.error is not None:
            raise ReelbenchError(
                f"the tuning on {task.tune.source!r} failed: {record.error.type}: {record.error.message}"
            )
        raise ReelbenchError(
            f"the tuning on {task.tune.source!r} is not in the store",
            "run the same command again: it is tuned first",
        )

    def _clips(
        self, session: Any, tasks: list[ClipTask], artifact: bytes | None, context: WorkerContext
    ) -> Iterator[tuple[ClipTask, _Made | Exception]]:
        """Each task with its clip, or why there is none.

        One call of the method makes them all, so that an artifact is loaded once; after an exception the rest
        is asked for anew, since a generator is over then.
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
                            f"{self.method} made no clip for the sample {task.sample.id!r}"
                        )
                except Exception as error:  # one bad sample must not take the run down
                    yield task, error
                    break
                yield task, _Made(frames, sampling_s, _num_truncated(session) > truncated_before)

    def _store(
        self, task: ClipTask, made: _Made, session: Any, tuned: TuneRecord | None, context: WorkerContext
    ) -> Exception | None:
        """Put a clip into the store; what went wrong, if anything."""
        try:
            record = context.store.put_clip(
                task.key,
                check_clip(made.frames, num_frames=self.config.get("num_frames")),
                PREVIEW_FPS,
                **self._fields(task),
                sampling_s=made.sampling_s,
                peak_memory_gib=peak_memory_gib(context.device),
                prompt_truncated=made.prompt_truncated,
                trainable_parameters=described(session, "trainable_parameters"),
                tune_key=None if tuned is None else tuned.key,
                tuning_s=None if tuned is None else tuned.tuning_s,
                tuning_memory_gib=None if tuned is None else tuned.peak_memory_gib,
                provenance=provenance(context.device),
            )
            with contextlib.suppress(StoreError):  # only an estimate; the clip is safe
                context.store.put_timing(self.method_key, made.sampling_s, record.size_bytes or 0)
        except Exception as error:
            return error
        return None

    def _record_failure(self, task: ClipTask, error: BaseException, store: Store) -> None:
        try:
            store.put_clip_failure(task.key, error, **self._fields(task))
        except Exception:
            # A disk too full for the record: the result still carries the failure, and the clip
            # counts as missing.
            return

    def _fields(self, task: ClipTask) -> dict[str, Any]:
        return {
            "method_key": self.method_key,
            "sample_id": task.sample.id,
            "prompt": task.sample.prompt,
            "seed": task.seed,
        }


@dataclass(frozen=True)
class _Made:
    """What a method gave for a task."""

    frames: Any
    sampling_s: float
    prompt_truncated: bool


def load_method(name: str, config: dict[str, Any], device: str) -> Any:
    """The session of a method on a device.

    Args:
        name: registered name or path/to/file.py:Class.
        config: of its Config, as JSON-able data.
    """
    cls = registry.get("methods", name)
    return cls(cls.Config.model_validate(config)).load(device)


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


def described(session: Any, fact: str) -> Any:
    """What a session says of itself, None where it does not."""
    describe = getattr(session, "describe", None)
    return describe().get(fact) if describe is not None else None


def _num_truncated(session: Any) -> int:
    """How many prompts a session has cut to its text encoder's length so far, where it tells."""
    return int(described(session, "truncated_prompts") or 0)


def sample_shards(cell: Cell, shard_size: int) -> list[SampleShard]:
    """The clips that a cell's method has to make, in shards; those of one tuning stay together."""
    missing = sorted(cell.missing_bases, key=lambda task: _tune_key(task) or "")
    config = config_data(cell.method.plugin)
    return [
        SampleShard(
            label=cell.key,
            method=cell.method.name,
            config=config,
            method_key=cell.method.key,
            tasks=tuple(missing[start : start + shard_size]),
        )
        for start in range(0, len(missing), shard_size)
    ]
