"""Waits that say so: what is waited for, for how long already, and until when."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator

EVERY_S = 15.0
"""A wait says a line so often: nobody should look at a silent command for more than 20 s."""


page_logger = logging.getLogger("reelbench")
"""For lines that are meant for those who look at a run's page, and not for the terminal."""


def say(line: str) -> None:
    """A line on standard error, at once, and on the run's page."""
    print(line, file=sys.stderr, flush=True)
    page_logger.info("%s", line)


class Waiting:
    """One wait, in a loop of the caller's.

    Args:
        what: is waited for.
        limit_s: after which the caller gives up; None where it does not.
        say: takes the lines; standard error when None.
    """

    def __init__(
        self, what: str, limit_s: float | None = None, say: Callable[[str], object] | None = None
    ) -> None:
        self._what, self.limit_s, self._say = what, limit_s, say
        self._began = time.monotonic()
        self._said = self._began

    @property
    def waited_s(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._began

    @property
    def is_over(self) -> bool:
        """Whether the limit has passed."""
        return self.limit_s is not None and self.waited_s >= self.limit_s

    def look(self) -> None:
        """Say a line, where it is time for one."""
        if time.monotonic() - self._said >= EVERY_S:
            self._said = time.monotonic()
            until = "" if self.limit_s is None else f", at most {seconds_text(self.limit_s)}"
            (self._say or say)(f"waiting for {self._what}: {seconds_text(self.waited_s)} so far{until}")


@contextlib.contextmanager
def waiting(
    what: str, limit_s: float | None = None, say: Callable[[str], object] | None = None
) -> Iterator[Waiting]:
    """The same around a call that blocks: a thread says the lines. It ends nothing."""
    wait, over = Waiting(what, limit_s, say), threading.Event()

    def watch() -> None:
        while not over.wait(1.0):
            wait.look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield wait
    finally:
        over.set()
        thread.join()


def seconds_text(seconds: float) -> str:
    """ "40 s", "2 min", "2 min 10 s", "3 h"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min" + (f" {rest} s" if rest else "")
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h" + (f" {minutes} min" if minutes else "")
