"""Folders of frames: their order, what pictures become, and every way in which a picture can be wrong."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from reelbench.core.errors import VideoError
from reelbench.core.file_digests import FileDigests
from reelbench.core.types import ClipRef
from reelbench.datasets.video import (
    MAX_CLIP_BYTES,
    ClipInfo,
    Reading,
    clip_digest,
    frame_files,
    frame_gaps,
    probe,
    read_clip,
    read_clips,
    write_lossless,
)
from reelbench.datasets.video.picture_file import read_picture


def noise(seed: int, *shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def numbered(num_frames: int, height: int = 6, width: int = 8) -> np.ndarray:
    """Frames [T,H,W,3] of one value each: that of frame t is t."""
    return np.repeat(np.arange(num_frames, dtype=np.uint8), height * width * 3).reshape(-1, height, width, 3)


def save_frames(folder: Path, frames: np.ndarray, name: str = "frame{}.png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / name.format(index))
    return folder


def values(frames: np.ndarray) -> list[int]:
    return [int(value) for value in frames[:, 0, 0, 0]]


def read_folder(
    folder: Path, reading: Reading, stored_fps: float | None = None, max_bytes: int = MAX_CLIP_BYTES
) -> np.ndarray:
    (frames,) = read_clips(ClipRef(folder, fps=stored_fps), [reading], max_bytes=max_bytes)
    if isinstance(frames, VideoError):
        raise frames
    return frames


# Order


def test_frames_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = save_frames(tmp_path / "clip", numbered(12))
    assert [path.name for path in frame_files(folder)][:3] == ["frame0.png", "frame1.png", "frame2.png"]
    assert values(read_folder(folder, Reading())) == list(range(12))


def test_the_last_number_of_a_name_counts(tmp_path: Path) -> None:
    for index, name in enumerate(["take7_v2_0010.png", "take8_v2_0009.PNG", "take9_v2_0011.png"]):
        Image.fromarray(numbered(3)[index]).save(tmp_path / name)
    assert [path.stem[-4:] for path in frame_files(tmp_path)] == ["0009", "0010", "0011"]


def test_names_without_any_number_are_read_by_name(tmp_path: Path) -> None:
    for name in ("gamma", "alpha", "beta"):
        (tmp_path / f"{name}.png").touch()
    assert [path.stem for path in frame_files(tmp_path)] == ["alpha", "beta", "gamma"]


def test_hidden_files_folders_and_other_files_are_no_frames(tmp_path: Path) -> None:
    save_frames(tmp_path, numbered(2))
    for name in (".frame7.png", "._frame1.png", "notes.txt", "Thumbs.db", "frame9.npy"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "frame5.png").mkdir()
    assert [path.name for path in frame_files(tmp_path)] == ["frame0.png", "frame1.png"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["frame1.png", "frame01.png"], r"frame0?1\.png' and 'frame0?1\.png' are both frame 1"),
        (["a/../frame1.png", "frame1.jpg"], "are both frame 1"),
        (["frame1.png", "cover.png"], r"'cover\.png' has no number in its name"),
        (["readme.txt"], "holds no picture"),
    ],
)
def test_names_without_a_clear_order_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    (tmp_path / "a").mkdir()
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(VideoError, match=message):
        frame_files(tmp_path)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="cannot read the folder of frames"):
        frame_files(tmp_path / "nowhere")


def test_a_frame_that_is_a_link_to_nothing_is_missed_not_skipped(tmp_path: Path) -> None:
    save_frames(tmp_path, numbered(3))
    (tmp_path / "frame1.png").unlink()
    (tmp_path / "frame1.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(VideoError, match=r"frame1\.png"):
        read_folder(tmp_path, Reading())


# Readings


@pytest.fixture(scope="module")
def same_frames(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(folder of frames, lossless video) of 24 frames of noise at 8 fps."""
    root = tmp_path_factory.mktemp("same")
    frames = noise(0, 24, 8, 8, 3)
    write_lossless(root / "clip.mkv", frames, 8.0)
    return save_frames(root / "frames", frames), root / "clip.mkv"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    num_frames=st.none() | st.integers(1, 26),
    stride=st.none() | st.integers(1, 9),
    fps=st.none() | st.sampled_from([1.0, 3.0, 5.0, 7.5, 8.0, 12.0, 30.0]),
    seed=st.none() | st.integers(0, 5),
)
def test_a_folder_of_known_rate_reads_like_the_video_of_its_frames(
    same_frames: tuple[Path, Path],
    num_frames: int | None,
    stride: int | None,
    fps: float | None,
    seed: int | None,
) -> None:
    folder, path = same_frames
    start = "first" if seed is None or num_frames is None else seed
    reading = Reading(num_frames, stride, fps, start)
    try:
        expected = read_clip(ClipRef(path), num_frames, stride, fps, start)
    except VideoError:
        with pytest.raises(VideoError, match=f"of the {num_frames} frames asked for"):
            read_folder(folder, reading, stored_fps=8.0)
    else:
        assert np.array_equal(read_folder(folder, reading, stored_fps=8.0), expected)


