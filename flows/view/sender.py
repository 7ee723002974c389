"""Calls of Prefect's API that a run must neither wait for nor fail with."""

from __future__ import annotations

import contextvars
import logging
import queue
import threading
import time
from collections.abc import Callable

from ..servers.server_watch import is_away, is_gone

logger = logging.getLogger(__name__)

_TIMEOUT_S = 5.0
_MAX_FAILURES = 3
_MAX_WAITING = 100


class Sender:
    """Makes calls one after the other, in a thread of its own, in the context of the flow that made it.

    A call has a few seconds and one try. After three that failed in a row, though the server answers, no more
    are made, and one line says so.
    """

    def __init__(self) -> None:
        self._calls: queue.Queue[Callable[[], object]] = queue.Queue(_MAX_WAITING)
        self._num_failed = 0
        self._context = contextvars.copy_context()
        threading.Thread(target=self._context.run, args=(self._work,), daemon=True).start()

    def send(self, call: Callable[[], object]) -> None:
        """Make a call soon; not at all where too many wait."""
        if self._num_failed < _MAX_FAILURES and not is_gone() and not self._calls.full():
            self._calls.put(call)

    def wait(self, timeout_s: float) -> None:
        """Return when all calls are made, or the time is up."""
        deadline = time.monotonic() + timeout_s
        while self._calls.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.02)

    def _work(self) -> None:
        from prefect.settings import (
            PREFECT_API_REQUEST_TIMEOUT,
            PREFECT_CLIENT_MAX_RETRIES,
            temporary_settings,
        )

        changes = {PREFECT_API_REQUEST_TIMEOUT: _TIMEOUT_S, PREFECT_CLIENT_MAX_RETRIES: 0}
        with temporary_settings(changes):
            while True:
                call = self._calls.get()
                if self._num_failed < _MAX_FAILURES and not is_gone():
                    self._make(call)
                self._calls.task_done()

    def _make(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:
            logger.debug("Prefect's server did not take what the page shows: %s", error)
            if is_away():
                return  # which is told already
            self._num_failed += 1
            if self._num_failed == _MAX_FAILURES:
                logger.warning(
                    "Prefect's page shows no more of this run: its server does not take it (%s)", error
                )
        else:
            self._num_failed = 0
