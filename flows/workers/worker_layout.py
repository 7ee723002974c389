"""How many workers fit, and what each of them gets.

A request that Ray cannot satisfy waits for ever (only an autoscaler line says so), so what there is is
compared with what is asked for before any worker is started.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...core.errors import ResourcesError
from ...core.run_file import ResourcesEntry


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


def plan_workers(
    resources: ResourcesEntry, nodes: Sequence[Mapping[str, float]], *, is_cluster: bool = True
) -> WorkerLayout:
    """How many workers fit, one worker on one node.

    Args:
        resources: what the run file asks for.
        nodes: "CPU" and "GPU" of each node.
        is_cluster: whether messages speak of a cluster, and not of this machine.

    Raises:
        ResourcesError: it does not fit; the message names what was asked for and what there is.
    """
    num_gpus = sum(node.get("GPU", 0.0) for node in nodes)
    num_cpus = sum(node.get("CPU", 0.0) for node in nodes)
    there = f"{num_gpus:g} GPU and {num_cpus:g} CPU"
    there = f"the cluster has {there} on {len(nodes)} node(s)" if is_cluster else f"this machine has {there}"
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
