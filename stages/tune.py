"""The tune stage: a method learns a reference clip, once for all the samples that share it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any, Self

from ..core.errors import DatasetError, ReelbenchError
from ..core.plan import Cell, TuneTask
from ..core.store import Store
from ..core.store.artifacts import Artifacts
from ..core.types import Frames
from .provenance import peak_memory_gib, provenance, reset_peak_memory
from .work import PluginSpec, TaskShard, WorkerContext, described

_NOTE_EVERY_S = 5.0


@dataclass(frozen=True)
class TuneShard(TaskShard[TuneTask]):
    """Some tunings of one method. A tuning takes minutes, so a shard is one of them."""

    method: PluginSpec
    method_key: str
    """The method's, under which workers keep it loaded."""
    tuning_key: str
    """That of its tuning configuration."""
    num_frames: int | None
    """How many first frames of a reference are read; None for all."""

    @property
    def model(self) -> str:
        """See `work.Shard`."""
        return self.method_key

    @property
    def timing_key(self) -> str:
        """See `work.Shard`."""
        return self.tuning_key

    def _keys(self, task: TuneTask) -> tuple[str, ...]:
        return (task.key,)

    def _name(self, task: TuneTask) -> str:
        return f"tuning on {task.source}"

    def _is_done(self, task: TuneTask, store: Store) -> bool:
        return store.artifacts.done(task.key) is not None

    def _barred(self, task: TuneTask, store: Store) -> Exception | None:
        return store.artifacts.barred(task.key)

    def _make(self, task: TuneTask, context: WorkerContext) -> None:
        artifacts = context.store.artifacts
        reference = self._reference(task)
        session = context.session(self.method_key, lambda: self.method.load(context.device))
        reset_peak_memory(context.device)
        with ElapsedNote(artifacts, task.key) as elapsed:
            artifact = session.tune(
                reference, task.prompt, task.seed, checkpoint=artifacts.checkpoint_path(task.key)
            )
        if artifact is None:
            raise ReelbenchError(
                f"{self.method.name} has a tuning_config(), but its tune() made no artifact",
                "this is a defect of the method: return bytes, or let tuning_config() be None",
            )
        record = artifacts.put(
            task.key,
            artifact,
            **self._fields(task),
            tuning_s=elapsed.seconds,
            peak_memory_gib=peak_memory_gib(context.device),
            trainable_parameters=described(session).get("trainable_parameters"),
            provenance=provenance(context.device),
        )
        context.store.put_timing(self.tuning_key, elapsed.seconds, record.size_bytes or 0)

    def _reference(self, task: TuneTask) -> Frames:
        if task.reference is None:
            raise DatasetError(
                f"{self.method.name} is tuned on a reference clip, and {task.source!r} has none",
                "use a data set with reference clips",
            )
        from ..datasets.video import reference_clip

        return reference_clip(task.reference, self.num_frames)

    def _record_failure(self, task: TuneTask, error: BaseException, store: Store) -> None:
        store.artifacts.put_failure(task.key, error, **self._fields(task))

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
            tasks=(task,),
            method=PluginSpec.of("methods", method.name, method.plugin),
            method_key=method.key,
            tuning_key=method.tuning_key,
            num_frames=method.plugin.reference_frames(),
        )
        for task in cell.missing_tunings
    ]


class ElapsedNote:
    """Seconds that a tuning takes, over all attempts: a context manager.

    While it is open, a thread notes the seconds every now and then beside the checkpoint, so that a tuning
    that is killed and resumes counts what it took before, and what was lost since the last checkpoint, too.

    Args:
        artifacts: where the note lies.
        key: of the tuning.
    """

    def __init__(self, artifacts: Artifacts, key: str) -> None:
        self._artifacts, self._key = artifacts, key
        self._before_s = 0.0
        self._started = 0.0
        self._ended: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._note, daemon=True)

    def __enter__(self) -> Self:
        # Without a checkpoint the tuning starts over, and the time of earlier attempts does not count.
        if self._artifacts.checkpoint_path(self._key).is_file():
            self._before_s = self._artifacts.elapsed_s(self._key)
        self._started = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._ended = time.perf_counter()
        self._stop.set()
        self._thread.join()
        if error is not None:
            self._artifacts.note_elapsed(self._key, self.seconds)

    @property
    def seconds(self) -> float:
        """So far, or until the end."""
        end = time.perf_counter() if self._ended is None else self._ended
        return self._before_s + end - self._started

    def _note(self) -> None:
        while not self._stop.wait(_NOTE_EVERY_S):
            self._artifacts.note_elapsed(self._key, self.seconds)
