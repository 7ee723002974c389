"""From a run file to a plan.

Clips' keys follow from the run file, the weights' content and the data set's list, and for methods that see
the reference from its file's digest: planning decodes no video and loads no model.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from . import keys
from .contracts import Dataset, Method, Upscaler
from .errors import DatasetError, Faults, ReelbenchError
from .file_digests import FileDigests
from .hashing import digest
from .plan import (
    Cell,
    ClipTask,
    ContextTask,
    Plan,
    PlannedDataset,
    PlannedMethod,
    PlannedUpscaler,
    TuneTask,
    config_data,
)
from .run_file import RunFile, UpscalerEntry, build_plugin
from .seeds import derive_seed
from .store import Store
from .types import ClipRef, Conditioning, Sample
from .weights import WeightsFinder

ContextReading = Callable[[Sample], Mapping[str, Any]]
"""How the reference of a sample is read by whoever measures: arguments of `datasets.video.Reading`."""

Mismatches = Callable[[PlannedMethod, PlannedDataset], Iterable[ReelbenchError]]
"""Why a method cannot run on a data set."""


def make_plan(
    run: RunFile,
    store: Store,
    context_reading: ContextReading | None = None,
    weights: WeightsFinder | None = None,
    mismatches: Mismatches | None = None,
) -> Plan:
    """Expand a run file and look every clip up in the store.

    Args:
        context_reading: how the frames that methods of text-video prediction are given are read; without it
            they are the first ones that the reference stores. `stages.planning` gives the protocol's.
        weights: finds weights; without it they are fetched where they are missing.
        mismatches: what is sure to fail; nothing is refused for it without. `stages.planning` knows it.

    Raises:
        ReelbenchError: weights or data set files are missing or malformed, or a method and a data set do not
            fit; every one is listed.
    """
    weights = weights or WeightsFinder(store.digests("weights"))
    faults = Faults()
    methods = tuple(faults.each(range(len(run.methods)), lambda index: _plan_method(run, index, weights)))
    datasets = tuple(faults.each(range(len(run.datasets)), lambda index: _plan_dataset(run, index)))
    if mismatches is not None:
        for dataset, method in itertools.product(datasets, methods):
            for fault in mismatches(method, dataset):
                faults.add(fault)
    faults.refuse()
    files = store.digests("videos")
    cells = tuple(
        _plan_cell(method, dataset, seed, _Lookup(store, files, context_reading))
        for dataset, method, seed in itertools.product(datasets, methods, run.seeds)
    )
    files.save()
    return Plan(run=run, methods=methods, datasets=datasets, cells=cells)


def _plan_method(run: RunFile, index: int, weights: WeightsFinder) -> PlannedMethod:
    entry = run.methods[index]
    plugin: Method = build_plugin(run, "methods", entry)
    by_location, by_role = _weight_digests(plugin, weights)
    key = keys.method_key(plugin.name, plugin.version, _without(config_data(plugin), by_location), by_role)
    tuning_key = None
    tuning_config = plugin.tuning_config() if hasattr(plugin, "tuning_config") else None
    if tuning_config is not None:
        tuned_by = _without(tuning_config, by_location)
        tuning_key = keys.method_key(plugin.name, plugin.version, tuned_by, by_role)
    upscaler = None if entry.upscale is None else _plan_upscaler(run, entry.upscale, weights)
    if upscaler is not None:
        by_location = {**by_location, **upscaler.weight_digests}
    return PlannedMethod(entry.label, entry.name, plugin, key, by_location, tuning_key, upscaler)


def _plan_upscaler(run: RunFile, entry: UpscalerEntry, weights: WeightsFinder) -> PlannedUpscaler:
    plugin: Upscaler = build_plugin(run, "upscalers", entry)
    by_location, by_role = _weight_digests(plugin, weights)
    key = keys.method_key(plugin.name, plugin.version, _without(config_data(plugin), by_location), by_role)
    return PlannedUpscaler(entry.name, plugin, key, by_location)


def _without(config: Mapping[str, Any], locations: Mapping[str, str]) -> dict[str, Any]:
    """The settings that do not say where weights lie: what these are is in the keys already."""
    return {
        name: value for name, value in config.items() if not isinstance(value, str) or value not in locations
    }


def _weight_digests(
    plugin: Method | Upscaler, weights: WeightsFinder
) -> tuple[dict[str, str], dict[str, str]]:
    """Digests of a plug-in's weights by location and by role."""
    by_location: dict[str, str] = {}
    by_role: dict[str, str] = {}
    for ref in plugin.weights():
        by_role[ref.name] = by_location[ref.location] = weights.digest(ref)
    return by_location, by_role


