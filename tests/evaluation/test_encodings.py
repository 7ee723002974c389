"""`evaluate` on a folder of real encodings: every file is measured, or named with a reason."""

from __future__ import annotations

import shutil
from pathlib import Path

from reelbench.evaluation import evaluate
from reelbench.evaluation.result import as_json_data

RECORDED = Path(__file__).parents[1] / "datasets" / "video" / "ffmpeg_frames"


def test_every_encoding_is_measured_and_what_is_odd_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    shutil.copytree(RECORDED, folder)
    files = sorted(path for path in folder.iterdir() if path.suffix != ".json")
    cut = folder / "cut-off.mp4"
    cut.write_bytes((folder / "h264-bt709.mp4").read_bytes()[:-200])
    result = evaluate(folder, output=tmp_path / "out", metrics=["temporal_flickering"])
    data = as_json_data(result)
    row = next(row for row in data["summary"] if row["metric"] == "temporal_flickering")
    assert row["n"] == len(files)
    assert {failure["samples"] for failure in data["failures"]} == {("cut-off",)}
    assert "cut-off.mp4' is not a readable video" in data["failures"][0]["cause"]
    (note,) = [note for note in result.problems if "interlaced" in note]
    assert "2 clips" in note
    assert "h264-interlaced, mpeg2-interlaced" in note
    assert "bwdif" in note