def test_without_a_rate_of_its_own_every_picture_counts(tmp_path: Path) -> None:
    folder = save_frames(tmp_path, numbered(10))
    assert values(read_folder(folder, Reading(4, fps=2.0))) == [0, 1, 2, 3]
    assert values(read_folder(folder, Reading(4, stride=2, fps=2.0))) == [0, 2, 4, 6]
    assert values(read_folder(folder, Reading(4, fps=2.0), stored_fps=4.0)) == [0, 2, 4, 6]


def test_only_the_pictures_that_are_wanted_are_opened(tmp_path: Path) -> None:
    folder = save_frames(tmp_path, numbered(10))
    for index in (1, 2, 4, 5, 7):
        (folder / f"frame{index}.png").write_bytes(b"damaged")
    assert values(read_folder(folder, Reading(3, stride=3))) == [0, 3, 6]


@pytest.mark.parametrize("rate", [0.0, -8.0, float("nan"), float("inf")])
def test_rates_out_of_range(tmp_path: Path, rate: float) -> None:
    with pytest.raises(VideoError, match=r"from 0\.001 to 1000 fps"):
        read_folder(save_frames(tmp_path, numbered(2)), Reading(1, fps=8.0), stored_fps=rate)


# What pictures become


@pytest.mark.parametrize("suffix", ["png", "PNG", "webp", "bmp", "tif", "tiff"])
def test_lossless_formats_give_their_pixels(tmp_path: Path, suffix: str) -> None:
    picture = noise(1, 9, 7, 3)
    path = tmp_path / f"frame1.{suffix}"
    Image.fromarray(picture).save(path, **({"lossless": True} if suffix == "webp" else {}))
    assert np.array_equal(read_picture(path), picture)


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "JPG"])
def test_jpeg(tmp_path: Path, suffix: str) -> None:
    Image.new("RGB", (16, 16), (200, 40, 90)).save(tmp_path / f"frame1.{suffix}", quality=95)
    assert np.abs(read_picture(tmp_path / f"frame1.{suffix}").astype(int) - (200, 40, 90)).max() <= 3


def test_grey_palette_and_bilevel_become_rgb(tmp_path: Path) -> None:
    grey = noise(2, 5, 4)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert np.array_equal(read_picture(tmp_path / "grey.png"), np.repeat(grey[..., None], 3, -1))
    colours = np.array([[[250, 0, 3], [7, 80, 9]], [[7, 80, 9], [250, 0, 3]]], np.uint8)
    Image.fromarray(colours).quantize(2, dither=Image.Dither.NONE).save(tmp_path / "palette.png")
    assert Image.open(tmp_path / "palette.png").mode == "P"
    assert np.array_equal(read_picture(tmp_path / "palette.png"), colours)
    Image.fromarray(grey > 127).save(tmp_path / "bilevel.png")
    assert set(np.unique(read_picture(tmp_path / "bilevel.png"))) == {0, 255}


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("num_channels", [1, 3, 4])
def test_16_bits_are_scaled_not_cut_off(tmp_path: Path, suffix: str, num_channels: int) -> None:
    wide = noise(3, 32, 40, num_channels, dtype=np.uint16)
    wide[0, 0], wide[0, 1], wide[0, 2] = 0, 65535, 255  # 255 / 65535 rounds up to 1 / 255
    if num_channels == 4:
        wide[..., 3] = 65535
    path = tmp_path / f"frame1.{suffix}"
    assert cv2.imwrite(str(path), wide[..., ::-1] if num_channels == 3 else wide)
    if num_channels == 4:
        wide = wide[..., [2, 1, 0]]  # OpenCV writes blue first
    expected = np.rint(wide / 257).astype(np.uint8)
    assert np.array_equal(read_picture(path), np.broadcast_to(expected, (32, 40, 3)))


