"""A run whose references are folders of frames: read, keyed by their content, and counted when they fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reelbench.core.file_digests import FileDigests
from reelbench.core.records import FailureInfo
from reelbench.core.types import ClipRef, Sample
from reelbench.datasets.video import Reading
from reelbench.stages.extract import reference_content
from reelbench.stages.inputs import VideoInput, read_inputs
from reelbench.stages.measuring import Measuring
from reelbench.stages.results import RunResult
from reelbench.stages.work import ShardResult

DATASET = '''
from pathlib import Path
from reelbench.core.contracts import Dataset, FrozenConfig
from reelbench.core.types import ClipRef, Sample


class Folders(Dataset):
    """A sample for each folder of frames; the folder "windows" gives two, of frames 0 to 15 and 4 to 19."""

    class Config(FrozenConfig):
        root: str

    name, split, task = "folders", "test", "text-to-video"

    def __len__(self):
        return len(list(iter(self)))

    def __iter__(self):
        for folder in sorted(Path(self.config.root).iterdir()):
            if folder.name == "windows":
                for first in (0, 4):
                    ref = ClipRef(folder, first_frame=first, last_frame=first + 15)
                    yield Sample(f"windows-{first}", "a window", "windows", ref)
            else:
                yield Sample(folder.name, "a clip", folder.name, ClipRef(folder))

    def fingerprint(self):
        return self.config.root
'''


def write_frames(folder: Path, seed: int, num_frames: int = 20) -> np.ndarray:
    folder.mkdir(parents=True)
    frames = np.random.default_rng(seed).integers(0, 256, (num_frames, 32, 32, 3), dtype=np.uint8)
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{index:05d}.png")
    return frames


def run(world: Any) -> tuple[dict[str, Any], RunResult, list[ShardResult]]:
    (world.folder / "folders.py").write_text(DATASET)
    name = f"{world.folder}/folders.py:Folders"
    config = {"root": str(world.folder / "frames")}
    return world.run(datasets=[{"name": name, "label": "folders", "config": config}], metrics=["fvd"])


def test_folders_of_frames_are_references_of_a_run(world: Any) -> None:
    for index in range(3):
        write_frames(world.folder / "frames" / f"v{index}", index)
    write_frames(world.folder / "frames" / "windows", 7)
    tables, result, _ = run(world)
    assert result.num_failures == 0
    fvd = next(row for row in tables["summary"] if row["metric"] == "fvd" and row["seed"] is None)
    assert (fvd["n"], fvd["n_reference"]) == (5, 5)
    references = {row["sample_id"]: row for row in tables["clips"] if row["side"] == "reference"}
    assert len({row["content_digest"] for row in references.values()}) == 5  # the windows are two clips


def test_a_gap_in_a_window_and_a_missing_folder_are_failures_with_their_reason(world: Any) -> None:
    for index in range(3):
        write_frames(world.folder / "frames" / f"v{index}", index)
    write_frames(world.folder / "frames" / "windows", 7)
    (world.folder / "frames" / "windows" / "00002.png").unlink()
    (world.folder / "frames" / "v1" / "00003.png").write_bytes(b"damaged")
    tables, result, _ = run(world)
    references = {row["sample_id"]: row for row in tables["clips"] if row["side"] == "reference"}
    assert "lacks frame 2;" in references["windows-0"]["error_message"]
    assert references["windows-4"]["status"] == "done"
    assert "00003.png" in references["v1"]["error_message"]
    assert result.num_failures == 2


@pytest.fixture
def measuring() -> Measuring:
    from reelbench.metrics.protocol import load_protocol

    return Measuring(load_protocol("clean"), (), {})


def test_the_rate_of_a_folder_is_part_of_what_is_measured(tmp_path: Path, measuring: Measuring) -> None:
    write_frames(tmp_path / "clip", 0)
    files = FileDigests(None)

    def content(**window: Any) -> tuple[str, FailureInfo | None]:
        sample = Sample("x", "a clip", "x", ClipRef(tmp_path / "clip", **window))
        return reference_content(sample, measuring, files)

    assert content() == content(first_frame=0, last_frame=19)
    assert content(fps=8.0)[0] != content()[0]
    assert content(fps=8.0)[1] is None
    broken, missing = content(first_frame=3, last_frame=30), content(first_frame=4, last_frame=30)
    assert "lacks frames 20 to 30;" in broken[1].message
    assert broken[0] != missing[0]


def test_a_folder_that_is_too_short_is_read_whole_where_that_is_allowed(tmp_path: Path) -> None:
    frames = write_frames(tmp_path / "clip", 0, num_frames=6)
    ref = ClipRef(tmp_path / "clip")
    inputs = [VideoInput(ref, Reading(9)), VideoInput(ref, Reading(9), may_be_short=True)]
    refused, whole = read_inputs(inputs, None)
    assert "gives 6 of the 9 frames" in str(refused)
    assert np.array_equal(whole, frames)
