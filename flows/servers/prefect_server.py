"""The Prefect server of a run: the user's own, or a small one that lives as long as the run.

Prefect's built-in "ephemeral" server is not used: it loses task records when the process exits, and
every Ray worker would start one of its own. Without `PREFECT_API_URL`, a server of our own is
started on a free port of the loopback, with its database in `<output>/prefect`, and stopped at the
end; `prefect_server_process` is what runs in it. It starts while the caller goes on (5 s with an
existing database, 10 s with a new one), so ask for it early and `wait` for it late.

It asks for a password, which is made anew for each start and handed on in the environment alone: other
users of the machine reach the loopback, too.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from ...core.errors import ReelbenchError
from ...core.proxies import changed_environment, is_loopback, proxy_changes
from ...core.retries import with_jitter
from ...core.set_aside import set_aside, sqlite_damage
from ...core.sqlite_url import sqlite_url
from ...core.waiting import Waiting, say
from ..environment import quiet_environment
from ..workers.log_file import last_line
from .authentication import authorization, new_auth_string

logger = logging.getLogger(__name__)

_SERVER_MODULE = "reelbench.flows.servers.prefect_server_process"
_START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 10.0
_LEAST_FREE_BYTES = 2**21  # what an empty database takes
_RECORD_TIMEOUT_S = 15.0
_RECORD_POLL_S = 0.4
_MAX_RESTARTS = 3
_KEEP_POLL_S = 0.5
_DATABASE = "prefect.db"
_KILLED = "the run's process was killed; the same command goes on where it stopped"

_RUN_SETTINGS = {
    "PREFECT_UI_ENABLED": "false",
    # What a server needs that schedules nothing; recording events and task runs stays on.
    "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_FOREMAN_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_ENABLED": "false",
}


class PrefectServerError(ReelbenchError):
    """There is no Prefect server to be had."""


class PrefectApi:
    """A Prefect server that this process talks to.

    Attributes:
        url: its API.
        home: `PREFECT_HOME` of a server of our own; None for the user's.
        auth_string: the user and password that a server of our own asks for, with a colon between.
    """

    def __init__(
        self,
        url: str,
        home: Path | None = None,
        process: subprocess.Popen[Any] | None = None,
        auth_string: str | None = None,
    ) -> None:
        self.url = url
        self.home = home
        self.auth_string = auth_string
        self._process = process
        self._has_answered = False
        self._is_kept = False
        self._over = threading.Event()

    def keep(self, listener: socket.socket, settings: Mapping[str, str]) -> None:
        """Start a server of our own again where it ends before its time: on the same port, whose connections
        wait meanwhile, and the same database. A thread looks after it until `stop`."""
        self._is_kept = True
        threading.Thread(target=self._keep, args=(listener, settings), daemon=True).start()

    def _keep(self, listener: socket.socket, settings: Mapping[str, str]) -> None:
        assert self.home is not None
        assert self.auth_string is not None
        for left in reversed(range(_MAX_RESTARTS + 1)):
            while (code := self.exit_code()) is None:
                if self._over.wait(_KEEP_POLL_S):
                    return
            if self._over.is_set():
                return
            what = f"the run's own Prefect server has ended (exit code {code}); the work goes on"
            if not self._has_answered:
                what = f"the run's own Prefect server ended as it started (exit code {code})"
            if not left or shutil.disk_usage(self.home).free < _LEAST_FREE_BYTES:
                break
            say(f"{what}, and the server is started again")
            if not self._has_answered and left == _MAX_RESTARTS - 1:
                _begin_anew(self.home, "the server ended twice as it started")
            self._process = start_server(self.home, listener, self.auth_string, settings)._process
            self._over.wait(with_jitter(1.0))
        if self._has_answered:
            say(f"{what}, and Prefect's page lacks the rest; the server's log is {self.home}/server.log")
        self._is_kept = False
        listener.close()  # who calls it is refused at once
        if "prefect.flows" in sys.modules:
            from .server_watch import let_go

            let_go()

    def wait(self, closes_stale_runs: bool = True) -> None:
        """Return when the server answers.

        Args:
            closes_stale_runs: of a server of our own: nobody works on its runs yet, and those that seem to be
                under way are marked as crashed.

        Raises:
            PrefectServerError: it does not, or it has died.
        """
        if self._process is None:
            self._wait_for_users_server()
            return
        assert self.home is not None
        start = Waiting("Prefect's server to start", _START_TIMEOUT_S)
        while not start.is_over:
            start.look()
            if self._process.poll() is not None and not self._is_kept:
                if shutil.disk_usage(self.home).free < _LEAST_FREE_BYTES:
                    raise PrefectServerError(
                        f"the Prefect server stopped as it started: the disk of {self.home} is full",
                        "free some space there, or choose another folder with --output",
                    )
                raise PrefectServerError(
                    f"the Prefect server stopped as it started (exit code {self._process.returncode}): "
                    f"{last_line(self.home / 'server.log') or 'no message'}",
                    f"see {self.home / 'server.log'}; delete {self.home} to begin with a new database",
                )
            try:
                self._call("GET", "/health", timeout_s=2.0)
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
                continue
            self._has_answered = True
            if closes_stale_runs:
                self.close_stale_runs()
            return
        raise PrefectServerError(
            f"the Prefect server did not answer within {_START_TIMEOUT_S:.0f} s",
            f"see {self.home / 'server.log'}; a busy machine may need another try",
        )

    def check(self) -> None:
        """Say so where the server is gone, which explains any other error.

        Raises:
            PrefectServerError: it is.
        """
        if self._process is None:
            self._wait_for_users_server()
        code = self.exit_code()
        if code is not None:
            raise PrefectServerError(
                f"the run's own Prefect server has ended in the middle of it (exit code {code})",
                f"what is finished is kept, the same command goes on; its log is {self.home}/server.log",
            )

    def exit_code(self) -> int | None:
        """Of a server of our own that has ended."""
        return None if self._process is None else self._process.poll()

    def settle(self) -> None:
        """Where a server of our own was just started again, wait until it answers, to take what is left."""
        with contextlib.suppress(PrefectServerError):
            if self._has_answered and self.exit_code() is None and self._process is not None:
                self.wait(closes_stale_runs=False)

    def stop(self) -> None:
        """Stop a server of our own, after it has got everything; the user's goes on."""
        self._over.set()
        if self._process is None or self._process.poll() is not None:
            return
        if not self._has_answered:
            self._process.kill()  # it would first finish its start, and holds nothing yet
        elif _send_what_is_queued():
            self._wait_for_recorder()
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait_for_recorder(self) -> None:
        """The server records task runs from events, one after the other, and forgets those that are left
        when it stops: wait until all it knows are over and no new one appears."""
        deadline = time.monotonic() + _RECORD_TIMEOUT_S
        before = None
        unfinished = {"state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING"]}}}
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            while time.monotonic() < deadline:
                total = self._call("POST", "/task_runs/count", {})
                if total == before and not self._call("POST", "/task_runs/count", {"task_runs": unfinished}):
                    return
                before = total
                time.sleep(_RECORD_POLL_S)

    def _wait_for_users_server(self) -> None:
        try:
            self._call("GET", "/health", timeout_s=10.0)
        except urllib.error.HTTPError:
            return  # it is there; whether we may use it is for Prefect's client to find out
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise PrefectServerError(
                f"the Prefect server at PREFECT_API_URL={self.url} does not answer: {error}",
                "start it (`prefect server start`), or unset PREFECT_API_URL to run with a server of our own",
            ) from error

    def close_stale_runs(self) -> None:
        """Mark as crashed what a killed run left running; the database is locked, so it is ours alone."""
        running = {"state": {"type": {"any_": ["RUNNING", "PENDING"]}}}
        crashed = {"type": "CRASHED", "name": "Crashed", "message": _KILLED}
        for kind in ("task_runs", "flow_runs"):
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                for run in self._call("POST", f"/{kind}/filter", {kind: running}):
                    self._call("POST", f"/{kind}/{run['id']}/set_state", {"state": crashed, "force": True})

    def _call(self, method: str, path: str, body: Any = None, timeout_s: float = 10.0) -> Any:
        request = urllib.request.Request(
            self.url.rstrip("/") + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **authorization(self.auth_string)},
            method=method,
        )
        # No proxy reaches a server on this machine, whatever `no_proxy` says.
        proxies = urllib.request.ProxyHandler({} if is_loopback(self.url) else None)
        with urllib.request.build_opener(proxies).open(request, timeout=timeout_s) as response:
            return json.load(response)


