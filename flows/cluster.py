"""The Ray cluster of a run: joined or started, and how many workers fit on it.

A request that Ray cannot satisfy waits for ever (only an autoscaler line says so), so what there is
is compared with what is asked for before any worker is started.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import secrets
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..core.errors import ResourcesError
from ..core.run_file import ResourcesEntry
from .ray_folder import ray_folder

logger = logging.getLogger(__name__)

# Shards and results are small; clips go through the store. Ray's default would reserve 30% of the memory.
_OBJECT_STORE_BYTES = 128 * 2**20
_NUM_STARTS = 2


@dataclass(frozen=True)
class WorkerLayout:
    """How many workers, and what each of them gets."""

    num_workers: int
    num_gpus: float
    num_cpus: float

    @property
    def num_threads(self) -> int:
        """CPU threads of one worker."""
        return max(1, math.floor(self.num_cpus))


def connect() -> bool:
    """Join the cluster at `RAY_ADDRESS`, or start one on this machine.

    Returns:
        whether Ray was started or joined here, and is therefore ours to shut down.

    Raises:
        ResourcesError: Ray cannot be started, or the cluster does not answer.
    """
    import ray

    if ray.is_initialized():
        return False
    address = os.environ.get("RAY_ADDRESS", "")
    with _kept_sigterm():
        if address and address != "local":
            logger.info("joining the Ray cluster at RAY_ADDRESS=%s", address)
            _join(address)
        else:
            _start()
    return True


def _join(address: str) -> None:
    import ray

    try:
        ray.init(
            logging_level=_ray_logging_level(),
            log_to_driver=False,
            # Workers on other machines do not inherit our environment.
            runtime_env={"env_vars": {k: v for k, v in os.environ.items() if k.startswith("REELBENCH_")}},
        )
    except Exception as error:  # Ray raises many kinds
        raise ResourcesError(
            f"the Ray cluster at RAY_ADDRESS={address} does not answer: {error}",
            "check that it runs (`ray status`), or unset RAY_ADDRESS to run on this machine alone",
        ) from error


def _start() -> None:
    import ray

    # A token in the environment instead of a file in the home folder.
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    folder = ray_folder()
    logger.info("starting Ray on this machine; logs of it and its workers: %s/session_latest/logs", folder)
    for attempt in range(_NUM_STARTS):
        try:
            ray.init(
                address="local",
                include_dashboard=False,
                logging_level=_ray_logging_level(),
                log_to_driver=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                _temp_dir=folder,
            )
            return
        except Exception as error:  # a bare Exception where the start takes over 30 s, as on a busy machine
            ray.shutdown()
            if attempt + 1 == _NUM_STARTS:
                raise ResourcesError(
                    f"Ray cannot be started on this machine: {error}",
                    f"its logs are in {folder}/session_latest/logs; if the machine is busy, try again",
                ) from error


def _ray_logging_level() -> int:
    """Ray's own lines, where the user asks for ours (`--verbose`)."""
    return logging.WARNING if logger.isEnabledFor(logging.INFO) else logging.ERROR


@contextlib.contextmanager
def _kept_sigterm() -> Iterator[None]:
    """Ray's own handler would exit with code 1 or 15; ours says that nothing is lost, and exits with 143."""
    ours = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if ours is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ours)


def node_resources() -> list[dict[str, float]]:
    """The resources of each living node of the cluster."""
    import ray

    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def plan_workers(resources: ResourcesEntry, nodes: Sequence[Mapping[str, float]]) -> WorkerLayout:
    """How many workers fit, one worker on one node.

    Args:
        resources: what the run file asks for.
        nodes: "CPU" and "GPU" of each node.

    Raises:
        ResourcesError: it does not fit; the message names what was asked for and what there is.
    """
    num_gpus = sum(node.get("GPU", 0.0) for node in nodes)
    num_cpus = sum(node.get("CPU", 0.0) for node in nodes)
    there = f"the cluster has {num_gpus:g} GPU and {num_cpus:g} CPU on {len(nodes)} node(s)"
    if num_gpus == 0 and resources.require_gpu:
        raise ResourcesError(
            f"`require_gpu` is set, but {there}",
            "run on a machine with a GPU, or set `resources: {require_gpu: false}` in the run file",
        )
    gpus_each = resources.gpus_per_actor if num_gpus else 0.0
    fits = sum(_fits(node, gpus_each, resources.cpus_per_actor) for node in nodes)
    asked = f"{gpus_each:g} GPU and " if gpus_each else ""
    each = f"{asked}{resources.cpus_per_actor:g} CPU"
    if fits == 0:
        raise ResourcesError(
            f"no worker fits: each asks for {each} (gpus_per_actor, cpus_per_actor), but {there}",
            "lower `gpus_per_actor` or `cpus_per_actor` under `resources` in the run file",
        )
    if resources.num_actors is not None and resources.num_actors > fits:
        raise ResourcesError(
            f"num_actors: {resources.num_actors} workers of {each} each do not fit: {there}, "
            f"which is room for {fits}",
            f"set `num_actors` to at most {fits}, or leave it out",
        )
    return WorkerLayout(resources.num_actors or fits, gpus_each, resources.cpus_per_actor)


def _fits(node: Mapping[str, float], gpus_each: float, cpus_each: float) -> int:
    # The small addition keeps 1 / 0.1 at 10.
    room = [math.floor(node.get("CPU", 0.0) / cpus_each + 1e-6)]
    if gpus_each:
        gpus = node.get("GPU", 0.0)
        # A worker of a fraction of a GPU lies on one GPU: 0.6 fits once on each, not three times on two.
        per_gpu = math.floor(1 / gpus_each + 1e-6)
        room.append(math.floor(gpus) * per_gpu if per_gpu else math.floor(gpus / gpus_each + 1e-6))
    return min(room)
