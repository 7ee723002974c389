"""Animated WebP, PNG and GIF: partial frames are laid over each other as the formats say, at their times."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reelbench.core.errors import VideoError
from reelbench.core.file_digests import FileDigests
from reelbench.core.hashing import digest_file
from reelbench.core.transparency import over_background
from reelbench.core.types import ClipRef
from reelbench.datasets.video import Reading, clip_digest, is_animation, probe, read_clip, read_clips
from reelbench.evaluation.clip_list import find_clips, other_files

SIZE = 24
"""Of the square canvas, in pixels."""


@dataclass(frozen=True)
class Part:
    """A frame as it is stored.

    Attributes:
        pixels: RGBA [h,w,4].
        x, y: where its corner lies on the canvas; even, as WebP has them.
        disposal: what becomes of its place once it was shown: "none", "background" (clear), "previous".
        blends: whether it lies over the canvas, or takes its place.
    """

    pixels: np.ndarray
    x: int
    y: int
    disposal: str
    blends: bool
    duration_ms: int


def shown(parts: Sequence[Part]) -> np.ndarray:
    """The frames on white, by the words of the formats, uint8 [T,H,W,3]."""
    canvas = np.zeros((SIZE, SIZE, 4), np.float64)
    frames = []
    for part in parts:
        before = canvas.copy()
        height, width = part.pixels.shape[:2]
        place = (slice(part.y, part.y + height), slice(part.x, part.x + width))
        if part.blends:
            alpha = part.pixels[..., 3:] / 255
            below = canvas[place][..., 3:] / 255
            together = alpha + below * (1 - alpha)
            colour = part.pixels[..., :3] * alpha + canvas[place][..., :3] * below * (1 - alpha)
            canvas[place][..., :3] = np.divide(
                colour, together, out=np.zeros_like(colour), where=together > 0
            )
            canvas[place][..., 3:] = together * 255
        else:
            canvas[place] = part.pixels
        frames.append(over_background(canvas[..., :3], canvas[..., 3] / 255))
        if part.disposal == "background":
            canvas[place] = 0
        elif part.disposal == "previous":
            canvas = before
    return np.stack(frames)


def webp(parts: Sequence[Part]) -> bytes:
    """Animated WebP: each part a lossless picture in its own chunk."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)

    def number(value: int) -> bytes:
        return value.to_bytes(3, "little")

    chunks = chunk(b"VP8X", bytes([0x12, 0, 0, 0]) + number(SIZE - 1) * 2)
    chunks += chunk(b"ANIM", bytes([1, 2, 3, 255, 0, 0]))  # a background that nobody heeds
    for part in parts:
        still = io.BytesIO()
        Image.fromarray(part.pixels).save(still, "WEBP", lossless=True, exact=True)
        height, width = part.pixels.shape[:2]
        flags = (part.disposal == "background") | (not part.blends) << 1
        head = number(part.x // 2) + number(part.y // 2) + number(width - 1) + number(height - 1)
        picture = still.getvalue()[12:]
        if picture[:4] == b"VP8X":  # its parts without its head
            picture = picture[18:]
        chunks += chunk(b"ANMF", head + number(part.duration_ms) + bytes([flags]) + picture)
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def apng(parts: Sequence[Part]) -> bytes:
    """Animated PNG: each part uncompressed but for zlib."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    made = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", SIZE, SIZE, 8, 6, 0, 0, 0))
    made += chunk(b"acTL", struct.pack(">II", len(parts), 0))
    number = 0
    for index, part in enumerate(parts):
        height, width = part.pixels.shape[:2]
        disposal = ["none", "background", "previous"].index(part.disposal)
        place = (width, height, part.x, part.y)
        made += chunk(
            b"fcTL",
            struct.pack(">IIIIIHHBB", number, *place, part.duration_ms, 1000, disposal, part.blends),
        )
        number += 1
        rows = b"".join(b"\0" + row.tobytes() for row in part.pixels)
        if index == 0:
            made += chunk(b"IDAT", zlib.compress(rows))
        else:
            made += chunk(b"fdAT", struct.pack(">I", number) + zlib.compress(rows))
            number += 1
    return made + chunk(b"IEND", b"")


def gif(parts: Sequence[Part]) -> bytes:
    """GIF: each part with a palette of its own, whose last colour is transparent."""
    made = b"GIF89a" + struct.pack("<HHBBB", SIZE, SIZE, 0, 0, 0)
    for part in parts:
        height, width = part.pixels.shape[:2]
        opaque = part.pixels[..., 3] == 255
        colours, places = np.unique(part.pixels[opaque][:, :3], axis=0, return_inverse=True)
        indices = np.full((height, width), 255, np.uint8)
        indices[opaque] = places.ravel()
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(colours)] = colours
        still = Image.fromarray(indices, "P")
        still.putpalette(palette.tobytes())
        saved = io.BytesIO()
        still.save(saved, "GIF", optimize=False, interlace=0)
        data = saved.getvalue()
        at = 13 + 768
        while data[at] == 0x21:  # extensions
            at += 2
            while data[at]:
                at += data[at] + 1
            at += 1
        disposal = ["", "none", "background", "previous"].index(part.disposal)
        made += b"\x21\xf9\x04" + struct.pack("<BHBB", disposal << 2 | 1, part.duration_ms // 10, 255, 0)
        made += b"," + struct.pack("<HHHHB", part.x, part.y, width, height, 0x87)
        made += palette.tobytes() + data[at + 10 : -1]
    return made + b";"


def random_parts(seed: int, kind: str) -> list[Part]:
    """Parts of all sizes, disposals and ways to blend; the first covers the canvas."""
    draws = np.random.default_rng(seed)
    parts = []
    for index in range(8):
        x, y = (0, 0) if index == 0 else (2 * int(draws.integers(0, 8)), 2 * int(draws.integers(0, 8)))
        width, height = SIZE, SIZE
        if index:
            width, height = int(draws.integers(1, SIZE - x + 1)), int(draws.integers(1, SIZE - y + 1))
        pixels = np.zeros((height, width, 4), np.uint8)
        pixels[..., :3] = draws.integers(0, 256, 3)
        pixels[: height // 2, :, :3] = draws.integers(0, 256, 3)
        levels = [0, 255] if kind == "gif" else [0, 90, 255]
        pixels[..., 3] = draws.choice(levels, (height, width))
        disposals = ["none", "background"] if kind == "webp" else ["none", "background", "previous"]
        disposal = str(draws.choice(disposals[: 2 if index == 0 else 3]))
        blends = kind == "gif" or bool(draws.integers(0, 2))
        parts.append(Part(pixels, x, y, disposal, blends, 10 * int(draws.integers(2, 30))))
    return parts


WRITERS: dict[str, Callable[[Sequence[Part]], bytes]] = {"webp": webp, "apng": apng, "gif": gif}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", WRITERS)
def test_partial_frames_are_laid_over_each_other(tmp_path: Path, kind: str, seed: int) -> None:
    parts = random_parts(seed, kind)
    path = tmp_path / f"clip.{kind}"
    path.write_bytes(WRITERS[kind](parts))
    frames = read_clip(ClipRef(path)).astype(int)
    # Half transparent over half transparent is rounded to bytes by the readers at each frame.
    assert np.abs(frames - shown(parts)).max() <= (0 if kind == "gif" else 2)
    assert np.abs(frames - shown(parts)).mean() <= 0.1


def test_transparent_avif_lies_on_white(tmp_path: Path) -> None:
    """Its transparency is a second track of grey pictures, beside two stills."""
    pictures = np.zeros((6, 32, 32, 4), np.uint8)
    pictures[..., 0], pictures[..., 3] = 200, 255
    for index, picture in enumerate(pictures):
        picture[8:24, 8:24, 3] = 50 * index
    path = tmp_path / "clip.avif"
    images = [Image.fromarray(picture) for picture in pictures]
    images[0].save(path, save_all=True, append_images=images[1:], duration=80, quality=95)
    expected = np.stack([over_background(p[..., :3], p[..., 3] / 255) for p in pictures]).astype(int)
    frames = read_clip(ClipRef(path))
    assert np.abs(frames - expected).max() <= 6  # it is stored with loss
    np.testing.assert_array_equal(read_clip(ClipRef(path, start_s=0.2)), frames[3:])
    assert clip_digest(ClipRef(path), FileDigests(None)) != digest_file(path)


@pytest.mark.parametrize("kind", WRITERS)
def test_delays_that_vary_are_times(tmp_path: Path, kind: str) -> None:
    greys = [np.full((SIZE, SIZE, 4), 40 * index + 40, np.uint8) for index in range(4)]
    for grey in greys:
        grey[..., 3] = 255
    delays = [100, 400, 20, 300]
    parts = [Part(grey, 0, 0, "none", False, delay) for grey, delay in zip(greys, delays, strict=True)]
    path = tmp_path / f"clip.{kind}"
    path.write_bytes(WRITERS[kind](parts))

    def values(**asked: float) -> list[int]:
        return [round(int(frame[0, 0, 0]) / 40) - 1 for frame in read_clip(ClipRef(path, **asked), fps=10)]

    assert values() == [0, 1, 1, 1, 1, 2, 3, 3, 3]
    assert values(start_s=0.5) == [2, 3, 3, 3]
    seeded = read_clips(ClipRef(path), [Reading(2, start=seed) for seed in range(32)])
    assert {int(clip[0, 0, 0, 0]) for clip in seeded if not isinstance(clip, VideoError)} >= {40, 80, 120}


def test_webp_says_its_rate_and_size(tmp_path: Path) -> None:
    path = tmp_path / "clip.webp"
    path.write_bytes(webp(random_parts(0, "webp")))
    total_ms = sum(part.duration_ms for part in random_parts(0, "webp"))
    info = probe(path)
    assert (info.width, info.height) == (SIZE, SIZE)
    assert info.fps == pytest.approx(8000 / total_ms)


def test_a_webp_frame_of_no_time_is_shown_for_a_tenth_of_a_second(tmp_path: Path) -> None:
    parts = [Part(part.pixels, part.x, part.y, "none", True, 0) for part in random_parts(0, "webp")]
    path = tmp_path / "clip.webp"
    path.write_bytes(webp(parts))
    assert probe(path).fps == pytest.approx(10)


def test_transparent_animations_carry_the_rule_in_their_digest(tmp_path: Path) -> None:
    clear, opaque = tmp_path / "clear.webp", tmp_path / "opaque.webp"
    clear.write_bytes(webp(random_parts(0, "webp")))
    solid = np.full((SIZE, SIZE, 4), 255, np.uint8)
    opaque.write_bytes(webp([Part(solid, 0, 0, "none", False, 100)] * 2))
    files = FileDigests(None)
    assert clip_digest(ClipRef(clear), files) != digest_file(clear)
    assert clip_digest(ClipRef(opaque), files) == digest_file(opaque)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9, 0.99])
def test_a_cut_webp_is_refused(tmp_path: Path, share: float) -> None:
    data = webp(random_parts(1, "webp"))
    path = tmp_path / "clip.webp"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(VideoError, match="cut off"):
        read_clip(ClipRef(path))


def test_animated_pictures_are_clips_and_still_ones_are_not(tmp_path: Path) -> None:
    """As ComfyUI leaves them: animated WebP and PNG under the endings of pictures, stills beside them."""
    (tmp_path / "ComfyUI_00001_.webp").write_bytes(webp(random_parts(0, "webp")))
    (tmp_path / "ComfyUI_00002_.webp").write_bytes(webp(random_parts(1, "webp")))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "ComfyUI_00003_.png").write_bytes(apng(random_parts(2, "apng")))
    images = [Image.fromarray(part.pixels).resize((16, 16)) for part in random_parts(0, "webp")]
    images[0].save(tmp_path / "sequence.avif", save_all=True, append_images=images[1:], duration=50)
    for folder in ("frames_png", "frames_webp", "frames_avif"):
        (tmp_path / folder).mkdir()
        for index in range(3):
            images[index].save(tmp_path / folder / f"{index}.{folder[7:]}")
    images[0].save(tmp_path / "poster.png")
    found = {name: clip.kind for name, clip in find_clips(tmp_path).items()}
    assert found == {
        "ComfyUI_00001_": "video",
        "ComfyUI_00002_": "video",
        "frames_avif": "frames",
        "frames_png": "frames",
        "frames_webp": "frames",
        "other/ComfyUI_00003_": "video",
        "sequence": "video",
    }
    assert other_files(tmp_path) == []
    for folder in ("frames_png", "frames_webp", "frames_avif"):
        assert read_clip(ClipRef(tmp_path / folder)).shape == (3, 16, 16, 3)


def test_what_is_no_animation_is_told(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "still.webp")
    assert not is_animation(tmp_path / "still.webp")
    assert not is_animation(tmp_path / "missing.webp")
    assert not is_animation(tmp_path)
    with pytest.raises(VideoError, match="not a readable video"):
        read_clip(ClipRef(tmp_path / "still.webp"))
