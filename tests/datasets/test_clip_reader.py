"""Which frames of a data set's clips prediction methods are trained on: those that protocols measure."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reelbench.core.errors import RunFileError, TooShortError, VideoError
from reelbench.core.types import Frames, Sample
from reelbench.datasets.bridge import Bridge
from reelbench.datasets.clip_reader import ClipReader
from reelbench.datasets.epic_kitchens import EpicKitchens100
from reelbench.datasets.video import read_clips
from reelbench.datasets.video.temporal_interpolation import PADDING, seer_frames
from reelbench.metrics.protocol import load_protocol
from reelbench.stages.measuring import Measuring


def write_pictures(folder: Path, name: str, num_frames: int) -> None:
    """Pictures whose grey is their number, which JPEG of one tone keeps."""
    folder.mkdir(parents=True)
    for number in range(1, num_frames + 1):
        Image.new("RGB", (16, 16), (number,) * 3).save(folder / name.format(number), quality=100)


def bridge(root: Path, num_frames: int, given: int = 1) -> Sample:
    """A clip of BridgeData that shows 1 to `num_frames`."""
    root.mkdir(exist_ok=True)
    (root / "path_id_bridgedata.txt").write_text(json.dumps(["open_box/0"]))
    write_pictures(root / "rawframes" / "open_box" / "0", "img_{:05d}.jpg", num_frames)
    (sample,) = Bridge(Bridge.Config(root=str(root), num_context_frames=given, fps=10))
    return sample


def epic(root: Path, start: int, stop: int, given: int = 1) -> Sample:
    """An action of Epic-Kitchens that shows `start` to `stop`, from the middle of a video."""
    root.mkdir(exist_ok=True)
    names = ("narration_id", "participant_id", "video_id", "start_frame", "stop_frame", "narration")
    with (root / "EPIC_100_validation.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, ("P01_11_0", "P01", "P01_11", start, stop, "open box")])
    folder = root / "EPIC-KITCHENS" / "P01" / "rgb_frames" / "P01_11"
    write_pictures(folder, "frame_{:010d}.jpg", stop + 5)
    (sample,) = EpicKitchens100(EpicKitchens100.Config(root=str(root), num_context_frames=given))
    return sample


def numbers(frames: Frames) -> list[int]:
    return [int(value) for value in frames[:, 8, 8, 1]]


def blended(shown: range, num_frames: int) -> list[int]:
    frames = np.array(shown, np.uint8).reshape(-1, 1, 1, 1)
    return seer_frames(frames, num_frames).ravel().tolist()


@pytest.mark.parametrize("make", [lambda root: (bridge(root, 40), 1), lambda root: (epic(root, 30, 69), 30)])
def test_clips_that_are_folders_of_pictures_are_read_in_every_way(
    tmp_path: Path, make: Callable[..., Any]
) -> None:
    sample, first = make(tmp_path / "data")
    shown = range(first, first + 40)
    spread = np.rint(np.linspace(0, 39, 16)).astype(int)
    for reader, expected in (
        (ClipReader(), list(shown[:16])),
        (ClipReader(stride=2), list(shown[:32:2])),
        (ClipReader("spread"), [shown[i] for i in spread]),
        (ClipReader("seer"), blended(shown, 16)),
    ):
        assert numbers(reader(sample, 16)) == expected


def test_a_rate_resamples_folders_whose_rate_is_known(tmp_path: Path) -> None:
    sample = bridge(tmp_path / "bridge", 40)  # 10 a second
    assert numbers(ClipReader(fps=5)(sample, 8)) == list(range(1, 16, 2))
    assert numbers(ClipReader("spread", fps=5)(sample, 20)) == list(range(1, 41, 2))


def test_of_a_long_action_every_so_many_frames_are_blended_as_seer_does(tmp_path: Path) -> None:
    sample = epic(tmp_path / "epic", 7, 207)
    assert numbers(ClipReader("seer")(sample, 16)) == blended(range(7, 208, 2), 16)
    assert numbers(ClipReader()(sample, 16)) == list(range(7, 23))


@pytest.mark.parametrize(
    ("reader", "protocol"),
    [(ClipReader("seer"), "seer"), (ClipReader(), "predicted")],
)
def test_what_is_trained_on_is_what_the_protocol_reads(
    tmp_path: Path, reader: ClipReader, protocol: str
) -> None:
    measuring = Measuring(load_protocol(protocol), (), {})
    for sample in (bridge(tmp_path / "b", 40, given=2), epic(tmp_path / "e", 7, 207, given=2)):
        reading = measuring.reference_reading(sample)
        assert sample.reference is not None
        (measured,) = read_clips(sample.reference, [reading])
        assert reading.num_frames is not None
        np.testing.assert_array_equal(reader(sample, reading.num_frames), measured)


def test_short_clips_end_in_grey_under_seer_and_are_too_short_otherwise(tmp_path: Path) -> None:
    sample = bridge(tmp_path / "bridge", 5)
    assert numbers(ClipReader("seer")(sample, 8)) == [1, 2, 3, 4, 5, *[PADDING] * 3]
    for reader in (ClipReader(), ClipReader("spread")):
        with pytest.raises(TooShortError):
            reader(sample, 8)


@pytest.mark.parametrize("frames", ["first", "spread", "seer"])
def test_a_clip_that_leaves_nothing_to_predict_is_too_short_in_every_way(tmp_path: Path, frames: str) -> None:
    sample = bridge(tmp_path / "bridge", 3, given=3)
    with pytest.raises(TooShortError, match="gives 3 frames, and the first 3 are for the method"):
        ClipReader(frames)(sample, 8)


def test_a_sample_without_a_clip_is_named() -> None:
    with pytest.raises(VideoError, match="'x' has no clip"):
        ClipReader("seer")(Sample("x", "open box", "x"), 8)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frames": "spread", "stride": 2}, "not of 'spread'; got 2"),
        ({"frames": "seer", "stride": 2}, "not of 'seer'; got 2"),
        ({"frames": "seer", "fps": 8.0}, "whatever their rate; got 8 fps"),
    ],
)
def test_what_would_not_be_applied_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(RunFileError, match=message):
        ClipReader(**settings)
