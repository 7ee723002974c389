"""Processes that must not outlive the one that started them, however that ended."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

MARK = "REELBENCH_SERVE"
"""The variable that all processes of a `reelbench serve` inherit: its folder."""

_POLL_S = 0.5
_GRACE_S = 10.0


def at_parents_end(parent: int, act: Callable[[], object]) -> None:
    """Once `parent` is no longer this process's parent, also where it was killed: act; leave after 10 s."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_POLL_S)
        act()
        time.sleep(_GRACE_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def end_marked(folder: Path, grace_s: float, spared: Iterable[int] = ()) -> None:
    """End all other processes that carry the mark of a folder, also those whose parents have ended.

    Args:
        grace_s: seconds that the topmost of them have to end with what they have started; 0 kills at once.
        spared: process ids that are left alone.
    """
    spared = {os.getpid(), *spared}
    if grace_s:
        found = _marked(folder, spared)
        pids = {process.pid for process in found}
        for process in found:
            with contextlib.suppress(psutil.Error):
                if process.ppid() not in pids:
                    process.terminate()
        psutil.wait_procs(found, grace_s)
    left = _marked(folder, spared)
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, 5.0)


def _marked(folder: Path, spared: set[int]) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        # Of other users' processes, and of such as have just ended, nothing is known.
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid not in spared and process.environ().get(MARK) == str(folder):
                found.append(process)
    return found
