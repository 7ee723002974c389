"""One queue for a whole run: which shards are ready, and which one a worker gets next.

A *step* is one stage of one cell, or the extraction of what no method makes (references and prompts). The
steps of a cell follow one another; those of different cells do not wait for each other, so no worker is
idle while anything is ready: one cell is measured while the next one is sampled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from ..core.file_digests import FileDigests
from ..core.plan import Cell, Plan
from ..core.store import Store
from .extract import extract_shards, generated_items, prompt_items, reference_items
from .planning import Part
from .sample import sample_shards
from .tune import tune_shards
from .upscale import upscale_shards
from .work import Shard, ShardResult

REFERENCES = "references and prompts"


class Stage(IntEnum):
    """The stages in the order in which ready work is handed out: what others wait for comes first."""

    TUNE = 0
    SAMPLE = 1
    UPSCALE = 2
    EXTRACT = 3

    @property
    def label(self) -> str:
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

    @property
    def name(self) -> str:
        return f"{self.stage.label} {self.what}"

    @property
    def num_left(self) -> int:
        return self.num_items - self.num_done - self.num_failed

    @property
    def outcome(self) -> str:
        return f"{self.num_done} done, {self.num_failed} failed"


class Listener(Protocol):
    """Is told what happens to the steps that have something to do."""

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
    """The shards of a run; `flows.pool` takes them and says what came of them.

    Args:
        chains: steps that follow one another; see `run_chains`.
        listeners: are told of every step.
    """

    def __init__(self, chains: Sequence[Sequence[Step]], listeners: Sequence[Listener] = ()) -> None:
        self._listeners = tuple(listeners)
        self.steps = tuple(step for chain in chains for step in chain)
        """All steps, also those in which nothing is missing."""
        self._open: list[Step] = []
        self._step_of: dict[int, Step] = {}
        self._rest_of: dict[Step, Iterator[Step]] = {}
        for chain in chains:
            self._open_next(iter(chain))

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
            step.is_started = True
            for listener in self._listeners:
                listener.started(step)
        return shard

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


def run_chains(
    plan: Plan, parts: Sequence[Part], store: Store, files: FileDigests, shard_size: int
) -> list[list[Step]]:
    """The steps of a run: a chain for each cell, and one for what no method makes.

    Args:
        plan: the whole run.
        parts: which data sets are measured how.
        files: digests of video files.
        shard_size: samples in a shard.
    """
    part_of = {dataset.label: part for part in parts for dataset in part.plan.datasets}
    # Features are cheap beside clips: larger shards, fewer part files.
    features = _Features(store, files, 4 * shard_size)
    chains = [_cell_chain(cell, part_of[cell.dataset_label], features, shard_size) for cell in plan.cells]
    return [*chains, [Step(Stage.EXTRACT, REFERENCES, 0, lambda: features.references(parts))]]


def _cell_chain(cell: Cell, part: Part, features: _Features, size: int) -> list[Step]:
    sample = Step(Stage.SAMPLE, cell.key, len(cell.missing_bases), lambda: sample_shards(cell, size))
    chain = [sample, Step(Stage.EXTRACT, cell.key, cell.num_missing, lambda: features.clips(cell, part))]
    if cell.method.tuning_key is not None:
        chain.insert(0, Step(Stage.TUNE, cell.key, len(cell.missing_tunings), lambda: tune_shards(cell)))
    if cell.method.upscaler is not None:
        upscale = Step(Stage.UPSCALE, cell.key, cell.num_missing, lambda: upscale_shards(cell, size))
        chain.insert(-1, upscale)
    return chain


@dataclass(frozen=True)
class _Features:
    """Shards of the features that are missing, as they are known when their clips are there."""

    store: Store
    files: FileDigests
    shard_size: int

    def clips(self, cell: Cell, part: Part) -> Sequence[Shard]:
        records = {
            task.key: record
            for task in cell.tasks
            if (record := self.store.clips.record(task.key)) is not None
        }
        items = generated_items([cell], records, part.measuring, self.files, self.store)
        return extract_shards(cell.key, items, part.measuring, self.store, self.shard_size)

    def references(self, parts: Sequence[Part]) -> Sequence[Shard]:
        found: list[Shard] = []
        for part in parts:
            items = [
                item
                for dataset in part.plan.datasets
                for item in reference_items(dataset, part.measuring, self.files, self.store)
            ]
            items += prompt_items(part.plan.datasets, part.measuring)
            found += extract_shards(REFERENCES, items, part.measuring, self.store, self.shard_size)
        self.files.save()
        return found
