"""Which frames make a clip."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import pytest

from reelbench.datasets.video.frame_selection import AtRate, Every, Shown, in_window, random_start


def shown(times_ms: list[int], last_ms: int) -> list[Shown[int]]:
    ends = [*times_ms[1:], last_ms]
    return [
        Shown(Fraction(start, 1000), Fraction(end, 1000), index)
        for index, (start, end) in enumerate(zip(times_ms, ends, strict=True))
    ]


def every(frames: Iterable[Shown[int]], stride: int) -> list[int]:
    return choose(Every(stride), frames)


def at_rate(frames: Iterable[Shown[int]], step_s: Fraction, end_s: Fraction | None) -> list[int]:
    return choose(AtRate(step_s, end_s), frames)


def choose(rule: Every[int] | AtRate[int], frames: Iterable[Shown[int]]) -> list[int]:
    return [*(index for frame in frames for index in rule.see(frame)), *rule.end()]


def test_every_takes_each_stride_th() -> None:
    assert every(shown([0, 40, 80, 120, 160], 200), 2) == [0, 2, 4]


def test_window_is_half_open_and_forgives_rounded_timestamps() -> None:
    frames = shown([0, 42, 83, 125, 167], 208)  # 24 fps as Matroska rounds it
    inside = in_window(frames, Fraction(1, 24), Fraction(3, 24))
    assert [f.frame for f in inside] == [1, 2]


def test_window_reads_no_further_than_its_end() -> None:
    frames = iter(shown([0, 40, 80, 120], 160))
    assert [f.frame for f in in_window(frames, None, Fraction(40, 1000))] == [0]
    assert [f.frame for f in frames] == [2, 3]


def test_at_rate_takes_the_frame_on_screen() -> None:
    frames = shown([0, 40, 80, 500, 1000, 1040], 1080)
    # 0, 100, ..., 1000 ms: the frame of 80 ms stands until 500, that of 500 until 1000.
    assert at_rate(frames, Fraction(1, 10), None) == [0, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4]


def test_at_rate_starts_at_the_first_frame_and_ends_with_the_last() -> None:
    assert at_rate(shown([500, 600, 700], 800), Fraction(1, 10), None) == [0, 1, 2]
    assert at_rate(shown([500, 600, 700], 800), Fraction(1, 10), Fraction(7, 10)) == [0, 1]
    assert at_rate([], Fraction(1, 10), None) == []


def test_at_rate_above_the_stored_rate_repeats_frames() -> None:
    assert at_rate(shown([0, 100], 200), Fraction(1, 20), None) == [0, 0, 1, 1]


@pytest.mark.parametrize(("num_frames", "stride", "possible"), [(1, 1, 10), (4, 1, 7), (4, 3, 1), (10, 1, 1)])
def test_random_start_reaches_exactly_the_starts_that_fit(
    num_frames: int, stride: int, possible: int
) -> None:
    window = [Shown(f.start_s, f.end_s, None) for f in shown(list(range(0, 400, 40)), 400)]
    starts = {random_start(window, num_frames, stride, None, None, seed) for seed in range(300)}
    assert starts == {Fraction(40 * index, 1000) for index in range(possible)}


def test_random_start_by_rate_leaves_room_for_the_last_frame() -> None:
    window = [Shown(f.start_s, f.end_s, None) for f in shown(list(range(0, 400, 40)), 400)]
    starts = {random_start(window, 4, 1, Fraction(1, 10), None, seed) for seed in range(100)}
    # The fourth frame is due 300 ms after the first and must be due before 400 ms.
    assert starts == {Fraction(0), Fraction(40, 1000), Fraction(80, 1000)}


def test_random_start_without_room() -> None:
    window = [Shown(f.start_s, f.end_s, None) for f in shown([0, 40], 80)]
    assert random_start(window, 3, 1, None, None, 0) is None
    assert random_start([], 1, 1, None, None, 0) is None
