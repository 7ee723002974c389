"""Files whose container crops the pictures of its codec are refused; those that crop nothing are read."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from reelbench.core.errors import VideoError
from reelbench.core.types import ClipRef
from reelbench.datasets.video import read_clip
from reelbench.datasets.video.cropping import crops_in_container

EncodeVideo = Callable[..., Path]


def with_clean_aperture(path: Path, width: Fraction, height: Fraction) -> Path:
    """The MP4 file with a `clap` box in its sample entry; the boxes around it grow. Its index is last."""
    data = bytearray(path.read_bytes())
    around, at = [], 0
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        while data[at + 4 : at + 8] != kind:
            at += int.from_bytes(data[at : at + 4], "big")
        around.append(at)
        at += 16 if kind == b"stsd" else 8
    numbers = [*width.as_integer_ratio(), *height.as_integer_ratio(), 0, 1, 0, 1]
    end = around[-1] + int.from_bytes(data[around[-1] : around[-1] + 4], "big")
    for box in around:
        data[box : box + 4] = (int.from_bytes(data[box : box + 4], "big") + 40).to_bytes(4, "big")
    data[end:end] = struct.pack(">I4s8i", 40, b"clap", *numbers)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("width", "height", "is_cropped"),
    [(64, 32, False), (48, 32, True), (64, 30, True), (Fraction(127, 2), 32, True)],
)
def test_a_clean_aperture_that_crops_is_refused(
    tmp_path: Path, encode_video: EncodeVideo, width: Fraction, height: Fraction, is_cropped: bool
) -> None:
    path = with_clean_aperture(encode_video(tmp_path / "clip.mp4", 5), Fraction(width), Fraction(height))
    if is_cropped:
        with pytest.raises(VideoError, match="its container crops") as caught:
            read_clip(ClipRef(path))
        assert "ffmpeg 7.1" in str(caught.value.hint)
    else:
        assert len(read_clip(ClipRef(path))) == 5


def element(kind: int, content: bytes, is_open: bool = False) -> bytes:
    """An EBML element; `is_open` leaves its size unknown, as live streams do."""
    head = kind.to_bytes((kind.bit_length() + 7) // 8, "big")
    return (
        head + (b"\x01" + b"\xff" * 7 if is_open else (len(content) | 1 << 56).to_bytes(8, "big")) + content
    )


@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize(
    ("kind", "value"), [(0x54AA, 2), (0x54BB, 8), (0x54CC, 1), (0x54DD, 256), (0x54DD, 0)]
)
def test_matroska_crops_by_any_of_its_four_sides(
    tmp_path: Path, kind: int, value: int, is_open: bool
) -> None:
    size = element(0xB0, b"\x40") + element(0xBA, b"\x20")
    video = element(0xE0, size + element(kind, value.to_bytes(2, "big")))
    tracks = element(0x1654AE6B, element(0xAE, element(0xD7, b"\1") + video))
    segment = element(0x18538067, element(0xEC, b"\0" * 20) + tracks, is_open)
    path = tmp_path / "clip.mkv"
    path.write_bytes(element(0x1A45DFA3, element(0x4282, b"matroska")) + segment)
    assert crops_in_container(path, 64, 32) == (value > 0)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm", ".avi"])
def test_what_ffmpeg_writes_crops_nothing(tmp_path: Path, encode_video: EncodeVideo, suffix: str) -> None:
    codec = "libvpx" if suffix == ".webm" else "libx264"
    assert not crops_in_container(encode_video(tmp_path / f"clip{suffix}", 5, codec), 64, 32)


@pytest.mark.parametrize(
    "boxes",
    [
        b"\0\0\0\x08free" * 200_000,
        b"\0\0\0\x01mdat" + b"\xff" * 8,
        b"\0\0\0\x01moov" + b"\x7f" + b"\xff" * 7,
        b"\0\0\0\0moov" + b"\0\0\0\x28clap" + b"\0" * 32,
        b"\xff\xff\xff\xffmoov\0\0\0\x28clap" + b"\xff" * 20,
    ],
)
def test_boxes_that_lead_nowhere_end(tmp_path: Path, boxes: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"\0\0\0\x10ftypisom\0\0\0\0" + boxes)
    assert not crops_in_container(path, 64, 32)
