"""The Prefect flow `benchmark`: plan -> tune -> sample -> upscale -> extract -> score -> report.

Prefect sees one task per stage and cell, with string keys as results, never tensors and never one
task per clip; Ray runs shards of samples on actors that keep their models loaded. One pool owns all
actors for the whole run, and cells go through it one after the other, so no two cells can wait for
each other's actors. The store is the truth: Prefect's result cache stays off, and every task first
looks up what is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from ..core.file_digests import FileDigests
from ..core.plan import Cell, Plan
from ..core.run_file import RunFile, load_run_file
from ..core.store import Store
from ..datasets.codec import default_codec
from ..stages.extract import extract_shards, generated_items, prompt_items, reference_items
from ..stages.extraction import ExtractItem
from ..stages.measuring import Measuring
from ..stages.planning import plan_run
from ..stages.progress import StageProgress
from ..stages.results import RunResult, build_results
from ..stages.sample import sample_shards
from ..stages.tune import tune_shards
from ..stages.upscale import upscale_shards
from ..stages.work import Shard, ShardResult
from .environment import quiet_environment
from .ray_pool import RayPool


@dataclass
class _Run:
    """What the tasks of one flow run share; it lives in the driver's process."""

    run: RunFile
    store: Store
    plan: Plan
    measuring: Measuring
    pool: RayPool
    files: FileDigests
    failures: list[tuple[str, str, str]] = field(default_factory=list)

    def cell(self, key: str) -> Cell:
        """The cell of a readable name."""
        return next(cell for cell in self.plan.cells if cell.key == key)

    def map(self, title: str, shards: Sequence[Shard]) -> str:
        """Run shards on the pool; a line that says what came of them."""
        if not shards:
            return "nothing missing"
        num_items = sum(shard.size for shard in shards)
        done = failed = 0
        with StageProgress(title, num_items) as progress:
            for result in self.pool.map(shards):
                self._count(result)
                done += result.num_done
                failed += result.num_failed
                progress.advance(result)
        return f"{done} done, {failed} failed"

    def _count(self, result: ShardResult) -> None:
        self.failures.extend(result.failures)


@task(name="tune", task_run_name="tune {cell}", cache_policy=NO_CACHE, retries=0)
def tune_cell(cell: str, context: Any) -> str:
    """Make the tunings that the missing clips of a cell wait for."""
    state: _Run = context.value
    return state.map(f"tune {cell}", tune_shards(state.cell(cell)))


@task(name="sample", task_run_name="sample {cell}", cache_policy=NO_CACHE, retries=0)
def sample_cell(cell: str, context: Any) -> str:
    """Make the missing clips of a cell."""
    state: _Run = context.value
    return state.map(f"sample {cell}", sample_shards(state.cell(cell), state.run.resources.shard_size))


@task(name="upscale", task_run_name="upscale {cell}", cache_policy=NO_CACHE, retries=0)
def upscale_cell(cell: str, context: Any) -> str:
    """Enlarge the clips of a cell whose method has an upscaler."""
    state: _Run = context.value
    return state.map(f"upscale {cell}", upscale_shards(state.cell(cell), state.run.resources.shard_size))


@task(name="extract", task_run_name="extract {what}", cache_policy=NO_CACHE, retries=0)
def extract_features(what: str, context: Any) -> str:
    """Make the missing features of a cell's clips, or of the prompts and references of all data sets."""
    state: _Run = context.value
    items: list[ExtractItem] = []
    if what == "references and prompts":
        for dataset in state.plan.datasets:
            items += reference_items(dataset, state.measuring, state.files, state.store)
        items += prompt_items(state.plan.datasets, state.measuring)
        state.files.save()
    else:
        planned = state.cell(what)
        records = {
            task.key: record
            for task in planned.tasks
            if (record := state.store.clip_record(task.key)) is not None
        }
        items += generated_items([planned], records, state.measuring, state.files, state.store)
    # Features are cheap beside clips: larger shards, fewer part files.
    size = 4 * state.run.resources.shard_size
    return state.map(f"extract {what}", extract_shards(what, items, state.measuring, state.store, size))


@task(name="score", cache_policy=NO_CACHE, retries=0)
def score_run(run: str, context: Any) -> str:
    """Score, compare and write the run's tables, from features alone."""
    state: _Run = context.value
    context.result = build_results(state.plan, state.measuring, state.store, state.files)
    return f"{run}: {context.result.num_failures} failures"


@task(name="report", cache_policy=NO_CACHE, retries=0)
def report_run(run: str, context: Any) -> str:
    """Write the Markdown and HTML reports and log the comparison to MLflow."""
    from ..reports.publish import publish

    return publish(context.value.run.run_dir, context.value.run.name, context.value.run.output).parent_run


@dataclass
class _Context:
    """Keeps Prefect from looking into (or serialising) what tasks share."""

    value: _Run
    result: RunResult | None = None


@flow(name="benchmark", validate_parameters=False)
def benchmark(
    run_file: str,
    limit: int | None = None,
    only: list[str] | None = None,
    output: str | None = None,
) -> dict[str, Any]:
    """Run a benchmark; what the store already holds is not done again.

    Args:
        run_file: path of the YAML run file.
        limit, only, output: as on the command line of `reelbench run`.

    Returns:
        {"run", "run_dir", "num_samples", "num_failures", "failures"}: small, JSON-able.

    Raises:
        ReelbenchError: the run file or what it names is not valid.
    """
    quiet_environment()
    run = load_run_file(Path(run_file)).amended(
        limit=limit, only=only or (), output=Path(output) if output else None
    )
    run = run.model_copy(update={"output": run.output.absolute(), "store": run.store_dir.absolute()})
    store = Store(run.store_dir, default_codec())
    store.sweep()
    plan, measuring = plan_run(run, store)
    files = FileDigests(store.file_digests("videos"))
    with RayPool(run.resources, run.store_dir) as pool:
        context = _Context(_Run(run, store, plan, measuring, pool, files))
        for cell in plan.cells:
            if cell.method.tuning_key is not None:
                tune_cell(cell.key, context)
            sample_cell(cell.key, context)
            if cell.method.upscaler is not None:
                upscale_cell(cell.key, context)
        extract_features("references and prompts", context)
        for cell in plan.cells:
            extract_features(cell.key, context)
    score_run(run.name, context)
    report_run(run.name, context)
    assert context.result is not None
    return {
        "run": run.name,
        "run_dir": str(run.run_dir),
        "num_samples": plan.num_samples,
        "num_failures": context.result.num_failures,
        "failures": [list(row) for row in context.value.failures[:100]],
    }
