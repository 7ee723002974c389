"""Several readings of one file from one decoding pass: the frames that each would get alone."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelbench.core.errors import VideoError
from reelbench.core.types import ClipRef
from reelbench.datasets.video import Reading, file, read_clip, read_clips
from reelbench.datasets.video.pictures import RgbReader

UNEVEN_MS = list(itertools.accumulate([0] + [40, 40, 420, 40, 40, 500, 40, 120, 33, 33, 34, 250] * 2))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, encode_video: Callable[..., Path]) -> dict[str, Path]:
    """Videos of 25 to 30 frames of many kinds."""
    root = tmp_path_factory.mktemp("videos")
    kinds = {
        "b_frames.mp4": {"codec_options": {"bf": "3"}},
        "open_gop.mkv": {"codec_options": {"bf": "3", "x264-params": "open-gop=1:scenecut=0"}},
        "vp9.webm": {"codec": "libvpx-vp9", "codec_options": {"deadline": "realtime", "cpu-used": "8"}},
        "mpeg2.ts": {"codec": "mpeg2video", "codec_options": {"bf": "2", "b": "2000000"}},
        "mpeg4.avi": {"codec": "mpeg4", "codec_options": {"b": "2000000"}},
        "uneven.mkv": {"num_frames": 25, "times_ms": UNEVEN_MS, "codec_options": {"bf": "2"}},
        "uneven.mp4": {"num_frames": 25, "times_ms": UNEVEN_MS, "codec_options": {"bf": "0"}},
        "turned.mp4": {"rotation": (90, False, False)},
    }
    return {name: encode_video(root / name, **settings) for name, settings in kinds.items()}


def all_frames(path: Path) -> list[tuple[Fraction, Fraction, np.ndarray]]:
    """(start, end, picture) of every frame, with nothing but PyAV and the reader's conversion to RGB."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        assert stream.average_rate is not None
        found = []
        for frame in container.decode(stream):
            start = (frame.pts - (stream.start_time or 0)) * stream.time_base
            length = frame.duration * stream.time_base if frame.duration else 1 / stream.average_rate
            found.append((start, start + length, RgbReader().rgb(path, frame)))
    return found


def expected_frames(
    frames: list[tuple[Fraction, Fraction, np.ndarray]], ref: ClipRef, reading: Reading
) -> np.ndarray | None:
    """The reading's frames, chosen after the fact from all frames; None where there are too few."""
    ms = Fraction(1, 1000)
    begin, end = Fraction(ref.start_s or 0), Fraction(ref.end_s or 10**6)
    inside = [item for item in frames if begin - ms <= item[0] < end - ms]
    if not inside:
        return None
    end = min(end, inside[-1][1])  # the last frame counts until its own end
    step = reading.stride or 1
    if reading.fps is None:
        chosen = [picture for _, _, picture in inside[::step]]
    else:
        chosen = []
        for k in itertools.count():
            time = inside[0][0] + k * step / Fraction(reading.fps).limit_denominator(100_000)
            if time >= end - ms:
                break
            chosen.append([picture for start, _, picture in inside if start <= time + ms][-1])
    if reading.num_frames is not None:
        if len(chosen) < reading.num_frames:
            return None
        chosen = chosen[: reading.num_frames]
    return np.stack(chosen)


READINGS = st.builds(
    lambda num_frames, stride, fps, seed: Reading(
        num_frames, stride, fps, "first" if seed is None or num_frames is None else seed
    ),
    st.none() | st.integers(1, 32),
    st.none() | st.integers(1, 7),
    st.none() | st.sampled_from([3.0, 8.0, 12.5, 24.0, 25.0, 29.97, 60.0]),
    st.none() | st.integers(0, 9),
)
WINDOWS = st.sampled_from([(None, None), (0.1, None), (0.5, 1.0), (None, 0.7), (0.61, 1.1), (9.0, None)])
NAMES = ["b_frames.mp4", "open_gop.mkv", "vp9.webm", "mpeg2.ts", "mpeg4.avi", "uneven.mkv", "uneven.mp4"]


