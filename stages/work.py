"""Units of work that travel to a worker process, and what a worker keeps between them.

A `Shard` is pickled, sent to a worker and run there. It writes what it makes to the store itself and
returns only small rows, so nothing large travels back and a killed driver loses nothing.
"""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

from ..core import registry
from ..core.contracts import Plugin
from ..core.errors import ReelbenchError
from ..core.records import FailureInfo
from ..core.retries import DELAYS_S, may_pass, with_jitter
from ..core.sources import source_digest
from ..core.store import Store
from ..core.waiting import say

Task = TypeVar("Task")

OUT_OF_MEMORY = ("OutOfMemoryError", "MemoryError")
"""Classes of exceptions, of torch and of Python."""


@dataclass(frozen=True)
class ShardResult:
    """What a shard reports: counts for the progress bar, and the failures."""

    num_done: int
    num_failed: int
    seconds: float
    failures: tuple[tuple[str, str, str], ...] = ()
    """(what, exception class, message) of each failure."""
    lines: tuple[tuple[int, str], ...] = ()
    """What the worker said on the way: level, as logging has it, and text."""
    elsewhere: Shard | None = None
    """The tasks that another run is at work on, which are neither done nor failed."""

    @property
    def is_out_of_memory(self) -> bool:
        """Whether a task failed for want of memory: another worker, with nothing loaded, may have enough."""
        return any(kind in OUT_OF_MEMORY for _, kind, _ in self.failures)


@dataclass
class WorkerContext:
    """What a worker has: the store, its device, its threads, and the models it has loaded.

    At most `max_sessions` methods and `max_extractors` extractors stay loaded; of each kind the one used
    longest ago is dropped first. A run needs all its extractors for every clip, but its methods one after
    the other.
    """

    store: Store
    device: str
    num_threads: int = 1
    max_sessions: int = 4
    max_extractors: int = 16
    _sessions: OrderedDict[str, Any] = field(default_factory=OrderedDict)
    _extractors: OrderedDict[str, Any] = field(default_factory=OrderedDict)

    def session(self, key: str, load: Callable[[], Any]) -> Any:
        """The method or upscaler under `key`, loaded by `load()` when this worker does not have it yet."""
        return _held(self._sessions, self.max_sessions, key, load)

    def extractor_session(self, key: str, load: Callable[[], Any]) -> Any:
        """The extractor under `key`; as `session`."""
        return _held(self._extractors, self.max_extractors, key, load)


def _held(sessions: OrderedDict[str, Any], most: int, key: str, load: Callable[[], Any]) -> Any:
    if key in sessions:
        sessions.move_to_end(key)
        return sessions[key]
    while len(sessions) >= most:
        sessions.popitem(last=False)
    sessions[key] = load()
    return sessions[key]


@dataclass(frozen=True)
class PluginSpec:
    """What a worker builds a method, an upscaler or an extractor from."""

    kind: registry.Kind
    name: str
    """Registered name or path/to/file.py:Class."""
    config: Mapping[str, Any]
    """Of its Config, as JSON-able data."""
    source: str | None
    """`source_digest` of its class when the run was planned: keys hold it."""

    @classmethod
    def of(cls, kind: registry.Kind, name: str, plugin: Plugin) -> PluginSpec:
        """The spec of a plug-in, by the name that the run file gives it."""
        return cls(kind, name, plugin.config.model_dump(mode="json"), source_digest(type(plugin)))

    def load(self, device: str) -> Any:
        """Its session.

        Raises:
            ReelbenchError: its source was edited since the run was planned.
        """
        cls = registry.get(self.kind, self.name)
        if source_digest(cls) != self.source:
            raise ReelbenchError(
                f"the source of {self.name} was edited while the run was going on",
                "start the run again: what the source of before made is made anew",
            )
        return cls(cls.Config.model_validate(self.config)).load(device)


def described(session: Any) -> Mapping[str, Any]:
    """What a session says of itself; nothing, where it does not inherit from its contract."""
    return session.describe() if hasattr(session, "describe") else {}


class Shard(Protocol):
    """A picklable unit of work, as the queue and the pool see it."""

    @property
    def label(self) -> str:
        """What it is, for messages."""
        ...

    @property
    def size(self) -> int:
        """How many tasks it holds."""
        ...

    @property
    def model(self) -> str:
        """Key of the model it needs: it goes to a worker that has this loaded, where there is one."""
        ...

    @property
    def timing_key(self) -> str | None:
        """Under which the store remembers how long one of its tasks takes; None where it does not."""
        ...

    def parts(self, store: Store) -> Sequence[Shard]:
        """A shard for each of its tasks that is not done."""
        ...

    def is_free(self, store: Store) -> bool:
        """Whether some of its tasks are made by no other run now."""
        ...

    def alone(self) -> Shard:
        """The same, done whatever other runs do."""
        ...

    def run(self, context: WorkerContext) -> ShardResult:
        """Do the work. Failures of single tasks are recorded and returned, never raised."""
        ...

    def failed(self, error: BaseException, store: Store) -> ShardResult:
        """The result when no worker could run it (it killed every worker that tried): what is left failed."""
        ...


