"""The smallest run through everything: a real method, Prefect, its workers, MLflow, the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from reelbench.core.run_folders import results_dir

pytestmark = [pytest.mark.e2e, pytest.mark.smoke]


def test_two_clips_from_prompts_to_the_report(
    bench: Any, tiny_run_file: Callable[..., Path], tmp_path: Path
) -> None:
    run_file = tiny_run_file(
        tmp_path / "run.yaml",
        tmp_path / "out",
        methods=[{"name": "zs2", "config": {"num_frames": 2, "num_steps": 2}}],
        weights={"pipeline": "sprites/t2i"},
        limit=2,
    )
    process = bench.start_file(run_file)
    printed, errors = bench.end(process)
    assert process.returncode == 0, printed + errors
    assert "Steadiness" in printed
    folder = results_dir(tmp_path / "out" / "tiny")
    clips = pq.read_table(folder / "tables" / "clips.parquet").to_pylist()
    assert [(clip["status"], clip["num_frames"]) for clip in clips] == [("done", 2)] * 2
    assert (folder / "report.html").is_file()
    assert (folder / "report" / "index.html").is_file()
    assert (tmp_path / "out" / "mlflow" / "mlflow.db").is_file()
