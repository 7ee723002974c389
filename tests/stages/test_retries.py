"""What may pass is tried again after pauses; what cannot is not."""

from __future__ import annotations

import errno
import urllib.error
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reelbench.core.errors import ReelbenchError
from reelbench.core.retries import DELAYS_S, may_pass, with_jitter
from reelbench.core.store import Store
from reelbench.datasets.video import default_codec
from reelbench.stages import work
from reelbench.stages.work import TaskShard, WorkerContext


@dataclass(frozen=True)
class Trials(TaskShard[str]):
    """Each task raises the errors of its list, one a try, and is done when none is left."""

    errors: dict[str, list[Exception]]
    done: list[str] = field(default_factory=list)
    recorded: list[str] = field(default_factory=list)
    model = "model"

    def _keys(self, task: str) -> tuple[str, ...]:
        return (task.ljust(64, "0"),)

    def _name(self, task: str) -> str:
        return task

    def _is_done(self, task: str, store: Store) -> bool:
        return task in self.done

    def _make(self, task: str, context: WorkerContext) -> None:
        if self.errors[task]:
            raise self.errors[task].pop(0)
        self.done.append(task)

    def _record_failure(self, task: str, error: BaseException, store: Store) -> None:
        self.recorded.append(task)


def test_a_disk_that_stalls_costs_pauses_and_a_wrong_file_its_task_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(work.time, "sleep", pauses.append)
    monkeypatch.setattr(work, "with_jitter", float)
    stalls = [OSError(errno.EIO, "Input/output error"), TimeoutError("timed out"), OSError(errno.ESTALE, "s")]
    errors: dict[str, list[Exception]] = {
        "a": [],
        "b": stalls[:1],
        "c": stalls[1:],
        "d": [*stalls],
        "e": [FileNotFoundError(errno.ENOENT, "No such file or directory")],
    }
    shard = Trials("sample", tuple(errors), errors)
    context: Any = WorkerContext(Store(tmp_path, default_codec()), "cpu", 1)
    result = shard.run(context)
    assert shard.done == ["a", "b", "c"]
    assert [(what, kind) for what, kind, _ in result.failures] == [
        ("sample e", "FileNotFoundError"),
        ("sample d", "OSError"),
    ]
    assert (result.num_done, result.num_failed) == (3, 2)
    assert shard.recorded == ["e", "d"]
    assert pauses == list(DELAYS_S)
    told = capfd.readouterr().err.splitlines()
    assert len([line for line in told if line.endswith("; tried again in 2 s")]) == 3
    assert len([line for line in told if line.endswith("; tried again in 10 s")]) == 2
    assert told[0] == "sample b: [Errno 5] Input/output error; tried again in 2 s"


def test_what_may_pass() -> None:
    assert may_pass(OSError(errno.EIO, "x"))
    assert may_pass(ConnectionResetError())
    assert may_pass(TimeoutError())
    behind = ReelbenchError("cannot read it")
    behind.__cause__ = OSError(errno.ESTALE, "x")
    assert may_pass(behind)
    for error in (
        OSError(errno.ENOSPC, "x"),
        OSError(errno.EACCES, "x"),
        FileNotFoundError(),
        urllib.error.URLError("no route"),  # says no more than that
        ValueError("x"),
        MemoryError(),
        None,
    ):
        assert not may_pass(error)
    assert all(7.5 <= with_jitter(10.0) <= 12.5 for _ in range(100))
