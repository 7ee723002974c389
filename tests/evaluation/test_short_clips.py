"""Clips of fewer frames than the protocol measures, such as ZS²'s 8: measured by whatever can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reelbench.core.contracts import Extractor, ExtractorSession, FrozenConfig
from reelbench.datasets.video import write_lossless
from reelbench.evaluation import evaluate
from reelbench.stages.inputs import Cut


def moving(seed: int, num_frames: int, size: int = 32) -> np.ndarray:
    picture = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return np.stack([np.roll(picture, t, axis=1) for t in range(num_frames)])


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    for name, num_frames, seed in (("eight", 8, 0), ("real", 16, 9), ("real8", 8, 9)):
        (tmp_path / name).mkdir()
        for index in range(3):
            write_lossless(tmp_path / name / f"{'abc'[index]}.mkv", moving(seed + index, num_frames), 8.0)
    return {path.name: path for path in tmp_path.iterdir()}


METRICS = ["fvd", "clip_fid", "frame_consistency_all_pairs", "psnr", "motion_alignment"]


@pytest.mark.parametrize("real", ["real", "real8"])
def test_fvd_alone_has_no_value_and_says_why(folders: dict[str, Path], tmp_path: Path, real: str) -> None:
    result = evaluate(
        folders["eight"], reference=folders[real], metrics=METRICS, output=tmp_path / "out", workers=1
    )
    summary = result.summary[result.summary["seed"].isna()].set_index("metric")
    assert set(summary.index[summary["value"].notna()]) == {*METRICS} - {"fvd"}
    assert "gives 8 of the 16 frames asked for" in summary.loc["fvd", "notes"]
    assert "needs at least 9 frames under any protocol" in summary.loc["fvd", "notes"]
    assert "cut off" not in summary.loc["fvd", "notes"]
    for name in ("psnr", "motion_alignment", "clip_fid"):
        assert "3 of 3 clips have fewer than 16 frames" in summary.loc[name, "notes"]
    frames = 48 if real == "real" else 24
    assert f"24 frames of 3 generated clips, {frames} frames of 3" in summary.loc["clip_fid", "notes"]
    assert (summary.loc["clip_fid", "n"], summary.loc["clip_fid", "coverage"]) == (3, 1.0)


def test_a_protocol_of_eight_frames_costs_fvd_alone(folders: dict[str, Path], tmp_path: Path) -> None:
    protocol = tmp_path / "eight.yaml"
    protocol.write_text('{name: eight, version: "1", sampling: {num_frames: 8}}')
    result = evaluate(
        folders["eight"],
        reference=folders["real8"],
        protocol=protocol,
        metrics=METRICS,
        output=tmp_path / "out",
        workers=1,
    )
    summary = result.summary[result.summary["seed"].isna()].set_index("metric")
    assert set(summary.index[summary["value"].notna()]) == {*METRICS} - {"fvd"}
    assert "I3D needs at least 9 frames, the protocol measures 8" in summary.loc["fvd", "notes"]
    assert "clips have fewer than" not in summary.loc["psnr", "notes"]


def test_a_clip_metric_without_any_value_says_why_in_its_cell(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    write_lossless(tmp_path / "one" / "a.mkv", moving(0, 1), 8.0)
    result = evaluate(tmp_path / "one", metrics=["temporal_flickering"], output=tmp_path / "out", workers=1)
    (notes,) = result.summary.loc[result.summary["seed"].isna(), "notes"]
    assert "pixel differences needs at least 2 frames, the clip has 1" in notes


def test_a_cell_says_first_what_befell_most_clips(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "a.mkv").write_text("no video")
    for name in "bcd":
        write_lossless(tmp_path / "made" / f"{name}.mkv", moving(0, 1), 8.0)
    result = evaluate(tmp_path / "made", metrics=["temporal_flickering"], output=tmp_path / "out", workers=1)
    (notes,) = result.summary.loc[result.summary["seed"].isna(), "notes"]
    most, fewer = notes.index("3 of 4 clips: pixel differences needs"), notes.index("1 of 4 clips: ")
    assert most < fewer
    assert "a.mkv" in notes[fewer:]


def test_a_cut_takes_what_there_is_where_it_may() -> None:
    frames = moving(0, 8, 4)
    assert len(Cut(0, 16, may_be_short=True).of(frames)) == 8
    assert len(Cut(0, 16, fill=True, may_be_short=True).of(frames)) == 16
    assert Cut(0, 16, may_be_short=True).num_needed == 1
    np.testing.assert_array_equal(Cut(1, every=3).of(frames), frames[[1, 4, 7]])


class Counter(Extractor):
    """How many frames it was given, read at about 8 a second."""

    class Config(FrozenConfig):
        """None."""

    name, version, modality, rows, reads_at_fps = "counter", "1", "video", "frames", 8.0

    def load(self, device: str) -> ExtractorSession:
        return Session()


class Session(ExtractorSession):
    def extract_one(self, item: Any) -> np.ndarray:
        return np.array([len(item)], dtype=np.float32)


METRIC = """
from reelbench.core.contracts import ClipMetric
class Count(ClipMetric):
    name, version, unit, label = "count", "1", "frames", "Frames"
    higher_is_better = None
    needs = ("{here}:Counter",)
    def compute(self, features):
        (values,) = features.values()
        return float(values[0])
"""


@pytest.mark.parametrize(("rate", "expected"), [(8.0, 24), (24.0, 8), (30.0, 6), (12.0, 12), (11.0, 24)])
def test_an_extractor_that_reads_at_a_rate_gets_every_so_many_frames(
    tmp_path: Path, rate: float, expected: int
) -> None:
    """max(1, round(rate / 8)), half to even: 12 a second is 1.5 times 8, and 2."""
    (tmp_path / "made").mkdir()
    write_lossless(tmp_path / "made" / "a.mkv", moving(0, 24), rate)
    metric = tmp_path / "count.py"
    metric.write_text(METRIC.format(here=Path(__file__)))
    result = evaluate(tmp_path / "made", metrics=f"{metric}:Count", output=tmp_path / "out", workers=1)
    assert list(result.scores["value"]) == [expected]


def test_a_set_metric_without_a_value_is_a_failure(folders: dict[str, Path], tmp_path: Path) -> None:
    """FVD of one clip: it was asked for, every clip could be read, and the cell is empty."""
    for name in "bc":
        (folders["eight"] / f"{name}.mkv").unlink()
    write_lossless(folders["eight"] / "a.mkv", moving(5, 16), 8.0)

    def failures(*metrics: str) -> int:
        result = evaluate(
            folders["eight"], reference=folders["real"], metrics=metrics, output=tmp_path / "out", workers=1
        )
        return result.num_failures

    assert failures("psnr") == 0
    assert failures("psnr", "fvd") == 1


def test_predicted_clips_of_sixteen_frames_are_told_of_the_protocol_for_them(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    result = evaluate(
        folders["real"],
        reference=folders["real"],
        metrics=["psnr"],
        context_frames=2,
        output=tmp_path / "out",
        workers=1,
    )
    (notes,) = result.summary.loc[result.summary["seed"].isna(), "notes"]
    assert "--protocol predicted" in notes
