"""One queue for a whole run: which shards are ready, and which one a worker gets next.

A *step* is one stage of one cell, or the extraction of what no method makes (references and prompts). The
steps of a cell follow one another; those of different cells do not wait for each other, so no worker is
idle while anything is ready: one cell is measured while the next one is sampled.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from ..core.errors import ReelbenchError
from ..core.waiting import seconds_text
from .work import Shard, ShardResult


class Stage(IntEnum):
    """The stages in the order in which ready work is handed out: what others wait for comes first."""

    TUNE = 0
    SAMPLE = 1
    UPSCALE = 2
    EXTRACT = 3

    @property
    def label(self) -> str:
        """The stage's name as users read it."""
        return self.name.lower()


@dataclass(eq=False)
class Step:
    """One stage of one cell.

    Attributes:
        what: the cell's readable name.
        num_items: clips, tunings or inputs; an estimate before the shards are known.
        seconds: of workers, over the items that are finished.
        failures: (what, exception class, message) of each.
    """

    stage: Stage
    what: str
    num_items: int
    shards: Callable[[], Sequence[Shard]]
    num_done: int = 0
    num_failed: int = 0
    seconds: float = 0.0
    failures: list[tuple[str, str, str]] = field(default_factory=list)
    pending: deque[Shard] = field(default_factory=deque)
    num_running: int = 0
    is_started: bool = False
    began: float = 0.0
    """When the first shard was handed out; of the clock that only runs forward."""

    @property
    def name(self) -> str:
        """Stage and cell, as users read them."""
        return f"{self.stage.label} {self.what}"

    @property
    def num_left(self) -> int:
        """Items that are neither done nor failed."""
        return self.num_items - self.num_done - self.num_failed

    @property
    def outcome(self) -> str:
        """How it ended, in words."""
        return f"{self.num_done} done, {self.num_failed} failed"


class Listener(Protocol):
    """Is told what happens to the steps that have something to do."""

    def planned(self, steps: Sequence[Step]) -> None:
        """These are all steps of the run, those too in which nothing is missing."""
        ...

    def started(self, step: Step) -> None:
        """The first shard was handed out."""
        ...

    def advanced(self, step: Step) -> None:
        """A shard is finished."""
        ...

    def ended(self, step: Step) -> None:
        """All shards are finished."""
        ...


class Schedule:
    """The shards of a run; `flows.workers.pool` takes them and says what came of them.

    Args:
        chains: steps that follow one another; see `chains.run_chains`.
        listeners: are told of every step.
        stage_limit_s: seconds that a step has from its first shard on; None for no limit.
    """

    def __init__(
        self,
        chains: Sequence[Sequence[Step]],
        listeners: Sequence[Listener] = (),
        stage_limit_s: float | None = None,
    ) -> None:
        self._listeners = tuple(listeners)
        self._stage_limit_s = stage_limit_s
        self.steps = tuple(step for chain in chains for step in chain)
        """All steps, also those in which nothing is missing."""
        self._open: list[Step] = []
        self._step_of: dict[int, Step] = {}
        self._rest_of: dict[Step, Iterator[Step]] = {}
        for chain in chains:
            self._open_next(iter(chain))
        for listener in self._listeners:
            listener.planned(self.steps)

    # -- what the pool asks --------------------------------------------------------------------

    @property
    def is_done(self) -> bool:
        """Whether every shard is finished."""
        return not self._open

    @property
    def num_ready(self) -> int:
        """Shards that a worker could begin now."""
        return sum(len(step.pending) for step in self._open)

    def take(self, loaded: Sequence[str]) -> Shard | None:
        """The next shard for a worker, None where none is ready.

        A worker keeps to the model that it has loaded while there is work for it. Else it begins where fewest
        others are at work, so that each model is loaded by few workers; then the earlier stage goes first.

        Args:
            loaded: keys of the models that the worker has, the one used last at the end.
        """
        ready = [step for step in self._open if step.pending]
        if not ready:
            return None

        def rank(step: Step) -> tuple[int, int, int]:
            model = step.pending[0].model
            if model in loaded:
                return (0 if model == loaded[-1] else 1, 0, step.stage)
            return (2, step.num_running, step.stage)

        step = min(ready, key=rank)
        shard = step.pending.popleft()
        self._step_of[id(shard)] = step
        step.num_running += 1
        if not step.is_started:
            step.is_started, step.began = True, time.monotonic()
            for listener in self._listeners:
                listener.started(step)
        return shard

    def overdue(self) -> tuple[Shard, ReelbenchError] | None:
        """A shard that is not begun and to be given up, as its stage's time is over; it counts as taken."""
        if self._stage_limit_s is None:
            return None
        for step in self._open:
            if step.pending and step.is_started and time.monotonic() - step.began >= self._stage_limit_s:
                shard = step.pending.popleft()
                self._step_of[id(shard)] = step
                step.num_running += 1
                return shard, ReelbenchError(
                    f"{step.name} was not finished within {seconds_text(self._stage_limit_s)}, its limit",
                    "the next run goes on from there; `limits: stage` in the run file sets another one",
                )
        return None

    def finish(self, shard: Shard, result: ShardResult) -> None:
        """Count the result of a shard; what waited for it becomes ready."""
        step = self._step_of.pop(id(shard))
        step.num_running -= 1
        step.num_done += result.num_done
        step.num_failed += result.num_failed
        step.seconds += result.seconds
        step.failures.extend(result.failures)
        for listener in self._listeners:
            listener.advanced(step)
        if not step.pending and not step.num_running:
            self._open.remove(step)
            for listener in self._listeners:
                listener.ended(step)
            self._open_next(self._rest_of.pop(step))

    def _open_next(self, chain: Iterator[Step]) -> None:
        """Open the next step of a chain that lacks something."""
        for step in chain:
            step.pending.extend(step.shards())
            step.num_items = sum(shard.size for shard in step.pending)
            if step.pending:
                self._open.append(step)
                self._rest_of[step] = chain
                return
