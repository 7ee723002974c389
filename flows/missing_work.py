"""The work of a run without the view of it: plan, then do on a pool of workers what the store lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..core.file_digests import FileDigests
from ..core.plan import Plan
from ..core.run_file import RunFile
from ..core.store import Store
from ..core.waiting import say
from ..datasets.video import default_codec
from ..stages.chains import run_chains
from ..stages.planning import Part, plan_run
from ..stages.progress import RunProgress
from ..stages.schedule import Listener, Schedule
from .workers.executor import choose_workers
from .workers.pool import ClusterLostError, Pool
from .workers.ray_workers import signals_unwrapped


@dataclass(frozen=True)
class Done:
    """A run whose clips and features are in the store, as far as they could be made."""

    plan: Plan
    parts: tuple[Part, ...]
    store: Store
    files: FileDigests
    failures: tuple[tuple[str, str, str], ...]
    """(what, exception class, message) of each."""


def do_what_is_missing(run: RunFile, listeners: Sequence[Listener] = ()) -> Done:
    """Tune, sample, upscale and extract what the store does not hold.

    Args:
        run: with absolute output folders.
        listeners: are told of every step, beside the progress that is shown.

    Raises:
        ReelbenchError: the run file names what does not exist, or there is no place for workers.
    """
    store = Store(run.store_dir, default_codec())
    store.sweep()
    plan, parts = plan_run(run, store)
    files = store.digests("videos")
    pool = Pool(choose_workers(run), run.store_dir, run.limits)
    progress = RunProgress(lambda: pool.num_workers)
    with pool, progress:
        chains = run_chains(plan, parts, store, files, run.resources.shard_size)
        schedule = Schedule(chains, (*listeners, progress), run.limits.stage)
        lost: tuple[tuple[str, str, str], ...] = ()
        try:
            with signals_unwrapped():
                pool.run(schedule)
        except ClusterLostError as error:
            if not any(step.num_done for step in schedule.steps):
                raise
            say(f"error: {error}\nThe run ends with what is there.")
            lost = (("the rest of the run", type(error).__name__, error.message),)
    for note in store.files.notes():
        say(note)
    failures = tuple(
        (failure.message, type(failure).__name__, failure.hint or "") for failure in plan.failures
    )
    failures += tuple(failure for step in schedule.steps for failure in step.failures)
    return Done(plan, parts, store, files, failures + lost)
