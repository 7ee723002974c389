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
    """What a worker has: the store, its device, and the models it has loaded.

    At most `max_sessions` models stay loaded; the one used longest ago is dropped first.
    """

    store: Store
    device: str
    max_sessions: int = 4
    _sessions: OrderedDict[str, Any] = field(default_factory=OrderedDict)

    def session(self, key: str, load: Callable[[], Any]) -> Any:
        """The session under `key`, loaded by `load()` when this worker does not have it yet."""
        if key in self._sessions:
            self._sessions.move_to_end(key)
            return self._sessions[key]
        while len(self._sessions) >= self.max_sessions:
            self._sessions.popitem(last=False)
        self._sessions[key] = load()
        return self._sessions[key]


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

    def run(self, context: WorkerContext) -> ShardResult:
        """Do the work. Failures of single items are recorded and returned, never raised."""
        ...

    def failed(self, error: BaseException, store: Store) -> ShardResult:
        """The result when no worker could run it (it killed every worker that tried): all items failed."""
        ...
