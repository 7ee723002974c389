"""How long a tuning takes, also when it was killed in between."""

from __future__ import annotations

import threading
import time
from typing import Self

from ..core.artifacts import Artifacts

_NOTE_EVERY_S = 5.0


class ElapsedNote:
    """Seconds that a tuning takes, over all attempts: a context manager.

    While it is open, a thread notes the seconds every now and then beside the checkpoint, so that a tuning
    that is killed and goes on counts what it took before, and what was lost since the last checkpoint, too.

    Args:
        artifacts: where the note lies.
        key: of the tuning.
    """

    def __init__(self, artifacts: Artifacts, key: str) -> None:
        self._artifacts, self._key = artifacts, key
        self._before_s = 0.0
        self._started = 0.0
        self._ended: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._note, daemon=True)

    def __enter__(self) -> Self:
        # Without a checkpoint the tuning begins anew, and what earlier attempts took is nobody's.
        if self._artifacts.checkpoint_path(self._key).is_file():
            self._before_s = self._artifacts.elapsed_s(self._key)
        self._started = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._ended = time.perf_counter()
        self._stop.set()
        self._thread.join()
        if error is not None:
            self._artifacts.note_elapsed(self._key, self.seconds)

    @property
    def seconds(self) -> float:
        """So far, or until the end."""
        end = time.perf_counter() if self._ended is None else self._ended
        return self._before_s + end - self._started

    def _note(self) -> None:
        while not self._stop.wait(_NOTE_EVERY_S):
            self._artifacts.note_elapsed(self._key, self.seconds)
