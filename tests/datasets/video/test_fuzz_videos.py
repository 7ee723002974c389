"""Damaged, forged and odd files, at random (seeded): they are read or refused, in bounded time and memory.

The files are read in a child process, so that a crash of a decoder is a failure with a name. A failure prints
the number of the file; `python tests/datasets/video/test_fuzz_videos.py FOLDER NUMBER NUMBER+1` reads it
again, and `REELBENCH_FUZZ=20000 python -m pytest tests/datasets/video/test_fuzz_videos.py` reads more.
"""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import time
import traceback
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reelbench.core.errors import EvaluationError, VideoError
from reelbench.core.file_digests import FileDigests
from reelbench.core.types import ClipRef
from reelbench.datasets.video import Reading, clip_digest, is_animation, probe, read_clip, read_clips
from reelbench.evaluation.clip_list import find_clips, other_files

NUM_FILES = int(os.environ.get("REELBENCH_FUZZ", "250"))
MOST_SECONDS, MOST_MIB = 60, 1200
"""Of the processor's time for one file (each takes some hundredths of a second), and of memory."""

RECORDED = Path(__file__).with_name("ffmpeg_frames")


# -- what is read ------------------------------------------------------------------------------


def pictures() -> dict[str, bytes]:
    """Small pictures of every kind."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8))
    kinds: dict[str, tuple[str, str, dict[str, Any]]] = {
        "rgb.png": ("PNG", "RGB", {}),
        "alpha.png": ("PNG", "RGBA", {}),
        "palette.png": ("PNG", "P", {}),
        "grey.png": ("PNG", "LA", {}),
        "wide.png": ("PNG", "I;16", {}),
        "rgb.jpg": ("JPEG", "RGB", {}),
        "progressive.jpeg": ("JPEG", "RGB", {"progressive": True}),
        "lossless.webp": ("WEBP", "RGBA", {"lossless": True}),
        "lossy.webp": ("WEBP", "RGB", {}),
        "rgb.avif": ("AVIF", "RGB", {}),
        "rgb.bmp": ("BMP", "RGB", {}),
        "rgb.tif": ("TIFF", "RGB", {}),
        "lzw.tiff": ("TIFF", "RGB", {"compression": "tiff_lzw"}),
        "jpeg.tif": ("TIFF", "RGB", {"compression": "jpeg"}),
    }
    made = {}
    for name, (format_, mode, options) in kinds.items():
        file = io.BytesIO()
        noise.convert(mode).save(file, format_, **options)
        made[name] = file.getvalue()
    return made


def animations() -> dict[str, bytes]:
    """Small animations whose parts differ."""
    images = [Image.new("RGBA", (32, 24), (40 * index, 90, 7, 255 - 60 * index)) for index in range(4)]
    made = {}
    for name, format_ in {
        "clip.webp": "WEBP",
        "clip.gif": "GIF",
        "clip.apng": "PNG",
        "clip.avif": "AVIF",
    }.items():
        file = io.BytesIO()
        images[0].save(file, format_, save_all=True, append_images=images[1:], duration=80)
        made[name] = file.getvalue()
    return made


def sound_files() -> dict[str, bytes]:
    """All kinds, undamaged."""
    videos = {path.name: path.read_bytes() for path in sorted(RECORDED.iterdir()) if path.suffix != ".json"}
    return videos | animations() | pictures()


def damaged(data: bytes, draws: random.Random) -> bytes:
    """The file with one kind of damage."""
    made, kind = bytearray(data), draws.randrange(6)
    at = draws.randrange(len(made))
    if kind == 0:  # cut off
        del made[at:]
    elif kind == 1:  # bits
        for _ in range(draws.choice([1, 3, 20, 200])):
            made[draws.randrange(len(made))] ^= 1 << draws.randrange(8)
    elif kind == 2:  # heads
        for _ in range(draws.choice([1, 4, 16])):
            made[draws.randrange(min(len(made), 600))] = draws.randrange(256)
    elif kind == 3:  # sizes, counts, durations
        for _ in range(draws.choice([1, 2, 6])):
            at = draws.randrange(max(1, len(made) - 4))
            number = draws.choice([0, 2**32 - 1, 2**31 - 1, 2**31, 65535, 2**24])
            made[at : at + 4] = struct.pack(draws.choice("<>") + "I", number)
    elif kind == 4:  # something in between
        made[at:at] = (
            draws.randbytes(200) if draws.random() < 0.5 else made[at : at + draws.randrange(1, 200)]
        )
    else:  # a hole
        del made[at : at + draws.randrange(1, 2000)]
    return bytes(made)


def png(width: int, height: int) -> bytes:
    """A black PNG: a few hundred bytes for any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * width)
    rows = b"".join([*(packer.compress(row) for _ in range(height)), packer.flush()])
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@cache
def bombs() -> dict[str, bytes]:
    """Few bytes that state, or unpack to, very much."""
    webp, gif = bytearray(animations()["clip.webp"]), bytearray(animations()["clip.gif"])
    webp[24:30] = (12999).to_bytes(3, "little") * 2
    gif[6:10] = struct.pack("<HH", 16000, 16000)
    long = bytearray(animations()["clip.webp"])
    for at in [place for place in range(len(long)) if long[place : place + 4] == b"ANMF"]:
        long[at + 20 : at + 23] = b"\xff" * 3  # each frame for four hours and a half
    y4m = b"YUV4MPEG2 W30000 H30000 F24:1 C420jpeg\nFRAME\n"
    return {
        "large.webp": bytes(webp),
        "large.gif": bytes(gif),
        "large.png": png(6500, 6500),
        "large.y4m": y4m + bytes(1000),
        "long.webp": bytes(long),
    }