@settings(max_examples=80, deadline=None)
@given(
    name=st.sampled_from([*NAMES, "turned.mp4"]),
    window=WINDOWS,
    readings=st.lists(READINGS, min_size=1, max_size=4),
)
def test_each_reading_gets_the_bytes_that_it_gets_alone(
    videos: dict[str, Path], name: str, window: tuple[float | None, float | None], readings: list[Reading]
) -> None:
    ref = ClipRef(videos[name], *window)
    for reading, found in zip(readings, read_clips(ref, readings), strict=True):
        arguments = (reading.num_frames, reading.stride, reading.fps, reading.start)
        if isinstance(found, VideoError):
            with pytest.raises(VideoError) as alone:
                read_clip(ref, *arguments)
            assert alone.value.message == found.message
        else:
            assert np.array_equal(found, read_clip(ref, *arguments))
            assert found.flags.c_contiguous


@settings(max_examples=80, deadline=None)
@given(
    name=st.sampled_from([*NAMES, "turned.mp4"]),
    window=WINDOWS,
    readings=st.lists(READINGS.filter(lambda reading: reading.start == "first"), min_size=1, max_size=3),
)
def test_the_frames_are_those_chosen_by_hand_from_all_frames(
    videos: dict[str, Path], name: str, window: tuple[float | None, float | None], readings: list[Reading]
) -> None:
    ref = ClipRef(videos[name], *window)
    frames = all_frames(videos[name])
    for reading, found in zip(readings, read_clips(ref, readings), strict=True):
        expected = expected_frames(frames, ref, reading)
        if expected is None:
            assert isinstance(found, VideoError)
        else:
            assert np.array_equal(found, expected)


def test_seeded_starts_are_frames_of_the_video(
    videos: dict[str, Path], frame_numbers: Callable[[np.ndarray], list[int]]
) -> None:
    readings = [Reading(4, 2, None, seed) for seed in range(10)]
    starts = set()
    for found in read_clips(ClipRef(videos["b_frames.mp4"]), readings):
        assert not isinstance(found, VideoError)
        first, *others = frame_numbers(found)
        assert others == [first + 2, first + 4, first + 6]
        starts.add(first)
    assert len(starts) > 4


def test_an_error_concerns_its_reading_alone(
    videos: dict[str, Path], frame_numbers: Callable[[np.ndarray], list[int]]
) -> None:
    readings = [Reading(31), Reading(2), Reading(99, start=4), Reading(3, stride=10), Reading(3, stride=15)]
    long, two, seeded, three, wide = read_clips(ClipRef(videos["b_frames.mp4"]), readings)
    assert "gives 30 of the 31 frames" in str(long)
    assert "too few for 99" in str(seeded)
    assert "gives 2 of the 3 frames" in str(wide)
    assert [frame_numbers(clip) for clip in (two, three)] == [[0, 1], [0, 10, 20]]


def test_a_file_that_is_no_video_is_an_error_of_every_reading(tmp_path: Path) -> None:
    readings = [Reading(1), Reading(2, start=5), Reading()]
    for found in read_clips(ClipRef(tmp_path / "nowhere.mp4"), readings):
        assert "nowhere.mp4' does not exist" in str(found)


