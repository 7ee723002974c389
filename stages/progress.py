"""Progress of a run: bars on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self, TextIO

from .schedule import Step

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

LINE_EVERY_S = 10.0


class RunProgress:
    """Progress of a run, in which several steps run at once: a listener of `schedule.Schedule`.

    On a terminal each running step has a bar, and one line sums up the whole; elsewhere a line is
    written when a step ends, and every ten seconds one for the whole. The time left is estimated from
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

    def planned(self, steps: Sequence[Step]) -> None:
        """Show the progress of these steps."""
        self._steps = tuple(steps)
        if not any(step.num_left for step in steps):
            return
        if not self._stream.isatty():
            print(f"{self.summary()}; starting workers", file=self._stream, flush=True)
        else:
            self._progress = progress_bars(self._stream)
            self._progress.start()
            self._whole = self._progress.add_task("starting workers", total=None, failures="")

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()

    def started(self, step: Step) -> None:
        """Adds the step's bar."""
        if self._progress is not None:
            self._bars[step] = self._progress.add_task(step.name, total=step.num_items, failures="")

    def advanced(self, step: Step) -> None:
        """Moves the step's bar, or prints a line now and then where there are no bars."""
        if self._progress is not None:
            self._progress.update(
                self._bars[step],
                completed=step.num_done + step.num_failed,
                failures=num_failed(step.num_failed),
            )
            self._progress.update(self._whole, description=self.summary())
        elif time.monotonic() - self._last_line >= LINE_EVERY_S:
            self._last_line = time.monotonic()
            print(self.summary(), file=self._stream, flush=True)

    def ended(self, step: Step) -> None:
        """Replaces the step's bar by a line that stays."""
        counts = f"{step.num_items}/{step.num_items}{num_failed(step.num_failed)}"
        line = f"{step.name}: {counts} ({duration(step.seconds)} of work)"
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
        return ", ".join(counts + ([f"about {duration(left_s)} left"] if left_s is not None else []))

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


def progress_bars(stream: TextIO, *more: ProgressColumn) -> Progress:
    """Bars on a terminal: title, bar, counts and `failures`, then more columns."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("[red]{task.fields[failures]}"),
        *more,
        console=Console(file=stream),
    )


def duration(seconds: float) -> str:
    """ "40 s", "2 min 10 s", "3 h 05 min"."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def num_failed(number: int) -> str:
    """ ", 2 failed"; "" for none."""
    return f", {number} failed" if number else ""
