"""Files that are cut off, put together or opened by another of FFmpeg's readers: told, or read right."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from reelbench.core.errors import VideoError
from reelbench.core.types import ClipRef
from reelbench.datasets.video import read_clip


@pytest.mark.parametrize("suffix", [".mjpeg", ".mjpg"])
def test_raw_mjpeg_is_read_whatever_its_first_bytes_lead_ffmpeg_to(tmp_path: Path, suffix: str) -> None:
    """Of two readers ffmpeg takes one by the segments that follow the first marker."""
    pictures = [np.full((48, 64, 3), 40 * index, np.uint8) for index in range(5)]
    data = io.BytesIO()
    for picture in pictures:
        Image.fromarray(picture).save(data, "JPEG", quality=95, comment=b"Lavc59")
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data.getvalue())
    clip = read_clip(ClipRef(path))
    assert clip.shape == (5, 48, 64, 3)
    assert abs(clip.mean((1, 2, 3)) - [0, 40, 80, 120, 160]).max() < 3
    still = tmp_path / "a.mp4"
    Image.fromarray(pictures[1]).save(still, "JPEG")
    with pytest.raises(VideoError, match="is not a readable video"):
        read_clip(ClipRef(still))


def test_a_transport_stream_that_changes_its_size_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "joined.ts"
    with path.open("wb") as joined:
        for number, (width, height) in enumerate([(160, 128), (320, 240)]):
            part = tmp_path / f"{number}.ts"
            with av.open(str(part), "w", format="mpegts") as container:
                stream = container.add_stream("mpeg2video", rate=24)
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                for index in range(24):
                    rng = np.random.default_rng(index)
                    picture = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
                container.mux(stream.encode())
            joined.write(part.read_bytes())
    with pytest.raises(VideoError, match=r"changes its size .*from 160x128 to 320x240"):
        read_clip(ClipRef(path))


@pytest.mark.parametrize("num_lost", [1, 100, 2000, 48 * 64 * 3 + 3])
def test_yuv4mpeg_with_a_partial_frame_is_refused(tmp_path: Path, num_lost: int) -> None:
    frame = b"FRAME\n" + bytes(range(256)) * (48 * 64 * 3 // 256)
    data = b"YUV4MPEG2 W64 H48 F24:1 Ip A1:1 C444\n" + 5 * frame
    path = tmp_path / "a.y4m"
    path.write_bytes(data)
    assert len(read_clip(ClipRef(path))) == 5
    path.write_bytes(data[:-num_lost])
    with pytest.raises(VideoError, match="is cut off after 4 frames"):
        read_clip(ClipRef(path))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_gif_without_its_trailer_is_refused(tmp_path: Path, share: float) -> None:
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)) for _ in range(6)]
    path = tmp_path / "a.gif"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=50)
    data = path.read_bytes()
    path.write_bytes(data + b"\n")  # what follows the trailer is of no concern
    assert len(read_clip(ClipRef(path))) == 6
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(VideoError, match="is cut off after"):
        read_clip(ClipRef(path))
