"""A clip stored as a folder of pictures, one a frame, in numeric order.

Pictures are read by Pillow. What they hold is kept as it is shown: 16-bit grey is scaled to 8 bits (of 16-bit
colour Pillow gives the upper 8 bits), grey and palette become RGB, EXIF orientation is applied. An alpha
channel is dropped where every pixel is opaque; real transparency has no colour until it lies on something, so
such a picture is refused.
"""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..core.errors import VideoError
from ..core.file_digests import FileDigests
from ..core.hashing import digest
from ..core.types import Frames
from .frame_selection import AtRate, Every, Shown, random_start
from .video_reading import MAX_CLIP_BYTES, Reading

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})

_NUMBER = re.compile(r"\d+")
_WIDE_GREY = {"I;16", "I;16B", "I;16L", "I;16N", "I"}


def frame_files(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of the last number in their names; frame2 before frame10.

    Hidden files and files that are no pictures are left out. Where no name holds a number, the order is that
    of the names.

    Raises:
        VideoError: no such folder, no picture in it, two pictures of one number, or some with and some
            without a number.
    """
    try:
        files = [
            path
            for path in sorted(folder.iterdir())
            if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".") and path.is_file()
        ]
    except OSError as error:
        raise VideoError(f"cannot read the folder of frames {str(folder)!r}: {error.strerror}") from error
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
        VideoError: too few pictures, one that is damaged, transparent or of another size, or names without an
            order (see `frame_files`).
    """
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
        if (len(pictures) + 1) * picture.nbytes > max_bytes:
            raise VideoError(
                f"{str(folder)!r} has more frames than {max_bytes / 2**30:g} GiB hold ({len(pictures)} of "
                f"{picture.shape[1]} x {picture.shape[0]})",
                "split the clip, or measure it with metrics that read its first frames only",
            )
        pictures.append(picture)
    return np.stack(pictures)


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
        VideoError: damaged, transparent, or of values that have no 8-bit form.
    """
    try:
        with Image.open(path) as opened:
            opened.load()
            image = ImageOps.exif_transpose(opened)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise VideoError(
            f"{str(path)!r} cannot be read as a picture ({str(error).splitlines()[0][:120]})",
            "the file may be cut off or damaged: copy it again",
        ) from error
    if image.mode in _WIDE_GREY:
        return _from_wide_grey(path, image)
    if image.mode == "F":
        raise VideoError(
            f"{str(path)!r} holds floating-point values, of which the range is not known", "save it as 8 bit"
        )
    if image.has_transparency_data:
        with_alpha = np.asarray(image.convert("RGBA"))
        if with_alpha[..., 3].min() < 255:
            raise VideoError(
                f"{str(path)!r} is transparent in places, so its colours there are not known",
                "lay the frames on a background first (for example with Pillow's alpha_composite)",
            )
        return np.ascontiguousarray(with_alpha[..., :3])
    return np.asarray(image.convert("RGB"))


def _from_wide_grey(path: Path, image: Image.Image) -> np.ndarray:
    """16-bit grey to 8 bits: 65,535 becomes 255."""
    values = np.asarray(image).astype(np.float64)
    if values.min() < 0 or values.max() > 65535:
        raise VideoError(
            f"{str(path)!r} holds values from {values.min():g} to {values.max():g}, beyond 16 bits",
            "save it as 8 bit",
        )
    grey = np.rint(values / 257).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def _choose(folder: Path, files: list[Path], reading: Reading, stored_fps: float | None) -> list[Path]:
    """The pictures of a reading, in order."""
    # At its rate each picture lasts 1/fps; without one, a second serves as well as any other length.
    rate = Fraction(1) if stored_fps is None else Fraction(stored_fps).limit_denominator(100_000)
    shown = [Shown(index / rate, (index + 1) / rate, path) for index, path in enumerate(files)]
    step = 1 if reading.stride is None else reading.stride
    by_rate = reading.fps is not None and stored_fps is not None
    step_s = step / Fraction(reading.fps or 1).limit_denominator(100_000) if by_rate else None
    if reading.start != "first":
        if reading.num_frames is None:
            raise VideoError("a seeded start needs num_frames: all frames leave no choice of a start")
        window = [Shown(item.start_s, item.end_s, None) for item in shown]
        drawn = random_start(window, reading.num_frames, step, step_s, None, reading.start)
        shown = [item for item in shown if drawn is not None and item.start_s >= drawn]
    rule: Every[Path] | AtRate[Path] = Every(step) if step_s is None else AtRate(step_s, None)
    chosen = [path for item in shown for path in rule.see(item)]
    chosen += rule.end()
    wanted = reading.num_frames
    if wanted is not None and len(chosen) < wanted:
        raise VideoError(
            f"the folder {str(folder)!r} ({len(files)} frames) gives {len(chosen)} of the {wanted} frames "
            f"asked for ({reading})",
            "ask for fewer frames, or leave the clip out",
        )
    return chosen[:wanted]
