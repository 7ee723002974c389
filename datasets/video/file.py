"""An open video file: its one video stream, and its frames with their times.

The thin layer over PyAV on which `decoding` and `writing` stand, with `pictures`, which
makes RGB of the frames. Every failure of FFmpeg becomes a `VideoError` that names the file.

Of several video streams the one is read that the `ffmpeg` command takes: the largest, and before that one
that is marked as default. Raw streams (`.h264`, `.obu`, `.mjpeg`) have no times: frame k is shown at k / rate
seconds.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ...core.errors import VideoError
from .animation import has_gif_trailer, is_animated_webp, webp_frames, webp_times
from .bounds import LIMITS, refuse_large, refuse_special
from .cropping import crops_in_container
from .frame_selection import TOLERANCE_S, Shown
from .pictures import SideTransparency, reason

# Containers that hold video. Playlists (which name other files and addresses) and the readers that
# take any text for a video stay out.
_CONTAINERS = (
    "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif,apng,mxf,nut,dv,rm,ivf,yuv4mpegpipe,"
    "h264,hevc,obu,m4v,mpegvideo,mjpeg"
)
_RAW_STREAMS = ("h264", "hevc", "obu", "m4v", "mpegvideo", "mjpeg", "jpeg_pipe")
_MJPEG_SUFFIXES = (".mjpeg", ".mjpg")
"""Which of FFmpeg's two readers takes raw MJPEG hangs on its first bytes; of other endings, the second would
take any JPEG for a video."""

# Tags in another encoding than UTF-8 are no reason to refuse the pictures; PyAV 19 takes them without a word.
_ANY_TAGS: Any = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}

_MOST_HELD_BACK = 16
"""So many frames H.264 and HEVC can hold back at most, until those that are shown before them are decoded."""

_MOST_CHUNKS = 10_000
"""So many chunks of an AVI file are passed over to the frames; there are a few."""

_NUM_LOOKED_AHEAD = 100
"""So many packets behind a break in a transport stream are looked at for frames of another size."""

DAMAGED_HINT = "the file may be cut off or damaged: copy it again, or leave it out"


@contextlib.contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its video stream (cover pictures of audio files do not count).

    Args:
        path: a local file; never an address, whatever it looks like.

    Raises:
        VideoError: missing, empty, not a video, audio only, or in a codec that this build cannot read.
    """
    try:
        refuse_special(path)
        size = path.stat().st_size if path.is_file() else None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise VideoError(
            f"cannot read the video {str(path)!r}: {why}", "check the folder of the videos"
        ) from error
    if size is None:
        kind = "is a folder, not a video" if path.is_dir() else "does not exist"
        raise VideoError(f"the video {str(path)!r} {kind}", "check the folder of the videos")
    if size == 0:
        raise VideoError(f"the video {str(path)!r} is empty (0 bytes)", "copy it again, or leave it out")
    containers = _CONTAINERS + ",jpeg_pipe" * (path.suffix.lower() in _MJPEG_SUFFIXES)
    options = {"format_whitelist": containers, "protocol_whitelist": "file"}
    try:
        container = av.open(f"file:{path}", "r", container_options=options, **_ANY_TAGS)
    except (av.FFmpegError, ValueError) as error:
        # What is not among the containers ends as an invalid argument.
        is_other = isinstance(error, av.ArgumentError)
        why = "its content is of a kind that is not read as a video" if is_other else reason(error)
        raise VideoError(f"{str(path)!r} is not a readable video ({why})", DAMAGED_HINT) from error
    with container:
        streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        if not streams:
            kinds = {"a cover picture" if s.type == "video" else s.type for s in container.streams}
            raise VideoError(
                f"{str(path)!r} holds no video, only {', '.join(sorted(kinds)) or 'nothing'}", "leave it out"
            )
        stream = streams[chosen_stream(streams)]
        if stream.codec_context is None:
            raise VideoError(f"{str(path)!r} is in a codec that this build of FFmpeg cannot read")
        refuse_large(path, stream.codec_context.width, stream.codec_context.height)
        if crops_in_container(path, stream.codec_context.width, stream.codec_context.height):
            raise VideoError(
                f"{str(path)!r}: its container crops the pictures of its codec (clean aperture, PixelCrop), "
                "which versions of ffmpeg do and do not",
                "crop them for good with ffmpeg 7.1 or later: ffmpeg -i IN OUT",
            )
        stream.codec_context.options = LIMITS  # what is inside may state another size
        stream.codec_context.thread_count = 1  # many videos are read side by side
        yield container, stream


