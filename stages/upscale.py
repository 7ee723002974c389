"""The upscale stage: the clips of a method that the run file gives an upscaler, at a larger size."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ..core.plan import Cell, ClipTask
from ..core.store import check_clip
from .provenance import peak_memory_gib, provenance, reset_peak_memory
from .sample import PREVIEW_FPS, ClipShard, done_or_why
from .work import PluginSpec, WorkerContext, described


@dataclass(frozen=True)
class UpscaleShard(ClipShard):
    """Some clips to enlarge."""

    upscaler: PluginSpec
    upscaler_key: str

    @property
    def model(self) -> str:
        """See `work.Shard`."""
        return self.upscaler_key

    @property
    def timing_key(self) -> str:
        """See `work.Shard`."""
        return self.upscaler_key

    def _name(self, task: ClipTask) -> str:
        return f"upscaling {task.sample.id}"

    def _make(self, task: ClipTask, context: WorkerContext) -> None:
        assert task.base is not None
        small = done_or_why(
            context.store.clips.record(task.base.key), "the clip at the method's own size", "made"
        )
        frames = context.store.clips.load(small)
        session = context.session(self.upscaler_key, lambda: self.upscaler.load(context.device))
        reset_peak_memory(context.device)
        started = time.perf_counter()
        enlarged = session.upscale(frames, task.sample.prompt, task.seed)
        upscaling_s = time.perf_counter() - started
        record = context.store.clips.put(
            task.key,
            check_clip(enlarged, num_frames=len(frames)),
            small.fps or PREVIEW_FPS,
            **self._fields(task),
            sampling_s=(small.sampling_s or 0.0) + upscaling_s,
            upscaling_s=upscaling_s,
            peak_memory_gib=_most(small.peak_memory_gib, peak_memory_gib(context.device)),
            prompt_truncated=small.prompt_truncated,
            trainable_parameters=_sum(
                small.trainable_parameters, described(session).get("trainable_parameters")
            ),
            tune_key=small.tune_key,
            tuning_s=small.tuning_s,
            tuning_memory_gib=small.tuning_memory_gib,
            provenance=provenance(context.device),
        )
        context.store.put_timing(self.upscaler_key, upscaling_s, record.size_bytes or 0)


def _sum(ours: int | None, upscalers: int | None) -> int | None:
    """What method and upscaler trained together; None where neither says."""
    known = [number for number in (ours, upscalers) if number is not None]
    return sum(known) if known else None


def _most(made: float | None, enlarged: float | None) -> float | None:
    """The larger peak; None where one of them is not known."""
    return None if made is None or enlarged is None else max(made, enlarged)


def upscale_shards(cell: Cell, shard_size: int) -> list[UpscaleShard]:
    """The clips of a cell that an upscaler has to make, in shards; none for a method without one."""
    upscaler = cell.method.upscaler
    if upscaler is None:
        return []
    missing = cell.missing
    return [
        UpscaleShard(
            label=cell.key,
            tasks=missing[start : start + shard_size],
            method_key=cell.method.key,
            upscaler=PluginSpec.of("upscalers", upscaler.name, upscaler.plugin),
            upscaler_key=upscaler.key,
        )
        for start in range(0, len(missing), shard_size)
    ]
