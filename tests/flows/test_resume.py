"""Killed anywhere, nothing is lost and nothing is done twice; with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from reelbench.core.run_folders import holds_results

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("executor", ["auto", "local"])
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


SHARING = """
import sys
from pathlib import Path
from reelbench.core.run_file_loading import load_run_file
from reelbench.flows.missing_work import do_what_is_missing
done = do_what_is_missing(load_run_file(Path(sys.argv[1])))
assert not done.failures, done.failures
"""


def test_two_runs_on_one_store_do_nothing_twice(bench: Any, tmp_path: Path) -> None:
    output, diary, run_file = tmp_path / "out", tmp_path / "diary", tmp_path / "run.yaml"
    diary.mkdir()
    run_file.write_text(f"{bench.run_file.read_text()}\nexecutor: local\n".replace("out\n", f"{output}\n"))
    environment = {**bench.environment, "TINY_DIARY": str(diary), "TINY_SECONDS": "1.0"}
    runs = [
        subprocess.Popen([sys.executable, "-c", SHARING, str(run_file)], env=environment) for _ in range(2)
    ]
    assert [run.wait(bench.timeout_s) for run in runs] == [0, 0]
    begun = [path.name.rpartition("-")[0] for path in diary.iterdir()]
    assert sorted(begun) == sorted(set(begun))
    assert len(begun) == bench.num_clips == len(bench.clip_records(output))
    parts = list((output / "store" / "features").glob("*/*.parquet"))
    assert sum(pq.read_metadata(part).num_rows for part in parts) == bench.num_clips
    assert not list((output / "store" / "leases").glob("??/*"))


def test_a_run_takes_over_from_another_one_that_is_killed(
    bench: Any, undisturbed: Path, tmp_path: Path
) -> None:
    output, diary, run_file = tmp_path / "out", tmp_path / "diary", tmp_path / "run.yaml"
    diary.mkdir()
    run_file.write_text(bench.run_file.read_text() + "\nexecutor: local\n")
    first, second = (
        bench.start_file(run_file, "--output", str(output), TINY_DIARY=str(diary), TINY_SECONDS="1.0")
        for _ in range(2)
    )
    bench.wait_for(lambda: len(list(diary.iterdir())) >= 4 or first.poll() is not None, "some clips")
    first.kill()
    first.communicate()
    printed, errors = bench.end(second)
    assert second.returncode == 0, printed + errors
    begun = [path.name.rpartition("-")[0] for path in diary.iterdir()]
    assert len(set(begun)) == bench.num_clips
    assert len(begun) <= bench.num_clips + 2, "what the killed one's two workers were at work on"
    assert bench.results(output) == bench.results(undisturbed)