def chosen_stream(streams: Sequence[VideoStream]) -> int:
    """Which of several video streams is read: the `ffmpeg` command's choice where nothing is mapped; but no
    still beside a video, as sequences in AVIF have it: of those, ffmpeg 8 shows the still."""

    def score(index: int) -> tuple[bool, int]:
        stream = streams[index]
        area = stream.codec_context.width * stream.codec_context.height if stream.codec_context else 0
        return stream.frames != 1, area + 5_000_000 * bool(stream.disposition & Disposition.default)

    return max(range(len(streams)), key=score)


class OpenVideo(NamedTuple):
    """A video, or an animation, to be read once.

    Attributes:
        frames: in the order in which they are shown; see `decode`.
        rate: what it says of its frames per second on average; None where it says nothing.
        is_timed: whether frames have times: raw streams may state no rate.
    """

    frames: Iterator[Shown[VideoFrame]]
    rate: Fraction | None
    is_timed: bool


@contextlib.contextmanager
def open_frames(path: Path, by_order: bool = False, seek_s: Fraction | None = None) -> Iterator[OpenVideo]:
    """The frames of a file, animated pictures included.

    Args:
        by_order: as in `decode`.
        seek_s: frames from the last key frame at or before this time on; None for all.

    Raises:
        VideoError: as `open_video` and `decode`; or it cannot be entered at `seek_s`.
    """
    if is_animated_webp(path):
        if seek_s is not None:
            raise VideoError(f"{str(path)!r} cannot be entered at {float(seek_s):g} s")
        times = webp_times(path)
        yield OpenVideo(webp_frames(path), len(times) / times[-1].end_s, True)
        return
    with open_video(path) as (container, stream):
        frames = decode(path, container, stream, by_order)
        if seek_s is not None:
            first = next(frames, None) if seek(container, stream, seek_s) else None
            # Some files are entered between key frames, and what is decoded there is no picture.
            if first is None or first.start_s > seek_s + TOLERANCE_S or not first.frame.key_frame:
                raise VideoError(f"{str(path)!r} cannot be entered at {float(seek_s):g} s")
            frames = itertools.chain([first], frames)
        if container.format.name in _RAW_STREAMS:
            rate = _fraction(stream.codec_context.framerate)
            yield OpenVideo(frames, rate, rate is not None)
        else:
            rate = _fraction(stream.average_rate) or _fraction(stream.guessed_rate)
            yield OpenVideo(frames, rate, True)


def frame_times(path: Path, by_order: bool) -> list[Shown[None]]:
    """The times of all frames of a file, animated pictures included; see `timestamps`.

    Raises:
        VideoError: the file cannot be read to its end.
    """
    if is_animated_webp(path):
        return webp_times(path)
    with open_video(path) as (container, stream):
        return timestamps(path, container, stream, by_order)


def seek(container: InputContainer, stream: VideoStream, time_s: Fraction) -> bool:
    """Go to the last key frame at or before `time_s`; False when the file cannot be sought in.

    AVI is read from its start: behind a seek its times are those of its index, and where that is damaged they
    are wrong without a word.
    """
    if stream.time_base is None or container.format.name in ("avi", *_RAW_STREAMS):
        return False
    try:
        container.seek(int(time_s / stream.time_base) + _origin(stream), stream=stream, backward=True)
    except av.FFmpegError:
        return False
    return True


class DisorderedTimesError(VideoError):
    """The times of the frames run backwards, so none of them can be trusted: time by order instead."""


