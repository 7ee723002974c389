"""Clips and captions as they come: what `reelbench evaluate` makes of files that are not as they should be.

Small real files throughout; each is found, matched and read by the parts that `evaluate` is made of.
"""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.video.stream import VideoStream
from PIL import Image

from reelbench.core.errors import EvaluationError, VideoError
from reelbench.core.types import ClipRef, Frames
from reelbench.datasets.video import Reading, probe, read_clip, read_clips
from reelbench.evaluation import evaluate
from reelbench.evaluation.clip_list import StoredClip, find_clips, other_files
from reelbench.evaluation.matching import match

UNEVEN_MS = [0, *itertools.accumulate([40, 40, 420, 40, 500, 33, 34, 120, 40, 420, 33, 500])]


def encode(
    path: Path,
    num_frames: int = 20,
    size: tuple[int, int] = (32, 64),
    fps: int = 25,
    times_ms: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    rotation: int = 0,
    container_options: dict[str, str] | None = None,
) -> Path:
    """An H.264 video of frames that carry their number as eight black or white bars."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = size
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", **(options or {})})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.codec_context.thread_count = 1
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if rotation:
            stream.set_display_rotation(rotation, False, False)
        for index in range(num_frames):
            bars = np.array([255 * (index >> bit & 1) for bit in range(8)], np.uint8)
            picture = np.broadcast_to(np.repeat(bars, width // 8)[None, :, None], (height, width, 3))
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def numbers(frames: Frames) -> list[int]:
    bars = frames.mean(axis=(1, 3)).reshape(len(frames), 8, -1).mean(axis=2) > 127
    return [int(sum(1 << bit for bit in range(8) if row[bit])) for row in bars]


def read(clip: StoredClip, *readings: Reading, frame_rate: float | None = None) -> list[Frames | VideoError]:
    """The readings of a clip of either kind, each its frames or its error."""
    return read_clips(ClipRef(clip.path, fps=frame_rate), readings)


def save_frames(folder: Path, pictures: Sequence[Image.Image]) -> Path:
    folder.mkdir(parents=True)
    for index, picture in enumerate(pictures):
        picture.save(folder / f"frame{index}.png")
    return folder


def grey(value: int, size: tuple[int, int] = (16, 8)) -> Image.Image:
    return Image.new("RGB", size, (value,) * 3)


# Length, size and rate


def test_too_few_frames_are_an_error_of_that_reading_with_both_numbers(tmp_path: Path) -> None:
    encode(tmp_path / "video.mp4", num_frames=7)
    save_frames(tmp_path / "frames", [grey(t) for t in range(7)])
    for clip in find_clips(tmp_path).values():
        enough, short = read(clip, Reading(7), Reading(16))
        assert len(enough) == 7
        assert "7 of the 16 frames asked for" in str(short)
        assert isinstance(short, VideoError)
        assert short.hint is not None


def test_one_frame_is_a_clip_of_one_frame(tmp_path: Path) -> None:
    encode(tmp_path / "video.mp4", num_frames=1)
    save_frames(tmp_path / "frames", [grey(9)])
    for clip in find_clips(tmp_path).values():
        whole, one, two, resampled = read(clip, Reading(), Reading(1), Reading(2), Reading(1, fps=8.0))
        assert len(whole) == len(one) == len(resampled) == 1
        assert isinstance(two, VideoError)


def test_clips_of_different_sizes_and_rates_keep_their_own(tmp_path: Path) -> None:
    encode(tmp_path / "generated" / "a.mp4", num_frames=8, size=(32, 64), fps=8)
    encode(tmp_path / "real" / "a.mp4", num_frames=40, size=(48, 80), fps=30)
    (sample,) = match(find_clips(tmp_path / "generated"), find_clips(tmp_path / "real"), None, None).samples
    assert sample.generated is not None
    assert sample.reference is not None
    (ours,), (real,) = (read(clip, Reading(8, fps=8.0)) for clip in (sample.generated, sample.reference))
    assert (ours.shape, real.shape) == ((8, 32, 64, 3), (8, 48, 80, 3))
    assert numbers(ours) == list(range(8))
    assert numbers(real) == [0, 3, 7, 11, 15, 18, 22, 26]  # on screen at k / 8 s, of 30 a second
    assert [probe(clip.path).fps for clip in (sample.generated, sample.reference)] == [8.0, 30.0]


# Variable frame rate


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("num_b_frames", [0, 3])
def test_variable_frame_rate_is_read_whole_and_resampled_by_time(
    tmp_path: Path, suffix: str, num_b_frames: int
) -> None:
    path = encode(
        tmp_path / f"clip.{suffix}",
        num_frames=len(UNEVEN_MS),
        times_ms=UNEVEN_MS,
        options={"bf": str(num_b_frames), "x264-params": "b-adapt=0"},
    )
    whole, by_time = read_clips(ClipRef(path), [Reading(), Reading(21, fps=10.0)])
    assert numbers(whole) == list(range(len(UNEVEN_MS)))
    expected = [max(i for i, time in enumerate(UNEVEN_MS) if time <= 100 * k + 1) for k in range(21)]
    assert numbers(by_time) == expected


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts", "flv"])
@pytest.mark.parametrize("times_ms", [None, UNEVEN_MS])
def test_a_file_that_is_cut_off_between_packets_gives_true_frames_or_an_error(
    tmp_path: Path, suffix: str, times_ms: list[int]
) -> None:
    path = encode(
        tmp_path / f"clip.{suffix}",
        num_frames=len(UNEVEN_MS),
        times_ms=times_ms,
        options={"bf": "3", "x264-params": "b-adapt=0"},
        container_options={"movflags": "+faststart"} if suffix == "mp4" else None,
    )
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert isinstance(stream, VideoStream)
        places = {packet.pos for packet in container.demux(stream) if packet.size and packet.pos}
    data, num_refused = path.read_bytes(), 0
    for place in sorted(places):
        (tmp_path / f"cut.{suffix}").write_bytes(data[:place])
        for num_frames in (None, 3, 8):
            try:
                found = numbers(read_clip(ClipRef(tmp_path / f"cut.{suffix}"), num_frames))
            except VideoError:
                num_refused += 1
            else:
                assert found == list(range(len(found)))
    assert num_refused > len(places)


def test_where_a_container_cannot_tell_a_gap_from_a_loss_the_error_says_what_helps(tmp_path: Path) -> None:
    path = encode(
        tmp_path / "clip.ts",
        num_frames=len(UNEVEN_MS),
        times_ms=UNEVEN_MS,
        options={"bf": "3", "x264-params": "b-adapt=0"},
    )
    with pytest.raises(VideoError, match="seems to be cut off") as caught:
        read_clip(ClipRef(path))
    assert "OUT.mkv" in str(caught.value.hint)


# What is in the file


@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_a_rotated_video_stands_upright_in_every_reading(tmp_path: Path, rotation: int) -> None:
    path = encode(tmp_path / "phone.mp4", num_frames=6, rotation=rotation)
    (clip,) = find_clips(tmp_path).values()
    few, many = read(clip, Reading(2, stride=2), Reading())
    turned = [np.rot90(frame, -rotation // 90) for frame in many]
    assert numbers(np.stack(turned)) == list(range(6))
    assert np.array_equal(few, many[[0, 2]])
    assert many.shape[1:3] == ((32, 64) if rotation == 180 else (64, 32))
    assert (probe(path).height, probe(path).width) == many.shape[1:3]


def test_sound_without_pictures_is_found_by_its_suffix_and_refused_by_its_content(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "talk.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        for index in range(4):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 16000, index * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (clip,) = find_clips(tmp_path).values()
    for found in read(clip, Reading(1), Reading(4, start=1)):
        assert "talk.mp4' holds no video, only audio" in str(found)


def test_a_file_that_is_no_video_and_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mkv").write_text("no video\n" * 200)
    empty, text = (read(clip, Reading(1))[0] for clip in find_clips(tmp_path).values())
    assert "empty.mp4' is empty (0 bytes)" in str(empty)
    assert "text.mkv' is not a readable video" in str(text)


# Long clips: 2,000 tiny frames stand for 10,000


@pytest.fixture(scope="module")
def long_clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, StoredClip]:
    root = tmp_path_factory.mktemp("long")
    encode(root / "video.mp4", num_frames=2000, size=(16, 16))
    frames = root / "frames"
    frames.mkdir()
    data = {value: cv2.imencode(".png", np.full((16, 16, 3), value, np.uint8))[1] for value in range(256)}
    for index in range(2000):
        (frames / f"{index}.png").write_bytes(data[index % 256].tobytes())
    return find_clips(root)


FRAME = 16 * 16 * 3


@pytest.mark.parametrize("kind", ["video", "frames"])
def test_sixteen_frames_of_a_long_clip_take_the_memory_of_sixteen(
    long_clips: dict[str, Any], kind: str
) -> None:
    clip = long_clips[kind]
    read(clip, Reading(1))  # what is imported and cached at the first call is no frame
    tracemalloc.start()
    try:
        (first,) = read(clip, Reading(16))
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        (spread,) = read(clip, Reading(16, stride=100))
        memory_spread = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(first) == len(spread) == 16
    # A folder's listing costs some hundred bytes a name, whatever the size of the frames.
    listing = 2000 * 1200 if kind == "frames" else 0
    assert max(memory, memory_spread) < 60 * FRAME + listing + 100_000 < 2000 * FRAME + listing


def test_all_frames_of_a_long_clip_beyond_the_limit_are_refused(long_clips: dict[str, Any]) -> None:
    whole, few = read_clips(
        ClipRef(long_clips["video"].path), [Reading(), Reading(16)], max_bytes=500 * FRAME
    )
    assert "video.mp4': the clip has more than 500 frames of 16 x 16" in str(whole)
    assert "first frames only" in str(whole)
    assert len(few) == 16
    (refused,) = read_clips(ClipRef(long_clips["frames"].path), [Reading()], max_bytes=500 * FRAME)
    assert "2000 frames of 16 x 16 take more than" in str(refused)
    (everything,) = read_clips(ClipRef(long_clips["video"].path), [Reading()], max_bytes=2000 * FRAME)
    assert len(everything) == 2000


# Folders of frames


def test_16_bit_frames_are_those_of_8_bits(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (3, 8, 16, 3), dtype=np.uint8)
    save_frames(tmp_path / "eight", [Image.fromarray(frame) for frame in values])
    (tmp_path / "sixteen").mkdir()
    for index, frame in enumerate(values):
        path = tmp_path / "sixteen" / f"{index}.png"
        assert cv2.imwrite(str(path), frame[..., ::-1].astype(np.uint16) * 257)
    eight, sixteen = (read(clip, Reading())[0] for clip in find_clips(tmp_path).values())
    assert np.array_equal(eight, sixteen)
    assert np.array_equal(eight, values)


def test_opaque_alpha_is_dropped_and_transparency_lies_on_white(tmp_path: Path) -> None:
    save_frames(tmp_path / "opaque", [grey(t).convert("RGBA") for t in range(3)])
    see_through = [grey(t).convert("RGBA") for t in range(3)]
    see_through[2].putpixel((4, 4), (0, 0, 0, 0))
    save_frames(tmp_path / "see_through", see_through)
    opaque, transparent = find_clips(tmp_path).values()
    assert [int(frame[0, 0, 0]) for frame in read(opaque, Reading())[0]] == [0, 1, 2]
    assert read(transparent, Reading())[0][2, 4, 4].tolist() == [255, 255, 255]


def test_a_damaged_frame_is_named_and_readings_that_do_not_want_it_succeed(tmp_path: Path) -> None:
    folder = save_frames(tmp_path / "clip", [grey(t, (64, 64)) for t in range(6)])
    data = bytearray((folder / "frame3.png").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (folder / "frame3.png").write_bytes(data)
    (clip,) = find_clips(tmp_path).values()
    whole, even = read(clip, Reading(), Reading(3, stride=2))
    assert "frame3.png' cannot be read as a picture" in str(whole)
    assert [int(frame[0, 0, 0]) for frame in even] == [0, 2, 4]


def test_frames_of_mixed_sizes_are_an_error_that_names_the_first_other(tmp_path: Path) -> None:
    save_frames(tmp_path / "clip", [grey(0), grey(1), grey(2, (16, 9)), grey(3, (8, 8))])
    (clip,) = find_clips(tmp_path).values()
    (found,) = read(clip, Reading())
    assert "frame2.png' is 16 x 9, the first frame of its folder 16 x 8" in str(found)


# Captions


def test_captions_without_clips_and_clips_without_captions_are_told_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        encode(tmp_path / "clips" / f"{name}.mp4", num_frames=1)
    (tmp_path / "captions.csv").write_text("name,caption\nb,a boat\nc,a car\n")
    matched = match(find_clips(tmp_path / "clips"), None, tmp_path / "captions.csv", None)
    assert [(item.id, item.generated is not None, item.caption) for item in matched.samples] == [
        ("a", True, None),
        ("b", True, "a boat"),
        ("c", False, "a car"),
    ]
    assert matched.problems == ("1 listed clips are not there: c", "1 clips have no caption: a")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
@pytest.mark.parametrize("name", ["captions.csv", "captions.json", "captions.txt"])
def test_captions_in_another_encoding_are_refused_with_what_mends_them(
    tmp_path: Path, name: str, encoding: str
) -> None:
    text = {
        "captions.csv": "name,caption\na,un café\n",
        "captions.json": '{"a": "un café"}',
        "captions.txt": "a|un café\n",
    }
    (tmp_path / name).write_bytes(text[name].encode(encoding))
    encode(tmp_path / "clips" / "a.mp4", num_frames=1)
    with pytest.raises(EvaluationError, match=rf"{name}, line \d: not UTF-8") as caught:
        match(find_clips(tmp_path / "clips"), None, tmp_path / name, None)
    assert "UTF-8" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["captions.csv", "captions.json", "captions.jsonl", "captions.txt"])
def test_an_empty_caption_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    encode(tmp_path / "clips" / "a.mp4", num_frames=1)
    with pytest.raises(EvaluationError, match=name):
        match(find_clips(tmp_path / "clips"), None, tmp_path / name, None)


def test_an_empty_text_file_among_captions_is_named(tmp_path: Path) -> None:
    encode(tmp_path / "clips" / "a.mp4", num_frames=1)
    (tmp_path / "captions").mkdir()
    (tmp_path / "captions" / "a.txt").touch()
    with pytest.raises(EvaluationError, match=r"1 caption files .* are empty: a\.txt"):
        match(find_clips(tmp_path / "clips"), None, tmp_path / "captions", None)


def test_files_that_may_have_been_meant_as_clips_are_named(folders: Any) -> None:
    (folders.generated / "more").mkdir()
    for name in ("poster.webp", "more/clip.xyz", "notes.txt", ".hidden.xyz"):
        (folders.generated / name).write_bytes(b"x")
    assert other_files(folders.generated) == ["more/clip.xyz"]
    result = evaluate(folders.generated, output=folders.root / "out", metrics=["temporal_flickering"])
    (line,) = [line for line in result.problems if "not measured" in line]
    assert line.endswith("more/clip.xyz")
