"""`reelbench evaluate` from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from reelbench.cli.main import app
from reelbench.datasets.video import write_lossless


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for side in ("made", "real"):
        (tmp_path / side).mkdir()
        for name in "abc":
            frames = rng.integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)
            write_lossless(tmp_path / side / f"{name}.mkv", frames, 8.0)
    return tmp_path


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)], catch_exceptions=False)


def options(videos: Path, weights: dict[str, str]) -> list[object]:
    pairs = [item for role, path in weights.items() for item in ("--weights", f"{role}={path}")]
    return [videos / "made", "--reference", videos / "real", "--output", videos / "out", *pairs]


@pytest.mark.smoke
def test_it_prints_the_table_its_signatures_and_where_things_are(
    videos: Path, weights: dict[str, str]
) -> None:
    result = run(*options(videos, weights), "--metrics", "fvd,kvd")
    assert result.exit_code == 0, result.output
    assert "| made |" in result.output
    assert "nref:3" in result.output
    assert "Report:" in result.output


def test_json_has_the_summary_and_what_failed(videos: Path, weights: dict[str, str]) -> None:
    (videos / "made" / "b.mkv").write_bytes(b"broken")
    result = run(*options(videos, weights), "--metrics", "fvd", "--json")
    assert result.exit_code == 1
    data = json.loads(result.stdout)
    (row,) = [row for row in data["summary"] if row["seed"] is None]
    assert (row["n"], row["num_failures"]) == (2, 1)
    assert any("b" in failure["samples"] for failure in data["failures"])


def test_errors_name_the_option_and_the_value(videos: Path, weights: dict[str, str]) -> None:
    wrong = run(*options(videos, weights), "--weights", "i3d")
    assert wrong.exit_code == 2
    assert "ROLE=LOCATION" in wrong.output
    missing = run(videos / "nothing")
    assert missing.exit_code == 2
    assert "nothing" in missing.output
    unknown = run(*options(videos, weights), "--protocol", "cleen")
    assert unknown.exit_code == 2
    assert "did you mean 'clean'?" in unknown.output


def test_a_clip_that_a_metric_cannot_score_is_a_failure(videos: Path, weights: dict[str, str]) -> None:
    write_lossless(videos / "made" / "a.mkv", np.full((1, 32, 32, 3), 90, np.uint8), 8.0)
    metric = "frame_consistency_consecutive"
    result = run(*options(videos, weights), "--metrics", metric, "--allow-small")
    assert result.exit_code == 1, result.output
    assert f"failed: score {metric}, made on real, 1 x (a): " in result.output
    data = json.loads(run(*options(videos, weights), "--metrics", metric, "--allow-small", "--json").stdout)
    assert [failure["stage"] for failure in data["failures"]] == [f"score {metric}"]


def test_a_listed_clip_that_is_not_there_is_missing_and_one_without_a_caption_is_no_failure(
    videos: Path, weights: dict[str, str]
) -> None:
    captions = videos / "captions.csv"
    captions.write_text("name,caption\na,one\n")
    given = [*options(videos, weights), "--metrics", "clipsim", "--captions", captions]
    silent = run(*given)
    assert silent.exit_code == 0, silent.output
    assert "2 clips have no caption: b, c" in silent.output
    assert "failed" not in silent.output
    captions.write_text("name,caption\na,one\nb,two\nc,three\nd,four\n")
    listed = run(*given)
    assert listed.exit_code == 1, listed.output
    assert "missing: sample, made on real, 1 x (d)\n" in listed.output
    assert "1 clips, features, scores or values of set metrics are missing or failed" in listed.output
    assert "failed: sample" not in listed.output


def test_help_names_both_ways_of_being_interrupted() -> None:
    assert "143" in CliRunner().invoke(app, ["evaluate", "--help"]).output