def decode(
    path: Path, container: InputContainer, stream: VideoStream, by_order: bool = False
) -> Iterator[Shown[VideoFrame]]:
    """The frames in the order in which they are shown, decoded as they are asked for.

    A frame is given when those that the stream may hold back behind it are known to have later times. AVI
    stores no times for showing, FFmpeg guesses them; with B-frames it guesses wrong (H.264, and packed frames
    of DivX and Xvid), and so does every file into which such a video was copied.

    Args:
        by_order: frame k begins at k / rate seconds, whatever its time says.

    Raises:
        DisorderedTimesError: the times run backwards (never with `by_order`).
        VideoError: where the stream is cut off or damaged. Frames that come later could be built upon
            the damage, so nothing after it is given.
    """
    by_order = by_order or container.format.name in _RAW_STREAMS
    frames = _decoded(path, container, stream, by_order)
    if by_order:
        yield from frames
        return
    ahead: deque[Shown[VideoFrame]] = deque()
    damage: VideoError | None = None
    is_more = True
    while is_more or ahead:
        num_ahead = _MOST_HELD_BACK if stream.codec_context.has_b_frames else 0
        while is_more and len(ahead) <= num_ahead:
            try:
                ahead.append(next(frames))
            except StopIteration:
                is_more = False
            except DisorderedTimesError:
                raise
            except VideoError as error:  # of no concern to who wants only frames before it
                is_more, damage = False, error
        if ahead:
            yield ahead.popleft()
    if damage is not None:
        raise damage


def _decoded(
    path: Path, container: InputContainer, stream: VideoStream, by_order: bool
) -> Iterator[Shown[VideoFrame]]:
    """As `decode`, without looking ahead: frames until one whose time runs backwards."""
    end_s = last_start_s = Fraction(0)
    num_decoded = 0
    size: tuple[int, int] | None = None
    last_dts: int | None = None
    end_byte: int | None = None
    latest: int | None = None
    transparency = SideTransparency(stream)
    alpha = _alpha_frames(path, container, stream)
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                _refuse_other_size(path, container, stream, size, num_decoded)
                raise VideoError(f"{str(path)!r} is cut off after {num_decoded} frames", DAMAGED_HINT)
            last_dts = packet.dts if packet.size else last_dts
            end_byte = packet.pos + packet.size if packet.size and packet.pos is not None else end_byte
            transparency.see(packet)
            frames = packet.decode()
            # All of them first: a time that runs backwards makes a gap before it, as a cut does.
            for ticks in () if by_order else [t for t in map(_ticks, frames) if t is not None]:
                if latest is not None and ticks < latest:
                    raise DisorderedTimesError(f"{str(path)!r}: times run backwards near frame {num_decoded}")
                latest = ticks
            for frame in frames:
                size = size or (frame.width, frame.height)
                if frame.is_corrupt:
                    raise VideoError(f"{str(path)!r}: frame {num_decoded} is damaged", DAMAGED_HINT)
                refuse_large(path, frame.width, frame.height)
                transparency.attach(frame)
                if alpha is not None:
                    frame.opaque = next((item for item in alpha if item.pts == frame.pts), None)
                    if frame.opaque is None:
                        raise VideoError(
                            f"{str(path)!r}: frame {num_decoded} lacks its transparency", DAMAGED_HINT
                        )
                if by_order:
                    shown = Shown(end_s, end_s + 1 / _steady_rate(stream), frame)
                else:
                    shown = _shown(stream, _ticks(frame), frame.duration, frame, end_s)
                # Frames are stored out of order (B-frames): where a file is cut between two packets,
                # the decoder, emptied at the end, gives frames whose predecessors are lost.
                if num_decoded and packet.size == 0 and stream.codec_context.has_b_frames:
                    _check_end(path, container, stream, last_dts, shown, end_s, num_decoded)
                if (
                    num_decoded and shown.start_s < last_start_s - TOLERANCE_S
                ):  # those without a time were guessed
                    raise DisorderedTimesError(f"{str(path)!r}: times run backwards near frame {num_decoded}")
                last_start_s, end_s = shown.start_s, shown.end_s
                num_decoded += 1
                yield shown
        # Only who wants more than there is gets here: some containers end without a word.
        is_partial = container.format.name == "yuv4mpegpipe" and end_byte != path.stat().st_size
        if is_partial or _is_whole(path, container, stream) is False:
            raise VideoError(f"{str(path)!r} is cut off after {num_decoded} frames", DAMAGED_HINT)
    except (av.FFmpegError, ValueError) as error:  # PyAV raises ValueError for what it does not know
        raise VideoError(
            f"{str(path)!r} cannot be decoded beyond {num_decoded} frames ({reason(error)})", DAMAGED_HINT
        ) from error


