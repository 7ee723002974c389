"""Frames of real files, exact by timestamp, and every way in which a file can be wrong."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from reelbench.core.errors import VideoError
from reelbench.core.types import ClipRef
from reelbench.datasets.video import Reading, file, probe, read_clip
from reelbench.datasets.video import decoding as video_reading
from reelbench.datasets.video.frame_selection import Shown

pytestmark = pytest.mark.smoke

CONTAINERS = [
    ("clip.mp4", "libx264", {}),
    ("clip.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
    ("clip.mkv", "libx264", {"bf": "3"}),
    ("clip.avi", "mpeg4", {"b": "2000000"}),
    ("clip.ts", "mpeg2video", {"bf": "2", "b": "2000000"}),
]


@pytest.fixture(scope="module")
def thirty(tmp_path_factory: pytest.TempPathFactory, encode_video: Callable[..., Path]) -> Path:
    """30 numbered frames at 25 fps, H.264 with B-frames, a key frame every 12."""
    return encode_video(tmp_path_factory.mktemp("video") / "thirty.mp4")


@pytest.mark.parametrize(("name", "codec", "options"), CONTAINERS)
def test_all_frames_in_order(
    tmp_path: Path,
    encode_video: Callable[..., Path],
    frame_numbers: Callable[[np.ndarray], list[int]],
    name: str,
    codec: str,
    options: dict[str, str],
) -> None:
    path = encode_video(tmp_path / name, codec=codec, codec_options=options)
    frames = read_clip(ClipRef(path))
    assert frames.dtype == np.uint8
    assert frames.shape == (30, 32, 64, 3)
    assert frame_numbers(frames) == list(range(30))


@pytest.mark.parametrize(("name", "codec", "options"), CONTAINERS)
def test_a_window_in_the_middle_gives_the_same_pixels_as_reading_all(
    tmp_path: Path,
    encode_video: Callable[..., Path],
    frame_numbers: Callable[[np.ndarray], list[int]],
    name: str,
    codec: str,
    options: dict[str, str],
) -> None:
    path = encode_video(tmp_path / name, codec=codec, codec_options=options)
    everything = read_clip(ClipRef(path))
    for start_s in (0.02, 0.48, 0.61, 0.88):
        window = read_clip(ClipRef(path, start_s), 5)
        first = frame_numbers(window)[0]
        assert abs(first / 25 - start_s) <= 0.041
        assert np.array_equal(window, everything[first : first + 5])


def test_first_frames_with_stride(thirty: Path, frame_numbers: Callable[[np.ndarray], list[int]]) -> None:
    assert frame_numbers(read_clip(ClipRef(thirty), 4)) == [0, 1, 2, 3]
    assert frame_numbers(read_clip(ClipRef(thirty), 4, stride=7)) == [0, 7, 14, 21]


def test_window_bounds_are_half_open(thirty: Path, frame_numbers: Callable[[np.ndarray], list[int]]) -> None:
    assert frame_numbers(read_clip(ClipRef(thirty, 0.4, 0.6))) == [10, 11, 12, 13, 14]
    assert frame_numbers(read_clip(ClipRef(thirty, None, 0.12))) == [0, 1, 2]


def test_fps_resamples_by_time(thirty: Path, frame_numbers: Callable[[np.ndarray], list[int]]) -> None:
    assert frame_numbers(read_clip(ClipRef(thirty), 8, fps=8)) == [0, 3, 6, 9, 12, 15, 18, 21]
    assert frame_numbers(read_clip(ClipRef(thirty), 4, stride=2, fps=8)) == [0, 6, 12, 18]
    assert frame_numbers(read_clip(ClipRef(thirty), 4, fps=50)) == [0, 0, 1, 1]
    assert frame_numbers(read_clip(ClipRef(thirty), fps=5)) == [0, 5, 10, 15, 20, 25]


def test_variable_frame_rate_follows_the_timestamps(
    tmp_path: Path, encode_video: Callable[..., Path], frame_numbers: Callable[[np.ndarray], list[int]]
) -> None:
    times_ms = [0, 40, 80, 500, 1000, 1040, 1080]
    for name in ("vfr.mkv", "vfr.mp4"):
        path = encode_video(tmp_path / name, num_frames=7, times_ms=times_ms, codec_options={"bf": "0"})
        assert frame_numbers(read_clip(ClipRef(path), 11, fps=10)) == [0, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4]
        assert frame_numbers(read_clip(ClipRef(path), 7)) == list(range(7))
        assert frame_numbers(read_clip(ClipRef(path, 0.3), 2)) == [3, 4]


def test_seeded_start_is_stable_and_always_fits(
    thirty: Path, frame_numbers: Callable[[np.ndarray], list[int]]
) -> None:
    starts = []
    for seed in range(12):
        frames = read_clip(ClipRef(thirty), 5, stride=3, start=seed)
        numbers = frame_numbers(frames)
        assert np.array_equal(frames, read_clip(ClipRef(thirty), 5, stride=3, start=seed))
        assert numbers == list(range(numbers[0], numbers[0] + 15, 3))
        starts.append(numbers[0])
    assert len(set(starts)) > 4
    by_rate = [frame_numbers(read_clip(ClipRef(thirty), 5, fps=5, start=seed))[0] for seed in range(12)]
    assert max(by_rate) < 10  # the fifth is due 0.8 s later, and the video has 1.2 s


def test_seeded_start_stays_in_the_window(
    thirty: Path, frame_numbers: Callable[[np.ndarray], list[int]]
) -> None:
    for seed in range(8):
        numbers = frame_numbers(read_clip(ClipRef(thirty, 0.4, 0.8), 6, start=seed))
        assert numbers[0] >= 10
        assert numbers[-1] < 20


def test_only_what_is_needed_is_decoded(
    tmp_path: Path, encode_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode_video(tmp_path / "long.mp4", num_frames=200, key_every=10)
    decoded = []
    original = file.decode

    def counting(*args: Any) -> Iterator[Shown[Any]]:
        for shown in original(*args):
            decoded.append(shown.start_s)
            yield shown

    monkeypatch.setattr(file, "decode", counting)
    read_clip(ClipRef(path), 4)
    assert len(decoded) == 4
    decoded.clear()
    read_clip(ClipRef(path, 6.0), 4)
    assert len(decoded) <= 10 + 4


@pytest.mark.parametrize(
    ("rotation", "expected"),
    [
        ((90, False, False), lambda p: np.rot90(p, 1)),
        ((-90, False, False), lambda p: np.rot90(p, -1)),
        ((180, False, False), lambda p: np.rot90(p, 2)),
        ((0, True, False), lambda p: p[:, ::-1]),
        ((0, False, True), lambda p: p[::-1]),
        ((90, True, False), lambda p: np.rot90(p, 1)[:, ::-1]),
        ((90, False, True), lambda p: np.rot90(p, 1)[::-1]),
    ],
)
def test_display_matrix_is_respected(
    tmp_path: Path,
    encode_video: Callable[..., Path],
    rotation: tuple[int, bool, bool],
    expected: Callable[..., Any],
) -> None:
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[:16, :32], picture[:16, 32:], picture[16:, :32] = (255, 255, 255), (128,) * 3, (64,) * 3
    path = encode_video(tmp_path / "turned.mp4", pictures=[picture] * 3, rotation=rotation)
    frames = read_clip(ClipRef(path), 3)
    upright = expected(picture)
    assert frames.shape == (3, *upright.shape)
    assert np.abs(frames[1].astype(int) - upright).mean() < 4
    assert (probe(path).width, probe(path).height) == (upright.shape[1], upright.shape[0])


def test_a_portrait_video_of_a_phone_stands_upright(
    tmp_path: Path, encode_video: Callable[..., Path]
) -> None:
    # ISO 14496-12, 8.3.2: a phone held upright stores landscape pictures and the matrix
    # (0 1 0; -1 0 0; ...): x' = -y, y' = x. The stored left edge is the top of what is seen.
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[:, :8] = 255
    path = encode_video(tmp_path / "phone.mp4", pictures=[picture] * 2, rotation=(-90, False, False))
    data = path.read_bytes()
    at = data.index(b"tkhd") + 4 + 4 + 5 * 4 + 2 * 4 + 4 * 2  # version, times and ids, reserved, four int16
    matrix = np.frombuffer(data[at : at + 36], ">i4")
    assert [int(v) >> 16 for v in (matrix[0], matrix[1], matrix[3], matrix[4])] == [0, 1, -1, 0]
    frame = read_clip(ClipRef(path), 1)[0]
    assert frame.shape == (64, 32, 3)
    assert frame[:7].min() > 240
    assert frame[9:].max() < 15


@pytest.mark.parametrize(("color_range", "white"), [(1, 235), (2, 255)])
def test_colour_range_of_the_file_is_respected(tmp_path: Path, color_range: int, white: int) -> None:
    path = tmp_path / "range.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.codec_context.color_range = color_range
        planes = np.full((48, 32), 128, np.uint8)
        planes[:32] = white
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.color_range = color_range
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert read_clip(ClipRef(path), 1).min() >= 254


def test_probe_says_what_the_file_says(
    thirty: Path, tmp_path: Path, encode_video: Callable[..., Path]
) -> None:
    info = probe(thirty)
    assert (info.width, info.height, info.fps) == (64, 32, 25.0)
    webm = probe(encode_video(tmp_path / "clip.webm", codec="libvpx-vp9", codec_options={"cpu-used": "8"}))
    assert (webm.width, webm.height, webm.fps) == (64, 32, 25.0)


# Wrong files


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"nowhere\.mp4' does not exist"):
        read_clip(ClipRef(tmp_path / "nowhere.mp4"), 1)
    (refused,) = video_reading.decode_file(ClipRef(tmp_path), [Reading()])
    assert "is a folder" in str(refused)


def test_name_that_no_system_accepts(tmp_path: Path) -> None:
    for name in ("a" * 5000, "a\0b"):
        with pytest.raises(VideoError):
            read_clip(ClipRef(tmp_path / name), 1)


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    with pytest.raises(VideoError, match=r"empty \(0 bytes\)"):
        read_clip(ClipRef(path), 1)


@pytest.mark.parametrize("name", ["notes.txt", "notes.mp4", "notes.webm"])
def test_text_is_not_a_video(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("this is not a video\n" * 500)
    with pytest.raises(VideoError, match="not a readable video"):
        read_clip(ClipRef(path), 1)


def test_a_playlist_opens_no_other_file(tmp_path: Path, thirty: Path) -> None:
    path = tmp_path / "list.m3u8"
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1,\nfile://{thirty}\n#EXT-X-ENDLIST\n")
    with pytest.raises(VideoError, match="not a readable video"):
        read_clip(ClipRef(path), 1)


def test_a_file_named_like_an_address_is_a_file(
    tmp_path: Path,
    thirty: Path,
    monkeypatch: pytest.MonkeyPatch,
    frame_numbers: Callable[[np.ndarray], list[int]],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("concat:x.mp4", "pipe:0"):
        Path(name).write_bytes(thirty.read_bytes())
        assert frame_numbers(read_clip(ClipRef(Path(name)), 2)) == [0, 1]


def test_audio_only(tmp_path: Path, encode_audio: Callable[[Path], Path]) -> None:
    with pytest.raises(VideoError, match="holds no video, only audio"):
        read_clip(ClipRef(encode_audio(tmp_path / "sound.mp4")), 1)


def test_too_short(thirty: Path) -> None:
    with pytest.raises(VideoError, match="gives 30 of the 31 frames asked for"):
        read_clip(ClipRef(thirty), 31)
    with pytest.raises(VideoError, match=r"gives 10 of the 11 .*fps"):
        read_clip(ClipRef(thirty), 11, fps=8)
    with pytest.raises(VideoError, match="too few for 16"):
        read_clip(ClipRef(thirty), 16, stride=2, start=3)
    with pytest.raises(VideoError, match=r"from 0.4 s to 0.6 s.* gives 5"):
        read_clip(ClipRef(thirty, 0.4, 0.6), 6)
    with pytest.raises(VideoError, match="holds no frame"):
        read_clip(ClipRef(thirty, 7.0))


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
@pytest.mark.parametrize(("name", "codec", "options"), CONTAINERS)
def test_a_cut_off_file_gives_right_frames_or_an_error(
    tmp_path: Path,
    encode_video: Callable[..., Path],
    frame_numbers: Callable[[np.ndarray], list[int]],
    name: str,
    codec: str,
    options: dict[str, str],
    part: float,
) -> None:
    container_options = {"movflags": "+faststart"} if name.endswith("mp4") else None
    path = encode_video(
        tmp_path / name, codec=codec, codec_options=options, container_options=container_options
    )
    os.truncate(path, int(path.stat().st_size * part))
    with pytest.raises(VideoError):
        read_clip(ClipRef(path), 30)
    for num_frames in range(1, 30):
        with contextlib.suppress(VideoError):
            assert frame_numbers(read_clip(ClipRef(path), num_frames)) == list(range(num_frames))
    for seed in range(3):
        with contextlib.suppress(VideoError):
            numbers = frame_numbers(read_clip(ClipRef(path), 3, start=seed))
            assert numbers == list(range(numbers[0], numbers[0] + 3))


def test_a_cut_off_file_without_an_index_is_refused(tmp_path: Path, thirty: Path) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(thirty.read_bytes()[:-200])
    with pytest.raises(VideoError, match="not a readable video") as caught:
        read_clip(ClipRef(path), 1)
    assert caught.value.hint is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_frames": 0}, "num_frames must be at least 1, got 0"),
        ({"stride": 0}, "stride must be at least 1, got 0"),
        ({"fps": 0.0}, "fps must be"),
        ({"fps": float("nan")}, "fps must be"),
        ({"start": "last", "num_frames": 1}, "start must be 'first' or a seed, got 'last'"),
        ({"start": 3}, "a seeded start needs num_frames"),
    ],
)
def test_arguments_out_of_range(thirty: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(VideoError, match=message):
        read_clip(ClipRef(thirty), **arguments)


@pytest.mark.parametrize("window", [(-1.0, None), (2.0, 1.0), (float("nan"), None), (None, float("inf"))])
def test_windows_out_of_range(thirty: Path, window: tuple[float | None, float | None]) -> None:
    with pytest.raises(VideoError, match="window"):
        read_clip(ClipRef(thirty, *window), 1)
