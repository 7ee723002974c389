"""The streams and the signals of the command line, whatever the terminal, the pipe or the locale is.

Light, since it is imported before everything else.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any, NoReturn

INTERRUPTED = "interrupted: what is finished is kept; the same command goes on from there"
TERMINATED = "terminated: what is finished is kept; the same command goes on from there"
_LINES = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}

_raised: list[int] = []
"""The signals that were raised as exceptions."""

_IN_ASCII: Mapping[str, str] = {
    "±": "+/-", "↓": "(lower)", "↑": "(higher)", "✓": "yes", "✗": "no", "→": "->", "←": "<-", "×": "x",
    "·": "-", "…": "...", "–": "-", "—": "-", "−": "-", "≥": ">=", "≤": "<=", "≈": "~", "²": "2",
    "Δ": "delta ", "σ": "sigma", "é": "e", "ü": "ue", "ö": "oe", "ä": "ae", "“": '"', "”": '"', "’": "'",
    "─": "-", "━": "-", "│": "|", "█": "#", "●": "*",
}  # fmt: skip


def repair_streams() -> None:
    """Make printing safe: streams that were closed lead nowhere, and what an encoding lacks is spelt out."""
    # The next file that is opened would get a closed stream's number, and be printed into.
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
    codecs.register_error("reelbench", _spelt_out)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # a stream of a test or a notebook
            stream.reconfigure(errors="reelbench")  # type: ignore[union-attr]


def _spelt_out(error: UnicodeError) -> tuple[str, int]:
    """Handler for characters that an encoding lacks: in ASCII where we know how, else `?`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_IN_ASCII.get(letter, "?") for letter in text), error.end


def leave_at_once_on_signals() -> None:
    """From now on, Ctrl-C or SIGTERM ends the process with one line: there is nothing to tidy up."""
    _handle(_leave)


@contextlib.contextmanager
def unwinding() -> Iterator[None]:
    """Within, Ctrl-C or SIGTERM raises, so that servers and workers are stopped; a second one leaves.

    Nothing changes in a process that does not leave on signals, as one of a notebook or a test.
    """
    ours = [number for number in _LINES if signal.getsignal(number) is _leave]
    try:
        for number in ours:
            signal.signal(number, _unwind)
        yield
    except Exception as error:
        # An import that a signal breaks off raises what the library makes of it.
        if _raised and isinstance(error, ImportError | SystemError):
            _raise(_raised[0])
        raise
    finally:
        for number in ours:
            signal.signal(number, _leave)


def end_quietly() -> None:
    """Flush the streams; a reader that has gone away (`| head`) is no error."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            # Python flushes again at its end.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _handle(handler: Any) -> None:
    for number in _LINES:
        # A parent that ignores Ctrl-C (`nohup ... &`) means its children.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _leave(number: int, frame: FrameType | None) -> None:
    with contextlib.suppress(OSError):
        os.write(2, f"{_LINES[signal.Signals(number)]}\n".encode())
    os._exit(128 + number)


def _unwind(number: int, frame: FrameType | None) -> None:
    signal.signal(number, _leave)
    _raised.append(number)
    _raise(number)


def _raise(number: int) -> NoReturn:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