def _refuse_other_size(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    size: tuple[int, int] | None,
    num_decoded: int,
) -> None:
    """Say so where a stream breaks because another one of another size follows (recordings put together).

    Raises:
        VideoError: frames of another size follow.
    """
    for packet in itertools.islice(container.demux(stream), _NUM_LOOKED_AHEAD):
        if packet.is_corrupt:
            continue
        for frame in packet.decode():
            if size is not None and (frame.width, frame.height) != size:
                raise VideoError(
                    f"{str(path)!r} changes its size after {num_decoded} frames or a few more, from "
                    f"{size[0]}x{size[1]} to {frame.width}x{frame.height}",
                    "cut it there, or leave it out",
                )


def _alpha_frames(path: Path, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame] | None:
    """The transparency of an AVIF sequence: a track of grey pictures beside that of the colours; None of all
    other files."""
    if container.metadata.get("major_brand") != "avis":
        return None
    size = (stream.codec_context.width, stream.codec_context.height)
    for other in container.streams.video:
        context = other.codec_context
        is_grey = context is not None and (context.pix_fmt or "").startswith("gray")
        if is_grey and other.frames == stream.frames and (context.width, context.height) == size:
            return _frames_of(path, other.index)
    return None


def _frames_of(path: Path, index: int) -> Iterator[VideoFrame]:
    """The frames of one track, read on their own."""
    options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
    with av.open(f"file:{path}", "r", container_options=options, **_ANY_TAGS) as container:
        track = container.streams[index]
        assert isinstance(track, VideoStream)
        track.codec_context.options = LIMITS
        track.codec_context.thread_count = 1
        yield from container.decode(track)


def timestamps(
    path: Path, container: InputContainer, stream: VideoStream, by_order: bool = False
) -> list[Shown[None]]:
    """The times of all frames in the order in which they are shown, without decoding any unless `by_order`.

    Raises:
        VideoError: the file cannot be read to its end.
    """
    if (
        by_order or container.format.name in _RAW_STREAMS
    ):  # packets are not frames: a packed one holds two, and an empty one follows
        frames = decode(path, container, stream, by_order)
        return [Shown(shown.start_s, shown.end_s, None) for shown in frames]
    found: list[Shown[None]] = []
    end_s = Fraction(0)
    try:
        for packet in container.demux(stream):
            if packet.size == 0 or packet.is_discard or packet.is_corrupt:
                continue
            found.append(_shown(stream, _ticks(packet), packet.duration, None, end_s))
            end_s = found[-1].end_s
    except av.FFmpegError as error:
        raise VideoError(
            f"{str(path)!r} cannot be read to its end ({reason(error)})", DAMAGED_HINT
        ) from error
    return sorted(found, key=lambda shown: shown.start_s)


def _ticks(item: Packet[VideoStream] | VideoFrame) -> int | None:
    """When something is shown, in ticks of the stream; None where the file does not say."""
    return item.pts if item.pts is not None else item.dts


def _shown(
    stream: VideoStream, ticks: int | None, duration: int | None, frame: Any, previous_end_s: Fraction
) -> Shown[Any]:
    """Times of one frame; from the frame before and the average rate where the file has none."""
    time_base = stream.time_base or Fraction(1)
    start_s = previous_end_s if ticks is None else (ticks - _origin(stream)) * time_base
    rate = _fraction(stream.average_rate) or _fraction(stream.guessed_rate) or Fraction(25)
    length_s = duration * time_base if duration else 1 / rate
    return Shown(start_s, start_s + length_s, frame)


