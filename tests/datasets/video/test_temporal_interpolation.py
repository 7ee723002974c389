"""Seer's clips of a fixed length, against torch's interpolation, which Seer calls."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reelbench.core.errors import VideoError
from reelbench.datasets.video.temporal_interpolation import PADDING, seer_frames, seer_stride


def noise(num_frames: int) -> np.ndarray:
    return np.random.default_rng(num_frames).integers(0, 256, (num_frames, 6, 5, 3), np.uint8)


@pytest.mark.parametrize(("total", "wanted"), [(40, 12), (17, 16), (13, 12), (150, 16), (12, 1), (2, 1)])
def test_a_longer_clip_is_torchs_trilinear_interpolation_cut_to_bytes(total: int, wanted: int) -> None:
    frames = noise(total)
    video_1CTHW = torch.from_numpy(frames).double().permute(3, 0, 1, 2)[None]
    size = (wanted, *frames.shape[1:3])
    blended = torch.nn.functional.interpolate(video_1CTHW, size=size, mode="trilinear")
    expected = blended[0].permute(1, 2, 3, 0).numpy()
    got = seer_frames(frames, wanted)
    assert got.dtype == np.uint8
    # Cut off: at most one below, and exact but for torch's rounding where the blend is a whole number.
    assert ((expected + 1e-9 >= got) & (got > expected - 1 - 1e-9)).all()
    off = np.abs(expected - np.rint(expected)) > 1e-6
    np.testing.assert_array_equal(got[off], np.floor(expected)[off])


def test_it_blends_neighbours() -> None:
    frames = np.zeros((4, 1, 1, 3), np.uint8)
    frames[1] = 201
    # Four frames to two: frame 0 lies halfway between the first two.
    assert seer_frames(frames, 2)[:, 0, 0, 0].tolist() == [100, 0]


def test_what_does_not_move_stays_as_it_is() -> None:
    for value in range(256):
        still = np.full((37, 1, 1, 3), value, np.uint8)
        assert (seer_frames(still, 12) == value).all()


def test_a_clip_of_the_wanted_length_is_exact_and_a_shorter_one_ends_in_grey() -> None:
    frames = noise(12)
    np.testing.assert_array_equal(seer_frames(frames, 12), frames)
    padded = seer_frames(frames, 16)
    np.testing.assert_array_equal(padded[:12], frames)
    assert (padded[12:] == PADDING).all()
    # Seer pads with 0 in [-1, 1] and cuts to bytes where it measures.
    assert int((torch.zeros(1) + 1).div(2).mul(255).item()) == PADDING


@pytest.mark.parametrize(
    ("start", "stop"),
    [(1, 1), (8, 107), (8, 108), (1, 200), (1, 201), (5, 205), (1, 300), (1, 301), (7, 3000)],
)
def test_the_stride_of_long_actions_is_seers_range_over_frame_numbers(start: int, stop: int) -> None:
    # Seer: from 100 frames of difference on, every (stop - start) // 100-th frame.
    step = (stop - start) // 100 if stop - start >= 100 else 1
    total = stop - start + 1
    assert seer_stride(total) == step
    taken = len(range(start, stop + 1, step))
    assert taken == total if total <= 200 else 101 <= taken <= 150


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(VideoError, match="at least 1, got 0"):
        seer_frames(noise(3), 0)
    with pytest.raises(VideoError, match="without frames"):
        seer_frames(noise(3)[:0], 4)
