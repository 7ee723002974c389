"""What a process that has ended left in its log."""

from __future__ import annotations

import contextlib
from pathlib import Path

_MOST = 300


def last_line(path: Path) -> str:
    """The last line of a log that says something, shortened; "" where there is none."""
    with contextlib.suppress(OSError):
        lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1][:_MOST] if lines else ""
    return ""
