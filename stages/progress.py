"""Progress of a stage or a run: bars on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from .work import ShardResult

if TYPE_CHECKING:
    from rich.progress import Progress

    from .schedule import Step

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


class RunProgress:
    """Progress of a run, in which several steps go on at once: a listener of `schedule.Schedule`.

    On a terminal each step that is going on has a bar, and one line tells of the whole; elsewhere a line is
    written when a step ends, and every ten seconds one for the whole. The time that is left is estimated from
    the seconds that workers took for finished items of the same step, or else of the same stage.

    Args:
        num_workers: how many work at once, once that is known.
        stream: where it is shown; standard error when None.
    """

    def __init__(self, num_workers: Callable[[], int | None], stream: TextIO | None = None) -> None:
        self._num_workers = num_workers
        self._stream = stream if stream is not None else sys.stderr
        self._steps: tuple[Step, ...] = ()
        self._bars: dict[Step, Any] = {}
        self._progress: Progress | None = None
        self._whole: Any = None
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        self._last_line = time.monotonic()
        return self

    def watch(self, steps: Sequence[Step]) -> None:
        """Show the progress of these steps."""
        self._steps = tuple(steps)
        if not any(step.num_left for step in steps):
            return
        if not self._stream.isatty():
            print(f"{self.summary()}; starting workers", file=self._stream, flush=True)
        else:
            self._progress = _bars(self._stream)
            self._progress.start()
            self._whole = self._progress.add_task("starting workers", total=None, failures="")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def started(self, step: Step) -> None:
        if self._progress is not None:
            self._bars[step] = self._progress.add_task(step.name, total=step.num_items, failures="")

    def advanced(self, step: Step) -> None:
        if self._progress is not None:
            self._progress.update(
                self._bars[step],
                completed=step.num_done + step.num_failed,
                failures=f", {step.num_failed} failed" if step.num_failed else "",
            )
            self._progress.update(self._whole, description=self.summary())
        elif time.monotonic() - self._last_line >= _LINE_EVERY_S:
            self._last_line = time.monotonic()
            print(self.summary(), file=self._stream, flush=True)

    def ended(self, step: Step) -> None:
        failed = f", {step.num_failed} failed" if step.num_failed else ""
        line = f"{step.name}: {step.num_items}/{step.num_items}{failed} ({_duration(step.seconds)} of work)"
        if self._progress is not None:
            self._progress.remove_task(self._bars.pop(step))
            self._progress.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=self._stream, flush=True)

    def summary(self) -> str:
        """ "tune 2/8, sample 20/32, extract 16/48, about 2 min 10 s left"."""
        counts = []
        for stage in sorted({step.stage for step in self._steps}):
            steps = [step for step in self._steps if step.stage == stage and step.num_items]
            if steps:
                total = sum(step.num_items for step in steps)
                left = sum(step.num_left for step in steps)
                counts.append(f"{stage.label} {total - left}/{total}")
        left_s = self.remaining_s()
        return ", ".join(counts + ([f"about {_duration(left_s)} left"] if left_s is not None else []))

    def remaining_s(self) -> float | None:
        """Seconds that the rest will take; None before every stage with work left has finished an item."""
        total = 0.0
        for step in self._steps:
            if step.num_left:
                alike = [step] if step.seconds else [o for o in self._steps if o.stage == step.stage]
                finished = sum(other.num_done + other.num_failed for other in alike)
                if not finished:
                    return None
                total += step.num_left * sum(other.seconds for other in alike) / finished
        return total / (self._num_workers() or 1)


def _bars(stream: TextIO) -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("[red]{task.fields[failures]}"),
        console=Console(file=stream),
    )


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
