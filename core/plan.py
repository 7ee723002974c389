"""From a run file to cells of work: what is there, what is missing, what it will take.

A cell is one method x data set x seed. Its clips' keys follow from the run file, the weights' content
and the data set's list alone, so planning reads no video and loads no model.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import keys
from .contracts import Dataset, Method
from .errors import DatasetError
from .records import ClipRecord
from .run_file import RunFile, build_plugin
from .seeds import derive_seed
from .store import Store
from .types import Sample
from .weights import digest_weights, resolve


@dataclass(frozen=True)
class PlannedMethod:
    """A configured method of the run."""

    label: str
    name: str
    """As the run file names it: what a worker builds it from."""
    plugin: Method
    key: str
    weight_digests: Mapping[str, str]
    """Location -> content digest."""


@dataclass(frozen=True)
class PlannedDataset:
    """A configured data set of the run, with the samples that the limit leaves."""

    label: str
    plugin: Dataset
    samples: tuple[Sample, ...]

    @property
    def split(self) -> str:
        return self.plugin.split


@dataclass(frozen=True)
class ClipTask:
    """One clip to make."""

    key: str
    sample: Sample
    seed: int
    """Seed of the sampling, derived from (run seed, sample id)."""


@dataclass(frozen=True)
class Cell:
    """One method x data set x seed, and what the store holds of it."""

    method: PlannedMethod
    dataset: PlannedDataset
    seed: int
    """The run seed."""
    tasks: tuple[ClipTask, ...]
    records: Mapping[str, ClipRecord]
    """Those the store had when the plan was made, by clip key."""
    estimate_s: float | None
    """Seconds of one worker for the missing clips, from recorded timings."""
    estimate_bytes: int | None

    @property
    def method_label(self) -> str:
        return self.method.label

    @property
    def dataset_label(self) -> str:
        return self.dataset.label

    @property
    def key(self) -> str:
        """A readable, unique name: what Prefect sees."""
        return f"{self.method.label}/{self.dataset.label}/seed{self.seed}"

    @property
    def missing(self) -> tuple[ClipTask, ...]:
        """Tasks without a finished clip; earlier failures are among them and are tried again."""
        return tuple(
            task
            for task in self.tasks
            if (record := self.records.get(task.key)) is None or record.status != "done"
        )

    @property
    def num_samples(self) -> int:
        return len(self.tasks)

    @property
    def num_missing(self) -> int:
        return len(self.missing)

    @property
    def num_done(self) -> int:
        return self.num_samples - self.num_missing

    @property
    def num_failed(self) -> int:
        """Of the missing ones, those that an earlier run tried and failed."""
        return sum(record.status == "failed" for record in self.records.values())


@dataclass(frozen=True)
class Plan:
    """All cells of a run."""

    run: RunFile
    methods: tuple[PlannedMethod, ...]
    datasets: tuple[PlannedDataset, ...]
    cells: tuple[Cell, ...]

    @property
    def num_missing(self) -> int:
        return sum(cell.num_missing for cell in self.cells)

    @property
    def num_samples(self) -> int:
        return sum(cell.num_samples for cell in self.cells)


def make_plan(run: RunFile, store: Store) -> Plan:
    """Expand a run file and look every clip up in the store.

    Raises:
        ReelbenchError: weights or data set files are missing or malformed.
    """
    methods = tuple(_plan_method(run, index, store) for index in range(len(run.methods)))
    datasets = tuple(_plan_dataset(run, index) for index in range(len(run.datasets)))
    cells = tuple(
        _plan_cell(method, dataset, seed, store)
        for dataset, method, seed in itertools.product(datasets, methods, run.seeds)
    )
    return Plan(run=run, methods=methods, datasets=datasets, cells=cells)


def _plan_method(run: RunFile, index: int, store: Store) -> PlannedMethod:
    entry = run.methods[index]
    plugin: Method = build_plugin(run, "methods", entry)
    digests: dict[str, str] = {}
    by_role: dict[str, str] = {}
    for ref in plugin.weights():
        by_role[ref.name] = digests[ref.location] = digest_weights(
            resolve(ref.location, cache=store.file_digests("weights")), store.file_digests("weights")
        )
    key = keys.method_key(plugin.name, plugin.version, config_data(plugin), by_role)
    return PlannedMethod(entry.label, entry.name, plugin, key, digests)


def _plan_dataset(run: RunFile, index: int) -> PlannedDataset:
    entry = run.datasets[index]
    plugin: Dataset = build_plugin(run, "datasets", entry)
    samples = tuple(itertools.islice(iter(plugin), run.limit))
    if not samples:
        raise DatasetError(f"the data set {entry.label!r} (split {plugin.split!r}) has no samples")
    ids = [sample.id for sample in samples]
    if len(set(ids)) != len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise DatasetError(f"the data set {entry.label!r} has two samples of the id {twice!r}")
    return PlannedDataset(entry.label, plugin, samples)


def _plan_cell(method: PlannedMethod, dataset: PlannedDataset, seed: int, store: Store) -> Cell:
    tasks = []
    for sample in dataset.samples:
        sample_seed = derive_seed(seed, sample.id)
        key = keys.clip_key(method.key, None, sample.prompt, None, sample.id, sample_seed)
        tasks.append(ClipTask(key, sample, sample_seed))
    records = {task.key: record for task in tasks if (record := store.clip_record(task.key)) is not None}
    num_missing = sum(1 for task in tasks if task.key not in records or records[task.key].status != "done")
    timing = store.timing(method.key)
    estimate_s: float | None
    estimate_bytes: int | None
    if num_missing == 0:
        estimate_s, estimate_bytes = 0.0, 0
    elif timing is None or not timing["count"]:
        estimate_s = estimate_bytes = None
    else:
        estimate_s = num_missing * timing["seconds"] / timing["count"]
        estimate_bytes = int(num_missing * timing["bytes"] / timing["count"])
    return Cell(method, dataset, seed, tuple(tasks), records, estimate_s, estimate_bytes)


def config_data(plugin: Any) -> dict[str, Any]:
    """The configuration of a plug-in as JSON-able data."""
    return plugin.config.model_dump(mode="json")