@dataclass(frozen=True)
class TaskShard(ABC, Generic[Task]):
    """Some tasks for one model: base of the shards of all stages.

    A subclass says what makes a task, when it is done and how its failure is recorded. One bad task never
    takes the others down.
    """

    label: str
    """What it is, for messages."""
    tasks: tuple[Task, ...]
    heeds_leases: bool = field(default=True, kw_only=True)
    """Tasks that another run is at work on are left to it."""

    @property
    def size(self) -> int:
        """See `Shard`."""
        return len(self.tasks)

    @property
    @abstractmethod
    def model(self) -> str:
        """See `Shard`."""

    @property
    def timing_key(self) -> str | None:
        """See `Shard`."""
        return None

    def parts(self, store: Store) -> Sequence[Shard]:
        """See `Shard`."""
        return [replace(self, tasks=(task,)) for task in self._pending(store)]

    def is_free(self, store: Store) -> bool:
        """See `Shard`."""
        return any(store.are_free(self._keys(task)) for task in self.tasks)

    def alone(self) -> Shard:
        """See `Shard`."""
        return replace(self, heeds_leases=False)

    def run(self, context: WorkerContext) -> ShardResult:
        """See `Shard`."""
        started = time.perf_counter()
        with context.store.leases() as leases:
            ours: list[Task] = []
            others: list[Task] = []
            for task in self._pending(context.store):
                is_ours = leases.take(self._keys(task)) or not self.heeds_leases
                (ours if is_ours else others).append(task)
            failures = replace(self, tasks=tuple(ours))._make_all(context) if ours else ()
        return ShardResult(
            self.size - len(failures) - len(others),
            len(failures),
            time.perf_counter() - started,
            failures,
            elsewhere=replace(self, tasks=tuple(others)) if others else None,
        )

    def _make_all(self, context: WorkerContext) -> tuple[tuple[str, str, str], ...]:
        """Make what is still pending (another run may have made it since), and return the failures."""
        failures: list[tuple[str, str, str]] = []
        tasks = self.tasks

        def pending() -> Iterator[Task]:
            for task in replace(self, tasks=tasks)._pending(context.store):
                if (bar := self._barred(task, context.store)) is None:
                    yield task
                else:
                    failures.append(self._failure(task, bar, context.store))

        for delay_s in (*DELAYS_S, None):
            again = []
            for task, error in self._work(pending(), context):
                if error is None:
                    continue
                if delay_s is not None and may_pass(error):
                    again.append(task)
                    say(f"{self.label} {self._name(task)}: {error}; tried again in {delay_s:.0f} s")
                else:
                    failures.append(self._failure(task, error, context.store))
            if not again or delay_s is None:
                break
            time.sleep(with_jitter(delay_s))
            tasks = tuple(again)
        return tuple(failures)

    def failed(self, error: BaseException, store: Store) -> ShardResult:
        """See `Shard`."""
        failures = tuple(self._failure(task, error, store) for task in self._pending(store))
        return ShardResult(self.size - len(failures), len(failures), 0.0, failures)

    def _pending(self, store: Store) -> Iterator[Task]:
        # A shard whose worker was killed comes again; what it finished the first time stays.
        return (task for task in self.tasks if not self._is_done(task, store))

    def _work(self, tasks: Iterable[Task], context: WorkerContext) -> Iterator[tuple[Task, Exception | None]]:
        """Each task with what went wrong, if anything did; a subclass overrides this or `_make`."""
        for task in tasks:
            try:
                self._make(task, context)
            except Exception as error:
                yield task, error
            else:
                yield task, None

    def _failure(self, task: Task, error: BaseException, store: Store) -> tuple[str, str, str]:
        # A disk too full for the record: the result carries the failure, and the task counts as missing.
        with contextlib.suppress(Exception):
            self._record_failure(task, error, store)
        info = FailureInfo.of(error)
        return f"{self.label} {self._name(task)}", info.type, info.message

    @abstractmethod
    def _keys(self, task: Task) -> tuple[str, ...]:
        """The keys under which the store will have what the task makes."""

    @abstractmethod
    def _name(self, task: Task) -> str:
        """What a task is called in messages, behind the label."""

    def _is_done(self, task: Task, store: Store) -> bool:
        """Whether the store has what the task makes."""
        raise NotImplementedError

    def _barred(self, task: Task, store: Store) -> Exception | None:
        """Why the task must not be done: what is there may not be replaced. None where nothing is."""
        return None

    def _make(self, task: Task, context: WorkerContext) -> None:
        """Make it, and put it into the store."""
        raise NotImplementedError

    @abstractmethod
    def _record_failure(self, task: Task, error: BaseException, store: Store) -> None:
        """Put the reason into the store."""
