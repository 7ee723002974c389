"""Which workers a run gets: the run file's `executor`, and what "auto" makes of it."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ...core.errors import ResourcesError
from ...core.retries import DELAYS_S, with_jitter
from ...core.run_file import RunFile
from ...core.waiting import say as say_to_all
from .cluster import RayLostError, RayNotStartedError
from .local_workers import LocalWorkers, gpu_ids, num_cores
from .pool import Worker, Workers, WorkersLostError
from .ray_workers import RayWorkers

BUSY_LOAD_PER_CORE = 3.0
"""With so many runnable processes for each core a Ray of our own is not tried. Seen on two cores: at loads
of 6 and 8 some starts came up, over 10 one of fifteen (Ray 2.60)."""


def choose_workers(run: RunFile, say: Callable[[str], None] | None = None) -> Workers:
    """The workers of a run.

    Args:
        run: with absolute output folders.
        say: is told in one line why a choice was not the usual one; standard error when None.
    """
    arguments = (run.resources, run.store_dir, log_dir(run.output))
    if run.executor == "local":
        return LocalWorkers(*arguments)
    if run.executor == "ray":
        return _RayAgain(RayWorkers(*arguments), say or say_to_all)
    return _AutoWorkers(RayWorkers(*arguments), LocalWorkers(*arguments), run, say or say_to_all)


def log_dir(output: Path) -> Path:
    """Where the logs of workers and of a Ray of our own go."""
    return output / "logs"


class _RayAgain:
    """Ray, started again a bounded number of times where one of our own does not come up or is lost; see
    `pool.Workers`."""

    def __init__(self, on_ray: RayWorkers, say: Callable[[str], None]) -> None:
        self._on_ray, self._say = on_ray, say
        self._delays = list(DELAYS_S)

    def start(self) -> int:
        while True:
            try:
                return self._on_ray.start()
            except RayNotStartedError as error:
                self._pause(error)

    def _pause(self, error: ResourcesError) -> None:
        if not self._delays:
            raise error
        delay_s = self._delays.pop(0)
        self._say(f"{error.message}; Ray is started again in {delay_s:.0f} s")
        time.sleep(with_jitter(delay_s))

    def new(self, index: int) -> Worker:
        return self._on_ray.new(index)

    def wait(self, workers: Sequence[Worker], timeout_s: float) -> list[Worker]:
        try:
            return self._on_ray.wait(workers, timeout_s)
        except RayLostError as error:
            self._on_ray.close()
            self._pause(error)
            self.start()
            raise WorkersLostError(error.message) from None

    def why_none(self) -> str:
        return self._on_ray.why_none()

    def close(self) -> None:
        self._on_ray.close()


class _AutoWorkers:
    """Ray where it is of use and comes up, processes of this machine elsewhere; see `pool.Workers`."""

    def __init__(
        self, on_ray: RayWorkers, local: LocalWorkers, run: RunFile, say: Callable[[str], None]
    ) -> None:
        self._on_ray, self._local, self._run, self._say = on_ray, local, run, say
        self._chosen: Workers = on_ray

    def start(self) -> int:
        has_cluster = os.environ.get("RAY_ADDRESS", "") not in ("", "local")
        if not has_cluster and (why := self._why_local()) is not None:
            return self._start_local(why)
        try:
            return self._on_ray.start()
        except RayNotStartedError as error:
            return self._start_local(error.message)

    def _why_local(self) -> str | None:
        """Why Ray is not even tried; empty where that needs no word."""
        if importlib.util.find_spec("ray") is None:
            return "Ray is not installed"
        resources = self._run.resources
        try:
            is_alone = self._local.start() == 1 and not gpu_ids()
        except ResourcesError:
            return None  # Ray says what does not fit
        if is_alone and not resources.require_gpu:
            return ""
        load = os.getloadavg()[0]
        if load >= BUSY_LOAD_PER_CORE * num_cores():
            return f"this machine is busy (load {load:.0f} on {num_cores()} cores), where Ray rarely comes up"
        return None

    def _start_local(self, why: str) -> int:
        self._chosen = self._local
        count = self._local.start()
        if why:
            self._say(f"{why}; going on with {count} worker process{'es' if count > 1 else ''} without Ray")
        return count

    def new(self, index: int) -> Worker:
        return self._chosen.new(index)

    def wait(self, workers: Sequence[Worker], timeout_s: float) -> list[Worker]:
        try:
            return self._chosen.wait(workers, timeout_s)
        except RayLostError as error:
            self._on_ray.close()
            self._start_local(error.message)
            raise WorkersLostError(error.message) from None

    def why_none(self) -> str:
        return self._chosen.why_none()

    def close(self) -> None:
        self._chosen.close()
