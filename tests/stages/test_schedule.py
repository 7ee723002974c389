"""One queue for all cells: what is handed out, to whom, and what waits for what."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from reelbench.stages.schedule import Schedule, Stage, Step
from reelbench.stages.work import ShardResult


@dataclass(frozen=True)
class Piece:
    """A shard that nobody runs."""

    label: str
    model: str
    size: int = 2

    timing_key = None

    def is_free(self, store: Any) -> bool:
        raise NotImplementedError

    def alone(self) -> Any:
        raise NotImplementedError

    def parts(self, store: Any) -> Any:
        raise NotImplementedError

    def run(self, context: Any) -> ShardResult:
        raise AssertionError

    def failed(self, error: BaseException, store: Any) -> ShardResult:
        raise AssertionError


def step(stage: Stage, what: str, model: str, count: int) -> Step:
    pieces = [Piece(f"{stage.label} {what} {number}", model) for number in range(count)]
    return Step(stage, what, 2 * count, lambda: pieces)


class Diary:
    def __init__(self) -> None:
        self.entries: list[str] = []

    def planned(self, steps: Sequence[Step]) -> None:
        self.num_planned = len(steps)

    def started(self, step: Step) -> None:
        self.entries.append(f"started {step.name}")

    def advanced(self, step: Step) -> None:
        pass

    def ended(self, step: Step) -> None:
        self.entries.append(f"ended {step.name}: {step.outcome}")


@pytest.fixture
def diary() -> Diary:
    return Diary()


def schedule(diary: Diary, *chains: list[Step]) -> Schedule:
    return Schedule(chains, (diary,))


def finish(queue: Schedule, shard: Any, failed: int = 0) -> None:
    queue.finish(shard, ShardResult(shard.size - failed, failed, 1.0))


def taken(queue: Schedule, loaded: tuple[str, ...] = ()) -> str:
    shard = queue.take(loaded)
    return "" if shard is None else shard.label


def test_a_step_waits_for_the_one_before_it_and_for_no_other(diary: Diary) -> None:
    queue = schedule(
        diary,
        [step(Stage.SAMPLE, "a", "m", 1), step(Stage.EXTRACT, "a", "x", 1)],
        [step(Stage.SAMPLE, "b", "n", 1), step(Stage.EXTRACT, "b", "x", 1)],
    )
    first, second = queue.take(()), queue.take(())
    assert (first.label, second.label) == ("sample a 0", "sample b 0")
    assert queue.take(()) is None
    assert not queue.is_done
    finish(queue, first, failed=1)
    assert taken(queue) == "extract a 0", "b is still being sampled"
    assert diary.entries == [
        "started sample a",
        "started sample b",
        "ended sample a: 1 done, 1 failed",
        "started extract a",
    ]


def test_steps_without_anything_missing_are_passed_over(diary: Diary) -> None:
    queue = schedule(diary, [step(Stage.SAMPLE, "a", "m", 0), step(Stage.EXTRACT, "a", "x", 1)])
    shard = queue.take(())
    assert shard.label == "extract a 0"
    finish(queue, shard)
    assert queue.is_done
    assert diary.entries == ["started extract a", "ended extract a: 2 done, 0 failed"]


def test_a_worker_keeps_to_the_model_that_it_has_loaded(diary: Diary) -> None:
    queue = schedule(
        diary,
        [step(Stage.TUNE, "a", "m", 2)],
        [step(Stage.SAMPLE, "b", "n", 2)],
        [step(Stage.EXTRACT, "c", "x", 2)],
    )
    assert taken(queue, ("x",)) == "extract c 0"
    assert taken(queue, ("x", "n")) == "sample b 0", "the model used last comes first"
    assert taken(queue, ("n", "x")) == "extract c 1"


def test_workers_spread_over_models_before_they_share_one(diary: Diary) -> None:
    queue = schedule(diary, [step(Stage.SAMPLE, "a", "m", 4)], [step(Stage.SAMPLE, "b", "n", 4)])
    assert [taken(queue) for _ in range(4)] == ["sample a 0", "sample b 0", "sample a 1", "sample b 1"]


def test_what_others_wait_for_comes_first(diary: Diary) -> None:
    queue = schedule(diary, [step(Stage.EXTRACT, "a", "x", 1)], [step(Stage.TUNE, "b", "m", 1)])
    assert taken(queue) == "tune b 0"


def test_no_worker_is_idle_while_anything_is_ready(diary: Diary) -> None:
    """Two workers, cells of unlike length: nobody waits before the last shards are handed out."""
    queue = schedule(
        diary,
        [step(Stage.SAMPLE, "a", "m", 5), step(Stage.EXTRACT, "a", "x", 1)],
        [step(Stage.SAMPLE, "b", "n", 1), step(Stage.EXTRACT, "b", "x", 1)],
    )
    running: deque[Any] = deque()
    loaded: dict[int, tuple[str, ...]] = {0: (), 1: ()}
    idle = 0
    while not queue.is_done:
        for worker in (0, 1):
            shard = queue.take(loaded[worker]) if len(running) < 2 else None
            if shard is not None:
                loaded[worker] = (*loaded[worker], shard.model)
                running.append(shard)
        idle += len(running) < 2
        finish(queue, running.popleft())
    assert idle <= 2
