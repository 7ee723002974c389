"""The tune stage: a method learns a reference clip, once for all the samples that share it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..core.errors import DatasetError, ReelbenchError, StoreError
from ..core.plan import Cell, TuneTask, config_data
from ..core.records import TuneRecord
from ..core.store import Store, failure_info
from ..core.types import Frames
from .elapsed import ElapsedNote
from .provenance import peak_memory_gib, provenance, reset_peak_memory
from .sample import described, load_method
from .work import ShardResult, WorkerContext


@dataclass(frozen=True)
class TuneShard:
    """Some tunings of one method; see `work.Shard`. A tuning takes minutes, so a shard is one of them."""

    label: str
    method: str
    """Registered name or path/to/file.py:Class."""
    config: dict[str, Any]
    method_key: str
    """The method's, under which workers keep it loaded."""
    tuning_key: str
    """That of its tuning configuration."""
    num_frames: int | None
    """So many first frames of a reference are read; None for all."""
    tasks: tuple[TuneTask, ...]

    @property
    def size(self) -> int:
        return len(self.tasks)

    @property
    def model(self) -> str:
        return self.method_key

    def run(self, context: WorkerContext) -> ShardResult:
        started = time.perf_counter()
        failures = []
        for task in self._pending(context.store):
            try:
                self._tune(task, context)
            except Exception as error:  # one bad reference must not take the run down
                failures.append(self._fail(task, error, context.store))
        seconds = time.perf_counter() - started
        return ShardResult(self.size - len(failures), len(failures), seconds, tuple(failures))

    def failed(self, error: BaseException, store: Store) -> ShardResult:
        failures = tuple(self._fail(task, error, store) for task in self._pending(store))
        return ShardResult(self.size - len(failures), len(failures), 0.0, failures)

    def _pending(self, store: Store) -> Iterator[TuneTask]:
        for task in self.tasks:
            record = store.artifacts.record(task.key)
            if record is None or record.status != "done":
                yield task

    def _tune(self, task: TuneTask, context: WorkerContext) -> None:
        artifacts = context.store.artifacts
        reference = self._reference(task)
        session = context.session(
            self.method_key, lambda: load_method(self.method, self.config, context.device)
        )
        reset_peak_memory(context.device)
        with ElapsedNote(artifacts, task.key) as elapsed:
            artifact = session.tune(
                reference, task.prompt, task.seed, checkpoint=artifacts.checkpoint_path(task.key)
            )
        if artifact is None:
            raise ReelbenchError(
                f"{self.method} has a tuning_config(), but its tune() made no artifact",
                "this is a defect of the method: return bytes, or let tuning_config() be None",
            )
        record = artifacts.put(
            task.key,
            artifact,
            **self._fields(task),
            tuning_s=elapsed.seconds,
            peak_memory_gib=peak_memory_gib(context.device),
            trainable_parameters=described(session, "trainable_parameters"),
            provenance=provenance(context.device),
        )
        with contextlib.suppress(StoreError):  # only an estimate; the artifact is safe
            context.store.put_timing(self.tuning_key, elapsed.seconds, record.size_bytes or 0)

    def _reference(self, task: TuneTask) -> Frames:
        if task.reference is None:
            raise DatasetError(
                f"{self.method} is tuned on a reference clip, and {task.source!r} has none",
                "use a data set with reference clips",
            )
        from ..datasets.video import reference_clip

        return reference_clip(task.reference, self.num_frames)

    def _fail(self, task: TuneTask, error: BaseException, store: Store) -> tuple[str, str, str]:
        info = failure_info(error)
        # A disk too full for the record: the result still carries the failure.
        with contextlib.suppress(Exception):
            store.artifacts.put_failure(
                TuneRecord(key=task.key, status="failed", error=info, **self._fields(task))
            )
        return f"{self.label} tuning on {task.source}", info.type, info.message

    def _fields(self, task: TuneTask) -> dict[str, Any]:
        return {
            "method_key": self.tuning_key,
            "source": task.source,
            "prompt": task.prompt,
            "seed": task.seed,
        }


def tune_shards(cell: Cell) -> list[TuneShard]:
    """The tunings that a cell's missing clips wait for, each a shard."""
    method = cell.method
    if method.tuning_key is None:
        return []
    return [
        TuneShard(
            label=cell.key,
            method=method.name,
            config=config_data(method.plugin),
            method_key=method.key,
            tuning_key=method.tuning_key,
            num_frames=method.plugin.reference_frames(),
            tasks=(task,),
        )
        for task in cell.missing_tunings
    ]
