"""A clip stored as a folder of pictures, one a frame, in numeric order.

Pictures are read by Pillow, except those of 16-bit colour, of which Pillow gives the upper 8 bits only: PyAV
reads them. What they hold is kept as it is shown: 16 bits are scaled to 8 (v / 257, rounded), grey and
palette become RGB, EXIF orientation is applied; colour profiles are not. Transparent pixels lie on the
background that they have in videos (`core.transparency`). Damage is noticed where the format can tell: a
file that is cut off always, changed bytes in PNG (it has checksums), seldom in the others.
"""

from __future__ import annotations

import io
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import groupby, pairwise
from pathlib import Path

import av
import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from ...core.errors import TooShortError, VideoError
from ...core.file_digests import FileDigests
from ...core.hashing import digest
from ...core.transparency import over_background
from ...core.types import Frames
from .decoding import MAX_CLIP_BYTES
from .frame_selection import AtRate, Every, Shown, random_start
from .reading import Reading, clip_of

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})

_NUMBER = re.compile(r"\d+")
_WIDE_GREY = {"I;16", "I;16B", "I;16L", "I;16N"}
_WIDE_COLOUR = {"rgb48be", "rgb48le", "rgba64be", "rgba64le", "ya16be", "ya16le"}
_WIDE_CODECS = {"PNG": "png", "TIFF": "tiff"}


def frame_files(folder: Path, first: int | None = None, last: int | None = None) -> list[Path]:
    """The pictures of a folder in the order of the last number in their names; frame2 before frame10.

    Hidden files, folders and files that are no pictures are left out; a link that leads nowhere stays, and
    fails when it is read. Where no name holds a number, the order is that of the names.

    Args:
        first, last: only the pictures of these numbers and those between them; all of them must be there.
            None is the lowest or the highest number there is. Without both, numbers may be left out.

    Raises:
        VideoError: no such folder, no picture in it, two pictures of one number, some with and some without a
            number, or a frame of the window is missing.
    """
    if (first is not None and first < 0) or (last is not None and last < (first or 0)):
        raise VideoError(
            f"{str(folder)!r}: the window must run from a frame number of 0 or more to the same or a higher "
            f"one, got {first} to {last}"
        )
    is_window = first is not None or last is not None
    listing = _listed(folder)
    if not listing.names:
        raise VideoError(
            f"the folder {str(folder)!r} holds no picture", f"expected {', '.join(sorted(PICTURE_SUFFIXES))}"
        )
    if not listing.by_number and not is_window:
        return [folder / name for name in listing.names]
    if listing.unnumbered is not None:
        raise VideoError(
            f"{str(folder)!r}: {listing.unnumbered!r} has no number in its name"
            + (", and a window counts by them" if is_window else ", other pictures have"),
            "number all frames, or move what is no frame elsewhere",
        )
    if listing.double is not None:
        one, other, number = listing.double
        raise VideoError(
            f"{str(folder)!r}: {one!r} and {other!r} are both frame {number}",
            "the last number in a name is the frame's; keep one of the two",
        )
    by_number = listing.by_number
    wanted = _window(folder, by_number.keys(), first, last) if is_window else sorted(by_number)
    return [folder / by_number[number] for number in wanted]


