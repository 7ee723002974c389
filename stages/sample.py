"""The sample stage: a method makes the missing clips of a cell."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..core import registry
from ..core.errors import ClipRefusedError, StoreError
from ..core.plan import Cell, ClipTask
from ..core.store import Store, check_clip, failure_info
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

    def run(self, context: WorkerContext) -> ShardResult:
        started = time.perf_counter()
        failures: list[tuple[str, str, str]] = []
        num_done = 0
        for task in self._pending(context.store):
            error = self._run_task(task, context)
            if error is None:
                num_done += 1
            else:
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

    def _run_task(self, task: ClipTask, context: WorkerContext) -> Exception | None:
        try:
            session = context.session(self.method_key, lambda: self._load(context.device))
            reset_peak_memory(context.device)
            truncated_before = _num_truncated(session)
            started = time.perf_counter()
            frames = next(iter(session.generate([task.sample], None, [task.seed])), None)
            sampling_s = time.perf_counter() - started
            if frames is None:
                raise ClipRefusedError(f"{self.method} made no clip for the sample {task.sample.id!r}")
            record = context.store.put_clip(
                task.key,
                check_clip(frames, num_frames=self.config.get("num_frames")),
                PREVIEW_FPS,
                **self._fields(task),
                sampling_s=sampling_s,
                peak_memory_gib=peak_memory_gib(context.device),
                prompt_truncated=_num_truncated(session) > truncated_before,
                provenance=provenance(context.device),
            )
            with contextlib.suppress(StoreError):  # only an estimate; the clip is safe
                context.store.put_timing(self.method_key, sampling_s, record.size_bytes or 0)
        except Exception as error:  # one bad sample must not take the run down
            self._record_failure(task, error, context.store)
            return error
        return None

    def _load(self, device: str) -> Any:
        cls = registry.get("methods", self.method)
        return cls(cls.Config.model_validate(self.config)).load(device)

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


def _num_truncated(session: Any) -> int:
    """How many prompts a session has cut to its text encoder's length so far, where it tells."""
    describe = getattr(session, "describe", None)
    return int(describe().get("truncated_prompts", 0)) if describe is not None else 0


def sample_shards(cell: Cell, shard_size: int) -> list[SampleShard]:
    """The missing clips of a cell in shards."""
    missing = cell.missing
    config = cell.method.plugin.config.model_dump(mode="json")
    return [
        SampleShard(
            label=cell.key,
            method=cell.method.name,
            config=config,
            method_key=cell.method.key,
            tasks=missing[start : start + shard_size],
        )
        for start in range(0, len(missing), shard_size)
    ]
