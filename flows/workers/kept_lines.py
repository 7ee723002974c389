"""What a worker says, for those who look at the run's page.

Log lines of Reelbench and Python's warnings are kept beside the shard that they came with, and travel back
with its result.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

from ...core.redaction import masked

_MAX_LINES = 20
_MAX_LENGTH = 500

Line = tuple[int, str]
"""Level, as logging has it, and text."""


class _Keep(logging.Handler):
    def __init__(self, lines: list[Line]) -> None:
        super().__init__(logging.INFO)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append((record.levelno, record.getMessage()))


@contextlib.contextmanager
def kept_lines() -> Iterator[list[Line]]:
    """Keep what this process says within the block: log lines of Reelbench and Python's warnings."""
    lines: list[Line] = []
    handler, ours, shown = _Keep(lines), logging.getLogger("reelbench"), warnings.showwarning

    def keep(message: Any, category: type[Warning], filename: str, lineno: int, *rest: Any) -> None:
        lines.append((logging.WARNING, f"{category.__name__}: {message} ({filename}:{lineno})"))
        shown(message, category, filename, lineno, *rest)

    level = ours.level
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    warnings.showwarning = keep  # type: ignore[assignment]
    try:
        yield lines
    finally:
        warnings.showwarning = shown
        ours.setLevel(level)
        ours.removeHandler(handler)


def bounded(lines: list[Line]) -> tuple[Line, ...]:
    """The first lines, none of them long and without secrets, and how many more there were."""
    kept = [(level, masked(" ".join(text.split()))[:_MAX_LENGTH]) for level, text in lines[:_MAX_LINES]]
    if len(lines) > _MAX_LINES:
        kept.append((logging.INFO, f"... and {len(lines) - _MAX_LINES} more lines"))
    return tuple(kept)
