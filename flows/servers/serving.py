"""What `reelbench serve` starts: Prefect's server, the work pool, the deployments and a worker.

All of them listen on the loopback, write into one folder, and end with the process that started them. The
server asks for the password in `<folder>/password`; `<folder>` is the `PREFECT_HOME` of those who talk to it.
A server or a worker that dies is started again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import ReelbenchError
from ...core.waiting import waiting
from ..environment import quiet_environment
from ..parameters import ALLOW_OUTSIDE_HOME, ALLOW_PLUGIN_FILES
from ..workers.log_file import last_line
from ..workers.ray_address import check_ray_address
from .authentication import new_auth_string
from .ports import listening
from .prefect_server import PrefectApi, prefect_environment, start_server
from .processes import MARK, end_marked
from .stale_runs import settle_stale_runs

POOL = "reelbench"
"""The work pool that the deployments in prefect.yaml name."""

DEFAULT_PORT = 4200
_DEPLOY_TIMEOUT_S = 300.0
_STOP_TIMEOUT_S = 10.0
_POLL_S = 0.3
_MAX_RESTARTS = 5
_RESTARTS_WITHIN_S = 600.0
_WORKER_MODULE = "reelbench.flows.servers.worker_process"

_SERVER_SETTINGS = {
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    # In files: a server that is started again must know which runs hold the slots of their deployments.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "reelbench.flows.servers.event_order",
}
_USERS_SETTINGS = ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_PROFILE")
"""Of another server, which would go before those of this one."""


class ServeError(ReelbenchError):
    """The server, the deployments or the worker cannot be had."""


@dataclass(frozen=True)
class Options:
    """What is served, and how.

    Attributes:
        folder: of the database, the password and the logs.
        home: `REELBENCH_HOME`: runs begin here, and their run files lie below.
        deployments: the prefect.yaml.
        port: of the server; None takes the first free one from 4200 on.
        limit: the number of runs at a time.
        ray_address: the cluster that runs join; None leaves it to `RAY_ADDRESS`.
        allow_plugin_files, allow_outside: what runs may name, see `flows.parameters`.
    """

    folder: Path
    home: Path
    deployments: Path
    port: int | None = None
    limit: int = 1
    ray_address: str | None = None
    allow_plugin_files: bool = False
    allow_outside: bool = False


@contextlib.contextmanager
def serving(options: Options, say: Callable[[str], object]) -> Iterator[Serving]:
    """Everything is started when the block begins, and ended after it.

    Args:
        say: is told in a line what happens.

    Raises:
        ServeError: something cannot be started; what was is ended again.
        ResourcesError: no Ray cluster answers at its address.
    """
    quiet_environment()
    address = options.ray_address or os.environ.get("RAY_ADDRESS", "")
    if address and address != "local":
        check_ray_address(address)
    if not options.deployments.is_file():
        raise ServeError(
            f"there are no deployments: no file {options.deployments}",
            "start in Reelbench's repository, or name a prefect.yaml with --deployments",
        )
    with _locked(options.folder) as lock, _listening(options.port, say) as listener:
        served = Serving(options, listener, say)
        lock.write(served.page)
        lock.flush()
        with prefect_environment(served.settings):
            try:
                served.start()
                yield served
            finally:
                served.stop()


class Serving:
    """The server and the worker while they run.

    Attributes:
        page: the address of Prefect's page.
        settings: the environment of those who talk to the server.
    """

    def __init__(self, options: Options, listener: socket.socket, say: Callable[[str], object]) -> None:
        self._options = options
        self._listener = listener
        self._say = say
        self._auth_string = _password(options.folder / "password")
        self._api: PrefectApi | None = None
        self._worker: subprocess.Popen[bytes] | None = None
        self._restarts: list[float] = []
        self.page = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.settings = {
            "PREFECT_HOME": str(options.folder),
            "PREFECT_API_URL": f"{self.page}/api",
            "PREFECT_API_AUTH_STRING": self._auth_string,
            "PREFECT_PROFILE": "reelbench",
        }
        _write_private(options.folder / "profiles.toml", _profile(self.settings))
        (options.folder / "env").write_text(_shell_lines(options.folder), encoding="utf-8")

    def start(self) -> None:
        """Start the server, make the pool and the deployments, start the worker."""
        # What a `serve` that was killed with its worker has left.
        end_marked(self._options.folder, _STOP_TIMEOUT_S)
        self._say("starting Prefect's server ...")
        self._start_server()
        # Its first half on a busy machine is the import of Prefect.
        with self._waiting("Prefect to be loaded and the work pool to be made"):
            self._make_pool()
        self._settle_runs()
        self._start_worker()
        self._say("making the deployments ...")
        with self._waiting("the deployments to be made", _DEPLOY_TIMEOUT_S):
            self._deploy()

    def names(self) -> list[str]:
        """The deployments, as `prefect deployment run` takes them."""
        from prefect.client.orchestration import get_client

        with self._waiting("the server to list the deployments"), get_client(sync_client=True) as client:
            flows = {flow.id: flow.name for flow in client.read_flows()}
            return sorted(f"{flows[found.flow_id]}/{found.name}" for found in client.read_deployments())

    def watch(self) -> None:
        """Start again what dies, until the process is told to end.

        Raises:
            ServeError: something dies again and again.
        """
        assert self._api is not None
        while True:
            time.sleep(_POLL_S)
            if (code := self._api.exit_code()) is not None:
                self._note_restart(f"the server has ended (exit code {code})", "server.log")
                self._start_server()
            if self._worker is not None and (code := self._worker.poll()) is not None:
                self._note_restart(f"the worker has ended (exit code {code})", "worker.log")
                # Its runs have lost the reader of what they print, and nobody can cancel them.
                end_marked(self._options.folder, _STOP_TIMEOUT_S)
                self._settle_runs()
                self._start_worker()

    def stop(self) -> None:
        """End the runs, the worker and the server."""
        self._say("ending the runs, the worker and the server ...")
        worker = self._worker
        if worker is not None and worker.poll() is None:
            # Ended runs must not make room for those that wait.
            with contextlib.suppress(Exception):
                self._update_pool(is_paused=True)
            end_marked(self._options.folder, _STOP_TIMEOUT_S, spared=[worker.pid])
            _end(worker)
        end_marked(self._options.folder, 0.0)
        if self._api is not None:
            self._settle_runs()
            self._api.stop()

    def _waiting(self, what: str, limit_s: float | None = None) -> contextlib.AbstractContextManager[object]:
        return waiting(what, limit_s, self._say)

    def _start_server(self) -> None:
        _keep_last_log(self._options.folder / "server.log")
        self._api = start_server(self._options.folder, self._listener, self._auth_string, _SERVER_SETTINGS)
        self._api.wait(closes_stale_runs=False)

    def _settle_runs(self) -> None:
        """Put back or close what ended workers left, where none is at work."""
        assert self._api is not None
        try:
            with self._waiting("the server to settle what ended runs have left"):
                for line in settle_stale_runs(POOL, none_is_alive=True):
                    self._say(line)
                self._api.close_stale_runs()
        except Exception as error:  # of Prefect's client: many kinds
            self._say(f"what ended runs have left is for the next start to close: {error}")

    def _make_pool(self) -> None:
        from prefect.client.orchestration import get_client
        from prefect.client.schemas.actions import WorkPoolCreate
        from prefect.exceptions import ObjectAlreadyExists
        from prefect.workers.process import ProcessWorker

        with get_client(sync_client=True) as client, contextlib.suppress(ObjectAlreadyExists):
            template = ProcessWorker.get_default_base_job_template()
            client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))
        self._update_pool(is_paused=False, concurrency_limit=self._options.limit)

    def _update_pool(self, **changes: Any) -> None:
        from prefect.client.orchestration import get_client
        from prefect.client.schemas.actions import WorkPoolUpdate

        with get_client(sync_client=True) as client:
            client.update_work_pool(POOL, WorkPoolUpdate(**changes))

    def _start_worker(self) -> None:
        options = self._options
        variables = {MARK: str(options.folder), "REELBENCH_HOME": str(options.home)}
        if options.ray_address:
            variables["RAY_ADDRESS"] = options.ray_address
        if options.allow_plugin_files:
            variables[ALLOW_PLUGIN_FILES] = "1"
        if options.allow_outside:
            variables[ALLOW_OUTSIDE_HOME] = "1"
        path = options.folder / "worker.log"
        _keep_last_log(path)
        with path.open("wb") as log:
            self._worker = subprocess.Popen(
                [sys.executable, "-P", "-m", _WORKER_MODULE, POOL, str(os.getpid())],
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _deploy(self) -> None:
        options = self._options
        log = options.folder / "deploy.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "prefect", "--no-prompt", "deploy", "--all"),
                    *("--prefect-file", str(options.deployments)),
                ],
                env={**os.environ, MARK: str(options.folder), "REELBENCH_HOME": str(options.home)},
                cwd=options.home,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            code = process.wait(_DEPLOY_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise ServeError(
                f"the deployments were not made within {_DEPLOY_TIMEOUT_S:.0f} s", f"see {log}"
            ) from None
        if code:
            raise ServeError(
                f"the deployments in {options.deployments} cannot be made: {_cause(log)}",
                f"see {log}",
            )

    def _note_restart(self, what: str, log: str) -> None:
        now = time.monotonic()
        self._restarts = [then for then in self._restarts if now - then < _RESTARTS_WITHIN_S] + [now]
        path = self._options.folder / log
        if len(self._restarts) > _MAX_RESTARTS:
            raise ServeError(
                f"{what}; {_MAX_RESTARTS} starts within {_RESTARTS_WITHIN_S / 60:.0f} minutes did not help",
                f"see {path}",
            )
        self._say(f"{what}; starting it again (its log: {path}.1)")


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[Any]:
    """The folder, made where it is missing, for this process alone; the open file, for the page's address."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Parameters, logs and results of runs are nobody else's.
        folder.mkdir(mode=0o700, exist_ok=True)
        lock = (folder / "lock").open("a+")
    except OSError as error:
        raise ServeError(
            f"cannot write to {folder}: {error.strerror}", "choose another folder with --folder"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise ServeError(
                f"`reelbench serve` runs already in {folder}: its page is {lock.read() or 'not known'}",
                "use that one, or start another with --folder and --port",
            ) from None
        lock.truncate(0)
        yield lock


@contextlib.contextmanager
def _listening(port: int | None, say: Callable[[str], object]) -> Iterator[socket.socket]:
    """A bound socket of the loopback; it stays bound while a server that died is started again."""
    with listening(port, DEFAULT_PORT) as listener:
        if port is None and (taken := listener.getsockname()[1]) != DEFAULT_PORT:
            say(f"port {DEFAULT_PORT} is in use: this server takes {taken}")
        yield listener


def _password(path: Path) -> str:
    """The server's user and password; made once."""
    with contextlib.suppress(FileNotFoundError):
        if text := path.read_text(encoding="utf-8").strip():
            path.chmod(0o600)
            return text
    auth_string = new_auth_string()
    _write_private(path, auth_string + "\n")
    return auth_string


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from the first moment on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)
        file.write(text)


