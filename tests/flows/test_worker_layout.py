"""How many workers fit, and the errors where none does."""

from __future__ import annotations

import pytest

from reelbench.core.errors import ResourcesError
from reelbench.core.run_file import ResourcesEntry
from reelbench.flows.workers.worker_layout import WorkerLayout, plan_workers

CPU_NODE = {"CPU": 8.0}
GPU_NODE = {"CPU": 16.0, "GPU": 4.0}


def layout(nodes: list[dict[str, float]], **fields: object) -> WorkerLayout:
    return plan_workers(ResourcesEntry.model_validate(fields), nodes)


def test_without_a_gpu_the_cores_decide() -> None:
    assert layout([CPU_NODE]) == WorkerLayout(8, 0.0, 1.0)
    assert layout([CPU_NODE], cpus_per_actor=3) == WorkerLayout(2, 0.0, 3.0)


def test_with_gpus_they_decide() -> None:
    assert layout([GPU_NODE]) == WorkerLayout(4, 1.0, 1.0)
    assert layout([GPU_NODE, CPU_NODE]).num_workers == 4


def test_the_cores_of_a_gpu_node_can_be_the_bound() -> None:
    assert layout([GPU_NODE], cpus_per_actor=8).num_workers == 2


def test_a_fraction_of_a_gpu_lies_on_one_gpu() -> None:
    assert layout([GPU_NODE], gpus_per_actor=0.5).num_workers == 8
    assert layout([GPU_NODE], gpus_per_actor=0.6).num_workers == 4
    assert layout([{"CPU": 64.0, "GPU": 1.0}], gpus_per_actor=0.1).num_workers == 10


def test_a_worker_lies_on_one_node() -> None:
    two_small = [{"CPU": 4.0}, {"CPU": 4.0}]
    assert layout(two_small, cpus_per_actor=3).num_workers == 2
    with pytest.raises(ResourcesError, match="no worker fits"):
        layout(two_small, cpus_per_actor=6)


def test_fewer_workers_may_be_asked_for() -> None:
    assert layout([CPU_NODE], num_actors=2).num_workers == 2


def test_threads_follow_the_cores() -> None:
    assert layout([CPU_NODE], cpus_per_actor=4).num_threads == 4
    assert layout([CPU_NODE], cpus_per_actor=0.5).num_threads == 1


@pytest.mark.parametrize(
    ("nodes", "fields", "message"),
    [
        ([CPU_NODE], {"require_gpu": True}, "`require_gpu` is set, but the cluster has 0 GPU and 8 CPU"),
        ([CPU_NODE], {"num_actors": 9}, "num_actors: 9 workers of 1 CPU each do not fit.*room for 8"),
        ([GPU_NODE], {"gpus_per_actor": 8}, "each asks for 8 GPU and 1 CPU.*the cluster has 4 GPU"),
        ([GPU_NODE], {"cpus_per_actor": 32}, "no worker fits"),
    ],
)
def test_what_does_not_fit_is_refused(
    nodes: list[dict[str, float]], fields: dict[str, object], message: str
) -> None:
    with pytest.raises(ResourcesError, match=message) as caught:
        layout(nodes, **fields)
    assert caught.value.hint
