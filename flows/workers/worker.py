"""What does the work, in a Ray actor or a process of its own: it keeps its models loaded between shards."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import ResourcesError
from .kept_lines import bounded, kept_lines

if TYPE_CHECKING:
    from ...stages.work import Shard, ShardResult, WorkerContext


class Worker:
    """Runs shards one after the other.

    The class knows nothing of Ray: `ray_workers` wraps it. Constructing is trivial, so that an actor
    that dies at its start is Ray's trouble and not ours; the store and the device are opened with
    the first shard.

    Args:
        folder: the run's working directory, in which relative paths are meant; the same path on every node.
        store_dir: the content-addressed store, the same path on every node.
        num_threads: CPU threads of torch and of the numerical libraries.
        require_gpu: refuse to work on a CPU.
    """

    def __init__(self, folder: str, store_dir: str, num_threads: int, require_gpu: bool = False) -> None:
        self._folder = folder
        self._store_dir = Path(store_dir)
        self._num_threads = num_threads
        self._require_gpu = require_gpu
        self._context: WorkerContext | None = None
        # torch reads this when it is imported, which is when the first method needs it.
        os.environ["OMP_NUM_THREADS"] = str(num_threads)

    def ping(self) -> int:
        """The process id, once the process is up."""
        return os.getpid()

    def run(self, shard: Shard) -> ShardResult:
        """Run one shard.

        Raises:
            ResourcesError: a GPU is required, and torch does not see one here; or the run's working directory
                is not there.
        """
        if self._context is None:
            self._context = self._open()
        if "torch" in sys.modules:
            import torch

            if torch.get_num_threads() != self._num_threads:
                torch.set_num_threads(self._num_threads)
        with kept_lines() as lines:
            result = shard.run(self._context)
        return replace(result, lines=bounded(lines))

    def _open(self) -> WorkerContext:
        try:
            os.chdir(self._folder)  # a node of a cluster was started somewhere else
        except OSError as error:
            raise ResourcesError(
                f"the run's working directory {self._folder} is not there on {socket.gethostname()}: {error}",
                "all nodes must see it, and the output folder, under the same path",
            ) from error
        from ...core.store import Store
        from ...datasets.video import default_codec
        from ...stages.work import WorkerContext

        return WorkerContext(
            store=Store(self._store_dir, default_codec()),
            device=self._device(),
            num_threads=self._num_threads,
        )

    def _device(self) -> str:
        # Without a GPU from Ray there is nothing to ask torch, whose import takes seconds.
        if _has_gpu():
            import torch

            if torch.cuda.is_available():
                return "cuda"
        if self._require_gpu:
            raise ResourcesError(
                "`require_gpu` is set, but torch sees no GPU in this worker",
                "check the driver with nvidia-smi, and `reelbench doctor`",
            )
        return "cpu"


def _has_gpu() -> bool:
    """Whether this process was given a GPU: by Ray, or by who started it."""
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        return bool(ray.get_gpu_ids())
    return os.environ.get("CUDA_VISIBLE_DEVICES", "") not in ("", "-1")
