"""Workers as processes of this machine, without Ray: nothing to install, to start or to time out.

Each worker is a Python of its own (`local_worker_process`) at the other end of a socket pair. It leaves a
log in the run's output folder, and ends when the driver does, however that ends.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import cloudpickle

from ...core.run_file import ResourcesEntry
from ...stages.work import Shard, ShardResult
from .pool import ShardRaisedError, Worker, WorkerLostError
from .worker_layout import WorkerLayout, plan_workers

_MODULE = "reelbench.flows.workers.local_worker_process"
_STOP_TIMEOUT_S = 10.0


class LocalWorkers:
    """See `pool.Workers`.

    Args:
        resources: how many workers, and what each needs.
        store_dir: the store.
        log_dir: where the workers' logs go.
    """

    def __init__(self, resources: ResourcesEntry, store_dir: Path, log_dir: Path) -> None:
        self._resources = resources
        self._store_dir = Path(store_dir).absolute()
        self._log_dir = Path(log_dir).absolute()
        self._layout: WorkerLayout | None = None

    def start(self) -> int:
        """Lays the workers out on this machine; none is started yet."""
        node = {"CPU": float(num_cores()), "GPU": float(len(gpu_ids()))}
        self._layout = plan_workers(self._resources, [node], is_cluster=False)
        return self._layout.num_workers

    def new(self, index: int) -> Worker:
        """Starts a process."""
        assert self._layout is not None
        return _LocalWorker(
            log=self._log_dir / f"worker-{index + 1}.log",
            store_dir=self._store_dir,
            num_threads=self._layout.num_threads,
            gpus=self._gpus(index),
            require_gpu=self._resources.require_gpu,
        )

    def _gpus(self, index: int) -> list[str]:
        """The GPUs of a worker: as many as it asks for, or the one that it shares."""
        assert self._layout is not None
        each, there = self._layout.num_gpus, gpu_ids()
        if not each:
            return []
        if each < 1:
            return [there[index // math.floor(1 / each + 1e-6)]]
        count = math.ceil(each)
        return there[index * count : (index + 1) * count]

    def wait(self, workers: Sequence[Worker], timeout_s: float) -> list[Worker]:
        """Waits on the processes' connections."""
        by_connection: dict[Any, Worker] = {
            worker.connection: worker for worker in workers if isinstance(worker, _LocalWorker)
        }
        return [by_connection[ready] for ready in wait(list(by_connection), timeout_s)]

    def why_none(self) -> str:
        """Points to the workers' logs."""
        return f"their logs are in {self._log_dir}"

    def close(self) -> None:
        """Nothing is left to end: the pool has killed the workers."""


class _LocalWorker:
    """One process; see `pool.Worker`."""

    def __init__(
        self, log: Path, store_dir: Path, num_threads: int, gpus: Sequence[str], require_gpu: bool
    ) -> None:
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair()
        with theirs, log.open("ab") as out:
            self._process = subprocess.Popen(
                # -P: the working directory is not a place to import from.
                [sys.executable, "-P", "-m", _MODULE, str(theirs.fileno())],
                env={**os.environ, "CUDA_VISIBLE_DEVICES": ",".join(gpus)},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                # Ctrl-C is for the driver, which ends its workers.
                start_new_session=True,
            )
        self.connection = Connection(ours.detach())
        self._send(
            {
                "sys_path": sys.path,
                "worker": {
                    "folder": str(Path.cwd()),
                    "store_dir": str(store_dir),
                    "num_threads": num_threads,
                    "require_gpu": require_gpu,
                },
            }
        )

    def submit(self, shard: Shard) -> None:
        self._send(shard)

    def _send(self, message: Any) -> None:
        # One that is gone takes nothing: its end of the connection is closed, which `answer` tells.
        with contextlib.suppress(OSError):
            self.connection.send_bytes(cloudpickle.dumps(message))

    def answer(self) -> ShardResult | None:
        try:
            kind, value = self.connection.recv()
        except (EOFError, OSError):
            raise WorkerLostError(self._how_it_ended()) from None
        if kind == "raised":
            raise ShardRaisedError(value)
        result: ShardResult | None = value
        return result

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return f"worker process {self._process.pid} does not answer; its log is {self._log}"
        how = f"exit code {code}"
        if code < 0:
            how = f"killed by signal {-code} ({signal.Signals(-code).name})"
        return f"worker process {self._process.pid} ended: {how}; its log is {self._log}"

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # with what it has started
        self._process.wait()
        self.connection.close()


def num_cores() -> int:
    """CPU cores that this process may use: those it is bound to, within its control group's share."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            cores = min(cores, max(1, math.ceil(int(quota) / int(period))))
    return cores


def gpu_ids() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; found without importing
    torch."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    return [str(index) for index, _ in enumerate(Path("/proc/driver/nvidia/gpus").glob("*"))]
