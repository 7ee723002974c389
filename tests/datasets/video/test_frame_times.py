"""Files whose times run backwards, stand still or are missing: frames are still the ones on screen."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from reelbench.core.errors import VideoError
from reelbench.core.file_digests import FileDigests
from reelbench.core.hashing import digest_file
from reelbench.core.types import ClipRef
from reelbench.datasets.video import Reading, clip_digest, read_clip, read_clips

Numbers = Callable[[np.ndarray], list[int]]
EncodeVideo = Callable[..., Path]

# An anchor frame after every six B-frames, some of which others refer to: stored far from where it is shown.
PYRAMID = {"bf": "6", "x264-params": "b-adapt=0:scenecut=0:b-pyramid=normal"}
VOP, GROUP, USER_DATA = b"\0\0\1\xb6", b"\0\0\1\xb3", b"\0\0\1\xb2"
NOT_CODED = VOP + b"\x51\x12\x7f"
"""What DivX and Xvid put where a frame's place is taken by one that is packed with another."""


@pytest.fixture
def pyramid(tmp_path: Path, encode_video: EncodeVideo) -> Path:
    return encode_video(tmp_path / "pyramid.avi", num_frames=31, key_every=31, codec_options=PYRAMID)


def copy(source: Path, target: Path, change: Callable[[int, av.Packet], None] | None = None) -> Path:
    """The same packets in another container, their times (by number) changed."""
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        stream = read.streams.video[0]
        copied = written.add_stream_from_template(stream)
        for index, packet in enumerate(packet for packet in read.demux(stream) if packet.size):
            if change is not None:
                change(index, packet)
            packet.stream = copied
            written.mux(packet)
    return target


@pytest.fixture
def packed(tmp_path: Path, encode_video: EncodeVideo) -> Callable[[int], Path]:
    """MPEG-4 with B-frames as DivX and Xvid put it into AVI (UCF-101 is such): one frame and the first that
    is shown before it in one packet, and a frame that is not coded where the second would be."""

    def write(num_b_frames: int) -> Path:
        options = {"bf": str(num_b_frames), "b": "2000000", "b_strategy": "0", "sc_threshold": "1000000000"}
        plain = encode_video(tmp_path / "plain.avi", 31, "mpeg4", codec_options=options)
        with av.open(str(plain)) as container:
            coded = [bytes(packet) for packet in container.demux(video=0) if packet.size]
        first = coded[0].index(GROUP if GROUP in coded[0] else VOP)
        coded[0] = coded[0][:first] + USER_DATA + b"DivX503b1393p" + coded[0][first:]
        is_b = [data[data.index(VOP) + 4] >> 6 == 2 for data in coded]
        chunks: list[bytes] = []
        for index, data in enumerate(coded):
            if is_b[index] and not is_b[index - 1]:
                chunks[-1] += data
            else:
                chunks.append(data)
            if is_b[index] and (index + 1 == len(coded) or not is_b[index + 1]):
                chunks.append(NOT_CODED)
        path = tmp_path / f"packed{num_b_frames}.avi"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            assert isinstance(stream, VideoStream)
            stream.height, stream.width, stream.pix_fmt = 32, 64, "yuv420p"
            for index, data in enumerate(chunks):
                packet = av.Packet(data)
                packet.stream, packet.time_base = stream, Fraction(1, 25)
                packet.pts = packet.dts = index
                container.mux(packet)
        return path

    return write


def check(path: Path, numbers: Numbers) -> None:
    """By rate, by window, from a seeded start and all of them: the frames that a player shows."""
    ref = ClipRef(path)
    seeded = Reading(num_frames=4, fps=8, start=3)
    readings = [Reading(7, fps=8), Reading(2, fps=8), Reading(), Reading(4, stride=5), seeded]
    clips = read_clips(ref, readings)
    by_rate, short, everything, by_stride, from_seed = (
        numbers(clip) if isinstance(clip, np.ndarray) else clip for clip in clips
    )
    assert by_rate == [0, 3, 6, 9, 12, 15, 18]
    assert short == [0, 3]
    assert everything == list(range(31))
    assert by_stride == [0, 5, 10, 15]
    assert isinstance(from_seed, list)
    assert [number - from_seed[0] for number in from_seed] == [0, 3, 6, 9]
    for reading, clip in zip(readings, clips, strict=True):  # each gets what it gets alone
        (alone,) = read_clips(ref, [reading])
        assert np.array_equal(alone, clip)
    assert numbers(read_clip(ClipRef(path, start_s=0.4, end_s=0.8))) == list(range(10, 20))
    assert numbers(read_clip(ClipRef(path, start_s=0.4), 3, fps=8)) == [10, 13, 16]


def test_b_frames_of_h264_in_avi_are_timed_by_their_order(pyramid: Path, frame_numbers: Numbers) -> None:
    check(pyramid, frame_numbers)


@pytest.mark.parametrize("num_b_frames", [1, 2])
def test_packed_b_frames_are_timed_by_their_order(
    packed: Callable[[int], Path], frame_numbers: Numbers, num_b_frames: int
) -> None:
    check(packed(num_b_frames), frame_numbers)


