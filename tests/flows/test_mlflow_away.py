"""A run whose MLflow is not there ends with its tables and reports, and says so; it is logged later."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reelbench.core.run_folders import results_dir

pytestmark = pytest.mark.e2e

SECRET = "a-secret-word"


def test_a_run_without_its_mlflow_is_whole_and_says_so(
    bench: Any, tiny_run_file: Callable[..., Path], tmp_path: Path
) -> None:
    run_file = tiny_run_file(tmp_path / "run.yaml", tmp_path / "out", executor="local")
    away = f"http://me:{SECRET}@127.0.0.1:9"
    process = bench.start_file(run_file, MLFLOW_TRACKING_URI=away)
    printed, errors = bench.end(process)
    assert process.returncode == 0, printed + errors
    assert "MLflow at http://***@127.0.0.1:9 cannot be used now: Connection refused" in errors
    assert "cannot log to MLflow at http://***@127.0.0.1:9: Connection refused\n" in printed
    assert "`reelbench report`" in printed
    folder = results_dir(tmp_path / "out" / "tiny")
    assert (folder / "tables" / "summary.parquet").is_file()
    assert (folder / "report.html").is_file()
    # Prefect's page says it in the state of the run.
    kept = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert any(
        b"nothing failed; cannot log to MLflow at" in kept[p] for p in kept if p.name.startswith("prefect.db")
    )
    assert SECRET not in printed + errors
    assert [path for path, content in kept.items() if SECRET.encode() in content] == []

    report = [str(Path(sys.executable).with_name("reelbench")), "report", str(run_file)]
    done = subprocess.run(
        report, env=bench.environment, cwd=bench.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "mlflow" / "mlflow.db").is_file()
    assert results_dir(tmp_path / "out" / "tiny") == folder
