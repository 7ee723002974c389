"""Clips come back from the store as they went in, and previews play."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from reelbench.core.errors import VideoError
from reelbench.core.types import ClipRef
from reelbench.datasets.video import (
    probe,
    read_clip,
    read_lossless,
    write_lossless,
    write_preview,
)
from reelbench.datasets.video import (
    writing as video_writing,
)

pytestmark = pytest.mark.smoke


def random_clip(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "shape", [(16, 64, 64), (1, 64, 64), (5, 33, 47), (2, 1, 1), (3, 2, 301), (2, 255, 3), (9, 128, 96)]
)
@pytest.mark.parametrize("fps", [8.0, 29.97, 24000 / 1001])
def test_lossless_is_exact(tmp_path: Path, shape: tuple[int, int, int], fps: float) -> None:
    clip = random_clip(*shape)
    write_lossless(tmp_path / "clip.mkv", clip, fps)
    assert np.array_equal(read_lossless(tmp_path / "clip.mkv"), clip)
    assert np.array_equal(read_clip(ClipRef(tmp_path / "clip.mkv")), clip)
    assert probe(tmp_path / "clip.mkv").fps == pytest.approx(fps, abs=0.02)


def test_lossless_is_exact_for_every_grey_and_every_primary(tmp_path: Path) -> None:
    ramp = np.zeros((4, 16, 16, 3), np.uint8)
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    ramp[0], ramp[1, ..., 0], ramp[2, ..., 1], ramp[3, ..., 2] = values[..., None], values, values, values
    write_lossless(tmp_path / "ramp.mkv", ramp, 8)
    assert np.array_equal(read_lossless(tmp_path / "ramp.mkv"), ramp)


def test_lossless_takes_views_that_are_not_contiguous(tmp_path: Path) -> None:
    clip = random_clip(4, 20, 30)[::-1, :, ::-1]
    write_lossless(tmp_path / "view.mkv", clip, 8)
    assert np.array_equal(read_lossless(tmp_path / "view.mkv"), clip)


def test_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    clip = random_clip(4, 32, 32)
    for name in ("a", "b"):
        write_lossless(tmp_path / f"{name}.mkv", clip, 8)
        write_preview(tmp_path / f"{name}.mp4", clip, 8)
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_damage_of_a_lossless_clip_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    clip = random_clip(8, 32, 32)
    write_lossless(path, clip, 8)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for place in rng.integers(len(whole) // 5, len(whole) * 9 // 10, 25):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            read = read_lossless(path)
        except VideoError:
            continue
        assert np.array_equal(read, clip)  # a bit that carries no picture


@pytest.mark.parametrize("part", [0.05, 0.3, 0.6, 0.95])
def test_a_cut_off_lossless_clip_is_refused(tmp_path: Path, part: float) -> None:
    path = tmp_path / "clip.mkv"
    write_lossless(path, random_clip(8, 32, 32), 8)
    os.truncate(path, int(path.stat().st_size * part))
    with pytest.raises(VideoError):
        read_lossless(path)


def test_read_lossless_takes_only_what_write_lossless_wrote(
    tmp_path: Path, encode_video: Callable[..., Path]
) -> None:
    with pytest.raises(VideoError, match="not a lossless clip of Reelbench"):
        read_lossless(encode_video(tmp_path / "other.mkv"))
    with pytest.raises(VideoError, match="does not exist"):
        read_lossless(tmp_path / "nowhere.mkv")


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((4, 8, 8, 3), np.float32), "uint8 array, got float32"),
        ([[1]], "uint8 array, got list"),
        (np.zeros((8, 8, 3), np.uint8), r"\[T,H,W,3\].*\[8, 8, 3\]"),
        (np.zeros((2, 8, 8, 4), np.uint8), r"\[2, 8, 8, 4\]"),
        (np.zeros((0, 8, 8, 3), np.uint8), r"\[0, 8, 8, 3\]"),
    ],
)
def test_frames_of_another_kind_are_refused(tmp_path: Path, frames: Any, message: str) -> None:
    with pytest.raises(VideoError, match=message):
        write_lossless(tmp_path / "clip.mkv", frames, 8)
    with pytest.raises(VideoError, match=message):
        write_preview(tmp_path / "clip.mp4", frames, 8)
    assert list(tmp_path.iterdir()) == []


def test_arguments_out_of_range(tmp_path: Path) -> None:
    clip = random_clip(2, 8, 8)
    with pytest.raises(VideoError, match=r"must end in '\.mkv'"):
        write_lossless(tmp_path / "clip.mp4", clip, 8)
    with pytest.raises(VideoError, match=r"must end in '\.mp4'"):
        write_preview(tmp_path / "clip.mkv", clip, 8)
    with pytest.raises(VideoError, match="fps must be"):
        write_lossless(tmp_path / "clip.mkv", clip, float("nan"))
    with pytest.raises(VideoError, match="scale must be"):
        write_preview(tmp_path / "clip.mp4", clip, 8, scale=0)


def test_a_full_disk_leaves_the_old_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "clip.mkv"
    old = random_clip(2, 8, 8)
    write_lossless(path, old, 8)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(VideoError, match="No space left on device"):
        write_lossless(path, random_clip(2, 8, 8, seed=1), 8)
    assert [entry.name for entry in tmp_path.iterdir()] == ["clip.mkv"]
    assert np.array_equal(read_lossless(path), old)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VideoError, match="cannot write"):
        write_lossless(tmp_path / "file" / "clip.mkv", random_clip(1, 8, 8), 8)


@pytest.mark.parametrize(
    ("size", "scale", "expected"),
    [
        ((64, 64), None, (256, 256)),
        ((33, 47), None, (264, 376)),
        ((64, 64), 1, (64, 64)),
        ((33, 47), 1, (34, 48)),
        ((33, 47), 3, (100, 142)),
        ((300, 257), None, (300, 258)),
    ],
)
def test_previews_play_in_browsers(
    tmp_path: Path, size: tuple[int, int], scale: int | None, expected: tuple[int, int]
) -> None:
    path = tmp_path / "clip.mp4"
    write_preview(path, random_clip(4, *size), 8, scale)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.height, stream.width) == expected
        assert stream.average_rate == 8
        context = stream.codec_context
        tags = (context.color_range, context.colorspace, context.color_primaries, context.color_trc)
        assert [int(tag) for tag in tags] == [1, 1, 1, 1]
    assert len(read_clip(ClipRef(path))) == 4


@pytest.mark.parametrize("encoder", ["libx264", "libvpx-vp9"])
def test_previews_have_the_right_colours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: str
) -> None:
    if encoder not in av.codecs_available:
        pytest.skip(f"FFmpeg without {encoder}")
    only = {encoder: video_writing._PREVIEW_ENCODERS[encoder]}
    monkeypatch.setattr(video_writing, "_PREVIEW_ENCODERS", only)
    colours = [
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        (255, 255, 255),
        (0, 0, 0),
        (128, 64, 200),
        (255, 255, 0),
    ]
    clip = np.zeros((3, 32, 32 * len(colours), 3), np.uint8)
    for index, colour in enumerate(colours):
        clip[:, :, 32 * index : 32 * (index + 1)] = colour
    write_preview(tmp_path / "clip.mp4", clip, 8)
    shown = read_clip(ClipRef(tmp_path / "clip.mp4"))[1]
    for index, colour in enumerate(colours):
        centre = shown[128, 256 * index + 128].astype(int)
        assert np.abs(centre - colour).max() <= 4, (colour, centre)


def test_without_an_encoder_the_message_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_writing, "_PREVIEW_ENCODERS", {"no-such-encoder": {}})
    with pytest.raises(VideoError, match="none of the encoders no-such-encoder"):
        write_preview(tmp_path / "clip.mp4", random_clip(1, 8, 8), 8)
