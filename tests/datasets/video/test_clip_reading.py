"""One way to read a reference clip, whether it is a video file or a folder of pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reelbench.core.errors import TooShortError, VideoError
from reelbench.core.file_digests import FileDigests
from reelbench.core.types import ClipRef
from reelbench.datasets.video import (
    Reading,
    clip_digest,
    frame_folder,
    read_clip,
    read_clips,
    reference_clip,
    write_lossless,
)
from reelbench.datasets.video.decoding import decode_file


def numbered(num_frames: int) -> np.ndarray:
    """Frames [T,6,8,3] of one value each: that of frame t is t."""
    return np.repeat(np.arange(num_frames, dtype=np.uint8), 6 * 8 * 3).reshape(-1, 6, 8, 3)


def save(folder: Path, numbers: list[int], name: str = "frame_{:05d}.png") -> Path:
    """A folder in which the picture of number n has the value n."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        Image.new("RGB", (8, 6), (number, number, number)).save(folder / name.format(number))
    return folder


def values(frames: np.ndarray) -> list[int]:
    return [int(value) for value in frames[:, 0, 0, 0]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(tmp_path / "clip", list(range(1, 13)))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_lossless(tmp_path / "clip.mkv", numbered(12), 8.0)
    return tmp_path / "clip.mkv"


# What is read


def test_a_file_reads_as_it_is_decoded(file: Path) -> None:
    ref = ClipRef(file, start_s=0.25)
    (decoded,) = decode_file(ref, [Reading(4, stride=2)])
    assert np.array_equal(read_clip(ref, 4, stride=2), decoded)


def test_a_folder_reads_in_the_order_of_its_numbers(folder: Path) -> None:
    assert values(read_clip(ClipRef(folder))) == list(range(1, 13))
    assert values(read_clip(ClipRef(folder), 3, stride=4)) == [1, 5, 9]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (3, 5, [3, 4, 5]),
        (None, 2, [1, 2]),
        (11, None, [11, 12]),
        (4, 4, [4]),
        (None, None, list(range(1, 13))),
    ],
)
def test_a_window_counts_by_the_numbers_in_the_names(
    folder: Path, first: int | None, last: int | None, expected: list[int]
) -> None:
    assert values(read_clip(ClipRef(folder, first_frame=first, last_frame=last))) == expected


def test_the_rate_of_a_folder_is_that_of_its_reference(folder: Path) -> None:
    assert values(read_clip(ClipRef(folder, fps=4.0), 3, fps=2.0)) == [1, 3, 5]
    assert values(read_clip(ClipRef(folder, fps=4.0, first_frame=2), 3, fps=2.0)) == [2, 4, 6]
    assert values(read_clip(ClipRef(folder), 3, fps=2.0)) == [1, 2, 3]  # unknown: every picture counts


def test_a_file_states_its_own_rate(file: Path) -> None:
    assert values(read_clip(ClipRef(file, fps=4.0), 3, fps=4.0)) == [0, 2, 4]


def test_a_seeded_start_stays_in_the_window(folder: Path) -> None:
    ref = ClipRef(folder, first_frame=5, last_frame=9)
    starts = {values(read_clip(ref, 3, start=seed))[0] for seed in range(40)}
    assert starts == {5, 6, 7}


def test_several_readings_open_each_picture_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    original = frame_folder.read_picture

    def counting(path: Path) -> np.ndarray:
        opened.append(path.name)
        return original(path)

    monkeypatch.setattr(frame_folder, "read_picture", counting)
    readings = [Reading(3), Reading(3, stride=2), Reading(), Reading(3, fps=9.0)]
    results = read_clips(ClipRef(folder, fps=3.0), readings)
    assert [values(frames) for frames in results] == [
        [1, 2, 3],
        [1, 3, 5],
        list(range(1, 13)),
        [1, 1, 1],
    ]
    assert sorted(opened) == sorted(set(opened))
    assert len(opened) == 12


def test_an_error_concerns_its_own_reading_alone(folder: Path) -> None:
    (folder / "frame_00006.png").write_bytes(b"damaged")
    good, too_short, damaged = read_clips(ClipRef(folder), [Reading(5), Reading(99), Reading(6)])
    assert values(good) == [1, 2, 3, 4, 5]
    assert isinstance(too_short, TooShortError)
    assert isinstance(damaged, VideoError)
    assert "frame_00006.png" in damaged.message


# The first frames of a clip


