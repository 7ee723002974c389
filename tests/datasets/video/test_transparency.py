"""Transparent videos and pictures: on white, whatever they hold below, in every format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream
from PIL import Image

from reelbench.core.file_digests import FileDigests
from reelbench.core.hashing import digest_file
from reelbench.core.transparency import over_background
from reelbench.core.types import ClipRef
from reelbench.datasets.video import clip_digest, read_clip

KINDS = {
    "qtrle.mov": ("qtrle", "argb", {}),
    "png.mov": ("png", "rgba", {}),
    "png16.mov": ("png", "rgba64be", {}),
    "prores.mov": ("prores_ks", "yuva444p10le", {"profile": "4444"}),
    "ffv1.mkv": ("ffv1", "yuva444p", {}),
    "raw.avi": ("rawvideo", "bgra", {}),
    "vp8.webm": ("libvpx", "yuva420p", {"auto-alt-ref": "0", "b": "4000000"}),
    "vp9.webm": ("libvpx-vp9", "yuva420p", {"auto-alt-ref": "0", "crf": "4", "b": "0", "cpu-used": "8"}),
}
FILES = [*KINDS, "animated.gif", "animated.apng", "pngs", "palette", "grey", "wide"]


def pictures(alpha: int) -> list[np.ndarray]:
    """Four pictures, red beside green, of which a part (that moves) is as opaque as `alpha`; [32,64,4]."""
    made = []
    for index in range(4):
        picture = np.zeros((32, 64, 4), np.uint8)
        picture[:, :32, 0], picture[:, 32:, 1], picture[..., 3] = 200, 180, 255
        picture[8 * index : 8 * index + 8, 32:, 3] = alpha
        made.append(picture)
    return made


def write(path: Path, alpha: int) -> Path:
    """The pictures in the format that the name says."""
    images = [Image.fromarray(picture) for picture in pictures(alpha)]
    if path.suffix in (".gif", ".apng"):
        kind = {".gif": "GIF", ".apng": "PNG"}[path.suffix]
        images[0].save(path, kind, save_all=True, append_images=images[1:], duration=100, disposal=2)
    elif not path.suffix:
        path.mkdir(parents=True)
        for index, image in enumerate(images):
            if path.name == "palette":  # one index of the palette is the transparent one
                place = np.where(np.asarray(image)[..., 3] < 255, 2, np.arange(64)[None] // 32)
                image = Image.fromarray(place.astype(np.uint8), "P")
                image.putpalette([200, 0, 0, 0, 180, 0, 0, 180, 0])
                image.info["transparency"] = bytes([255, 255, alpha])
            elif path.name == "grey":
                image = image.convert("LA")
            elif path.name == "wide":
                values = np.asarray(image).astype(np.uint16) * 257  # of two equal bytes, in either order
                frame = av.VideoFrame.from_ndarray(values, format="rgba64be")
                encoder = av.VideoCodecContext.create("png", "w")
                encoder.width, encoder.height, encoder.pix_fmt = 64, 32, "rgba64be"
                encoder.framerate = 25
                (path / f"{index}.png").write_bytes(b"".join(map(bytes, encoder.encode(frame))))
                continue
            image.save(path / f"{index}.png")
    else:
        codec, layout, options = KINDS[path.name]
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=8, options=options)
            assert isinstance(stream, VideoStream)
            stream.height, stream.width, stream.pix_fmt = 32, 64, layout
            stream.codec_context.thread_count = 1
            for image in images:
                frame = av.VideoFrame.from_ndarray(np.asarray(image), format="rgba")
                container.mux(stream.encode(frame.reformat(format=layout)))
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name", FILES)
def test_what_is_transparent_is_white_and_what_is_half_so_is_half_white(tmp_path: Path, name: str) -> None:
    lossy = 12 if name in ("vp8.webm", "vp9.webm", "prores.mov") else 2
    below = np.array([106, 106, 106] if name == "grey" else [0, 180, 0])
    for alpha in (0, 128) if name != "animated.gif" else (0,):
        (tmp_path / str(alpha)).mkdir()
        clip = read_clip(ClipRef(write(tmp_path / str(alpha) / name, alpha))).astype(int)
        expected = below * alpha / 255 + 255 * (1 - alpha / 255)
        assert clip.shape == (4, 32, 64, 3)
        for index in range(4):
            assert np.abs(clip[index, 8 * index + 4, 36:60] - expected).max() <= lossy
            assert np.abs(clip[index, (8 * index + 20) % 32, 36:60] - below).max() <= lossy


@pytest.mark.parametrize("name", FILES)
def test_where_every_pixel_is_opaque_nothing_changes(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, 255)
    if not path.is_dir():
        assert clip_digest(ClipRef(path), FileDigests(None)) == digest_file(path)
        with av.open(str(path)) as container:
            plain = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        if path.suffix != ".apng":  # Pillow writes an opaque one's pictures as RGB, and leaves out equal ones
            assert np.array_equal(read_clip(ClipRef(path)), plain)
    elif name != "grey":
        assert np.array_equal(read_clip(ClipRef(path)), [picture[..., :3] for picture in pictures(255)])


@pytest.mark.parametrize("name", [*KINDS, "animated.gif", "animated.apng"])
def test_what_was_made_of_a_transparent_video_under_another_rule_is_not_served(
    tmp_path: Path, name: str
) -> None:
    path = write(tmp_path / name, 0)
    cache = tmp_path / "digests.json"
    files = FileDigests(cache)
    digest = clip_digest(ClipRef(path), files)
    assert digest != digest_file(path)
    files.save()
    assert clip_digest(ClipRef(path), FileDigests(cache)) == digest


def test_a_window_in_the_middle_of_a_webm_is_transparent_too(tmp_path: Path) -> None:
    path = write(tmp_path / "vp9.webm", 0)
    whole = read_clip(ClipRef(path))
    assert np.array_equal(read_clip(ClipRef(path, start_s=0.25)), whole[2:])


def test_files_without_transparency_keep_their_digest(
    tmp_path: Path, encode_video: Callable[..., Path]
) -> None:
    plain = {"clip.mp4": "libx264", "clip.mov": "libx264", "clip.webm": "libvpx-vp9", "clip.avi": "mpeg4"}
    for name, codec in plain.items():
        path = encode_video(tmp_path / name, num_frames=4, codec=codec)
        assert clip_digest(ClipRef(path), FileDigests(None)) == digest_file(path)
    (tmp_path / "damaged.gif").write_bytes(b"GIF89a....")
    assert clip_digest(ClipRef(tmp_path / "damaged.gif"), FileDigests(None)) == digest_file(
        tmp_path / "damaged.gif"
    )


def test_an_opaque_picture_is_handed_on_as_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    assert over_background(picture, np.ones((4, 4))) is picture
