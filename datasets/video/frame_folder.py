"""Decoding a clip stored as a folder of pictures, one a frame, in numeric order."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np

from ...core.errors import TooShortError, VideoError
from ...core.types import ClipRef, Frames
from .frame_selection import AtRate, Every, Shown
from .picture_file import PICTURE_SUFFIXES, read_picture
from .reading import MAX_CLIP_BYTES, Reading, clip_of, exact_rate

_NUMBER = re.compile(r"\d+")


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


def frame_gaps(folder: Path) -> tuple[int, int]:
    """How many numbers are missing between the pictures of a folder, and the first of them; (0, 0) for none.

    The smallest step between neighbours is the folder's: 0, 5, 10 has no gap, nor has 0, 3, 7, 11 (rounded).

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


def decode_folder(
    ref: ClipRef, readings: Sequence[Reading], max_bytes: int = MAX_CLIP_BYTES
) -> list[Frames | VideoError]:
    """Several choices among the pictures of one folder; only those that are wanted are opened, each once.

    Args:
        ref: the folder, its window and its rate. A folder states no rate: without one, a reading's `fps` is
            not applied, and every picture counts as one frame.
        readings: at least one.
        max_bytes: a reading whose frames take more memory is refused (4 GiB).

    Returns:
        for each reading its frames, uint8 RGB [T,H,W,3], or the error that concerns it alone: too few
        pictures, one that is damaged or of another size, names without an order or a frame of the window
        that is missing (see `frame_files`), too much memory.

    Raises:
        VideoError: a rate out of range.
    """
    try:
        files = frame_files(ref.path, ref.first_frame, ref.last_frame)
    except VideoError as error:
        return [error] * len(readings)
    if ref.fps is not None and not 1e-3 <= ref.fps <= 1000:
        raise VideoError(f"the rate of a folder of frames must be from 0.001 to 1000 fps, got {ref.fps}")
    results: list[Frames | VideoError] = []
    choices = [_choose(ref, files, reading) for reading in readings]
    pictures = _Pictures(path for choice in choices if isinstance(choice, list) for path in set(choice))
    for reading, choice in zip(readings, choices, strict=True):
        if isinstance(choice, VideoError):
            results.append(choice)
            continue
        try:
            results.append(_clip(ref.path, reading, choice, pictures, max_bytes))
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


def _choose(ref: ClipRef, files: Sequence[Path], reading: Reading) -> list[Path] | VideoError:
    """The pictures of a reading, in order, or why there are too few."""
    # At its rate each picture lasts 1/fps; without one, a second serves as well as any other length.
    rate = Fraction(1) if ref.fps is None else exact_rate(ref.fps)
    shown = [Shown(index / rate, (index + 1) / rate, path) for index, path in enumerate(files)]
    counted = reading if ref.fps is not None else replace(reading, fps=None)
    if reading.start != "first":
        drawn = counted.drawn_start([Shown(item.start_s, item.end_s, None) for item in shown], None)
        shown = [item for item in shown if drawn is not None and item.start_s >= drawn]
    rule: Every[Path] | AtRate[Path] = counted.rule(None)
    chosen = [path for item in shown for path in rule.see(item)]
    chosen += rule.end()
    chosen = chosen[: reading.num_taken]
    if (shortage := reading.shortage(len(chosen))) is not None:
        lasts = f" in {float(len(files) / rate):.2f} s" if counted.fps is not None else ""
        return TooShortError(
            f"the folder {str(ref.path)!r} ({len(files)} frames{lasts}) {shortage}",
            counted.shortage_hint(),
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
