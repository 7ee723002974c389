"""Shards that hang, run out of memory or kill their workers cost themselves alone."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from reelbench.core.errors import ResourcesError
from reelbench.core.run_file import LimitsEntry
from reelbench.core.store import Store
from reelbench.datasets.video import default_codec
from reelbench.flows.workers.pool import Pool, WorkerLostError
from reelbench.flows.workers.time_limits import FACTOR, LEAST_S, UNKNOWN_ITEM_S, TimeLimits
from reelbench.stages.schedule import Schedule, Stage, Step
from reelbench.stages.work import ShardResult, WorkerContext


class Clock:
    """Time that passes when workers are waited for."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("flows.workers.pool", "core.waiting", "stages.schedule"):
        monkeypatch.setattr(f"reelbench.{module}.time", clock)
    return clock


@dataclasses.dataclass(frozen=True)
class Items:
    """A shard of numbers. `bad` says what befalls a worker at some of them."""

    numbers: tuple[int, ...]
    bad: dict[int, str] = dataclasses.field(default_factory=dict)
    done: set[int] = dataclasses.field(default_factory=set)
    """Stands for the store."""
    theirs: set[int] = dataclasses.field(default_factory=set)
    """What another run is at work on."""
    label: str = "items"
    model: str = "model"
    timing_key: str | None = None

    @property
    def size(self) -> int:
        return len(self.numbers)

    def is_free(self, store: Store) -> bool:
        return not self.theirs

    def alone(self) -> Any:
        return dataclasses.replace(self, theirs=set())

    def parts(self, store: Store) -> list[Any]:
        return [dataclasses.replace(self, numbers=(n,)) for n in self.numbers if n not in self.done]

    def work(self, is_fresh: bool) -> ShardResult | str:
        failures = []
        others = tuple(n for n in self.numbers if n in self.theirs and n not in self.done)
        for number in self.numbers:
            if number in others:
                continue
            fate = self.bad.get(number, "done")
            if fate in ("hang", "die"):
                return fate
            if fate == "out of memory" or (fate == "large" and not is_fresh):
                failures.append((str(number), "OutOfMemoryError", "too much"))
            else:
                self.done.add(number)
        elsewhere = dataclasses.replace(self, numbers=others) if others else None
        num_done = self.size - len(failures) - len(others)
        return ShardResult(num_done, len(failures), 1.0, tuple(failures), elsewhere=elsewhere)

    def run(self, context: WorkerContext) -> ShardResult:
        raise NotImplementedError

    def failed(self, error: BaseException, store: Store) -> ShardResult:
        left = [n for n in self.numbers if n not in self.done]
        failures = tuple((str(n), type(error).__name__, str(error)) for n in left)
        return ShardResult(self.size - len(left), len(left), 0.0, failures)


class FakeWorker:
    def __init__(self) -> None:
        self.given: deque[Any] = deque([None])
        self.num_run = 0
        self.is_killed = False

    def submit(self, shard: Any) -> None:
        self.given.append(shard)

    def is_ready(self) -> bool:
        if not self.given:
            return False
        if isinstance(self.given[0], Items):
            self.given[0] = self.given[0].work(is_fresh=self.num_run == 0)
            self.num_run += 1
        return self.given[0] != "hang"

    def answer(self) -> ShardResult | None:
        answer = self.given.popleft()
        if answer == "die":
            raise WorkerLostError("killed")
        return answer

    def kill(self) -> None:
        self.is_killed = True


class FakeWorkers:
    """See `pool.Workers`. A wait in which nothing happens takes a second."""

    def __init__(self, clock: Clock, count: int = 2, comes_up: bool = True) -> None:
        self._clock, self._count, self._comes_up = clock, count, comes_up
        self.made: list[FakeWorker] = []

    def start(self) -> int:
        return self._count

    def new(self, index: int) -> FakeWorker:
        self.made.append(FakeWorker())
        return self.made[-1]

    def wait(self, workers: Sequence[Any], timeout_s: float) -> list[Any]:
        ready = [worker for worker in workers if self._comes_up and worker.is_ready()]
        self._clock.now += 0.0 if ready else timeout_s
        return ready

    def why_none(self) -> str:
        return "there is no room"

    def close(self) -> None: ...


