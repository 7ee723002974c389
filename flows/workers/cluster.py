"""The Ray cluster of a run: the one at `RAY_ADDRESS`, or a Ray of our own on this machine.

Our own is started by a process of its own (`ray_head_process`), so that one that does not come up can be
ended: on a busy machine Ray's raylet waits some 15 s for its agent and dies with it, and what `ray.init`
has begun cannot be called off.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import secrets
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from ...core.errors import ResourcesError
from ...core.waiting import waiting
from .heartbeat import Heartbeat, leave_lost_cluster
from .log_file import last_line
from .ray_address import check_ray_address
from .ray_folder import ray_folder

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 60.0
"""How long a Ray of our own may take to answer; an idle machine needs 7 to 10 s."""

_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray's setting for systems where no other machine can join: its processes listen on 127.0.0.1 alone. Without
it they listen on every interface, whatever address Ray is given."""

_VITAL = ("gcs_server", "raylet")

PROBE_TIMEOUT_S = 20.0
"""How long a cluster may take for a first answer."""

_PROBE_MODULE = "reelbench.flows.workers.ray_probe_process"
_HEAD_MODULE = "reelbench.flows.workers.ray_head_process"


class RayNotStartedError(ResourcesError):
    """A Ray of our own did not come up on this machine."""


class RayLostError(ResourcesError):
    """A Ray of our own is gone, with all of its workers."""


@dataclass
class Connection:
    """What was joined or started here, and is to be ended here."""

    is_ours: bool
    head: subprocess.Popen[bytes] | None = None
    vital: tuple[psutil.Process, ...] = ()
    """The processes of a Ray of our own without which it answers nobody."""
    heartbeat: Heartbeat | None = None
    """Of a cluster that was joined."""

    @property
    def has_ended(self) -> bool:
        """Whether a Ray of our own is gone, or answers nobody any more; of a cluster that was joined, Ray
        itself tells."""
        return self.head is not None and not (self.head.poll() is None and all(map(_is_alive, self.vital)))

    @property
    def is_lost(self) -> bool:
        """Whether a cluster that was joined answers nobody any more."""
        return self.heartbeat is not None and self.heartbeat.is_lost

    def close(self) -> None:
        """Leave the cluster; end a Ray of our own."""
        import ray

        if self.is_lost:
            leave_lost_cluster()
            return
        if self.heartbeat is not None:
            self.heartbeat.stop()
        if self.is_ours:
            ray.shutdown()
        if self.head is not None:
            _end(self.head)


def connect(log: Path) -> Connection:
    """Join the cluster at `RAY_ADDRESS`, or start one on this machine.

    Args:
        log: where a Ray of our own writes what it has to say.

    Raises:
        RayNotStartedError: a Ray of our own does not come up.
        ResourcesError: the cluster does not answer.
    """
    import ray

    if ray.is_initialized():
        return Connection(is_ours=False)
    address = os.environ.get("RAY_ADDRESS", "")
    if address and address != "local":
        logger.info("joining the Ray cluster at RAY_ADDRESS=%s", address)
        if check_ray_address(address) and "://" not in address:
            _probe(address)
        try:
            # Workers on other machines do not inherit our environment.
            variables = {k: v for k, v in os.environ.items() if k.startswith("REELBENCH_")}
            with waiting(f"the Ray cluster at RAY_ADDRESS={address}"):
                _join(None, {"env_vars": variables})
        except Exception as error:  # Ray raises many kinds
            raise ResourcesError(
                f"the Ray cluster at RAY_ADDRESS={address} does not answer: {error}",
                "check that it runs (`ray status`) and whether it asks for a token (RAY_AUTH_TOKEN), or "
                "unset RAY_ADDRESS to run on this machine alone",
            ) from error
        return Connection(is_ours=True, heartbeat=None if "://" in address else Heartbeat())
    _set_token()
    try:
        folder = ray_folder()
    except ResourcesError as error:
        raise RayNotStartedError(error.message, error.hint) from None
    logger.info("starting Ray on this machine; logs of it and its workers: %s/session_latest/logs", folder)
    head = _start_head(folder, log)
    try:
        with waiting("Ray to start on this machine"):
            address = _address(head, log)
            with _loopback():
                _join(address, None)
    except RayNotStartedError:
        _end(head)
        raise
    except Exception as error:
        _end(head)
        raise _not_started(f"it does not answer: {error}", log) from error
    return Connection(is_ours=True, head=head, vital=_vital(head))


