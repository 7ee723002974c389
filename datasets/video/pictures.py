"""Pictures of decoded frames: RGB, upright, on the background where they are transparent.

Colours are those that the `ffmpeg` command gives with `-pix_fmt rgb24` (equal to the last bit with ffmpeg
5.1, 8.0 and 9.0 on x86-64; `docs/videos.md`): chroma is interpolated bicubically, as if it lay in the
middle between its pixels, and in whole frames where fields are interlaced.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.packet import Packet
from av.sidedata.sidedata import Type as SideDataKind
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from ...core.errors import VideoError
from ...core.transparency import over_background
from .bounds import LIMITS


class SideTransparency:
    """The transparency of VP8 and VP9 in WebM: a second stream of grey pictures, packed beside each frame,
    which FFmpeg's own decoders of these codecs leave aside."""

    def __init__(self, stream: VideoStream) -> None:
        self._codec = stream.codec_context.name
        self._decoder: VideoCodecContext | None = None
        self._waiting: dict[int | None, VideoFrame] = {}

    def see(self, packet: Packet[VideoStream]) -> None:
        """Decode what lies beside a packet's frame.

        Raises:
            FFmpegError: it is damaged, or builds upon a picture that was not seen.
        """
        data = _beside(packet) if self._codec in _SIDE_TRANSPARENCY_CODECS else None
        if data is None:
            return
        if self._decoder is None:
            self._decoder = av.VideoCodecContext.create(self._codec, "r")
            self._decoder.options = LIMITS
            self._decoder.thread_count = 1  # each packet gives its picture at once
        for picture in self._decoder.decode(av.Packet(data)):
            self._waiting[packet.pts] = picture

    def attach(self, frame: VideoFrame) -> None:
        """Give a frame the picture that came with it; see `RgbReader.alpha`."""
        frame.opaque = self._waiting.pop(frame.pts, None)


_SIDE_TRANSPARENCY_CODECS = ("vp8", "vp9")


def _beside(packet: Packet[VideoStream]) -> bytes | None:
    """The transparency packed beside a frame, None where there is none."""
    for side_data in packet.iter_sidedata():
        if side_data.data_type == "matroska_block_additional":
            data = bytes(side_data)
            if data[:8] == b"\0\0\0\0\0\0\0\1":  # its number is 1 in both codecs
                return data[8:]
    return None


_UNSCALED = ("yuv420p", "yuvj420p", "yuva420p", "yuv422p", "yuvj422p")
"""Layouts of which FFmpeg repeats chroma for speed where the height is even."""


def has_shared_chroma(shape: VideoFormat) -> bool:
    """Whether several pixels share chroma (4:2:0, 4:2:2, ...)."""
    return any(
        (part.width, part.height) != (shape.width, shape.height)
        for part in shape.components
        if part.is_chroma
    )


def interpolates_chroma(shape: VideoFormat, height: int) -> bool:
    """Whether shared chroma is interpolated for the pixels of a frame."""
    return has_shared_chroma(shape) and (shape.name not in _UNSCALED or height % 2 == 1)


def _without_notes(frame: VideoFrame) -> VideoFrame:
    """A frame's pixels, matrix and range without what it says of fields and of where chroma lies, which the
    `ffmpeg` command leaves out of account and FFmpeg's library does not."""
    plain = VideoFrame(frame.width, frame.height, frame.format.name)
    for source, target in zip(frame.planes, plain.planes, strict=True):
        rows = np.frombuffer(bytes(source), np.uint8).reshape(source.height, source.line_size)
        copy = np.zeros((target.height, target.line_size), np.uint8)
        num_bytes = min(source.line_size, target.line_size)
        copy[:, :num_bytes] = rows[:, :num_bytes]
        target.update(copy.tobytes())
    plain.colorspace, plain.color_range = frame.colorspace, frame.color_range
    return plain


def _has_alpha(shape: VideoFormat) -> bool:
    return shape.has_palette or any(component.is_alpha for component in shape.components)


