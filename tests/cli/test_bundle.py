"""`reelbench bundle` and `reelbench verify x.zip` as they are typed: what is printed, and exit codes."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from reelbench.cli.main import app
from reelbench.datasets.video import write_lossless
from reelbench.evaluation import evaluate


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of an evaluation without weights."""
    root = tmp_path_factory.mktemp("cli-bundle")
    for number in range(3):
        frames = np.random.default_rng(number).integers(0, 256, (16, 16, 16, 3), dtype=np.uint8)
        write_lossless(root / "clips" / f"{number}.mkv", frames, 8.0)
    return evaluate(
        root / "clips", metrics="temporal_flickering", output=root / "out", workers=1, device="cpu"
    ).folder


def call(*arguments: object) -> Any:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert "Traceback" not in result.output
    return result


def test_a_bundle_is_written_and_agrees(results: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    written = call("bundle", results, "-o", path, "--clips")
    assert written.exit_code == 0, written.output
    assert "with the features" in written.output
    with zipfile.ZipFile(path) as archive:
        assert any(name.startswith("clips/") for name in archive.namelist())
        text = archive.read("README.md").decode()
        assert max(len(line) for line in text.splitlines() if not line.startswith("|")) <= 120
    verified = call("verify", path)
    assert verified.exit_code == 0, verified.output
    told = json.loads(call("verify", path, "--json").stdout)
    assert told["agrees"]
    assert told["num_findings"] == 0
    assert "run.json: absent from the results that were packed" in told["not_checked"]
    assert "what could be computed again agrees" in verified.output


def test_what_does_not_agree_is_printed_with_exit_code_1(results: Path, tmp_path: Path) -> None:
    written = json.loads(call("bundle", results, "-o", tmp_path / "x.zip", "--json").stdout)
    assert written["features"]
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        archive.extractall(tmp_path / "x")
    (tmp_path / "x" / "README.md").write_text("mine")
    verified = call("verify", tmp_path / "x")
    assert verified.exit_code == 1
    assert "member: README.md: was changed" in verified.output
    assert "1 thing does not agree" in verified.output


def test_what_cannot_be_done_is_one_line_and_exit_code_2(results: Path, tmp_path: Path) -> None:
    assert call("bundle", results, "-o", tmp_path / "x.zip").exit_code == 0
    for arguments, said in (
        (("verify", tmp_path / "nowhere.zip"), "there is no such file or folder"),
        (("bundle", results, "-o", "-"), "is not written to standard output"),
        (("bundle", tmp_path / "x.zip", "-o", tmp_path / "y.zip"), "is a bundle already"),
        (("bundle", results, "-o", tmp_path / "x.zip"), "is there already"),
    ):
        result = call(*arguments)
        assert result.exit_code == 2, result.output
        assert said in " ".join(result.output.split())
