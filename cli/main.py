"""The console script: what must be in place before the command line is read, then the commands.

Typer alone takes a third of a second to import, on a busy machine seconds, so the commands are imported
here late: Ctrl-C in between must not show a traceback.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from .terminal import end_quietly, leave_at_once_on_signals, repair_streams


def main() -> None:
    """Run the command line and exit."""
    leave_at_once_on_signals()
    repair_streams()
    sys.excepthook = _show_masked  # before Typer, which takes what it finds
    from .app import app

    # Typer reads all commands first, which takes as long as its import; `ReelbenchGroup.invoke` unwinds.
    try:
        app(prog_name="reelbench")
    finally:
        end_quietly()


def _show_masked(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A traceback as Python shows it, without the secrets that a library's message may hold."""
    import traceback

    from ..core.redaction import masked

    print(masked("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)


def __getattr__(name: str) -> Any:
    if name == "app":
        from .app import app

        return app
    raise AttributeError(name)


if __name__ == "__main__":
    main()