class RgbReader:
    """Turns decoded frames into RGB pictures; keep one per file (it keeps FFmpeg's converters)."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._alpha_reformatter = VideoReformatter()

    def rgb(self, path: Path, frame: VideoFrame) -> np.ndarray:
        """uint8 [H,W,3], full range, on the background where it is transparent (`core.transparency`), turned
        and mirrored as the frame's display matrix says.

        Raises:
            VideoError: the pixel format cannot be converted, or it is turned by other than quarter turns.
        """
        picture_HWC = self._converted(path, frame, self._reformatter, "rgb24")
        alpha_HW = self.alpha(path, frame)
        if alpha_HW is not None:
            picture_HWC = over_background(picture_HWC, alpha_HW)
        return _upright(path, picture_HWC, frame)

    def alpha(self, path: Path, frame: VideoFrame) -> np.ndarray | None:
        """How opaque each pixel is, [H,W] from 0 to 1, not turned; None where the frame has no transparency.

        Raises:
            VideoError: the pixel format cannot be converted.
        """
        beside = frame.opaque
        if isinstance(beside, VideoFrame):
            bits = beside.format.components[0].bits
            plane = beside.planes[0]
            values = np.frombuffer(bytes(plane), np.uint8 if bits == 8 else np.uint16)
            values_HW = values.reshape(plane.height, -1)[: frame.height, : frame.width]
            if values_HW.shape != (frame.height, frame.width):
                raise VideoError(f"{str(path)!r}: its transparency is of another size than its pictures")
            return values_HW / (2**bits - 1)
        if not _has_alpha(frame.format):
            return None
        return self._converted(path, frame, self._alpha_reformatter, "rgba")[..., 3] / 255

    def _converted(
        self, path: Path, frame: VideoFrame, reformatter: VideoReformatter, layout: str
    ) -> np.ndarray:
        try:
            if interpolates_chroma(frame.format, frame.height) or frame.interlaced_frame:
                frame = _without_notes(frame)
            converted = reformatter.reformat(
                frame,
                format=layout,
                interpolation=Interpolation.BICUBIC,
                dst_color_range=ColorRange.JPEG,
                threads=1,
            )
            return converted.to_ndarray()
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(
                f"{str(path)!r}: frames in {frame.format.name} cannot be converted to RGB ({reason(error)})"
            ) from error


def _upright(path: Path, picture_HWC: np.ndarray, frame: VideoFrame) -> np.ndarray:
    """The picture under its display matrix: nine int32 a b u c d v x y w, by which a pixel (p, q)
    goes to (a p + c q + x, b p + d q + y): quarter turns and mirrorings.

    Raises:
        VideoError: turned by more than a degree from a quarter turn; the corners would be nobody's pixels.
    """
    matrix = _display_matrix(frame)
    if matrix is None:
        return picture_HWC
    a, b, c, d = matrix
    degrees = math.degrees(math.atan2(b, a))
    if 1 < degrees % 90 < 89:
        raise VideoError(
            f"{str(path)!r} is to be shown turned by {degrees:.4g} degrees, which is no quarter turn",
            "turn it for good (ffmpeg -i IN OUT), or take the turn out "
            "(ffmpeg -display_rotation 0 -i IN -c copy OUT)",
        )
    if abs(b) > abs(a):  # a quarter turn: p becomes vertical, q horizontal
        picture_HWC = picture_HWC.transpose(1, 0, 2)
        a, d = c, b
    if a < 0:
        picture_HWC = picture_HWC[:, ::-1]
    if d < 0:
        picture_HWC = picture_HWC[::-1]
    return picture_HWC


def _display_matrix(frame: VideoFrame) -> tuple[int, int, int, int] | None:
    """a, b, c and d of a frame's display matrix (of JPEG and TIFF, from EXIF); None where it has none."""
    side_data: Any = frame.side_data.get("DISPLAYMATRIX")
    if side_data is None:
        return None
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(side_data), np.int32)[:5])
    return a, b, c, d


def _kind_without_a_name(cls: Any, value: int) -> Any:
    """A kind of side data that PyAV does not know: version 18 gave up a frame for its EXIF."""
    kind = object.__new__(cls)
    kind._name_, kind._value_ = f"KIND_{value}", value
    return kind


_SIDE_DATA_KINDS: Any = SideDataKind
_SIDE_DATA_KINDS._missing_ = classmethod(_kind_without_a_name)


def reason(error: Exception) -> str:
    """FFmpeg's words for what went wrong."""
    return str(getattr(error, "strerror", None) or error).lower()
