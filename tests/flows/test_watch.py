"""`watch`: how a night ended, as a state, an exit code and words."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect.filesystems import LocalFileSystem
from prefect.results import ResultStore
from prefect.states import Completed, Failed, State, return_value_to_state

from reelbench.flows.view.outcome import COMPLETED_WITH_FAILURES, CellsFailedError, RegressionError
from reelbench.flows.watch import _as_own, _final_state
from reelbench.reports.nights.changes import Changes, Verdict

METHOD = '''
import numpy as np
from reelbench.core.contracts import FrozenConfig, Method, Session
from reelbench.core.types import Conditioning


class Flicker(Method, Session):
    """Grey clips that flicker."""

    class Config(FrozenConfig):
        pass

    name, version, conditioning = "flicker", "1", Conditioning.TEXT

    def load(self, device):
        return self

    def generate(self, samples, artifact, seeds):
        for sample, seed in zip(samples, seeds):
            yield (100 + np.random.default_rng(seed).integers(0, 20, (4, 16, 16, 3))).astype(np.uint8)
'''


def ended(verdict: Verdict, state: State[Any], num_failures: int = 0) -> State[Any]:
    changes = Changes(run="demo", run_id="20261127T030000Z", verdict=verdict, cells=())
    return _final_state(changes, state, {"folder": "out/demo/x", "num_failures": num_failures})


@pytest.mark.parametrize(
    ("verdict", "name"),
    [
        ("unchanged", "Unchanged"),
        ("changed", "Changed"),
        ("better", "Better"),
        ("not compared", "Completed"),
    ],
)
def test_a_night_without_failures_is_completed_under_the_name_of_its_verdict(
    verdict: Verdict, name: str
) -> None:
    state = ended(verdict, Completed())
    assert (state.type.value, state.name) == ("COMPLETED", name)
    assert state.result()["verdict"] == verdict


def test_failures_and_a_regression_are_both_told() -> None:
    bad: State[Any] = Failed(message="12 failures: zs2", data=CellsFailedError("12 failures: zs2", {}))
    worse = ended("worse", bad, 12)
    assert (worse.type.value, worse.name) == ("FAILED", "Regression")
    assert "12 failures: zs2" in str(worse.message)
    with pytest.raises(RegressionError):
        worse.result()
    failed = ended("unchanged", bad, 12)
    assert (failed.type.value, failed.name) == ("FAILED", "Failed")
    assert str(failed.message).startswith("nothing changed; 12 failures")
    taken = ended("unchanged", Completed(name=COMPLETED_WITH_FAILURES, message="12 failures"), 12)
    assert (taken.type.value, taken.name) == ("COMPLETED", COMPLETED_WITH_FAILURES)


def test_a_night_that_ends_before_its_tables_ends_with_the_words_of_the_run(tmp_path: Path) -> None:
    bad: State[Any] = Failed(message="mend 2 things", data=ValueError("mend 2 things"))
    bad.state_details.flow_run_id = uuid.uuid4()

    def seen(state: State[Any]) -> str | None:
        store = ResultStore(result_storage=LocalFileSystem(basepath=str(tmp_path)))
        return asyncio.run(return_value_to_state(state, result_store=store)).message

    assert seen(bad) == "1/1 states failed."
    assert seen(_as_own(bad)) == "mend 2 things"


@pytest.mark.e2e
@pytest.mark.drill
def test_a_planted_regression_is_a_state_an_exit_code_and_a_page(
    bench: Any, tiny_run_file: Callable[..., Path], tmp_path: Path
) -> None:
    method, output = tmp_path / "flicker.py", tmp_path / "out"
    method.write_text(METHOD)
    entry = {"name": f"{method}:Flicker", "label": "flicker"}
    run_file = tiny_run_file(tmp_path / "run.yaml", output, methods=[entry], limit=8)

    def reelbench(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "reelbench", *arguments],
            cwd=tmp_path, env=bench.environment, capture_output=True, text=True, timeout=bench.timeout_s,
            check=False,
        )  # fmt: skip

    first = reelbench("watch", str(run_file))
    assert first.returncode == 0, first.stdout + first.stderr
    assert "no earlier night" in first.stdout
    method.write_text(METHOD.replace("integers(0, 20", "integers(0, 90"))
    second = reelbench("watch", str(run_file))
    assert second.returncode == 1, second.stdout + second.stderr
    assert "worse: Steadiness of flicker on words" in second.stdout
    assert "code of flicker" in second.stdout
    assert "Traceback" not in second.stderr
    with sqlite3.connect(output / "prefect" / "prefect.db") as database:
        states = database.execute("select state_name from flow_run where name like 'tiny%' order by created")
        assert [name for (name,) in states] == ["Completed", "Completed", "Regression", "Completed"]
        keys = {key for (key,) in database.execute("select key from artifact")}
    assert "tiny-changes" in keys
    shown = reelbench("history", str(run_file), "--csv")
    assert shown.returncode == 0, shown.stderr
    rows = [line.split(",") for line in shown.stdout.splitlines()[1:]]
    assert ["worse" in row for row in rows] == [False, True]
    assert "!" in reelbench("history", str(run_file)).stdout
    assert "<svg" in (output / "tiny" / "history.html").read_text()
