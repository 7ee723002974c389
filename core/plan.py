"""A plan: cells of work, what is there of them, what is missing, what it will take.

A cell is one method x data set x seed; `planner.make_plan` makes them from a run file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .contract_check import plugin_errors
from .contracts import Dataset, Method, Upscaler
from .errors import PluginError
from .hashing import canonical_json
from .records import ClipRecord
from .run_file import RunFile
from .types import ClipRef, Sample


@dataclass(frozen=True)
class PlannedUpscaler:
    """A configured upscaler of a method."""

    name: str
    """As the run file names it: what a worker builds it from."""
    plugin: Upscaler
    key: str
    weight_digests: Mapping[str, str]
    """Location -> content digest."""


@dataclass(frozen=True)
class PlannedMethod:
    """A configured method of the run."""

    label: str
    name: str
    """As the run file names it: what a worker builds it from."""
    plugin: Method
    key: str
    weight_digests: Mapping[str, str]
    """Location -> content digest; those of the upscaler are among them."""
    tuning_key: str | None = None
    """`method_key` of what a tuning depends on; None for a method that is not tuned on each reference."""
    upscaler: PlannedUpscaler | None = None

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of its settings."""
        with plugin_errors("methods", self.name):
            return _sentences(self.plugin.notes())

    @cached_property
    def recorded_config(self) -> dict[str, Any]:
        """The configuration as tables record it: without the pipeline's place, and with what the trained
        weights say that they are, where they can be read."""
        config = {name: value for name, value in config_data(self.plugin).items() if name != "weights"}
        structure = None
        # What cannot be read or said fails each clip, which says so; the tables must come all the same.
        with contextlib.suppress(Exception):
            said = self.plugin.structure()
            canonical_json(said)
            structure = said
        return config if structure is None else config | {"structure": structure}


@dataclass(frozen=True)
class PlannedDataset:
    """A configured data set of the run, with the samples that the limit leaves."""

    label: str
    plugin: Dataset
    samples: tuple[Sample, ...]

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of the list that was read."""
        with plugin_errors("datasets", self.label):
            return _sentences(self.plugin.notes())

    @property
    def split(self) -> str:
        """Which part of the data set this is."""
        return self.plugin.split


@dataclass(frozen=True)
class TuneTask:
    """One tuning on a reference clip, for all the samples of a cell that share it."""

    key: str
    source: str
    """Id of the source, for messages."""
    reference: ClipRef | None
    """None where the data set gives no reference: the method then says what it needs."""
    prompt: str
    """What the reference shows."""
    seed: int


@dataclass(frozen=True)
class ContextTask:
    """The first frames of a reference, for a method that is given them."""

    reference: ClipRef
    reading: Mapping[str, Any]
    """How the clip is read: arguments of `datasets.video.Reading`; the frames are the first of these."""
    num_frames: int


@dataclass(frozen=True)
class ClipTask:
    """One clip to make."""

    key: str
    sample: Sample
    seed: int
    """Seed of the sampling, derived from (run seed, sample id)."""
    tune: TuneTask | None = None
    """The tuning that it is made from."""
    context: ContextTask | None = None
    """The frames that the method is given."""
    base: ClipTask | None = None
    """Of a clip that an upscaler makes: the method's own, which it enlarges."""


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
    missing_tunings: tuple[TuneTask, ...] = ()
    """Tunings that missing clips wait for; earlier failures are among them and are tried again."""

    @property
    def method_label(self) -> str:
        """The method's label in tables."""
        return self.method.label

    @property
    def dataset_label(self) -> str:
        """The data set's label in tables."""
        return self.dataset.label

    @property
    def key(self) -> str:
        """A readable, unique name: what Prefect sees."""
        return f"{self.method.label}/{self.dataset.label}/seed{self.seed}"

    @property
    def missing(self) -> tuple[ClipTask, ...]:
        """Tasks without a finished clip; earlier failures are among them and are tried again."""
        return tuple(task for task in self.tasks if not self._is_done(task))

    @property
    def missing_bases(self) -> tuple[ClipTask, ...]:
        """Of the missing tasks those that the method itself has to make: all, or what an upscaler lacks."""
        bases = (task if task.base is None else task.base for task in self.missing)
        return tuple(task for task in bases if not self._is_done(task))

    def _is_done(self, task: ClipTask) -> bool:
        record = self.records.get(task.key)
        return record is not None and record.status == "done"

    @property
    def num_samples(self) -> int:
        """Clips of the cell, finished or not."""
        return len(self.tasks)

    @property
    def num_missing(self) -> int:
        """Clips without a finished video."""
        return len(self.missing)

    @property
    def num_done(self) -> int:
        """Clips that the store has already."""
        return self.num_samples - self.num_missing

    @property
    def num_failed(self) -> int:
        """Of the missing ones, those that an earlier run tried and failed."""
        records = (self.records.get(task.key) for task in self.tasks)
        return sum(record is not None and record.status == "failed" for record in records)


@dataclass(frozen=True)
class Plan:
    """All cells of a run."""

    run: RunFile
    methods: tuple[PlannedMethod, ...]
    datasets: tuple[PlannedDataset, ...]
    cells: tuple[Cell, ...]
    failures: tuple[PluginError, ...] = ()
    """Data sets whose own code failed: their cells are not here."""

    def of(self, run: RunFile) -> Plan:
        """The part of the plan that belongs to a part of its run file (`RunFile.parts`)."""
        methods = {entry.label for entry in run.methods}
        datasets = {entry.label for entry in run.datasets}
        return Plan(
            run,
            tuple(method for method in self.methods if method.label in methods),
            tuple(dataset for dataset in self.datasets if dataset.label in datasets),
            tuple(cell for cell in self.cells if cell.dataset_label in datasets),
        )

    @property
    def num_missing(self) -> int:
        """Missing clips of all cells."""
        return sum(cell.num_missing for cell in self.cells)

    @property
    def num_samples(self) -> int:
        """Clips of all cells."""
        return sum(cell.num_samples for cell in self.cells)


def _sentences(notes: Any) -> tuple[str, ...]:
    """The notes of a plug-in, which may have given a single one."""
    return (notes,) if isinstance(notes, str) else tuple(str(note) for note in notes)


def config_data(plugin: Any) -> dict[str, Any]:
    """The configuration of a plug-in as JSON-able data."""
    data: dict[str, Any] = plugin.config.model_dump(mode="json")
    return data