def test_what_was_made_of_such_files_by_guessed_times_is_not_served(
    pyramid: Path, packed: Callable[[int], Path], encode_video: EncodeVideo, tmp_path: Path
) -> None:
    files = FileDigests(None)
    for path in (pyramid, packed(1), packed(2)):
        assert clip_digest(ClipRef(path), files) != digest_file(path)
    in_order = encode_video(tmp_path / "in_order.avi", num_frames=31, codec_options={"bf": "0"})
    timed = encode_video(tmp_path / "timed.mkv", num_frames=31, codec_options=PYRAMID)
    for path in (in_order, timed):
        assert clip_digest(ClipRef(path), files) == digest_file(path)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".ts", ".flv"])
def test_a_container_into_which_guessed_times_were_copied_is_timed_by_order(
    tmp_path: Path, pyramid: Path, frame_numbers: Numbers, suffix: str
) -> None:
    check(copy(pyramid, tmp_path / f"copy{suffix}"), frame_numbers)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".flv", ".h264"])
def test_b_frames_with_times_of_their_own_are_taken_at_their_word(
    tmp_path: Path, encode_video: EncodeVideo, frame_numbers: Numbers, suffix: str
) -> None:
    path = encode_video(tmp_path / f"b{suffix}", num_frames=31, key_every=31, codec_options=PYRAMID)
    check(path, frame_numbers)


def test_a_stream_whose_clock_starts_anew_in_the_middle_is_timed_by_order(
    tmp_path: Path, encode_video: EncodeVideo, frame_numbers: Numbers
) -> None:
    whole = encode_video(tmp_path / "whole.mkv", num_frames=31, key_every=31, codec_options={"bf": "0"})

    def anew(index: int, packet: av.Packet) -> None:
        packet.dts = 40 * index - 1000
        packet.pts = 40 * (index if index < 20 else index - 20)

    check(copy(whole, tmp_path / "anew.mkv", anew), frame_numbers)


def test_a_frame_that_the_next_one_follows_at_once_is_never_on_screen(
    tmp_path: Path, encode_video: EncodeVideo, frame_numbers: Numbers
) -> None:
    # Recordings of variable rate have such pairs. To time these by the average rate would move all frames.
    whole = encode_video(tmp_path / "whole.mkv", num_frames=31, key_every=31, codec_options={"bf": "0"})

    def double(index: int, packet: av.Packet) -> None:
        packet.dts = 40 * index - 1000
        packet.pts = 40 * (index + (index == 3)) + 400 * (index >= 10)

    ref = ClipRef(copy(whole, tmp_path / "double.mkv", double))
    assert frame_numbers(read_clip(ref, 6, fps=25)) == [0, 1, 2, 2, 4, 5]
    assert frame_numbers(read_clip(ref, 4, stride=1)) == [0, 1, 2, 3]
    assert frame_numbers(read_clip(ref, 7, fps=5)) == [0, 5, 9, 9, 10, 15, 20]


@pytest.mark.parametrize("kind", ["pyramid", "packed", "plain"])
def test_an_avi_file_that_is_cut_off_among_its_frames_is_refused(
    tmp_path: Path,
    pyramid: Path,
    packed: Callable[[int], Path],
    encode_video: EncodeVideo,
    frame_numbers: Numbers,
    kind: str,
) -> None:
    path = (
        packed(2)
        if kind == "packed"
        else pyramid
        if kind == "pyramid"
        else encode_video(tmp_path / "p.avi", 31, "mpeg4")
    )
    data = path.read_bytes()
    frames, index = data.index(b"movi"), data.index(b"idx1")
    cut = tmp_path / "cut.avi"
    for length in range(frames + 4, index, 97):
        cut.write_bytes(data[:length])
        with pytest.raises(VideoError, match=r"cut off|not a readable video|holds no"):
            read_clip(ClipRef(cut))
    cut.write_bytes(data[:index])  # the frames are all there
    assert frame_numbers(read_clip(ClipRef(cut))) == list(range(31))


def test_a_file_that_can_be_entered_between_key_frames_is_read_from_the_start(
    tmp_path: Path, encode_video: EncodeVideo, frame_numbers: Numbers
) -> None:
    # The decoder of MPEG-4 gives grey where the frames before are missing, without a word.
    path = encode_video(tmp_path / "p.ts", 31, "mpeg4", codec_options={"b": "2000000"}, key_every=31)
    assert frame_numbers(read_clip(ClipRef(path, start_s=0.4, end_s=0.8))) == list(range(10, 20))


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".mp4"])
def test_tags_in_another_encoding_are_no_reason_to_refuse_the_pictures(
    tmp_path: Path, encode_video: EncodeVideo, frame_numbers: Numbers, suffix: str
) -> None:
    path = encode_video(tmp_path / f"v{suffix}", num_frames=4)
    with av.open(str(path)) as read, av.open(str(tmp_path / f"tagged{suffix}"), "w") as written:
        stream = read.streams.video[0]
        written.metadata["title"] = "Umlaut: ####"
        copied = written.add_stream_from_template(stream)
        copied.metadata["title"] = copied.metadata["language"] = "####"
        for packet in read.demux(stream):
            if packet.size:
                packet.stream = copied
                written.mux(packet)
    tagged = tmp_path / f"tagged{suffix}"
    tagged.write_bytes(tagged.read_bytes().replace(b"####", b"\xc4\xd6\xdc\xff"))
    assert frame_numbers(read_clip(ClipRef(tagged))) == [0, 1, 2, 3]
