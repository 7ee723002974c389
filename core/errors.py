"""The errors of Reelbench.

A `ReelbenchError` is something that the user can mend. It is shown as one message without a
traceback: what was wrong (with the offending value), what is allowed, and what to do about it.
Anything else that escapes is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from .redaction import masked

Item = TypeVar("Item")
Result = TypeVar("Result")


class ReelbenchError(Exception):
    """An error that the user can mend.

    Args:
        message: what is wrong, naming the offending value and what is allowed.
        hint: the command or the edit that mends it.
    """

    exit_code = 2

    def __init__(self, message: str, hint: str | None = None) -> None:
        self.message = masked(message)  # libraries' messages, and what people wrote, hold passwords
        self.hint = None if hint is None else masked(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\n  -> {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        # Errors cross process borders (Ray pickles them); the default would lose the hint.
        return type(self), (self.message, self.hint)


class RunFileError(ReelbenchError):
    """The run file is not valid."""


class PluginError(RunFileError):
    """A plug-in's own code raised what it should not."""


class MismatchError(RunFileError):
    """A method, a data set and a protocol cannot fit together."""


class UnknownNameError(ReelbenchError):
    """A method, data set, metric, extractor or protocol of that name does not exist."""


class ProtocolError(ReelbenchError):
    """A measuring protocol is missing, malformed, or holds settings that exclude each other."""


class DatasetError(ReelbenchError):
    """A data set on disk is missing something or is malformed."""


class WeightsError(ReelbenchError):
    """Weights are missing, malformed, or not what was expected."""


class VideoError(ReelbenchError):
    """A video cannot be read or written, or does not hold what was asked for."""


class TooShortError(VideoError):
    """A video or folder of frames is sound, and has fewer frames than were asked for."""


class ClipRefusedError(ReelbenchError):
    """A generated clip is not fit to be stored: NaN, black, too short, of the wrong type."""


class MetricError(ReelbenchError):
    """A metric cannot be computed on what it was given (too few samples, wrong shape, NaN)."""


class EvaluationError(ReelbenchError):
    """What `reelbench evaluate` was given does not fit together."""


class StoreError(ReelbenchError):
    """The store cannot be read or written."""


class NewerVersionError(StoreError):
    """Something was written by a newer Reelbench: it is left as it is."""


class NothingMadeError(ReelbenchError):
    """A run has not made anything yet."""

    exit_code = 1


class ResourcesError(ReelbenchError):
    """The cluster cannot give what the run asks for."""


class FaultsError(RunFileError):
    """Several things to mend, each with its own hint."""

    def __init__(self, faults: Sequence[ReelbenchError]) -> None:
        listed = [f"{number}. {fault}".replace("\n", "\n   ") for number, fault in enumerate(faults, 1)]
        super().__init__(f"mend {len(faults)} things:\n" + "\n".join(listed))
        self.faults = tuple(faults)

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), (self.faults,)


def foreign_place(error: BaseException) -> str | None:
    """Where an exception was raised in code that is neither Reelbench's nor a library's, "FILE, line N"."""
    places = _foreign_places(error)
    return next((place for place in reversed(places) if place is not None), None)


def raise_unless_plugins(error: BaseException) -> None:
    """Let an exit go on that is not a plug-in's own: one that a signal asked for, wherever it struck."""
    if isinstance(error, SystemExit) and not any(_foreign_places(error)[-1:]):
        raise error


def _foreign_places(error: BaseException) -> list[str | None]:
    """The frames that an exception came through, from the outermost: the place of each, or None."""
    places: list[str | None] = []
    frame = error.__traceback__
    while frame is not None:
        code = frame.tb_frame
        package, file = str(code.f_globals.get("__name__")).partition(".")[0], code.f_code.co_filename
        is_library = package in sys.stdlib_module_names or "-packages" in file
        is_foreign = package != __name__.partition(".")[0] and not is_library
        places.append(f"{file}, line {frame.tb_lineno}" if is_foreign else None)
        frame = frame.tb_next
    return places


class Faults:
    """Collects what the user can mend, so that it is told all at once and not one by one."""

    def __init__(self) -> None:
        self.found: list[ReelbenchError] = []

    def add(self, error: ReelbenchError) -> None:
        """One more; those of a `FaultsError` one by one, and none that was said already."""
        for fault in error.faults if isinstance(error, FaultsError) else (error,):
            if str(fault) not in map(str, self.found):
                self.found.append(fault)

    def each(self, items: Iterable[Item], call: Callable[[Item], Result]) -> Iterator[Result]:
        """The results of a call for each item; its errors are collected."""
        for item in items:
            try:
                yield call(item)
            except ReelbenchError as error:
                self.add(error)

    def refuse(self) -> None:
        """Raise what was collected: the error itself where it is one, a `FaultsError` where they are more."""
        if len(self.found) == 1:
            raise self.found[0]
        if self.found:
            raise FaultsError(self.found)


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name most like `name`, or None when nothing is really close (`root` is no `protocol`)."""
    matches = difflib.get_close_matches(name, sorted(allowed), n=1, cutoff=0.65)
    return matches[0] if matches else None


def unknown_name(kind: str, name: str, allowed: Iterable[str]) -> UnknownNameError:
    """The error for a name that is not among the allowed ones, with the nearest one as the hint."""
    names = sorted(allowed)
    close = nearest(name, names)
    hint = f"did you mean {close!r}?" if close else None
    return UnknownNameError(f"unknown {kind} {name!r}; known: {', '.join(names) or '(none)'}", hint)