@pytest.mark.parametrize(("num_frames", "expected"), [(4, 4), (12, 12), (13, 12), (None, 12)])
def test_as_many_first_frames_as_there_are(
    file: Path, folder: Path, num_frames: int | None, expected: int
) -> None:
    assert values(reference_clip(ClipRef(file), num_frames)) == list(range(expected))
    assert values(reference_clip(ClipRef(folder), num_frames)) == list(range(1, expected + 1))


def test_a_damaged_clip_is_no_short_one(folder: Path) -> None:
    (folder / "frame_00006.png").write_bytes(b"damaged")
    with pytest.raises(VideoError, match=r"frame_00006\.png"):
        reference_clip(ClipRef(folder), 20)


# What is refused


@pytest.mark.parametrize(
    ("numbers", "first", "last", "message"),
    [
        ([3, 5], 3, 5, "lacks frame 4;"),
        ([3, 5], None, 5, "lacks frame 4;"),
        ([3, 5], 3, None, "lacks frame 4;"),
        ([3, 4], 0, 6, "lacks frames 0 to 2, 5 to 6;"),
        ([3, 4], 9, None, "lacks frames 9 and on;"),
        ([3, 4], None, 1, "lacks frames 3 and on;"),
        (list(range(0, 30, 2)), 0, 28, "lacks frames 1, 3, 5, 7, 9, and 9 more;"),
    ],
)
def test_missing_frames_of_a_window_are_named(
    tmp_path: Path, numbers: list[int], first: int | None, last: int | None, message: str
) -> None:
    ref = ClipRef(save(tmp_path / "clip", numbers), first_frame=first, last_frame=last)
    with pytest.raises(VideoError, match=message):
        read_clip(ref, 1)
    with pytest.raises(VideoError, match=message):
        clip_digest(ref, FileDigests(None))


@pytest.mark.parametrize(("first", "last"), [(-1, 3), (5, 4), (None, -2)])
def test_windows_that_cannot_be(folder: Path, first: int | None, last: int) -> None:
    with pytest.raises(VideoError, match=f"got {first} to {last}"):
        read_clip(ClipRef(folder, first_frame=first, last_frame=last))


def test_a_window_needs_numbers(tmp_path: Path) -> None:
    ref = ClipRef(save(tmp_path / "clip", [1], "first.png"), first_frame=0)
    with pytest.raises(
        VideoError, match=r"'first\.png' has no number in its name, and a window counts by them"
    ):
        read_clip(ref)


def test_a_window_of_the_wrong_kind_is_not_passed_over(folder: Path, file: Path) -> None:
    with pytest.raises(VideoError, match="in frame numbers, not in seconds"):
        read_clip(ClipRef(folder, start_s=1.0))
    with pytest.raises(VideoError, match="in seconds, not in frame numbers"):
        read_clip(ClipRef(file, last_frame=3))


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"gone\.mp4"):
        read_clip(ClipRef(tmp_path / "gone.mp4"))
    with pytest.raises(VideoError, match=r"cannot read the folder of frames .*gone"):
        read_clip(ClipRef(tmp_path / "gone", last_frame=4))


# Digests


def test_the_digest_of_a_file_is_that_of_its_content(file: Path, tmp_path: Path) -> None:
    files = FileDigests(None)
    copy = tmp_path / "other.mkv"
    copy.write_bytes(file.read_bytes())
    assert clip_digest(ClipRef(file), files) == clip_digest(ClipRef(copy, end_s=1.0), files)
    with pytest.raises(OSError, match=r"gone\.mkv"):
        clip_digest(ClipRef(tmp_path / "gone.mkv"), files)


def test_the_digest_of_a_folder_is_that_of_its_window(folder: Path, tmp_path: Path) -> None:
    files = FileDigests(None)
    whole = clip_digest(ClipRef(folder), files)
    assert whole == clip_digest(ClipRef(folder, first_frame=1, last_frame=12, fps=8.0), files)
    early = ClipRef(folder, last_frame=6)
    before = clip_digest(early, files)
    assert before != whole
    Image.new("RGB", (8, 6), (99, 0, 0)).save(folder / "frame_00007.png")
    assert clip_digest(early, files) == before
    assert clip_digest(ClipRef(folder), FileDigests(None)) != whole
    assert clip_digest(ClipRef(save(tmp_path / "elsewhere", list(range(1, 7)))), files) == before
    with pytest.raises(VideoError, match="cannot read the folder"):
        clip_digest(ClipRef(tmp_path / "gone", fps=8.0), files)
