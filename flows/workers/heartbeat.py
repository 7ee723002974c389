"""Whether a Ray cluster that was joined is still there: Ray's own calls wait for ever for one that is not."""

from __future__ import annotations

import atexit
import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from ...core.waiting import Waiting

Result = TypeVar("Result")

EVERY_S = 3.0

SILENCE_S = 60.0
"""A cluster that has not answered for so long is lost."""


class Heartbeat:
    """Asks the cluster for its nodes every few seconds, in a thread that may wait for ever."""

    def __init__(self) -> None:
        self._answered = time.monotonic()
        self._wait = _new_wait()
        self._over = threading.Event()
        threading.Thread(target=self._ask, daemon=True).start()

    @property
    def is_lost(self) -> bool:
        """Whether the cluster has not answered for `SILENCE_S`; said every now and then before."""
        silent_s = time.monotonic() - self._answered
        if silent_s > EVERY_S:
            self._wait.look()
        return silent_s > SILENCE_S

    def stop(self) -> None:
        """Ask no more."""
        self._over.set()

    def _ask(self) -> None:
        import ray

        while not self._over.wait(EVERY_S):
            with contextlib.suppress(Exception):
                ray.nodes()
                self._answered = time.monotonic()
                self._wait = _new_wait()


def _new_wait() -> Waiting:
    return Waiting("the Ray cluster to answer", SILENCE_S)


def bounded(call: Callable[[], Result], seconds: float) -> Result:
    """The result of a call of Ray's that may wait for ever.

    Raises:
        TimeoutError: it is not there after so many seconds; the call goes on in its thread.
    """
    results: queue.SimpleQueue[tuple[Result | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put((call(), None))
        except BaseException as error:
            results.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = results.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def leave_lost_cluster() -> None:
    """Leave a cluster that answers nobody: what Ray does at the end would wait for it."""
    import ray

    atexit.unregister(ray.shutdown)
    with contextlib.suppress(Exception):
        bounded(ray.shutdown, 5.0)