def test_a_reading_before_the_damage_succeeds_beside_one_behind_it(
    tmp_path: Path, videos: dict[str, Path], frame_numbers: Callable[[np.ndarray], list[int]]
) -> None:
    data = videos["mpeg2.ts"].read_bytes()
    (tmp_path / "cut.ts").write_bytes(data[: len(data) * 2 // 3])
    short, everything = read_clips(ClipRef(tmp_path / "cut.ts"), [Reading(5), Reading(30)])
    assert frame_numbers(short) == [0, 1, 2, 3, 4]
    assert isinstance(everything, VideoError)


@pytest.mark.parametrize("place", [0.9, 0.92, 0.9375, 0.95, 0.97])
@pytest.mark.parametrize("seed", [3, 7])
def test_a_damaged_index_of_avi_leads_to_no_other_frames(
    tmp_path: Path, videos: dict[str, Path], place: float, seed: int
) -> None:
    """FFmpeg takes the times behind a seek from the index, damaged as it is."""
    data = bytearray(videos["mpeg4.avi"].read_bytes())
    at = int(len(data) * place)
    data[at : at + 40] = bytes(value ^ 0x5A for value in data[at : at + 40])
    path = tmp_path / "damaged.avi"
    path.write_bytes(data)
    readings = [Reading(1), Reading(1, start=seed)]
    for reading, found in zip(readings, read_clips(ClipRef(path), readings), strict=True):
        (alone,) = read_clips(ClipRef(path), [reading])
        assert isinstance(found, VideoError) == isinstance(alone, VideoError)
        if not isinstance(found, VideoError):
            assert np.array_equal(found, alone)


@settings(max_examples=40, deadline=None)
@given(
    place=st.floats(0.05, 0.95),
    name=st.sampled_from(["mpeg2.ts", "open_gop.mkv", "mpeg4.avi"]),
    start_s=st.sampled_from([None, 0.2]),
    readings=st.lists(
        READINGS.filter(lambda reading: reading.num_frames is not None), min_size=2, max_size=4
    ),
)
def test_on_damaged_files_too_no_reading_depends_on_those_beside_it(
    tmp_path_factory: pytest.TempPathFactory,
    videos: dict[str, Path],
    place: float,
    name: str,
    start_s: float | None,
    readings: list[Reading],
) -> None:
    data = bytearray(videos[name].read_bytes())
    at = int(len(data) * place)
    data[at : at + 40] = bytes(value ^ 0x5A for value in data[at : at + 40])
    path = tmp_path_factory.mktemp("damaged") / name
    path.write_bytes(data)
    ref = ClipRef(path, start_s)
    for reading, found in zip(readings, read_clips(ref, readings), strict=True):
        (alone,) = read_clips(ref, [reading])
        assert isinstance(found, VideoError) == isinstance(alone, VideoError)
        if not isinstance(found, VideoError):
            assert np.array_equal(found, alone)


def test_a_reading_that_begins_behind_the_damage_succeeds_beside_one_that_runs_into_it(
    tmp_path: Path, encode_video: Callable[..., Path], frame_numbers: Callable[[np.ndarray], list[int]]
) -> None:
    path = encode_video(tmp_path / "clip.mkv", codec="mpeg4", num_frames=60, key_every=6)
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    place, size = places[13]
    data[place + 12 : place + size] = bytes(size - 12)  # the head of the block stays
    path.write_bytes(data)
    into, *behind = read_clips(ClipRef(path), [Reading(40), *(Reading(5, start=seed) for seed in range(12))])
    assert isinstance(into, VideoError)
    starts = [frame_numbers(clip)[0] for clip in behind if not isinstance(clip, VideoError)]
    assert len([start for start in starts if start >= 18]) >= 3
    for seed, clip in enumerate(behind):
        (alone,) = read_clips(ClipRef(path), [Reading(5, start=seed)])
        assert isinstance(clip, VideoError) == isinstance(alone, VideoError)


def test_a_video_that_changes_its_size_is_refused_by_readings_that_reach_the_change(
    tmp_path: Path, encode_video: Callable[..., Path]
) -> None:
    parts = [
        encode_video(tmp_path / f"{size}.h264", pictures=[np.full((size, size, 3), 90, np.uint8)] * 5)
        for size in (32, 48)
    ]
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    five, six = read_clips(ClipRef(path), [Reading(5), Reading(6)])
    assert five.shape == (5, 32, 32, 3)
    assert "changes its size from 32 x 32 to 48 x 48" in str(six)


# One pass, and no more of it than needed


class Counted:
    """What was opened, decoded and converted while it is in place."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.passes = self.frames = self.conversions = 0
        decode, rgb = file.decode, RgbReader.rgb

        def counting_decode(*arguments: Any) -> Iterator[Any]:
            self.passes += 1
            for shown in decode(*arguments):
                self.frames += 1
                yield shown

        def counting_rgb(*arguments: Any) -> np.ndarray:
            self.conversions += 1
            return rgb(*arguments)

        patch.setattr(file, "decode", counting_decode)
        patch.setattr(RgbReader, "rgb", counting_rgb)


def test_one_pass_serves_all_and_a_shared_frame_is_converted_once(
    videos: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted(monkeypatch)
    readings = [Reading(8), Reading(8, stride=2), Reading(4, fps=12.5), Reading(16, fps=50.0)]
    results = read_clips(ClipRef(videos["b_frames.mp4"]), readings)
    assert [len(result) for result in results] == [8, 8, 4, 16]
    assert counted.passes == 1
    # Frames 0 to 7, and 8, 10, 12, 14 for the stride of two; by rate, one frame more tells how long the
    # last one is on screen.
    assert counted.conversions == 8 + 4
    assert counted.frames <= 16


def test_windows_are_entered_by_a_seek(
    tmp_path: Path, encode_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode_video(tmp_path / "long.mp4", num_frames=200, key_every=10)
    counted = Counted(monkeypatch)
    results = read_clips(ClipRef(path, 6.0), [Reading(4), Reading(4, stride=3)])
    assert [len(result) for result in results] == [4, 4]
    assert (counted.passes, counted.conversions) == (1, 4 + 2)
    assert counted.frames <= 10 + 10


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory, encode_video: Callable[..., Path]) -> Path:
    """2,000 frames of 64 x 32: 12 MB of pictures."""
    return encode_video(
        tmp_path_factory.mktemp("long") / "long.mp4",
        num_frames=2000,
        key_every=250,
        codec_options={"preset": "ultrafast"},
    )


def peak_bytes(path: Path, readings: list[Reading], **limits: int) -> tuple[int, list[Any]]:
    tracemalloc.start()
    try:
        results = read_clips(ClipRef(path), readings, **limits)
        return tracemalloc.get_traced_memory()[1], results
    finally:
        tracemalloc.stop()


def test_memory_is_that_of_the_frames_wanted_however_long_the_video(long_video: Path) -> None:
    frame = 32 * 64 * 3
    peak, results = peak_bytes(long_video, [Reading(16, stride=120), Reading(16, fps=0.25)])
    assert [len(result) for result in results] == [16, 16]
    assert peak < 100 * frame


def test_a_clip_is_never_in_memory_twice() -> None:
    # In a process of its own: the peak of the resident memory never falls again.
    code = """if True:
        from pathlib import Path
        import numpy as np
        from reelbench.datasets.video.reading import stacked

        def peak_mib():
            # ru_maxrss begins at the peak of the process that started this one
            return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024

        pictures = [np.full((1024, 1024, 1), t, np.uint8) for t in range(200)]
        before = peak_mib()
        clip = stacked(pictures)
        assert not pictures and [int(frame[5, 5, 0]) for frame in clip] == list(range(200))
        print(before, peak_mib())
    """
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    before, after = map(float, output.split())
    assert before > 200
    assert after - before < 50


def test_a_reading_of_more_than_the_limit_is_refused_and_the_others_are_not(
    long_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = 32 * 64 * 3
    counted = Counted(monkeypatch)
    whole, many, few = read_clips(
        ClipRef(long_video), [Reading(), Reading(1500), Reading(8, stride=60)], max_bytes=100 * frame
    )
    assert "has more than 100 frames of 64 x 32" in str(whole)
    assert "1500 frames of 64 x 32 take more than" in str(many)
    assert len(few) == 8
    assert counted.frames <= 7 * 60 + 1
    assert isinstance(read_clips(ClipRef(long_video), [Reading(100)], max_bytes=100 * frame)[0], np.ndarray)


def test_seeded_readings_share_one_look_at_the_timestamps(
    long_video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    original = file.timestamps
    monkeypatch.setattr(file, "timestamps", lambda *a: looks.append(a) or original(*a))
    results = read_clips(ClipRef(long_video), [Reading(2, start=seed) for seed in range(4)])
    assert len({result.tobytes() for result in results}) > 1
    assert len(looks) == 1


def test_readings_out_of_range_cannot_be_made() -> None:
    for arguments in ({"num_frames": 0}, {"stride": 0}, {"fps": float("nan")}, {"start": 3}):
        with pytest.raises(VideoError):
            Reading(**arguments)


def test_nothing_is_left_open(videos: dict[str, Path]) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted, not walked
    for _ in range(5):
        read_clips(ClipRef(videos["vp9.webm"]), [Reading(3), Reading(99)])
    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208