def left_out(folder: Path) -> tuple[int, int]:
    """How many numbers are missing between the pictures of a folder, and the first of them; (0, 0) for none.

    The smallest step between two neighbours is the folder's: every fifth frame (0, 5, 10) has no gap, and
    neither has a step that is rounded (0, 3, 7, 11).

    Raises:
        VideoError: the folder cannot be listed.
    """
    numbers = sorted(_listed(folder).by_number)
    pairs = list(pairwise(numbers))
    step = min((after - before for before, after in pairs), default=1)
    gaps = [(before + step, (after - before) // step - 1) for before, after in pairs]
    return sum(num for _, num in gaps), next((number for number, num in gaps if num), 0)


@dataclass(frozen=True)
class _Listing:
    """The pictures of a folder.

    Attributes:
        names: in alphabetical order.
        by_number: by the last number in their names.
        unnumbered: the first name without a number.
        double: the first two names of one number, and the number.
    """

    names: tuple[str, ...]
    by_number: Mapping[int, str]
    unnumbered: str | None
    double: tuple[str, str, int] | None


def _listed(folder: Path) -> _Listing:
    try:
        return _listing(folder, folder.stat().st_mtime_ns)
    except OSError as error:
        raise VideoError(
            f"cannot read the folder of frames {str(folder)!r}: {error.strerror}",
            "copy it again, or correct the annotation that names it",
        ) from error


@lru_cache(maxsize=8)
def _listing(folder: Path, modified_ns: int) -> _Listing:
    """List a folder; remembered, as a long video's folder serves hundreds of windows.

    Args:
        modified_ns: of the folder; another time is another listing.

    Raises:
        OSError: it cannot be listed.
    """
    with os.scandir(folder) as entries:
        names = sorted(
            entry.name
            for entry in entries
            if not entry.name.startswith(".")
            and os.path.splitext(entry.name)[1].lower() in PICTURE_SUFFIXES  # noqa: PTH122 - no Path each
            and not entry.is_dir()
        )
    by_number: dict[int, str] = {}
    unnumbered: str | None = None
    double: tuple[str, str, int] | None = None
    for name in names:
        found = _NUMBER.findall(os.path.splitext(name)[0])  # noqa: PTH122
        if not found:
            unnumbered = unnumbered or name
        elif (number := int(found[-1])) in by_number:
            double = double or (by_number[number], name, number)
        else:
            by_number[number] = name
    return _Listing(tuple(names), by_number, unnumbered, double)


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
        VideoError: too few pictures, one that is damaged or of another size, names without an
            order (see `frame_files`), more than `max_bytes`, or a rate out of range.
    """
    (frames,) = read_frame_files(folder, frame_files(folder), [reading], stored_fps, max_bytes)
    if isinstance(frames, VideoError):
        raise frames
    return frames


def read_frame_files(
    folder: Path,
    files: Sequence[Path],
    readings: Sequence[Reading],
    stored_fps: float | None = None,
    max_bytes: int = MAX_CLIP_BYTES,
) -> list[Frames | VideoError]:
    """Several choices among the pictures of one folder; one that several want is decoded once.

    Args:
        folder: for messages.
        files: the pictures in order; see `frame_files`.
        readings, stored_fps, max_bytes: as in `read_frame_folder`.

    Returns:
        for each reading its frames, or the error that concerns it alone.

    Raises:
        VideoError: a rate out of range.
    """
    if stored_fps is not None and not 1e-3 <= stored_fps <= 1000:
        raise VideoError(f"the rate of a folder of frames must be from 0.001 to 1000 fps, got {stored_fps}")
    choices: list[list[Path] | VideoError] = []
    for reading in readings:
        try:
            choices.append(_choose(folder, files, reading, stored_fps))
        except VideoError as error:
            choices.append(error)
    pictures = _Pictures(path for choice in choices if isinstance(choice, list) for path in set(choice))
    results: list[Frames | VideoError] = []
    for reading, choice in zip(readings, choices, strict=True):
        try:
            results.append(
                choice
                if isinstance(choice, VideoError)
                else _clip(folder, reading, choice, pictures, max_bytes)
            )
        except VideoError as error:
            results.append(error)
    return results


class _Pictures:
    """The pictures of a folder; one that a later reading wants too is kept until then."""

    def __init__(self, wanted: Iterable[Path]) -> None:
        self._uses = Counter(wanted)
        self._kept: dict[Path, np.ndarray] = {}

    def of(self, path: Path) -> np.ndarray:
        """uint8 [H,W,3]; each reading asks once."""
        picture = self._kept.pop(path, None)
        if picture is None:
            picture = read_picture(path)
        self._uses[path] -= 1
        if self._uses[path]:
            self._kept[path] = picture
        return picture


def _clip(folder: Path, reading: Reading, chosen: list[Path], pictures: _Pictures, max_bytes: int) -> Frames:
    clip: list[np.ndarray] = []
    for path, repeats in groupby(chosen):
        picture = pictures.of(path)
        if clip and picture.shape != clip[0].shape:
            (h, w), (h0, w0) = picture.shape[:2], clip[0].shape[:2]
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
        clip += [picture for _ in repeats]
    return clip_of(reading, clip)


def frame_folder_digest(
    folder: Path, files: FileDigests, first: int | None = None, last: int | None = None
) -> str:
    """Digest of the pictures in their order: names and contents, not the folder's own name.

    Args:
        first, last: the window; see `frame_files`.

    Raises:
        VideoError, OSError: the folder or a picture cannot be read.
    """
    return digest([[path.name, files.digest(path)] for path in frame_files(folder, first, last)])


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
        VideoError: damaged, of several pictures, or of values that have no 8-bit form.
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
        if isinstance(error, UnidentifiedImageError):
            reason = "its bytes are of no known format"  # Pillow names the buffer that holds them
        else:
            said = getattr(error, "strerror", None) or str(error) or type(error).__name__
            reason = said.splitlines()[0][:120]
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
        with_alpha = np.asarray(image.convert("RGBA"))
        return over_background(with_alpha[..., :3], with_alpha[..., 3] / 255)
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
    picture = Image.fromarray(over_background(values[..., :3] / 257, values[..., 3] / 65535))
    picture.getexif()[ExifTags.Base.Orientation] = orientation
    return np.asarray(ImageOps.exif_transpose(picture))


def _in_8_bits(values: np.ndarray) -> np.ndarray:
    """uint16 to uint8: 65,535 becomes 255."""
    return np.rint(values / 257).astype(np.uint8)


def _choose(folder: Path, files: Sequence[Path], reading: Reading, stored_fps: float | None) -> list[Path]:
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
    chosen = chosen[: reading.num_taken]
    if (shortage := reading.shortage(len(chosen))) is not None:
        raise TooShortError(
            f"the folder {str(folder)!r} ({len(files)} frames) {shortage}",
            "ask for fewer frames, or leave the clip out",
        )
    return chosen


def _window(folder: Path, there: Collection[int], first: int | None, last: int | None) -> range:
    """The numbers of a window, all of which are there."""
    wanted = range(min(there) if first is None else first, (max(there) if last is None else last) + 1)
    missing = [number for number in wanted if number not in there]
    if missing or not wanted:
        raise VideoError(
            f"{str(folder)!r} lacks {_in_words(missing) or f'frames {wanted.start} and on'}; "
            f"its pictures are {len(there)}, numbered from {min(there)} to {max(there)}",
            "copy the folder again, or correct the window (the last number in a name is the frame's)",
        )
    return wanted


def _in_words(numbers: list[int]) -> str:
    """Frame numbers as runs: "frames 4, 7 to 9"; the first five runs."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    shown = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs[:5]]
    if len(runs) > 5:
        shown.append(f"and {sum(len(run) for run in runs[5:])} more")
    return f"frame{'s' if len(numbers) > 1 else ''} {', '.join(shown)}" if numbers else ""
