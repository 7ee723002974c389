"""Frames are those of the ffmpeg command: colours, turns, choice of stream; and what changed is keyed anew.

`ffmpeg_frames/` holds small files and the digests of what ffmpeg made of them; `benchmarks/real_encodings.py
--record` wrote both.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from av.video.format import VideoFormat
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from av.video.stream import VideoStream
from PIL import ExifTags, Image, ImageOps

from reelbench.core.errors import VideoError
from reelbench.core.file_digests import FileDigests
from reelbench.core.hashing import digest_file
from reelbench.core.types import ClipRef
from reelbench.datasets.video import clip_digest, probe, read_clip
from reelbench.datasets.video.pictures import interpolates_chroma

FOLDER = Path(__file__).with_name("ffmpeg_frames")
RECORD = json.loads((FOLDER / "digests.json").read_text())
EncodeVideo = Callable[..., Path]

on_x86 = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="FFmpeg rounds by processor; recorded on x86-64"
)


@on_x86
@pytest.mark.parametrize("name", sorted(RECORD["files"]))
def test_frames_are_those_of_the_ffmpeg_command(name: str) -> None:
    frames = read_clip(ClipRef(FOLDER / name))
    expected = RECORD["files"][name]
    assert list(frames.shape) == expected["shape"]
    assert hashlib.sha256(frames.tobytes()).hexdigest() == expected["sha256"]


@pytest.mark.parametrize("name", sorted(RECORD["files"]))
def test_a_start_in_the_middle_gives_the_same_frames(name: str) -> None:
    whole = read_clip(ClipRef(FOLDER / name))
    if probe(FOLDER / name).fps is None:
        pytest.skip("states no rate")
    late = read_clip(ClipRef(FOLDER / name, start_s=1.5 / 24))
    assert len(late) == 2
    np.testing.assert_array_equal(late, whole[2:])


def test_threads_that_read_side_by_side_give_the_same_frames() -> None:
    paths = [FOLDER / name for name in sorted(RECORD["files"])] * 2
    alone = [read_clip(ClipRef(path)) for path in paths]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda path: read_clip(ClipRef(path)), paths))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("h264-bt709.mp4", {}),
        ("h264-full-range.mp4", {}),
        ("h264-422.mkv", {}),
        ("hevc-444-10bit.mkv", {}),
        ("h264-10bit.mp4", {"chroma"}),
        ("h264-10bit-422.mov", {"chroma"}),
        ("hevc-12bit.mkv", {"chroma"}),
        ("ffv1-odd.mkv", {"chroma"}),
        ("h264-interlaced.mp4", {"chroma"}),
        ("mpeg2-interlaced.vob", {"chroma"}),
    ],
)
def test_only_files_whose_pixels_changed_have_another_digest(name: str, rules: set[str]) -> None:
    content = clip_digest(ClipRef(FOLDER / name), FileDigests(None))
    assert (content != digest_file(FOLDER / name)) == bool(rules)


@pytest.mark.parametrize("height", [32, 33])
@pytest.mark.parametrize("width", [32, 33])
@pytest.mark.parametrize(
    "layout",
    [
        *("yuv420p", "yuvj420p", "yuva420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p", "yuv410p", "nv12"),
        *("yuv420p10le", "yuv420p12le", "yuv444p10le", "gbrp", "gray", "rgb24", "yuva422p"),
    ],
)
def test_the_rule_for_chroma_names_every_layout_that_the_way_of_interpolating_changes(
    layout: str, width: int, height: int
) -> None:
    draws = np.random.default_rng(0)
    frame = av.VideoFrame(width, height, layout)
    for plane in frame.planes:
        values = draws.integers(0, 256, plane.buffer_size, np.uint8)
        if "10" in layout or "12" in layout:
            values.view("<u2")[:] &= 1023
        plane.update(values)

    def converted(how: Interpolation) -> np.ndarray:
        made = VideoReformatter().reformat(
            frame, format="rgb24", interpolation=how, dst_color_range=ColorRange.JPEG, threads=1
        )
        return made.to_ndarray()

    same = np.array_equal(converted(Interpolation.BILINEAR), converted(Interpolation.BICUBIC))
    assert same or interpolates_chroma(VideoFormat(layout, width, height), height)


@pytest.mark.parametrize("degrees", [30, 45, 91.5, -100])
def test_a_slanted_turn_is_refused(tmp_path: Path, encode_video: EncodeVideo, degrees: float) -> None:
    path = encode_video(tmp_path / "slanted.mp4", 4, rotation=(degrees, False, False))
    with pytest.raises(VideoError, match="no quarter turn") as caught:
        read_clip(ClipRef(path))
    assert "ffmpeg" in str(caught.value.hint)


def test_a_turn_that_is_nearly_a_quarter_is_one(tmp_path: Path, encode_video: EncodeVideo) -> None:
    near = read_clip(ClipRef(encode_video(tmp_path / "near.mp4", 4, rotation=(89.5, False, False))))
    exact = read_clip(ClipRef(encode_video(tmp_path / "exact.mp4", 4, rotation=(90, False, False))))
    np.testing.assert_array_equal(near, exact)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_frames_of_jpeg_are_turned_as_their_exif_says(tmp_path: Path, orientation: int) -> None:
    """As cameras write them; PyAV 18 does not know this kind of side data, and gave up the frame."""
    picture = np.zeros((16, 32, 3), np.uint8)
    picture[:8, :16, 0] = picture[8:, :16, 1] = picture[:8, 16:, 2] = 255
    exif, jpeg = Image.Exif(), io.BytesIO()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(picture).save(jpeg, "JPEG", exif=exif, quality=95, subsampling=0)
    path = tmp_path / "clip.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=8)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuvj444p"
        for index in range(2):
            packet = av.Packet(jpeg.getvalue())
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, index, index, Fraction(1, 8)
            container.mux(packet)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(jpeg))).astype(int)
    frames = read_clip(ClipRef(path))
    assert frames.shape == (2, *expected.shape)
    assert np.abs(frames - expected).max() <= 8


def two_streams(path: Path, sizes: list[tuple[int, int]], default: int | None) -> Path:
    """Several video streams, of grey pictures that are the brighter the later the stream stands."""
    with av.open(str(path), "w") as container:
        streams = []
        for index, size in enumerate(sizes):
            stream = container.add_stream("ffv1", rate=8)
            assert isinstance(stream, VideoStream)
            stream.width, stream.height, stream.pix_fmt = (*size, "yuv420p")
            stream.disposition = Disposition.default if index == default else Disposition.original
            streams.append(stream)
        for time in range(3):
            for index, (stream, (width, height)) in enumerate(zip(streams, sizes, strict=True)):
                grey = np.full((height, width, 3), 60 * index + 40, np.uint8)
                frame = av.VideoFrame.from_ndarray(grey, format="rgb24").reformat(format="yuv420p")
                frame.pts, frame.time_base = time, Fraction(1, 8)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("sizes", "default", "chosen"),
    [
        ([(32, 32), (64, 32)], None, 1),
        ([(64, 32), (32, 32)], None, 0),
        ([(32, 32), (64, 32)], 0, 0),
        ([(64, 32), (32, 32)], 1, 1),
        ([(32, 32), (32, 32)], None, 0),
    ],
)
def test_of_several_videos_the_default_is_read_then_the_largest(
    tmp_path: Path, sizes: list[tuple[int, int]], default: int | None, chosen: int
) -> None:
    path = two_streams(tmp_path / "two.mkv", sizes, default)
    frames = read_clip(ClipRef(path))
    assert (frames.shape[2], frames.shape[1]) == sizes[chosen]
    assert abs(int(frames[0, 0, 0, 0]) - (60 * chosen + 40)) <= 2
    is_other = clip_digest(ClipRef(path), FileDigests(None)) != digest_file(path)
    assert is_other == (chosen != 0)


@pytest.mark.parametrize("name", ["av1-obu.obu", "mjpeg-raw.mjpeg"])
def test_a_raw_stream_without_a_rate_is_read_by_frames_and_not_by_time(name: str) -> None:
    path = FOLDER / name
    assert probe(path).fps is None
    frames = read_clip(ClipRef(path), 2, stride=2)
    np.testing.assert_array_equal(frames, read_clip(ClipRef(path))[::2])
    assert len(read_clip(ClipRef(path), 2, start=7)) == 2
    asked: list[Any] = [
        lambda: read_clip(ClipRef(path), fps=8),
        lambda: read_clip(ClipRef(path, start_s=0.1)),
        lambda: read_clip(ClipRef(path, end_s=0.1)),
    ]
    for ask in asked:
        with pytest.raises(VideoError, match="states no frame rate") as caught:
            ask()
        assert "-framerate" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["h264-raw.h264", "mpeg2-raw.m2v", "vp9-ivf.ivf", "yuv4mpeg.y4m"])
def test_a_raw_stream_that_states_its_rate_is_read_by_time(name: str) -> None:
    path = FOLDER / name
    assert probe(path).fps == pytest.approx(24)
    frames = read_clip(ClipRef(path), fps=12)
    np.testing.assert_array_equal(frames, read_clip(ClipRef(path))[::2])


def test_the_interlaced_are_marked() -> None:
    assert probe(FOLDER / "h264-interlaced.mp4").interlaced
    assert not probe(FOLDER / "h264-bt709.mp4").interlaced


def test_avi_whose_header_counts_ticks_is_timed_by_its_frames(
    tmp_path: Path, encode_video: EncodeVideo, frame_numbers: Callable[[np.ndarray], list[int]]
) -> None:
    """As `ffmpeg -c copy` makes AVI of MP4: the header counts ticks, many to a frame."""
    options = {"bf": "3", "x264-params": "b-adapt=0"}
    times = [40 * index for index in range(31)]
    path = encode_video(tmp_path / "ticks.avi", 31, codec_options=options, times_ms=times)
    with av.open(str(path)) as container:
        assert float(container.streams.video[0].average_rate or 0) > 500
    assert frame_numbers(read_clip(ClipRef(path), fps=12.5))[:10] == list(range(0, 20, 2))


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.m4v"
    with av.open(str(path), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=16000)
        cover = container.add_stream("mjpeg", rate=1)
        assert isinstance(cover, VideoStream)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        for index in range(4):
            tone = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            tone.sample_rate, tone.pts = 16000, index * 1024
            container.mux(sound.encode(tone))
        container.mux(cover.encode(av.VideoFrame(32, 32, "yuvj420p")))
        container.mux([*sound.encode(None), *cover.encode(None)])
    with pytest.raises(VideoError, match="holds no video, only a cover picture, audio"):
        read_clip(ClipRef(path))
