"""Progress of an evaluation: a bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Self, TextIO

from ..stages.progress import LINE_EVERY_S, duration, num_failed, progress_bars

if TYPE_CHECKING:
    from rich.progress import Progress


class EvaluationProgress:
    """Counts what is done and what failed, and estimates the time that remains; a context manager.

    Args:
        title: what is going on.
        total: how many items there are.
        stream: where it is shown; standard error when None.
        quiet: count, but show nothing.
    """

    def __init__(self, title: str, total: int, stream: TextIO | None = None, quiet: bool = False) -> None:
        self.title = title
        self.total = total
        self.num_done = 0
        self.num_failed = 0
        self._stream = stream if stream is not None else sys.stderr
        self._quiet = quiet
        self._bar: Progress | None = None
        self._task: Any = None
        self._started = self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        self._started = self._last_line = time.monotonic()
        if self._quiet:
            return self
        if self._stream.isatty():
            from rich.progress import TimeRemainingColumn

            self._bar = progress_bars(self._stream, TimeRemainingColumn())
            self._bar.start()
            self._task = self._bar.add_task(self.title, total=self.total, failures="")
        else:
            self._write(f"{self.title}: {self.total} to do")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        else:
            self._write(f"{self._counts()} in {duration(time.monotonic() - self._started)}")

    def advance(self, num_done: int, num_failed_now: int) -> None:
        """Count items that are finished."""
        self.num_done += num_done
        self.num_failed += num_failed_now
        finished = self.num_done + self.num_failed
        if self._bar is not None:
            self._bar.update(self._task, completed=finished, failures=num_failed(self.num_failed))
        elif time.monotonic() - self._last_line >= LINE_EVERY_S:
            self._last_line = time.monotonic()
            left_s = self.remaining_s()
            self._write(self._counts() + (f", about {duration(left_s)} left" if left_s is not None else ""))

    def remaining_s(self) -> float | None:
        """Seconds that the rest will take at the pace so far; None before the first item."""
        finished = self.num_done + self.num_failed
        if not finished:
            return None
        elapsed_s = time.monotonic() - self._started
        return elapsed_s / finished * max(0, self.total - finished)

    def _counts(self) -> str:
        finished = self.num_done + self.num_failed
        return f"{self.title}: {finished}/{self.total}{num_failed(self.num_failed)}"

    def _write(self, line: str) -> None:
        if not self._quiet:
            print(line, file=self._stream, flush=True)
