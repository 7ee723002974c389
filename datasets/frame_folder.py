"""A clip stored as a folder of pictures, one a frame, in numeric order.

Pictures are read by Pillow, except those of 16-bit colour, of which Pillow gives the upper 8 bits only: PyAV
reads them. What they hold is kept as it is shown: 16 bits are scaled to 8 (v / 257, rounded), grey and
palette become RGB, EXIF orientation is applied; colour profiles are not. An alpha channel is dropped where
every pixel is opaque; real transparency has no colour until it lies on something, so such a picture is
refused. Damage is noticed where the format can tell: a file that is cut off always, changed bytes in PNG (it
has checksums), seldom in the others.
"""

from __future__ import annotations

import io
import os
import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps

from ..core.errors import TooShortError, VideoError
from ..core.file_digests import FileDigests
from ..core.hashing import digest
from ..core.types import Frames
from .frame_selection import AtRate, Every, Shown, random_start
from .video_reading import MAX_CLIP_BYTES, Reading, stacked

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})

_NUMBER = re.compile(r"\d+")
_WIDE_GREY = {"I;16", "I;16B", "I;16L", "I;16N"}
_WIDE_COLOUR = {"rgb48be", "rgb48le", "rgba64be", "rgba64le", "ya16be", "ya16le"}
_WIDE_CODECS = {"PNG": "png", "TIFF": "tiff"}