@pytest.fixture
def run_steps(clock: Clock, tmp_path: Path) -> Callable[..., tuple[list[Step], FakeWorkers]]:
    """Runs shards, each a step of its own."""

    def run(*shards: Any, **limits: Any) -> tuple[list[Step], FakeWorkers]:
        steps = [Step(Stage.SAMPLE, "cell", 0, partial(list, [shard])) for shard in shards]
        workers, entry = FakeWorkers(clock), LimitsEntry(**limits)
        with Pool(workers, tmp_path, entry) as pool:
            pool.run(Schedule([[step] for step in steps], stage_limit_s=entry.stage))
        return steps, workers

    return run


def test_a_shard_that_hangs_costs_its_hanging_item_alone(
    run_steps: Callable[..., Any], capsys: pytest.CaptureFixture[str], clock: Clock
) -> None:
    bad = Items((0, 1, 2, 3), {1: "hang"})
    began = clock.now
    (hanging, other), workers = run_steps(bad, Items((4, 5)), shard="25s", load="5s")
    assert bad.done == {0, 2, 3}
    assert (hanging.num_done, hanging.num_failed) == (3, 1)
    ((what, kind, message),) = hanging.failures
    assert (what, kind) == ("1", "ShardTimeoutError")
    assert "not finished within 25 s, its limit (by `limits: shard` in the run file)" in message
    assert (other.num_done, other.num_failed) == (2, 0)
    assert sum(worker.is_killed for worker in workers.made) >= 2, "a worker that hangs is killed"
    assert clock.now - began < 70, "it is tried twice"
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "tried again" in line]
    assert "items: a shard of 4 was not finished within 30 s" in line
    assert "5 s of it to load the model" in line


def test_an_item_that_kills_its_workers_costs_itself_alone(run_steps: Callable[..., Any]) -> None:
    bad = Items((0, 1, 2, 3), {2: "die"})
    (step, _), _ = run_steps(bad, Items((4, 5)))
    assert bad.done == {0, 1, 3}
    assert [kind for _, kind, _ in step.failures] == ["WorkerDiedError"]
    assert step.num_done == 3


def test_out_of_memory_is_tried_once_more_on_a_fresh_worker(run_steps: Callable[..., Any]) -> None:
    cells = [Items((0,)), Items((0,))]
    large, too_large = Items((1, 2), {2: "large"}), Items((3, 4), {4: "out of memory"})
    (_, _, first, second), _ = run_steps(*cells, large, too_large)
    assert (first.num_done, first.num_failed) == (2, 0)
    assert (second.num_done, second.num_failed) == (1, 1)
    assert [kind for _, kind, _ in second.failures] == ["OutOfMemoryError"]


def test_a_stage_that_takes_too_long_is_not_begun_any_further(
    run_steps: Callable[..., Any], clock: Clock, tmp_path: Path
) -> None:
    shards = [Items((n,), {n: "hang"}) for n in range(6)]
    step = Step(Stage.SAMPLE, "slow", 0, lambda: shards)
    with Pool(FakeWorkers(clock), tmp_path, LimitsEntry(shard=15.0, load=5.0)) as pool:
        pool.run(Schedule([[step]], stage_limit_s=50.0))
    assert step.num_failed == 6
    messages = [message for _, _, message in step.failures]
    assert any("sample slow was not finished within 50 s, its limit" in message for message in messages)
    assert any("its limit (by `limits: shard`" in message for message in messages)


