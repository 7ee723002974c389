"""The console script: what must be in place before the command line is read, then the commands.

Typer alone takes a third of a second to import, on a busy machine seconds, so the commands are imported
here late: Ctrl-C in between must not show a traceback.
"""

from __future__ import annotations

from typing import Any

from .terminal import end_quietly, leave_at_once_on_signals, repair_streams, unwind_on_signals


def main() -> None:
    """Run the command line and exit."""
    leave_at_once_on_signals()
    repair_streams()
    from .app import app

    unwind_on_signals()
    try:
        app(prog_name="reelbench")
    finally:
        leave_at_once_on_signals()
        end_quietly()


def __getattr__(name: str) -> Any:
    if name == "app":
        from .app import app

        return app
    raise AttributeError(name)


if __name__ == "__main__":
    main()