# -- the child ---------------------------------------------------------------------------------


def read_all_ways(path: Path) -> int:
    """Read a file in every way that there is; how many of them refused it."""
    ref, folder = ClipRef(path), ClipRef(path.parent)
    ways: Sequence[Callable[[], object]] = (
        lambda: probe(path),
        lambda: read_clip(ref),
        lambda: read_clip(ref, 8, fps=8),
        lambda: read_clip(ClipRef(path, start_s=0.05, end_s=0.5)),
        lambda: read_clip(ref, 2, start=3),
        lambda: clip_digest(ref, FileDigests(None)),
        lambda: read_clips(ref, [Reading(), Reading(3, 2), Reading(4, fps=30)]),
        lambda: is_animation(path),
        lambda: read_clip(folder),
        lambda: probe(path.parent),
        lambda: find_clips(path.parent),
        lambda: other_files(path.parent),
    )
    num_refused = 0
    for way in ways:
        try:
            way()
        except (VideoError, EvaluationError) as error:
            if len(str(error)) > 1000:
                raise AssertionError("words without end") from error
            num_refused += 1
    return num_refused


def peak_mib() -> int:
    """This program's own peak; `ru_maxrss` begins at that of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def child(folder: Path, first: int, last: int) -> None:
    """Read files of these numbers; those below 0 are bombs. Prints a line of JSON for each fault."""
    sound, forged = sound_files(), bombs()
    num_refused = 0
    for number in range(first, last):
        draws = random.Random(number)
        name = draws.choice(sorted(sound)) if number >= 0 else sorted(forged)[number]
        place = folder / str(number % 2)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        (place / f"0{name}").write_bytes(damaged(sound[name], draws) if number >= 0 else forged[name])
        (folder / "current").write_text(f"{number} {name}")
        started = time.process_time()
        try:
            num_refused += read_all_ways(place / f"0{name}") > 0
        except BaseException:
            print(json.dumps([number, name, traceback.format_exc()[-1500:]]), flush=True)
        seconds = time.process_time() - started
        if seconds > MOST_SECONDS:
            print(json.dumps([number, name, f"{seconds:.0f} s"]), flush=True)
        used_mib = peak_mib()
        if used_mib > MOST_MIB:
            print(json.dumps([number, name, f"{used_mib} MiB"]), flush=True)
            break
    (folder / "refused").write_text(str(num_refused))


def in_child(folder: Path, first: int, last: int) -> list[Any]:
    """The faults that reading these files in a process of its own shows."""
    command = [sys.executable, __file__, str(folder), str(first), str(last)]
    most = 120 + 2 * (last - first)
    done = subprocess.run(command, capture_output=True, text=True, timeout=most, check=False)
    faults = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    if done.returncode:
        at = (folder / "current").read_text() if (folder / "current").is_file() else "the start"
        faults.append([at, f"ended with {done.returncode}", done.stderr[-1500:]])
    return faults


# -- the tests ---------------------------------------------------------------------------------


def test_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    assert in_child(tmp_path, 0, NUM_FILES) == []
    assert int((tmp_path / "refused").read_text()) > NUM_FILES / 3


def test_files_that_state_very_much_take_neither_time_nor_memory(tmp_path: Path) -> None:
    assert in_child(tmp_path, -len(bombs()), 0) == []


@pytest.mark.parametrize("name", ["large.webp", "large.gif", "large.png"])
def test_a_size_that_no_clip_has_is_refused_by_its_numbers(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"0{name}"
    path.write_bytes(bombs()[name])
    with pytest.raises(VideoError, match=r"\d+ x \d+, more than 33,554,432 pixels"):
        read_clip(ClipRef(path if path.suffix != ".png" else tmp_path))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.webp", "0.png", "clip.gif", "clip.y4m"])
def test_pipes_and_devices_are_not_waited_for(tmp_path: Path, name: str) -> None:
    for kind in ("pipe", "device"):
        place = tmp_path / kind
        place.mkdir()
        if kind == "pipe":
            os.mkfifo(place / name)
        else:
            (place / name).symlink_to("/dev/zero")
        ref = ClipRef(place if name == "0.png" else place / name)
        assert not is_animation(place / name)
        find_clips(place)
        with pytest.raises(VideoError, match="is a pipe or a device"):
            read_clip(ref)
        with pytest.raises(OSError, match="not a regular file"):
            clip_digest(ref, FileDigests(None))


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{secret}'\n",
        "file '{secret}'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        '<?xml version="1.0"?><MPD><Period><AdaptationSet><Representation><BaseURL>{secret}</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>",
        "[Reference]\nRef1={secret}\n",
        "RTSPtext rtsp://127.0.0.1/x",
        "DKIF{secret}",
    ],
)
@pytest.mark.parametrize("suffix", [".mp4", ".h264"])
def test_a_list_that_names_another_file_is_not_followed(tmp_path: Path, text: str, suffix: str) -> None:
    secret = tmp_path / "secret.mkv"
    shutil.copy(RECORDED / "h264-rgb.mkv", secret)
    path = tmp_path / f"list{suffix}"
    path.write_text(text.format(secret=secret))
    with pytest.raises(VideoError):
        read_clip(ClipRef(path))


@pytest.mark.parametrize(
    "name",
    [
        *(
            "-i.mp4",
            "file:x.mp4",
            "http:__x.mp4",
            "%03d.mp4",
            "a\nb.mp4",
            "a'b\"c.mp4",
            "犬🐕.mp4",
            "a b.mp4",
        ),
        *("concat:a|b.mp4", "x" * 250 + ".mp4", "$(id).mp4", "pipe:0.mp4", "a?b#c.mp4", "..mp4"),
    ],
)
def test_any_name_that_the_system_takes_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / name
    shutil.copy(RECORDED / "h264-bt709.mp4", path)
    assert len(read_clip(ClipRef(path))) == 4
    monkeypatch.chdir(tmp_path)
    assert len(read_clip(ClipRef(Path(name)))) == 4


def test_a_folder_that_leads_back_to_itself_ends(tmp_path: Path) -> None:
    shutil.copy(RECORDED / "h264-bt709.mp4", tmp_path / "a.mp4")
    (tmp_path / "down").mkdir()
    (tmp_path / "down" / "up").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "self.mp4").symlink_to(tmp_path / "self.mp4")
    found = find_clips(tmp_path)
    assert set(found) == {"a", "self"}
    with pytest.raises(VideoError):
        read_clip(ClipRef(found["self"].path))


if __name__ == "__main__":
    child(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
