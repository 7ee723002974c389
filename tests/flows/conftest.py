"""Whole runs as real processes: how they are started, watched and compared."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from reelbench.core.run_folders import results_dir
from reelbench.core.tables import PROVENANCE_COLUMNS, SCHEMAS


@dataclass(frozen=True)
class Bench:
    """A folder with a run file, where runs are started as processes."""

    folder: Path
    environment: dict[str, str]
    run_file: Path
    plugin: Path = Path(__file__).parent.parent / "plugins" / "tiny.py"
    num_clips: int = 12
    timeout_s: float = 300.0

    def start(self, output: Path, **environment: str) -> subprocess.Popen[str]:
        """Start `reelbench run` into `output`."""
        return self.start_file(self.run_file, "--output", str(output), **environment)

    def start_file(self, run_file: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start `reelbench run` of any run file."""
        program = Path(sys.executable).with_name("reelbench")
        return subprocess.Popen(
            [program, "run", str(run_file), *arguments],
            env={**self.environment, **environment},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, output: Path, **environment: str) -> str:
        """Run to the end, which must be a good one; what it printed."""
        process = self.start(output, **environment)
        printed, errors = self.end(process)
        assert process.returncode == 0, printed + errors
        return printed

    def end(self, process: subprocess.Popen[str]) -> tuple[str, str]:
        """What a process printed, once it has ended; one that does not is killed."""
        try:
            return process.communicate(timeout=self.timeout_s)
        finally:
            process.kill()

    def wait_for(self, condition: Callable[[], Any], what: str) -> None:
        """Return when the condition holds."""
        deadline = time.monotonic() + self.timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"waited {self.timeout_s:.0f} s for {what}"
            time.sleep(0.05)

    def clip_records(self, output: Path) -> dict[str, tuple[int, int]]:
        """The records of finished clips: inode and time of each, by path."""
        found = {}
        for path in (output / "store" / "clips").glob("*/*/record.json"):
            stat = path.stat()
            found[str(path)] = (stat.st_ino, stat.st_mtime_ns)
        return found

    def workers_in(self, diary: Path) -> list[int]:
        """Processes of workers that left an entry and are alive."""
        pids = {int(path.name.rpartition("-")[2]) for path in diary.iterdir()}
        return sorted(pid for pid in pids if Path(f"/proc/{pid}").exists())

    def results(self, output: Path) -> dict[str, list[dict[str, Any]]]:
        """All tables of the run, without what tells only where and how fast it was made."""
        tables = {}
        for name in SCHEMAS:
            rows = pq.read_table(results_dir(output / "tiny") / "tables" / f"{name}.parquet").to_pylist()
            tables[name] = [
                {column: value for column, value in row.items() if column not in PROVENANCE_COLUMNS}
                for row in rows
                if row.get("level") != "cost"
            ]
        return tables


@pytest.fixture(scope="session")
def bench(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_run_file: Callable[..., Path],
    clean_environment: dict[str, str],
) -> Bench:
    folder = tmp_path_factory.mktemp("bench")
    run_file = tiny_run_file(
        folder / "run.yaml", Path("out"), resources={"shard_size": 2, "num_actors": 2}, limit=Bench.num_clips
    )
    return Bench(folder, clean_environment, run_file)


@pytest.fixture(scope="session")
def undisturbed(bench: Bench) -> Path:
    """The output of a run that nothing disturbed."""
    output = bench.folder / "undisturbed"
    assert "Steadiness" in bench.run(output)
    return output