@contextlib.contextmanager
def prefect_api(output: Path) -> Iterator[PrefectApi]:
    """A Prefect server for this process: the one at `PREFECT_API_URL`, or one of our own.

    The block begins while the server starts; call `wait()` before the flow. The environment (and the
    settings of a Prefect that is imported already) point to the server within the block.

    Args:
        output: the run's output folder; the server's database is in `<output>/prefect`.

    Raises:
        PrefectServerError: the folder cannot be written.
    """
    quiet_environment()
    users_url = os.environ.get("PREFECT_API_URL", "").strip()
    # What Prefect reaches by httpx and websockets is on this machine, too.
    changes, _ = proxy_changes(os.environ)
    if users_url:
        logger.info("using the Prefect server at PREFECT_API_URL=%s", users_url)
        with changed_environment(changes):
            yield PrefectApi(users_url)
        return
    home, lock = _lock_home(Path(output).absolute())
    api = None
    try:
        with _terminates_like_an_exit():
            api = _start_server(home)
            assert api.auth_string is not None
            settings = {
                "PREFECT_API_URL": api.url,
                "PREFECT_API_AUTH_STRING": api.auth_string,
                "PREFECT_HOME": str(home),
                "PREFECT_UI_URL": "",  # it has no page, so nothing may link to one
            }
            with prefect_environment({**changes, **settings}):
                try:
                    yield api
                finally:
                    api.settle()
                    # While the settings still point to it: what is queued must find its way.
                    api.stop()
    finally:
        if api is not None:
            api.stop()
        lock.close()


