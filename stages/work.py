"""Units of work that travel to a worker process, and what a worker keeps between them.

A `Shard` is pickled, sent to a worker and run there. It writes what it makes to the store itself and
returns only small rows, so nothing large travels back and a killed driver loses nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..core.store import Store


@dataclass(frozen=True)
class ShardResult:
    """What a shard reports: counts for the progress bar, and the failures by key."""

    num_done: int
    num_failed: int
    seconds: float
    failures: tuple[tuple[str, str, str], ...] = ()
    """(what, exception class, message) of each failure."""
    payload: Any = None


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
        """The method under `key`, loaded by `load()` when this worker does not have it yet."""
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


class Shard(Protocol):
    """A picklable unit of work."""

    @property
    def label(self) -> str:
        """What it is, for messages."""
        ...

    @property
    def size(self) -> int:
        """How many items it holds."""
        ...

    @property
    def model(self) -> str:
        """Key of the model it needs: it goes to a worker that has this loaded, where there is one."""
        ...

    def run(self, context: WorkerContext) -> ShardResult:
        """Do the work. Failures of single items are recorded and returned, never raised."""
        ...

    def failed(self, error: BaseException, store: Store) -> ShardResult:
        """The result when no worker could run it (it killed every worker that tried): all items failed."""
        ...
