"""Killed anywhere, nothing is lost and nothing is done twice; with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from reelbench.core.run_folders import holds_results

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("executor", [pytest.param("auto", marks=pytest.mark.drill), "local"])
def test_a_killed_run_goes_on_where_it_stopped(
    bench: Any, undisturbed: Path, tmp_path: Path, executor: str
) -> None:
    """On Ray, where it comes up, and in processes of this machine."""
    run_file = tmp_path / "run.yaml"
    run_file.write_text(bench.run_file.read_text() + f"\nexecutor: {executor}\n")
    bench = replace(bench, run_file=run_file)
    output, diary = tmp_path / "out", tmp_path / "diary"
    diary.mkdir()

    # kill -9 of the driver, with some clips finished and others not.
    process = bench.start(output, TINY_DIARY=str(diary), TINY_SECONDS="2.0")
    bench.wait_for(
        lambda: len(bench.clip_records(output)) >= 2 or process.poll() is not None, "two finished clips"
    )
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, errors
    bench.wait_for(lambda: not bench.workers_in(diary), "the workers to end with their driver")
    finished = bench.clip_records(output)
    assert 2 <= len(finished) < bench.num_clips
    assert not holds_results(output / "tiny")

    # The same command, in which a worker is killed while it makes a clip.
    begun = {path.name for path in diary.iterdir()}
    process = bench.start(output, TINY_DIARY=str(diary), TINY_SECONDS="0.5")
    bench.wait_for(lambda: bench.workers_in(diary) or process.poll() is not None, "a worker at work")
    victim = bench.workers_in(diary)[0]
    os.kill(victim, signal.SIGKILL)
    printed, errors = bench.end(process)
    assert process.returncode == 0, printed + errors
    assert "Traceback" not in printed + errors

    # Finished clips were neither made nor written again.
    everything = bench.clip_records(output)
    assert len(everything) == bench.num_clips
    assert {path: everything[path] for path in finished} == finished
    begun_later = [name.rpartition("-")[0] for name in {path.name for path in diary.iterdir()} - begun]
    # The victim's clip was begun twice, at most; every other missing one once.
    assert len(begun_later) <= bench.num_clips - len(finished) + 1
    assert len(set(begun_later)) == bench.num_clips - len(finished)

    assert bench.results(output) == bench.results(undisturbed)


def test_nothing_is_done_when_nothing_is_missing(bench: Any, undisturbed: Path, tmp_path: Path) -> None:
    before, tables = bench.clip_records(undisturbed), bench.results(undisturbed)
    diary = tmp_path / "diary"
    diary.mkdir()
    printed = bench.run(undisturbed, TINY_DIARY=str(diary))
    assert f"{bench.num_clips} clips: {bench.num_clips} done, 0 missing" in printed
    assert not list(diary.iterdir())
    assert bench.clip_records(undisturbed) == before
    assert bench.results(undisturbed) == tables


NUM_SHARED = 6
"""Clips of two runs that share a store."""

SHARING = """
import sys
from pathlib import Path
from reelbench.core.run_file_loading import load_run_file
from reelbench.flows.missing_work import do_what_is_missing
done = do_what_is_missing(load_run_file(Path(sys.argv[1])))
assert not done.failures, done.failures
"""


@pytest.fixture
def two_runs(
    bench: Any, tiny_run_file: Callable[..., Path], tmp_path: Path
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two on one store, of one worker each, without servers."""
    (tmp_path / "diary").mkdir()
    run_file = tiny_run_file(
        *(tmp_path / "run.yaml", tmp_path / "out"),
        **{"executor": "local", "limit": NUM_SHARED, "resources": {"num_actors": 1, "shard_size": 1}},
    )
    environment = {**bench.environment, "TINY_DIARY": str(tmp_path / "diary"), "TINY_SECONDS": "0.5"}
    command = [sys.executable, "-c", SHARING, str(run_file)]
    runs = [subprocess.Popen(command, env=environment) for _ in range(2)]
    yield runs
    for run in runs:
        run.kill()
        run.wait()


def begun_in(diary: Path) -> list[str]:
    return [path.name.rpartition("-")[0] for path in diary.iterdir()]


def test_two_runs_on_one_store_do_nothing_twice(
    bench: Any, two_runs: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    assert [run.wait(bench.timeout_s) for run in two_runs] == [0, 0]
    begun = begun_in(tmp_path / "diary")
    assert sorted(begun) == sorted(set(begun))
    assert len(begun) == NUM_SHARED == len(bench.clip_records(tmp_path / "out"))
    parts = list((tmp_path / "out" / "store" / "features").glob("*/*.parquet"))
    assert sum(pq.read_metadata(part).num_rows for part in parts) == NUM_SHARED
    assert not list((tmp_path / "out" / "store" / "leases").glob("??/*"))


def test_a_run_takes_over_from_another_one_that_is_killed(
    bench: Any, two_runs: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    first, second = two_runs
    bench.wait_for(lambda: begun_in(tmp_path / "diary") or first.poll() is not None, "a clip")
    first.kill()
    first.wait()
    assert second.wait(bench.timeout_s) == 0
    begun = begun_in(tmp_path / "diary")
    assert len(set(begun)) == NUM_SHARED == len(bench.clip_records(tmp_path / "out"))
    assert len(begun) <= NUM_SHARED + 1, "what the killed one's worker was at work on"