def png(values: np.ndarray, colour_type: int, extra: bytes = b"") -> bytes:
    """A 16-bit PNG as its specification says; for kinds that no library at hand writes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_16_bit_grey_with_alpha(tmp_path: Path) -> None:
    wide = noise(4, 6, 5, 2, dtype=np.uint16)
    wide[..., 1] = 65535
    (tmp_path / "frame1.png").write_bytes(png(wide, 4))
    expected = np.rint(wide[..., :1] / 257).astype(np.uint8)
    assert np.array_equal(read_picture(tmp_path / "frame1.png"), np.broadcast_to(expected, (6, 5, 3)))
    wide[3, 3] = 0, 65535 - 257  # all but opaque: black that is lighter by one
    (tmp_path / "frame1.png").write_bytes(png(wide, 4))
    assert read_picture(tmp_path / "frame1.png")[3, 3].tolist() == [1, 1, 1]


def test_16_bit_grey_of_which_one_value_is_transparent(tmp_path: Path) -> None:
    def with_key(key: int) -> bytes:
        data = struct.pack(">H", key)
        chunk = struct.pack(">I", 2) + b"tRNS" + data + struct.pack(">I", zlib.crc32(b"tRNS" + data))
        return png(np.full((4, 4), 5000, np.uint16), 0, chunk)

    (tmp_path / "frame1.png").write_bytes(with_key(4999))
    assert set(np.unique(read_picture(tmp_path / "frame1.png"))) == {round(5000 / 257)}
    (tmp_path / "frame1.png").write_bytes(with_key(5000))
    assert set(np.unique(read_picture(tmp_path / "frame1.png"))) == {255}


@pytest.mark.parametrize("mode", ["F", "I"])
def test_values_of_unknown_range_are_refused(tmp_path: Path, mode: str) -> None:
    Image.fromarray(np.full((4, 4), 3, np.float32 if mode == "F" else np.int32)).save(tmp_path / "1.tif")
    with pytest.raises(VideoError, match=r"1\.tif' holds values of which the range is not known"):
        read_picture(tmp_path / "1.tif")


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_an_opaque_alpha_channel_is_dropped_and_real_transparency_lies_on_white(
    tmp_path: Path, suffix: str
) -> None:
    picture = noise(5, 8, 8, 4)
    picture[..., 3] = 255
    path = tmp_path / f"frame1.{suffix}"
    Image.fromarray(picture).save(path, **({"lossless": True} if suffix == "webp" else {}))
    assert np.array_equal(read_picture(path), picture[..., :3])
    picture[2, 3] = 0, 100, 200, 254
    Image.fromarray(picture).save(path, **({"lossless": True} if suffix == "webp" else {}))
    seen = read_picture(path)
    assert seen[2, 3].tolist() == [1, 101, 200]
    assert np.array_equal(seen[3:], picture[3:, :, :3])


TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p, 1),
}


@pytest.mark.parametrize("orientation", sorted(TURNS))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    picture = noise(6, 4, 6, 3)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    for suffix in ("png", "tif"):
        path = tmp_path / f"frame1.{suffix}"
        Image.fromarray(picture).save(path, exif=exif)
        assert np.array_equal(read_picture(path), TURNS[orientation](picture)), suffix


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_exif_orientation_is_applied_to_16_bit_colour(tmp_path: Path, orientation: int) -> None:
    wide = noise(7, 4, 6, 3, dtype=np.uint16)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(data)) + b"eXIf" + data + struct.pack(">I", zlib.crc32(b"eXIf" + data))
    (tmp_path / "frame1.png").write_bytes(png(wide, 2, chunk))
    expected = TURNS[orientation](np.rint(wide / 257).astype(np.uint8))
    assert np.array_equal(read_picture(tmp_path / "frame1.png"), expected)


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_a_file_of_several_pictures_is_no_frame(tmp_path: Path, suffix: str) -> None:
    pictures = [Image.fromarray(frame) for frame in noise(8, 3, 8, 8, 3)]
    pictures[0].save(tmp_path / f"1.{suffix}", save_all=True, append_images=pictures[1:])
    with pytest.raises(VideoError, match="holds 3 pictures, a frame is one"):
        read_picture(tmp_path / f"1.{suffix}")


# Wrong pictures


def test_a_frame_of_another_size_is_named(tmp_path: Path) -> None:
    folder = save_frames(tmp_path, numbered(4))
    Image.new("RGB", (8, 7)).save(folder / "frame2.png")
    with pytest.raises(VideoError, match=r"frame2\.png' is 8 x 7, the first frame of its folder 8 x 6"):
        read_folder(folder, Reading())
    assert values(read_folder(folder, Reading(2))) == [0, 1]


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tif"])
def test_a_picture_that_is_cut_off_anywhere_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"frame1.{suffix}"
    Image.fromarray(noise(9, 12, 12, 3)).save(path)
    data = path.read_bytes()
    for length in {0, 1, 7, len(data) // 4, len(data) // 2, len(data) - 20}:
        path.write_bytes(data[:length])
        with pytest.raises(VideoError, match=rf"frame1\.{suffix}' cannot be read as a picture"):
            read_picture(path)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
@settings(max_examples=150, deadline=None)
@given(data=st.data(), format_=st.sampled_from(["PNG", "JPEG", "WEBP", "BMP", "TIFF", "wide PNG"]))
def test_changed_bytes_give_a_picture_or_an_error_and_in_png_never_wrong_pixels(
    tmp_path_factory: pytest.TempPathFactory, data: Any, format_: str
) -> None:
    if format_ == "wide PNG":
        good = png(noise(10, 8, 8, 3, dtype=np.uint16), 2)
    else:
        buffer = io.BytesIO()
        Image.fromarray(noise(10, 8, 8, 3)).save(buffer, format_)
        good = buffer.getvalue()
    path = tmp_path_factory.mktemp("changed") / "frame1.png"
    path.write_bytes(good)
    right = read_picture(path)
    place, change = data.draw(st.integers(0, len(good) - 1)), data.draw(st.integers(1, 255))
    path.write_bytes(good[:place] + bytes([good[place] ^ change]) + good[place + 1 :])
    with contextlib.suppress(VideoError):
        picture = read_picture(path)
        assert (picture.dtype, picture.shape[-1]) == (np.uint8, 3)
        assert "PNG" not in format_ or np.array_equal(picture, right)


# Limits and digests


def test_a_clip_beyond_the_limit_is_refused_at_its_first_frame(tmp_path: Path) -> None:
    folder = save_frames(tmp_path, numbered(5))
    size = 6 * 8 * 3
    assert len(read_folder(folder, Reading(), max_bytes=5 * size)) == 5
    assert len(read_folder(folder, Reading(4), max_bytes=5 * size - 1)) == 4
    (folder / "frame1.png").write_bytes(b"never opened")
    with pytest.raises(VideoError, match=r"5 frames of 8 x 6 take more than .* GiB"):
        read_folder(folder, Reading(), max_bytes=5 * size - 1)


def test_too_few_frames(tmp_path: Path) -> None:
    folder = save_frames(tmp_path / "short", numbered(5))
    with pytest.raises(VideoError, match=r"short' \(5 frames\) gives 5 of the 16 frames asked for"):
        read_folder(folder, Reading(16))
    with pytest.raises(VideoError, match="gives 0 of the 16"):
        read_folder(folder, Reading(16, start=3))


def test_the_digest_tells_contents_and_order_not_the_folders_name(tmp_path: Path) -> None:
    digests = FileDigests(None)
    one, other = (save_frames(tmp_path / name, numbered(11)) for name in ("one", "other"))
    assert clip_digest(ClipRef(one), digests) == clip_digest(ClipRef(other), digests)
    (other / ".hidden.png").touch()
    (other / "notes.txt").touch()
    assert clip_digest(ClipRef(one), digests) == clip_digest(ClipRef(other), digests)
    a, b = other / "frame2.png", other / "frame10.png"
    data = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(data)
    assert clip_digest(ClipRef(one), digests) != clip_digest(ClipRef(other), digests)
    b.unlink()
    assert clip_digest(ClipRef(one), digests) != clip_digest(ClipRef(other), digests)


def test_size_of_a_folder_is_that_of_its_first_frame(tmp_path: Path) -> None:
    assert probe(save_frames(tmp_path, numbered(2, height=10, width=14))) == ClipInfo(None, 14, 10)


def test_ten_thousand_frames_are_listed_in_a_moment(tmp_path: Path) -> None:
    for index in range(10_000):
        os.close(os.open(tmp_path / f"{index}.png", os.O_CREAT))
    assert [int(path.stem) for path in frame_files(tmp_path)] == list(range(10_000))


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([7], (0, 0)),
        ([1, 2, 3], (0, 0)),
        ([0, 5, 10, 15], (0, 0)),
        ([0, 3, 7, 11, 14], (0, 0)),
        ([0, 1, 2, 6, 7, 9], (4, 3)),
        ([0, 5, 10, 20], (1, 15)),
        ([], (0, 0)),
    ],
)
def test_gaps_are_numbers_left_out_of_the_folders_own_step(
    tmp_path: Path, numbers: list[int], expected: tuple[int, int]
) -> None:
    for number in numbers:
        (tmp_path / f"f{number:03d}.png").touch()
    (tmp_path / "note.txt").touch()
    assert frame_gaps(tmp_path) == expected