def _plan_dataset(run: RunFile, index: int) -> PlannedDataset:
    entry = run.datasets[index]
    plugin: Dataset = build_plugin(run, "datasets", entry)
    try:
        samples = tuple(itertools.islice(iter(plugin), run.limit))
    except DatasetError as error:
        if entry.label == entry.name:
            raise
        raise DatasetError(f"data set {entry.label!r}: {error.message}", error.hint) from error
    if not samples:
        raise DatasetError(f"the data set {entry.label!r} (split {plugin.split!r}) has no samples")
    ids = [sample.id for sample in samples]
    if len(set(ids)) != len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise DatasetError(f"the data set {entry.label!r} has two samples of the id {twice!r}")
    return PlannedDataset(entry.label, plugin, samples)


@dataclass(frozen=True)
class _Lookup:
    """Where a plan looks things up."""

    store: Store
    files: FileDigests
    context_reading: ContextReading | None

    def reference(self, ref: ClipRef | None) -> str | None:
        """Digest of a reference clip with its window; one that is not there fails when it is read."""
        if ref is None:
            return None
        try:
            content = self.store.reference_digest(ref, self.files)
        except (OSError, ReelbenchError):
            content = f"missing: {ref.path}"
        return digest(
            {
                "content": content,
                "seconds": [ref.start_s, ref.end_s],
                "frames": [ref.first_frame, ref.last_frame],
            }
        )


def _plan_cell(method: PlannedMethod, dataset: PlannedDataset, seed: int, lookup: _Lookup) -> Cell:
    store = lookup.store
    tasks = [_plan_clip(method, sample, seed, lookup) for sample in dataset.samples]
    everything = [*tasks, *(task.base for task in tasks if task.base is not None)]
    records = {task.key: record for task in everything if (record := store.clip_record(task.key)) is not None}
    cell = Cell(method, dataset, seed, tuple(tasks), records, 0.0, 0)
    tunings = {base.tune.key: base.tune for base in cell.missing_bases if base.tune is not None}
    missing_tunings = tuple(
        task
        for key, task in tunings.items()
        if (found := store.artifacts.record(key)) is None or found.status != "done"
    )
    upscaler_key = None if method.upscaler is None else method.upscaler.key
    estimates = [
        _estimate(store, method.tuning_key, len(missing_tunings)),
        _estimate(store, method.key, len(cell.missing_bases)),
        _estimate(store, upscaler_key, 0 if method.upscaler is None else cell.num_missing),
    ]
    known = [pair for pair in estimates if pair is not None]
    estimate_s = estimate_bytes = None
    if len(known) == len(estimates):
        estimate_s, estimate_bytes = sum(s for s, _ in known), sum(size for _, size in known)
    return replace(
        cell, estimate_s=estimate_s, estimate_bytes=estimate_bytes, missing_tunings=missing_tunings
    )


def _plan_clip(method: PlannedMethod, sample: Sample, seed: int, lookup: _Lookup) -> ClipTask:
    tune = None if method.tuning_key is None else _plan_tuning(method.tuning_key, sample, seed, lookup)
    context, context_digest = _plan_context(method, sample, lookup)
    sample_seed = derive_seed(seed, sample.id)
    tune_key = None if tune is None else tune.key
    key = keys.clip_key(method.key, tune_key, sample.prompt, context_digest, sample.id, sample_seed)
    own = ClipTask(key, sample, sample_seed, tune, context)
    if method.upscaler is None:
        return own
    large = keys.upscaled_key(method.upscaler.key, key, sample_seed)
    return replace(own, key=large, base=own)


def _plan_tuning(tuning_key: str, sample: Sample, seed: int, lookup: _Lookup) -> TuneTask:
    prompt = sample.prompt if sample.source_prompt is None else sample.source_prompt
    # Of the source and not of the sample: the edits of a clip share its tuning.
    tune_seed = derive_seed(seed, sample.source)
    key = keys.tune_key(tuning_key, lookup.reference(sample.reference), prompt, tune_seed)
    return TuneTask(key, sample.source, sample.reference, prompt, tune_seed)


def _plan_context(
    method: PlannedMethod, sample: Sample, lookup: _Lookup
) -> tuple[ContextTask | None, str | None]:
    """The frames that a method is given, and their digest."""
    is_given = method.plugin.conditioning is Conditioning.TEXT_AND_FRAMES
    if not is_given or sample.reference is None or not sample.num_context_frames:
        return None, None
    reading = {} if lookup.context_reading is None else dict(lookup.context_reading(sample))
    task = ContextTask(sample.reference, reading, sample.num_context_frames)
    content = lookup.reference(sample.reference)
    return task, digest({"reference": content, "reading": reading, "frames": task.num_frames})


def _estimate(store: Store, timing_key: str | None, num: int) -> tuple[float, int] | None:
    """Seconds and bytes of so much work of a kind, None where nothing of it has been timed."""
    if not num or timing_key is None:
        return 0.0, 0
    timing = store.timing(timing_key)
    if timing is None or not timing["count"]:
        return None
    return num * timing["seconds"] / timing["count"], int(num * timing["bytes"] / timing["count"])
