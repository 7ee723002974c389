"""MLflow's own server on a database of runs, for as long as a command lasts.

`main` is the process in between: it ends the server, which has processes of its own, also where the command
was killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from ...core.errors import ReelbenchError
from ...core.waiting import Waiting
from ..environment import quiet_environment
from ..workers.log_file import last_line
from .ports import listening

_START_TIMEOUT_S = 180.0
_STOP_TIMEOUT_S = 5.0
_POLL_S = 0.2
DEFAULT_PORT = 5000


class MlflowServerError(ReelbenchError):
    """MLflow's server cannot be had."""


@contextlib.contextmanager
def mlflow_server(tracking_uri: str, log: Path) -> Iterator[str]:
    """The address of a server on 127.0.0.1, which is ended after the block.

    Args:
        log: where it writes what it says.

    Raises:
        MlflowServerError: it does not start.
    """
    quiet_environment()
    # MLflow takes no bound socket.
    with listening(None, DEFAULT_PORT) as listener:
        port = listener.getsockname()[1]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "reelbench.flows.servers.mlflow_server",
                str(port),
                str(os.getpid()),
            ],
            # In the environment, which is nobody else's to read: an address may hold a password.
            env={**os.environ, "MLFLOW_BACKEND_STORE_URI": tracking_uri},
            cwd=log.parent,  # where it would make `mlruns`
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        _wait(process, port, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        end_group(process)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    start = Waiting("MLflow's server to start", _START_TIMEOUT_S)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while not start.is_over:
        start.look()
        if (code := process.poll()) is not None:
            raise MlflowServerError(
                f"MLflow's server stopped as it started (exit code {code}): {last_line(log) or 'no message'}",
                "`--no-mlflow` shows the page alone",
            )
        with contextlib.suppress(OSError), opener.open(f"http://127.0.0.1:{port}/health", timeout=2.0):
            return
        time.sleep(_POLL_S)
    raise MlflowServerError(
        f"MLflow's server did not answer within {_START_TIMEOUT_S:.0f} s",
        "a busy machine may need another try; `--no-mlflow` shows the page alone",
    )


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process that leads a group, and all of the group."""
    # The second for those of the group that take no notice.
    for number, grace_s in ((signal.SIGTERM, _STOP_TIMEOUT_S), (signal.SIGKILL, _STOP_TIMEOUT_S)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_s)


def main() -> None:
    """Run the server on a port until the parent process ends."""
    port, parent = sys.argv[1:]
    command = [sys.executable, "-P", "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port]
    server = subprocess.Popen([*command, "--workers", "1"], stdin=subprocess.DEVNULL)
    while os.getppid() == int(parent):
        if (code := server.poll()) is not None:
            sys.exit(code)
        time.sleep(_POLL_S)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
