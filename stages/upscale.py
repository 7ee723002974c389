"""The upscale stage: the clips of a method that the run file gives an upscaler, at a larger size."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..core import registry
from ..core.errors import ReelbenchError, StoreError
from ..core.plan import Cell, ClipTask, config_data
from ..core.records import ClipRecord
from ..core.store import Store, check_clip, failure_info
from .provenance import peak_memory_gib, provenance, reset_peak_memory
from .sample import described
from .work import ShardResult, WorkerContext


@dataclass(frozen=True)
class UpscaleShard:
    """Some clips to enlarge; see `work.Shard`."""

    label: str
    upscaler: str
    """Registered name or path/to/file.py:Class."""
    config: dict[str, Any]
    upscaler_key: str
    method_key: str
    tasks: tuple[ClipTask, ...]

    @property
    def size(self) -> int:
        return len(self.tasks)

    @property
    def model(self) -> str:
        return self.upscaler_key

    def run(self, context: WorkerContext) -> ShardResult:
        started = time.perf_counter()
        failures = []
        for task in self._pending(context.store):
            try:
                self._upscale(task, context)
            except Exception as error:  # one bad clip must not take the run down
                failures.append(self._fail(task, error, context.store))
        seconds = time.perf_counter() - started
        return ShardResult(self.size - len(failures), len(failures), seconds, tuple(failures))

    def failed(self, error: BaseException, store: Store) -> ShardResult:
        failures = tuple(self._fail(task, error, store) for task in self._pending(store))
        return ShardResult(self.size - len(failures), len(failures), 0.0, failures)

    def _pending(self, store: Store) -> Iterator[ClipTask]:
        for task in self.tasks:
            record = store.clip_record(task.key)
            if record is None or record.status != "done":
                yield task

    def _upscale(self, task: ClipTask, context: WorkerContext) -> None:
        small = _base_record(task, context.store)
        frames = context.store.load_clip(small)
        session = context.session(self.upscaler_key, lambda: self._load(context.device))
        reset_peak_memory(context.device)
        started = time.perf_counter()
        enlarged = session.upscale(frames, task.sample.prompt, task.seed)
        upscaling_s = time.perf_counter() - started
        record = context.store.put_clip(
            task.key,
            check_clip(enlarged, num_frames=len(frames)),
            small.fps or 8.0,
            **self._fields(task),
            sampling_s=(small.sampling_s or 0.0) + upscaling_s,
            upscaling_s=upscaling_s,
            peak_memory_gib=max(small.peak_memory_gib or 0.0, peak_memory_gib(context.device)),
            prompt_truncated=small.prompt_truncated,
            trainable_parameters=_sum(small.trainable_parameters, described(session, "trainable_parameters")),
            tune_key=small.tune_key,
            tuning_s=small.tuning_s,
            tuning_memory_gib=small.tuning_memory_gib,
            provenance=provenance(context.device),
        )
        with contextlib.suppress(StoreError):  # only an estimate; the clip is safe
            context.store.put_timing(self.upscaler_key, upscaling_s, record.size_bytes or 0)

    def _load(self, device: str) -> Any:
        cls = registry.get("upscalers", self.upscaler)
        return cls(cls.Config.model_validate(self.config)).load(device)

    def _fail(self, task: ClipTask, error: BaseException, store: Store) -> tuple[str, str, str]:
        # A disk too full for the record: the result still carries the failure.
        with contextlib.suppress(Exception):
            store.put_clip_failure(task.key, error, **self._fields(task))
        info = failure_info(error)
        return f"{self.label} upscaling {task.sample.id}", info.type, info.message

    def _fields(self, task: ClipTask) -> dict[str, Any]:
        return {
            "method_key": self.method_key,
            "sample_id": task.sample.id,
            "prompt": task.sample.prompt,
            "seed": task.seed,
        }


def _sum(ours: int | None, upscalers: int | None) -> int | None:
    """What method and upscaler trained together; None where neither says."""
    known = [number for number in (ours, upscalers) if number is not None]
    return sum(known) if known else None


def _base_record(task: ClipTask, store: Store) -> ClipRecord:
    """The record of the clip that is to be enlarged.

    Raises:
        ReelbenchError: it is not there; says why.
    """
    assert task.base is not None
    record = store.clip_record(task.base.key)
    if record is not None and record.status == "done":
        return record
    if record is not None and record.error is not None:
        raise ReelbenchError(
            f"the clip at the method's own size failed: {record.error.type}: {record.error.message}"
        )
    raise ReelbenchError(
        "the clip at the method's own size is not in the store",
        "run the same command again: it is made first",
    )


def upscale_shards(cell: Cell, shard_size: int) -> list[UpscaleShard]:
    """The clips of a cell that an upscaler has to make, in shards; none for a method without one."""
    upscaler = cell.method.upscaler
    if upscaler is None:
        return []
    missing = cell.missing
    return [
        UpscaleShard(
            label=cell.key,
            upscaler=upscaler.name,
            config=config_data(upscaler.plugin),
            upscaler_key=upscaler.key,
            method_key=cell.method.key,
            tasks=missing[start : start + shard_size],
        )
        for start in range(0, len(missing), shard_size)
    ]