def _probe(address: str) -> None:
    """Ask the cluster for its nodes, in a process that can be ended.

    Raises:
        ResourcesError: it does not answer in time, or does not take our token.
    """
    command = [sys.executable, "-P", "-m", _PROBE_MODULE, address]
    try:
        with waiting(f"the Ray cluster at RAY_ADDRESS={address}", PROBE_TIMEOUT_S):
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=False
            )
    except subprocess.TimeoutExpired:
        raise ResourcesError(
            f"something listens at RAY_ADDRESS={address}, but no Ray cluster answers there within "
            f"{PROBE_TIMEOUT_S:.0f} s",
            "check the address and that the cluster runs (`ray status`), or unset RAY_ADDRESS to run on this "
            "machine alone",
        ) from None
    if "Unauthenticated" in done.stderr or "AuthenticationError" in done.stderr:
        raise ResourcesError(
            f"the Ray cluster at RAY_ADDRESS={address} does not take this run's token",
            "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN to the cluster's own token",
        )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise ResourcesError(
            f"the Ray cluster at RAY_ADDRESS={address} does not answer: {said[-1][:300] if said else ''}",
            "check that it runs (`ray status`), or unset RAY_ADDRESS to run on this machine alone",
        )


def node_resources() -> list[dict[str, float]]:
    """The resources of each living node of the cluster."""
    import ray

    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def _set_token() -> None:
    """A token for a Ray of our own, in the environment instead of a file in the home folder: other users of
    this machine reach its ports. A cluster that is joined has its own ways.

    Ray reads the environment when it is imported: where that was before (by a plug-in, or by the program that
    calls the flow), it is asked to read it again, or the head would not know this process.
    """
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    with contextlib.suppress(ImportError, AttributeError):  # no interface that Ray promises
        ray_internals: Any = importlib.import_module("ray._raylet")
        ray_internals.Config.initialize("")
        ray_internals.AuthenticationTokenLoader.instance().reset_cache()


@contextlib.contextmanager
def _loopback() -> Iterator[None]:
    """This process listens on 127.0.0.1 when it joins a Ray of our own, as that does.

    The setting is read when Ray is imported, which may have been before, so it is set here; a cluster that is
    joined later needs the other value.
    """
    constants: Any = importlib.import_module("ray._private.ray_constants")
    before = constants.ENABLE_RAY_CLUSTER
    constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before


def _join(address: str | None, runtime_env: dict[str, dict[str, str]] | None) -> None:
    import ray

    with _kept_sigterm():
        ray.init(
            address=address,
            logging_level=_ray_logging_level(),
            log_to_driver=False,
            runtime_env=runtime_env,
        )


def _ray_logging_level() -> int:
    """Ray's own lines, where the user asks for ours (`--verbose`)."""
    return logging.WARNING if logger.isEnabledFor(logging.INFO) else logging.ERROR


@contextlib.contextmanager
def _kept_sigterm() -> Iterator[None]:
    """Ray's own handler would exit with code 1 or 15: ours is put back, and gets a signal of meanwhile."""
    ours = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit:
        if callable(ours):
            ours(signal.SIGTERM, None)
        raise
    finally:
        if ours is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ours)


def _start_head(folder: str, log: Path) -> subprocess.Popen[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        return subprocess.Popen(
            # -P: the working directory is not a place to import from.
            [sys.executable, "-P", "-m", _HEAD_MODULE, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=out,
            start_new_session=True,
            env=os.environ | _LOOPBACK,
        )


def _address(head: subprocess.Popen[bytes], log: Path) -> str:
    """The address that the head tells, within the time it has."""
    assert head.stdout is not None
    deadline = time.monotonic() + START_TIMEOUT_S
    answer = b""
    with selectors.DefaultSelector() as selector:
        selector.register(head.stdout, selectors.EVENT_READ)
        while not answer.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise _not_started(f"it did not answer within {START_TIMEOUT_S:.0f} s", log)
            read = os.read(head.stdout.fileno(), 1024)
            if not read:
                raise _not_started(last_line(log) or "it ended as it started", log)
            answer += read
    return answer.decode().strip()


def _vital(head: subprocess.Popen[bytes]) -> tuple[psutil.Process, ...]:
    with contextlib.suppress(psutil.NoSuchProcess):
        children = psutil.Process(head.pid).children(recursive=True)
        return tuple(child for child in children if child.name() in _VITAL)
    return ()


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _not_started(why: str, log: Path) -> RayNotStartedError:
    return RayNotStartedError(
        f"Ray cannot be started on this machine: {why}",
        f"`executor: local` in the run file does without Ray; Ray's own words are in {log}",
    )


def _end(head: subprocess.Popen[bytes]) -> None:
    """Ask it to end, and end it with all that it has started."""
    assert head.stdin is not None
    assert head.stdout is not None
    head.stdin.close()
    head.stdout.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        head.wait(5.0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(head.pid, signal.SIGKILL)
    head.wait()