def is_running(output: Path) -> bool:
    """Whether a run with a server of its own is going on in an output folder."""
    try:
        with (Path(output) / "prefect" / "lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _lock_home(output: Path) -> tuple[Path, IO[str]]:
    """A `PREFECT_HOME` that no other run uses: `prefect`, or `prefect-2` where that one is in use."""
    number = 1
    while True:
        home = output / ("prefect" if number == 1 else f"prefect-{number}")
        try:
            # Another user's, who shares the output.
            if home.is_dir() and home.stat().st_uid != os.getuid() and not os.access(home, os.W_OK | os.X_OK):
                number += 1
                continue
            home.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(PermissionError):  # a mount that gives files to one user
                home.chmod(0o700)  # the database holds what runs print
            lock = (home / "lock").open("w")
        except OSError as error:
            raise PrefectServerError(
                f"cannot write to {home}: {error.strerror}", "choose another folder with --output"
            ) from error
        try:
            # Held by this process and not inherited: a kill releases it.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            number += 1
            continue
        return home, lock


def _start_server(home: Path) -> PrefectApi:
    # The port is bound here and handed over, so nobody else can take it; it stays open for a second server.
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    if damage := sqlite_damage(home / _DATABASE):
        _begin_anew(home, damage)
    api = start_server(home, listener, new_auth_string(), _RUN_SETTINGS)
    api.keep(listener, _RUN_SETTINGS)
    return api


def start_server(
    home: Path, listener: socket.socket, auth_string: str, settings: Mapping[str, str]
) -> PrefectApi:
    """Start a server on a bound socket of the loopback; it goes on being the caller's to close.

    Args:
        home: its database's folder, and that of its log.
        auth_string: the user and password that it asks for, with a colon between.
        settings: Prefect's, which the environment's go before.
    """
    listener.listen(128)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
    logger.info("starting Prefect's server at %s; its log: %s", url, home / "server.log")
    with (home / "server.log").open("w") as log:
        process = subprocess.Popen(
            # -P: the working directory is not a place to import from.
            [sys.executable, "-P", "-m", _SERVER_MODULE, str(listener.fileno()), str(os.getpid())],
            env={
                # No process will make another server.
                "PREFECT__SERVER_FINAL": "1",
                **settings,
                **_database(home),
                **os.environ,
                "PREFECT_HOME": str(home),
                "PREFECT_API_URL": url,
                "PREFECT_SERVER_API_AUTH_STRING": auth_string,
            },
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C is for us: the server must still take the run's last state.
            start_new_session=True,
        )
    return PrefectApi(url, home, process, auth_string)


def _begin_anew(home: Path, why: str) -> None:
    """Set our own database aside, so that the next start makes a new one: it is a view of runs, no result."""
    if _database(home) and (home / _DATABASE).exists():
        with contextlib.suppress(OSError):  # the server's start will say why
            kept = set_aside(home / _DATABASE)
            say(
                f"Prefect's database {home / _DATABASE} cannot be used ({why}): it is kept as {kept.name}, "
                "and a new one is begun; no result was in it, and Prefect's page lacks the runs before"
            )


def _database(home: Path) -> dict[str, str]:
    """The setting of the server's database; none where the user has set another one.

    Prefect's default joins strings, and a `?` in the folder would cut the file's name.
    """
    names = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL")
    if any(name in os.environ for name in names):
        return {}
    return {names[0]: sqlite_url(home / _DATABASE, "sqlite+aiosqlite")}


@contextlib.contextmanager
def prefect_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables, and the settings of a Prefect that is imported already, while the block runs."""
    try:
        with changed_environment(values):
            _refresh_settings()
            yield
    finally:
        _refresh_settings()


def _refresh_settings() -> None:
    # Prefect reads the environment when it is imported.
    if "prefect.context" in sys.modules:
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()


def _send_what_is_queued() -> bool:
    """Send the events (task runs are made of them) and log lines that Prefect's client still holds.

    Returns:
        whether Prefect was in use at all.
    """
    if "prefect.flows" not in sys.modules:
        return False
    with contextlib.suppress(Exception):
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker

        for worker in (EventsWorker, APILogWorker):
            worker.drain_all(timeout=5.0, at_exit=False)
    return True


@contextlib.contextmanager
def _terminates_like_an_exit() -> Iterator[None]:
    """SIGTERM unwinds the stack, so that the server is stopped, where nobody handles it yet."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def leave(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