def test_a_cluster_that_others_hold_is_waited_for_with_a_word_and_not_for_ever(
    clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    step = Step(Stage.SAMPLE, "cell", 0, lambda: [Items((0,))])
    pool = Pool(FakeWorkers(clock, comes_up=False), tmp_path, LimitsEntry(start="1min"))
    with pool, pytest.raises(ResourcesError, match=r"within 1 min \(`limits: start`.*there is no room"):
        pool.run(Schedule([[step]]))
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "waiting for a first worker to start: 15 s so far, at most 1 min"
    assert len(said) == 3


def test_what_another_run_makes_comes_last_and_is_waited_for_with_a_word(
    run_steps: Callable[..., Any],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shared = Items((0, 1, 2, 3), theirs={1, 2})
    others = [Items((number,)) for number in range(4, 8)]
    began = clock.now

    def passes(seconds: float) -> None:
        clock.now += seconds
        if clock.now - began >= 20:  # the other run is done with one, and was killed before the other
            shared.done.add(1)
            shared.theirs.clear()
        if clock.now - began < 20:
            assert all(other.done for other in others), "nobody waits while there is something to do"

    monkeypatch.setattr(clock, "sleep", passes, raising=False)
    steps, _ = run_steps(shared, *others)
    assert [step.num_done for step in steps] == [4, 1, 1, 1, 1]
    assert shared.done == {0, 1, 2, 3}
    said = capsys.readouterr().err
    assert "waiting for items, at which another run is at work: 15 s so far, at most" in said


def test_what_another_run_makes_of_one_cell_is_waited_for_with_one_line(
    run_steps: Callable[..., Any],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def passes(seconds: float) -> None:
        clock.now += seconds

    monkeypatch.setattr(clock, "sleep", passes, raising=False)
    run_steps(Items((0,), theirs={0}), Items((1,), theirs={1}), shard="20s", load="1s")
    said = capsys.readouterr().err.splitlines()
    assert said == ["waiting for items, at which another run is at work: 15 s so far, at most 21 s"]


def test_what_another_run_never_ends_is_made_all_the_same(
    run_steps: Callable[..., Any], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def passes(seconds: float) -> None:
        clock.now += seconds

    monkeypatch.setattr(clock, "sleep", passes, raising=False)
    shared = Items((0, 1), theirs={1})
    (step,), _ = run_steps(shared, shard="60s", load="5s")
    assert step.num_done == 2
    assert shared.theirs == {1}


def test_limits_follow_what_was_measured(tmp_path: Path) -> None:
    store = Store(tmp_path, default_codec())
    limits, shard = TimeLimits(LimitsEntry(), store), Items((0, 1), timing_key="a" * 64)
    assert limits.of(shard, loads=False).seconds == 2 * UNKNOWN_ITEM_S
    store.put_timing("a" * 64, 40.0, 1)
    known = limits.of(shard, loads=True)
    assert known.seconds == 2 * FACTOR * 40.0 + 900.0
    assert "earlier runs took 40 s for each item" in known.reason
    limits.measured(shard, 180.0)
    limits.measured(shard, 100.0)
    assert limits.of(shard, loads=False).seconds == 2 * FACTOR * 90.0
    assert limits.of(Items((0,), model="other"), loads=False).seconds == UNKNOWN_ITEM_S
    limits.measured(Items((0,), model="fast"), 0.01)
    assert limits.of(Items((0,), model="fast"), loads=False).seconds == LEAST_S
    given = TimeLimits(LimitsEntry(shard=7.0, load=50.0), store)
    assert given.of(shard, loads=False).seconds == 7.0
    assert given.of(shard, loads=True).seconds == 57.0, "a model may take its time to be loaded"


@pytest.mark.parametrize("given", ["soon", "-3", "0s", -1, 0, "1d", float("nan"), float("inf"), True, [1]])
def test_a_duration_that_is_none_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"shard"):
        LimitsEntry(shard=given)


def test_durations_are_written_as_people_do() -> None:
    entry = LimitsEntry(shard="1.5h", stage=90, start="40 s")
    assert (entry.shard, entry.stage, entry.start) == (5400.0, 90.0, 40.0)
