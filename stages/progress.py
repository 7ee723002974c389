"""Progress of a stage: a bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from .work import ShardResult

if TYPE_CHECKING:
    from rich.progress import Progress

_LINE_EVERY_S = 10.0


class StageProgress:
    """Counts what is done and what failed, and estimates the time that remains; a context manager.

    Args:
        title: the stage and the cell.
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
            self._start_bar()
        else:
            self._write(f"{self.title}: {self.total} to do")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        else:
            self._write(f"{self._counts()} in {_duration(time.monotonic() - self._started)}")

    def advance(self, result: ShardResult) -> None:
        """Count the result of a shard."""
        self.num_done += result.num_done
        self.num_failed += result.num_failed
        if self._bar is not None:
            self._bar.update(self._task, completed=self.num_done + self.num_failed, failures=self._failures())
        elif time.monotonic() - self._last_line >= _LINE_EVERY_S:
            self._last_line = time.monotonic()
            left_s = self.remaining_s()
            self._write(self._counts() + (f", about {_duration(left_s)} left" if left_s is not None else ""))

    def remaining_s(self) -> float | None:
        """Seconds that the rest will take at the pace so far; None before the first item."""
        finished = self.num_done + self.num_failed
        if not finished:
            return None
        elapsed_s = time.monotonic() - self._started
        return elapsed_s / finished * max(0, self.total - finished)

    def _counts(self) -> str:
        return f"{self.title}: {self.num_done + self.num_failed}/{self.total}{self._failures()}"

    def _failures(self) -> str:
        return f", {self.num_failed} failed" if self.num_failed else ""

    def _write(self, line: str) -> None:
        if self._quiet:
            return
        print(line, file=self._stream, flush=True)

    def _start_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("[red]{task.fields[failures]}"),
            TimeRemainingColumn(),
            console=Console(file=self._stream),
        )
        self._bar.start()
        self._task = self._bar.add_task(self.title, total=self.total, failures="")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