def _profile(settings: dict[str, str]) -> str:
    """Prefect's settings as the only profile of its home."""
    names = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")
    lines = [f"{name} = {json.dumps(settings[name])}" for name in names]
    return "\n".join(['active = "reelbench"', "", "[profiles.reelbench]", *lines, ""])


def _shell_lines(folder: Path) -> str:
    """What a shell that talks to the server needs; nothing of it is secret."""
    lines = [
        "# For a shell: . " + shlex.quote(str(folder / "env")),
        f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"',
        f"export PREFECT_HOME={shlex.quote(str(folder))} DO_NOT_TRACK=true",
        "unset " + " ".join(_USERS_SETTINGS),
    ]
    # A proxy would be asked for the loopback.
    bypass = [name for name in ("no_proxy", "NO_PROXY") if name in os.environ]
    lines += [f"export {name}={shlex.quote(os.environ[name])}" for name in bypass]
    return "\n".join(lines) + "\n"


def _keep_last_log(path: Path) -> None:
    """A process that is started again writes a log of its own; the one before stays as `<name>.1`."""
    with contextlib.suppress(FileNotFoundError):
        path.replace(path.with_name(f"{path.name}.1"))


def _cause(log: Path) -> str:
    """The last line that names an error, or else the last one."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line for line in reversed(lines) if "Error" in line), None) or last_line(log) or "no message"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