def frame_files(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of the last number in their names; frame2 before frame10.

    Hidden files, folders and files that are no pictures are left out; a link that leads nowhere stays, and
    fails when it is read. Where no name holds a number, the order is that of the names.

    Raises:
        VideoError: no such folder, no picture in it, two pictures of one number, or some with and some
            without a number.
    """
    try:
        with os.scandir(folder) as entries:
            names = sorted(
                entry.name
                for entry in entries
                if not entry.name.startswith(".")
                and os.path.splitext(entry.name)[1].lower() in PICTURE_SUFFIXES  # noqa: PTH122 - no Path each
                and not entry.is_dir()
            )
    except OSError as error:
        raise VideoError(f"cannot read the folder of frames {str(folder)!r}: {error.strerror}") from error
    files = [folder / name for name in names]
    if not files:
        raise VideoError(
            f"the folder {str(folder)!r} holds no picture", f"expected {', '.join(sorted(PICTURE_SUFFIXES))}"
        )
    numbers = {path: _NUMBER.findall(path.stem) for path in files}
    if not any(numbers.values()):
        return files
    by_number: dict[int, Path] = {}
    for path, found in numbers.items():
        if not found:
            raise VideoError(
                f"{str(folder)!r}: {path.name!r} has no number in its name, other pictures have",
                "number all frames, or move what is no frame elsewhere",
            )
        number = int(found[-1])
        if number in by_number:
            raise VideoError(
                f"{str(folder)!r}: {by_number[number].name!r} and {path.name!r} are both frame {number}",
                "the last number in a name is the frame's; keep one of the two",
            )
        by_number[number] = path
    return [by_number[number] for number in sorted(by_number)]


def read_frame_folder(
    folder: Path,
    reading: Reading,
    stored_fps: float | None = None,
    max_bytes: int = MAX_CLIP_BYTES,
) -> Frames:
    """Frames of a folder of pictures, uint8 RGB [T,H,W,3]; only the pictures that are wanted are opened.

    Args:
        folder: the pictures.
        reading: which of them, as for a video.
        stored_fps: frames per second of the folder. A folder states no rate: without one, `reading.fps` is
            not applied, and every picture counts as one frame.
        max_bytes: more than this is refused.

    Raises:
        VideoError: too few pictures, one that is damaged, transparent or of another size, names without an
            order (see `frame_files`), more than `max_bytes`, or a rate out of range.
    """
    if stored_fps is not None and not 1e-3 <= stored_fps <= 1000:
        raise VideoError(f"the rate of a folder of frames must be from 0.001 to 1000 fps, got {stored_fps}")
    files = frame_files(folder)
    chosen = _choose(folder, files, reading, stored_fps)
    pictures: list[np.ndarray] = []
    last: Path | None = None
    for path in chosen:
        picture = pictures[-1] if path == last else read_picture(path)
        last = path
        if pictures and picture.shape != pictures[0].shape:
            (h, w), (h0, w0) = picture.shape[:2], pictures[0].shape[:2]
            raise VideoError(
                f"{str(path)!r} is {w} x {h}, the first frame of its folder {w0} x {h0}",
                "all frames of a clip must be of one size",
            )
        if len(chosen) * picture.nbytes > max_bytes:
            raise VideoError(
                f"{str(folder)!r}: {len(chosen)} frames of {picture.shape[1]} x {picture.shape[0]} take more "
                f"than {max_bytes / 2**30:g} GiB",
                "split the clip, or measure it with metrics that read its first frames only",
            )
        pictures.append(picture)
    return stacked(pictures)


def frame_folder_digest(folder: Path, files: FileDigests) -> str:
    """Digest of the pictures in their order: names and contents, not the folder's own name.

    Raises:
        VideoError, OSError: the folder or a picture cannot be read.
    """
    return digest([[path.name, files.digest(path)] for path in frame_files(folder)])


def frame_folder_size(folder: Path) -> tuple[int, int]:
    """(width, height) of the first frame in pixels.

    Raises:
        VideoError: it cannot be read.
    """
    height, width = read_picture(frame_files(folder)[0]).shape[:2]
    return width, height


def read_picture(path: Path) -> np.ndarray:
    """A picture as uint8 RGB [H,W,3]; see the module's docstring.

    Raises:
        VideoError: damaged, transparent, of several pictures, or of values that have no 8-bit form.
    """
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as opened:
            if opened.format == "PNG":
                opened.verify()  # the checksums: reading alone misses some changed bytes
        with Image.open(io.BytesIO(data)) as opened:
            depth, orientation = _raw_mode(opened), opened.getexif().get(ExifTags.Base.Orientation, 1)
            # Phones add a second picture to a JPEG (the format is then MPO); the first is the photograph.
            num_pictures = 1 if opened.format == "MPO" else getattr(opened, "n_frames", 1)
            opened.load()
            image: Image.Image = ImageOps.exif_transpose(opened)
    except Exception as error:  # Pillow's readers let through whatever damaged bytes lead them to
        reason = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise VideoError(
            f"{str(path)!r} cannot be read as a picture ({reason})",
            "the file may be cut off or damaged: copy it again",
        ) from error
    if num_pictures > 1:
        raise VideoError(
            f"{str(path)!r} holds {num_pictures} pictures, a frame is one", "save each as a file of its own"
        )
    if image.mode in ("F", "I") or "I;12" in depth:
        raise VideoError(
            f"{str(path)!r} holds values of which the range is not known (mode {image.mode}, {depth})",
            "save it as 8 or 16 bit",
        )
    if ";16" in depth and (image.mode not in _WIDE_GREY or image.has_transparency_data):
        return _from_wide_colour(path, data, str(opened.format), orientation)
    if image.mode in _WIDE_GREY:
        grey = np.asarray(_in_8_bits(np.asarray(image)))
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.has_transparency_data:
        return _without_alpha(path, np.asarray(image.convert("RGBA")))
    try:
        return np.asarray(image.convert("RGB"))
    except ValueError as error:
        raise VideoError(f"{str(path)!r} is in {image.mode}: {error}", "save it as RGB") from error


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """How the file stores its pixels, by Pillow's name ("RGB;16B"); known until they are loaded."""
    for tile in image.tile:
        arguments = tile[3]
        return str(arguments[0] if isinstance(arguments, tuple) else arguments)
    return image.mode


def _from_wide_colour(path: Path, data: bytes, format_: str, orientation: int) -> np.ndarray:
    """16-bit colour, or grey with transparency, to 8-bit RGB."""
    try:
        decoder = av.VideoCodecContext.create(_WIDE_CODECS[format_], "r")
        frame = [*decoder.decode(av.Packet(data)), *decoder.decode(None)][0]
        if frame.format.name not in _WIDE_COLOUR:
            raise ValueError(f"stored as {frame.format.name}")
        values = frame.reformat(format="rgba64le").to_ndarray()
    except (av.FFmpegError, ValueError, KeyError, IndexError) as error:
        raise VideoError(
            f"{str(path)!r}: this kind of 16-bit picture cannot be read ({error})", "save it as 8 bit"
        ) from error
    # A pixel that is only almost opaque must not become opaque by rounding.
    opaque = np.where(values[..., 3] == 65535, 255, 0).astype(np.uint8)
    with_alpha = np.dstack([_in_8_bits(values[..., :3]), opaque])
    picture = Image.fromarray(_without_alpha(path, with_alpha))
    picture.getexif()[ExifTags.Base.Orientation] = orientation
    return np.asarray(ImageOps.exif_transpose(picture))


def _without_alpha(path: Path, picture_HWC: np.ndarray) -> np.ndarray:
    """RGB of a picture [H,W,4] that is opaque throughout."""
    if picture_HWC[..., 3].min() < 255:
        raise VideoError(
            f"{str(path)!r} is transparent in places, so its colours there are not known",
            "lay the frames on a background first (for example with Pillow's alpha_composite)",
        )
    return np.ascontiguousarray(picture_HWC[..., :3])


def _in_8_bits(values: np.ndarray) -> np.ndarray:
    """uint16 to uint8: 65,535 becomes 255."""
    return np.rint(values / 257).astype(np.uint8)


def _choose(folder: Path, files: list[Path], reading: Reading, stored_fps: float | None) -> list[Path]:
    """The pictures of a reading, in order."""
    # At its rate each picture lasts 1/fps; without one, a second serves as well as any other length.
    rate = Fraction(1) if stored_fps is None else Fraction(stored_fps).limit_denominator(100_000)
    shown = [Shown(index / rate, (index + 1) / rate, path) for index, path in enumerate(files)]
    step = 1 if reading.stride is None else reading.stride
    by_rate = reading.fps is not None and stored_fps is not None
    step_s = step / Fraction(reading.fps or 1).limit_denominator(100_000) if by_rate else None
    if reading.start != "first":
        assert reading.num_frames is not None  # a Reading without it is refused
        window = [Shown(item.start_s, item.end_s, None) for item in shown]
        drawn = random_start(window, reading.num_frames, step, step_s, None, reading.start)
        shown = [item for item in shown if drawn is not None and item.start_s >= drawn]
    rule: Every[Path] | AtRate[Path] = Every(step) if step_s is None else AtRate(step_s, None)
    chosen = [path for item in shown for path in rule.see(item)]
    chosen += rule.end()
    wanted = reading.num_frames
    if wanted is not None and len(chosen) < wanted:
        raise TooShortError(
            f"the folder {str(folder)!r} ({len(files)} frames) gives {len(chosen)} of the {wanted} frames "
            f"asked for ({reading})",
            "ask for fewer frames, or leave the clip out",
        )
    return chosen[:wanted]
