"""Clips written to files: without loss for measuring, and as a preview for browsers.

Lossless clips are FFV1 in Matroska, 8 bits RGB (pixel format bgr0). The file carries a digest of the frames,
which reading checks: FFmpeg's decoder would paint over damage in silence. Equal frames give equal bytes.

Previews are H.264 (VP9 where FFmpeg was built without libx264) in MP4, 4:2:0, BT.709 limited range and
tagged so, with the index in front of the data so that they play while they load.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream

from ...core.atomic_write import atomic_path
from ...core.errors import VideoError
from ...core.hashing import digest_array
from ...core.store import ClipCodec
from ...core.types import Frames
from .clips import clip_digest
from .file import decode, open_video
from .pictures import RgbReader
from .reading import exact_rate

_DIGEST_TAG = "REELBENCH_DIGEST"
_MIN_PREVIEW_SIDE = 256
_PREVIEW_ENCODERS: Mapping[str, Mapping[str, str]] = {
    "libx264": {"crf": "18", "preset": "veryfast"},
    "libvpx-vp9": {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "4"},
}


def default_codec() -> ClipCodec:
    """The store's codec: lossless clips for measuring, small previews for browsers."""
    return ClipCodec(
        write_lossless=write_lossless,
        read_lossless=read_lossless,
        write_preview=write_preview,
        reference_digest=clip_digest,
    )


def write_lossless(path: Path, frames: Frames, fps: float) -> None:
    """Write a clip so that `read_lossless` gives the same values back. Atomic.

    Args:
        path: ends in ".mkv".
        frames: uint8 [T,H,W,3], at least one frame.
        fps: frames per second, for players.

    Raises:
        VideoError: frames or fps are not as described, another suffix, or FFmpeg cannot write.
    """
    frames_THWC = _checked(path, frames, fps, ".mkv")
    options = {"level": "3", "g": "1"}
    with _writing(path, "matroska", {}) as container:
        container.metadata[_DIGEST_TAG] = digest_array(frames_THWC)
        stream = container.add_stream("ffv1", rate=exact_rate(fps), options=options)
        assert isinstance(stream, VideoStream)
        stream.codec_context.thread_count = 1
        stream.pix_fmt = "bgr0"
        _encode(container, stream, frames_THWC, dst_format="bgr0")


def read_lossless(path: Path) -> Frames:
    """The frames of a clip that `write_lossless` wrote: uint8 [T,H,W,3], every value exact.

    Raises:
        VideoError: missing, empty, cut off, damaged (digest), or not such a file.
    """
    with open_video(path) as (container, stream):
        written = container.metadata.get(_DIGEST_TAG)
        if stream.codec_context.name != "ffv1" or written is None:
            raise VideoError(
                f"{str(path)!r} is not a lossless clip of Reelbench (codec {stream.codec_context.name})",
                "read other videos with read_clip",
            )
        reader = RgbReader()
        pictures = [reader.rgb(path, shown.frame) for shown in decode(path, container, stream)]
    frames_THWC = np.stack(pictures) if len({picture.shape for picture in pictures}) == 1 else None
    if frames_THWC is None or digest_array(frames_THWC) != written:
        raise VideoError(
            f"{str(path)!r} is damaged or cut off: its {len(pictures)} frames are not those written",
            "delete it; the next run makes it again",
        )
    return frames_THWC


def write_preview(path: Path, frames: Frames, fps: float, scale: int | None = None) -> None:
    """Write a clip for looking at: plays in browsers, not for measuring. Atomic.

    Args:
        path: ends in ".mp4".
        frames: uint8 [T,H,W,3], at least one frame. Odd sizes are padded by their last row or column.
        fps: frames per second.
        scale: whole factor of the size, by nearest neighbour; None takes the smallest that makes the
            shorter side at least 256 pixels.

    Raises:
        VideoError: frames, fps or scale are not as described, another suffix, FFmpeg cannot write, or
            it was built without an encoder that browsers understand.
    """
    frames_THWC = _checked(path, frames, fps, ".mp4")
    shorter = min(frames_THWC.shape[1:3])
    factor = -(-_MIN_PREVIEW_SIDE // shorter) if scale is None else scale
    if factor < 1:
        raise VideoError(f"scale must be a whole factor of at least 1, got {scale}")
    encoder = next((name for name in _PREVIEW_ENCODERS if name in av.codecs_available), None)
    if encoder is None:
        raise VideoError(
            f"this build of FFmpeg has none of the encoders {', '.join(_PREVIEW_ENCODERS)}",
            "install the wheel of PyAV (pip install av) instead of building it",
        )
    with _writing(path, "mp4", {"movflags": "+faststart"}) as container:
        stream = container.add_stream(encoder, rate=exact_rate(fps), options=dict(_PREVIEW_ENCODERS[encoder]))
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.thread_count = 1
        stream.pix_fmt = "yuv420p"
        context.color_range = ColorRange.MPEG
        context.colorspace = Colorspace.ITU709
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        _encode(container, stream, _enlarged(frames_THWC, factor), dst_format="yuv420p")


@contextlib.contextmanager
def _writing(path: Path, format: str, options: Mapping[str, str]) -> Iterator[OutputContainer]:
    """A container that becomes `path` when all went well."""
    try:
        with atomic_path(path) as temporary:
            # bitexact: no random ids and no library version in the file.
            all_options = {"fflags": "+bitexact", **options}
            with av.open(str(temporary), "w", format=format, options=all_options) as container:
                yield container
    except (av.FFmpegError, OSError) as error:
        reason = error.strerror or error
        raise VideoError(f"cannot write {str(path)!r}: {reason}", "is the disk full?") from error


def _encode(
    container: OutputContainer,
    stream: VideoStream,
    frames_THWC: Iterable[np.ndarray],
    dst_format: str,
) -> None:
    """Encode RGB pictures and finish the stream."""
    reformatter = VideoReformatter()
    for index, picture_HWC in enumerate(frames_THWC):
        if index == 0:
            stream.height, stream.width = picture_HWC.shape[:2]
        rgb = VideoFrame.from_ndarray(np.ascontiguousarray(picture_HWC), format="rgb24")
        if dst_format == "yuv420p":
            frame = reformatter.reformat(
                rgb,
                format=dst_format,
                dst_colorspace=Colorspace.ITU709,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
                threads=1,
            )
        else:
            frame = reformatter.reformat(rgb, format=dst_format, threads=1)
        frame.pts = index
        frame.time_base = 1 / stream.codec_context.framerate
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _enlarged(frames_THWC: np.ndarray, factor: int) -> Iterator[np.ndarray]:
    """Each picture `factor` times as large, its sides made even, one at a time."""
    for picture_HWC in frames_THWC:
        large = picture_HWC.repeat(factor, axis=0).repeat(factor, axis=1)
        height, width = large.shape[:2]
        yield np.pad(large, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def _checked(path: Path, frames: Frames, fps: float, suffix: str) -> Frames:
    if path.suffix != suffix:
        raise VideoError(f"the name must end in {suffix!r}, got {path.name!r}")
    if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8:
        kind = frames.dtype if isinstance(frames, np.ndarray) else type(frames).__name__
        raise VideoError(f"{path.name}: frames must be a uint8 array, got {kind}")
    if frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
        raise VideoError(f"{path.name}: frames must be [T,H,W,3] with T, H, W > 0, got {list(frames.shape)}")
    if not 1e-3 <= fps <= 1000:
        raise VideoError(f"{path.name}: fps must be from 0.001 to 1000, got {fps}")
    return frames