def _steady_rate(stream: VideoStream) -> Fraction:
    """Frames per second of a stream whose times, and so its average, are wrong: the rate that its frames
    keep, where that is no field rate (twice the average). AVI copied from MP4 averages 600."""
    average, stated = _fraction(stream.average_rate), _fraction(stream.guessed_rate)
    if stream.container.format.name in _RAW_STREAMS:
        return _fraction(stream.codec_context.framerate) or Fraction(25)
    if average is None or stated is None:
        return average or stated or Fraction(25)
    return stated if stated / average < Fraction(11, 10) else average


def _fraction(value: Any) -> Fraction | None:
    """A rate as PyAV gives it: a Fraction or None, from version 19 on an AVRational, which may be 0/0."""
    return Fraction(value.numerator, value.denominator) if value else None


def _check_end(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    last_dts: int | None,
    shown: Shown[VideoFrame],
    previous_end_s: Fraction,
    num_decoded: int,
) -> None:
    """Refuse a frame, given as the decoder was emptied, if frames before it may be lost.

    A file that is as long as it says has lost none. In a shorter one no frame up to the last decoding time is
    lost. One that does not say must be even.

    Raises:
        VideoError: the file is cut off, or seems to be.
    """
    has_gap = shown.start_s - previous_end_s > (shown.end_s - shown.start_s) / 2 + TOLERANCE_S
    is_late = shown.frame.pts is None or last_dts is None or shown.frame.pts > last_dts
    if not has_gap and not is_late:
        return
    is_whole = _is_whole(path, container, stream)
    if is_whole is False:
        raise VideoError(f"{str(path)!r} is cut off after {num_decoded} frames", DAMAGED_HINT)
    if is_whole is None and has_gap:
        raise VideoError(
            f"{str(path)!r} seems to be cut off: time is missing after {num_decoded} frames",
            "copy it again; a sound video of variable frame rate can be put into Matroska, which tells its "
            "length (ffmpeg -i IN -c copy OUT.mkv)",
        )


def _is_whole(path: Path, container: InputContainer, stream: VideoStream) -> bool | None:
    """Whether the file is as long as it says itself; None when it does not say."""
    if "matroska" in container.format.name:
        end = _matroska_end(path)
    elif "mp4" in container.format.name:
        end = max((entry.pos + entry.size for entry in stream.index_entries), default=None)
    elif container.format.name == "avi":
        end = _avi_end(path)
    elif container.format.name == "gif":
        return has_gif_trailer(path)
    else:
        end = None
    return None if end is None else end <= path.stat().st_size


def _avi_end(path: Path) -> int | None:
    """Where the frames of an AVI file should end, in bytes; None when that was not known as it was written.

    Of a file above 1 GB, which consists of several parts, the frames of the first part.
    """
    with path.open("rb") as file:
        at = 12
        for _ in range(_MOST_CHUNKS):
            file.seek(at)
            if len(head := file.read(12)) < 12:
                return None
            size = int.from_bytes(head[4:8], "little")
            if head[:4] == b"LIST" and head[8:] == b"movi":
                return at + 8 + size if 4 < size < 2**32 - 1 else None
            at += 8 + size + size % 2
    return None


def _matroska_end(path: Path) -> int | None:
    """Where the segment of a Matroska or WebM file should end, in bytes (RFC 8794, RFC 9559); None when its
    size was not known as it was written."""
    with path.open("rb") as file:
        data = file.read(4096)

    def number(at: int) -> tuple[int | None, int]:
        """A variable-size integer (all ones: unknown) and where it ends."""
        length = 9 - data[at].bit_length()
        value = int.from_bytes(data[at : at + length], "big") & ((1 << 7 * length) - 1)
        return (None if value == (1 << 7 * length) - 1 else value), at + length

    try:
        header_size, at = number(4)
        at += header_size or 0
        if data[at : at + 4] != b"\x18\x53\x80\x67":
            return None
        segment_size, at = number(at + 4)
    except IndexError:
        return None
    return None if segment_size is None else at + segment_size


def _origin(stream: VideoStream) -> int:
    """The timestamp at which the video starts, in ticks of the stream."""
    return stream.start_time or 0
