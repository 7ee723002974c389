"""Readings that blend all frames of a clip as Seer does, and clips that leave nothing to predict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reelbench.core.errors import TooShortError, VideoError
from reelbench.core.types import ClipRef, Frames
from reelbench.datasets.video import Reading, read_clip, read_clips, write_lossless
from reelbench.datasets.video.decoding import decode_file
from reelbench.datasets.video.temporal_interpolation import PADDING, seer_frames

BLEND = Reading(4, frames="seer")


def noise(num_frames: int) -> Frames:
    return np.random.default_rng(num_frames).integers(0, 256, (num_frames, 6, 8, 3), np.uint8)


def save_file(path: Path, frames: Frames) -> ClipRef:
    write_lossless(path, frames, 8.0)
    return ClipRef(path)


def save_folder(path: Path, frames: Frames) -> ClipRef:
    """Pictures from number 5 on, with one before and one behind the window."""
    path.mkdir()
    for number, frame in enumerate([frames[-1], *frames, frames[0]], 4):
        Image.fromarray(frame).save(path / f"{number:04d}.png")
    return ClipRef(path, first_frame=5, last_frame=4 + len(frames), fps=30.0)


@pytest.fixture(params=[save_file, save_folder])
def save(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Any]:
    return lambda num_frames: request.param(tmp_path / "clip.mkv", noise(num_frames))


@pytest.mark.parametrize("total", [3, 4, 5, 23])
def test_all_frames_of_the_window_are_blended_to_the_wanted_number(
    save: Callable[..., Any], total: int
) -> None:
    (blended,) = read_clips(save(total), [BLEND])
    np.testing.assert_array_equal(blended, seer_frames(noise(total), 4))
    assert (blended[3:] == PADDING).all() == (total < 4)


def test_a_file_has_a_window_too(tmp_path: Path) -> None:
    ref = replace(save_file(tmp_path / "clip.mkv", noise(20)), start_s=0.5, end_s=1.5)
    (blended,) = read_clips(ref, [BLEND])
    np.testing.assert_array_equal(blended, seer_frames(noise(20)[4:12], 4))


def test_with_a_stride_every_so_many_frames_enter(save: Callable[..., Any]) -> None:
    (blended,) = read_clips(save(23), [replace(BLEND, stride=3)])
    np.testing.assert_array_equal(blended, seer_frames(noise(23)[::3], 4))


def test_the_stride_of_a_clip_is_applied_by_whoever_asks_for_it(save: Callable[..., Any]) -> None:
    ref = replace(save(23), blend_stride=3)
    np.testing.assert_array_equal(read_clip(ref, 4), noise(23)[:4])
    blended = read_clip(ref, 4, ref.blend_stride, frames="seer")
    np.testing.assert_array_equal(blended, seer_frames(noise(23)[::3], 4))


def test_blended_and_exact_readings_come_from_one_pass(save: Callable[..., Any]) -> None:
    readings = [Reading(4), BLEND, Reading(4, stride=2), Reading(30), Reading(20, frames="seer")]
    exact, blended, even, short, many = read_clips(save(23), readings)
    np.testing.assert_array_equal(exact, noise(23)[:4])
    np.testing.assert_array_equal(blended, seer_frames(noise(23), 4))
    np.testing.assert_array_equal(even, noise(23)[:8:2])
    assert isinstance(short, TooShortError)
    np.testing.assert_array_equal(many, seer_frames(noise(23), 20))


def test_all_that_is_blended_must_fit_into_memory(save: Callable[..., Any]) -> None:
    size = noise(1).nbytes
    (refused,) = read_clips(save(23), [BLEND], max_bytes=22 * size)
    assert isinstance(refused, VideoError)
    assert not isinstance(refused, TooShortError)


@pytest.mark.parametrize(
    "reading", [Reading(num_given=3), Reading(9, num_given=3), replace(BLEND, num_given=3)]
)
def test_a_clip_without_a_frame_behind_the_given_ones_is_too_short_however_it_is_read(
    save: Callable[..., Any], reading: Reading
) -> None:
    (refused,) = read_clips(save(3), [reading])
    assert isinstance(refused, TooShortError)
    assert "gives 3 frames, and the first 3 are for the method: none is left to predict" in refused.message
    assert "clip.mkv" in refused.message


def test_one_frame_behind_the_given_ones_is_enough_for_readings_that_take_what_there_is(
    save: Callable[..., Any],
) -> None:
    ref = save(3)
    everything, blended, exact = read_clips(
        ref, [Reading(num_given=2), replace(BLEND, num_given=2), Reading(9, num_given=2)]
    )
    assert len(everything) == 3
    np.testing.assert_array_equal(blended, seer_frames(noise(3), 4))
    assert "gives 3 of the 9 frames asked for" in exact.message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": "seer"}, "num_frames None"),
        ({"frames": "seer", "num_frames": 4, "fps": 8.0}, "fps 8"),
        ({"frames": "seer", "num_frames": 4, "start": 7}, "start 7"),
        ({"frames": "mixed"}, "'exact' or 'seer', got 'mixed'"),
        ({"num_given": -1}, "at least 0; got -1"),
        ({"num_given": 4, "num_frames": 4}, "less than num_frames, 4; got 4"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(VideoError, match=message):
        Reading(**arguments)


def test_a_blend_of_files_is_the_same_as_it_is_decoded(tmp_path: Path) -> None:
    ref = save_file(tmp_path / "clip.mkv", noise(9))
    (decoded,) = decode_file(ref, [BLEND])
    np.testing.assert_array_equal(decoded, read_clip(ref, 4, frames="seer"))
