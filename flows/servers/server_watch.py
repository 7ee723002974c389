"""Whether Prefect's server still answers while a run is at work, and what the run does where it does not.

By itself Prefect's client tries each call for a minute, so that a finished run hangs for minutes, and prints
every event that it cannot send. Here one line says that the server is away. What it should get is held for
`GONE_S`; after that the server is taken for gone: nothing is tried again, and the run ends without it. One
that answers later gets the rest.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from prefect.events.clients import PrefectEventsClient
from prefect.events.schemas.events import Event
from prefect.events.worker import EventsWorker, emit_events_to_cloud
from prefect.logging.handlers import APILogWorker, set_api_log_sink
from prefect.settings import PREFECT_API_URL, get_current_settings

from ...core.proxies import is_loopback
from ...core.waiting import Waiting, say, seconds_text

EVERY_S = 3.0
SAY_AFTER_S = 10.0

GONE_S = 30.0
"""A server that has not answered for so long is taken for gone."""

_TIMEOUT_S = 5.0
_gone = threading.Event()
_retries = 0


def let_go() -> None:
    """Take the server for gone: calls have one try, and events and log lines are dropped."""
    global _retries
    client = get_current_settings().client
    if not _gone.is_set():
        _gone.set()
        # All contexts share this object; a call that waits for its next try looks at it again.
        _retries, client.max_retries = client.max_retries, 0


def _take_up() -> None:
    if _gone.is_set():
        _gone.clear()
        get_current_settings().client.max_retries = _retries


_enter, _emit = PrefectEventsClient.__aenter__, PrefectEventsClient._emit


async def _enter_anyway(client: PrefectEventsClient) -> PrefectEventsClient:
    client._in_context = True
    with contextlib.suppress(Exception):
        await _enter(client)
    return client


async def _emit_unless_gone(client: PrefectEventsClient, event: Event) -> None:
    """What cannot be sent is kept by the client, and sent once the server answers again."""
    if not _gone.is_set():
        with contextlib.suppress(Exception):
            await _emit(client, event)


def _send_log(log: dict[str, Any]) -> None:
    if not _gone.is_set():
        APILogWorker.instance().send(log)


class ServerWatch:
    """Asks a server every few seconds whether it is there.

    Args:
        url: of its API.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._answered = time.monotonic()
        self._is_told = False
        self._over = threading.Event()

    def start(self) -> None:
        """Ask in a thread, until `stop`."""
        threading.Thread(target=self._work, daemon=True).start()

    def stop(self) -> None:
        """Ask no more."""
        self._over.set()

    def _work(self) -> None:
        while not self._over.wait(EVERY_S):
            self.look(why_silent(self._url))

    def look(self, why: str | None) -> None:
        """Take note of an answer.

        Args:
            why: there was none; None where there was one.
        """
        now = time.monotonic()
        if why is None:
            self._answered = now
            if self._is_told:
                self._is_told = False
                _take_up()
                say("Prefect's server answers again")
        elif now - self._answered >= SAY_AFTER_S and not (self._is_told or _gone.is_set()):
            self._is_told = True
            say(
                f"Prefect's server at {self._url} does not answer ({why}); the work goes on, and after "
                f"{seconds_text(GONE_S)} without it: then its page lacks what comes until it is back"
            )
        if now - self._answered >= GONE_S:
            let_go()

    def settle(self) -> None:
        """Where the server is away, wait until it answers or is taken for gone."""
        wait = Waiting("Prefect's server to answer", GONE_S)
        while time.monotonic() - self._answered > 2 * EVERY_S and not _gone.is_set() and not wait.is_over:
            wait.look()
            time.sleep(0.1)


_current: ServerWatch | None = None


@contextlib.contextmanager
def server_watched() -> Iterator[None]:
    """Watch Prefect's server within the block, and do not let it hold up the block's end."""
    global _current
    url, outer = PREFECT_API_URL.value(), _current
    if not url or outer is not None:
        yield
        if outer is not None:
            outer.settle()
        return
    _take_up()
    if not emit_events_to_cloud():
        # Not a class of our own: Prefect drops the events of client classes that it does not know.
        PrefectEventsClient.__aenter__ = _enter_anyway  # type: ignore[method-assign,assignment]
        PrefectEventsClient._emit = _emit_unless_gone  # type: ignore[method-assign,assignment]
        EventsWorker.set_client_override(PrefectEventsClient, reconnection_attempts=1)
    set_api_log_sink(_send_log)
    logging.raiseExceptions = False  # lines that could not be sent are not told at the terminal
    _current = ServerWatch(url)
    _current.start()
    try:
        yield
        _current.settle()
    finally:
        _current.stop()
        _current = None


def is_gone() -> bool:
    """Whether the server is taken for gone."""
    return _gone.is_set()


def is_away() -> bool:
    """Whether the server does not answer at the moment."""
    url = PREFECT_API_URL.value()
    return _gone.is_set() or (bool(url) and why_silent(url) is not None)


def why_silent(url: str) -> str | None:
    """Why a server does not answer; None where it does, be it with a refusal."""
    proxies = urllib.request.ProxyHandler({} if is_loopback(url) else None)
    try:
        urllib.request.build_opener(proxies).open(f"{url}/health", timeout=_TIMEOUT_S).close()
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}" if error.code >= 500 else None  # a proxy before one that is away
    except urllib.error.URLError as error:
        return str(error.reason)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return str(error) or type(error).__name__
    return None
