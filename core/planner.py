"""From a run file to a plan.

Clips' keys follow from the run file, the weights' content and the data set's list, and for methods that see
the reference from its file's digest: planning decodes no video and loads no model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from . import keys
from .contract_check import Kind, plugin_errors, refuse_namesakes, samples_of
from .contracts import Dataset, Method, Upscaler
from .errors import DatasetError, Faults, PluginError, ReelbenchError, RunFileError
from .file_digests import FileDigests
from .hashing import digest
from .libraries import versions_for_methods
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
from .run_file import DatasetEntry, MethodEntry, RunFile, UpscalerEntry, build_plugin
from .seeds import derive_seed
from .sources import code_digest, source_digest
from .store import Store
from .types import ClipRef, Conditioning, Sample
from .weights import WeightsFinder

ContextReading = Callable[[str, Sample], Mapping[str, Any]]
"""How the reference of a sample of a data set (by label) is read by whoever measures: arguments of
`datasets.video.Reading`."""

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
    # 1. Every plug-in once, and what methods are.
    used = {entry.label: entry for dataset in run.datasets for entry in run.methods_of(dataset)}
    entries = [entry for entry in run.methods if entry.label in used]
    methods = {m.label: m for m in faults.each(entries, lambda entry: _plan_method(run, entry, weights))}
    datasets, failures = {}, []
    for entry in run.datasets:
        try:
            datasets[entry.label] = _read_dataset(run, entry)
        except PluginError as error:  # costs the cells of this data set, not the run
            failures.append(error)
        except ReelbenchError as error:
            faults.add(error)
    for namesakes in _namesakes(methods.values(), datasets.values()):
        faults.add(namesakes)
    if not faults.found and not datasets and failures:
        raise failures[0]
    pairs = [
        (methods[method.label], datasets[entry.label])
        for entry in run.datasets
        for method in run.methods_of(entry)
        if method.label in methods and entry.label in datasets
    ]
    for method, dataset in pairs:
        try:
            with plugin_errors("methods", method.label):
                for fault in mismatches(method, dataset) if mismatches is not None else ():
                    faults.add(fault)
        except PluginError as error:
            faults.add(error)
    faults.refuse()
    # 2. Keys of what they make.
    files = store.digests("videos")
    keying = _Keying(store, files, context_reading)
    tasks = [
        (
            method,
            dataset,
            seed,
            tuple(keying.clip(method, dataset.label, sample, seed) for sample in dataset.samples),
        )
        for method, dataset in pairs
        for seed in run.seeds
    ]
    files.save()
    # 3. What the store has of it.
    cells = tuple(_look_up(*task, store) for task in tasks)
    return Plan(run, tuple(methods.values()), tuple(datasets.values()), cells, tuple(failures))


def _plan_method(run: RunFile, entry: MethodEntry, weights: WeightsFinder) -> PlannedMethod:
    plugin: Method = build_plugin(run, "methods", entry)
    upscaler = None if entry.upscale is None else _plan_upscaler(run, entry.upscale, weights)
    with plugin_errors("methods", entry.name):
        tuned_by = plugin.tuning_config()
        key, by_location = _plugin_key(run, plugin, config_data(plugin), weights)
        tuning_key = None if tuned_by is None else _plugin_key(run, plugin, tuned_by, weights)[0]
    if upscaler is not None:
        by_location |= upscaler.weight_digests
    return PlannedMethod(entry.label, entry.name, plugin, key, by_location, tuning_key, upscaler)


def _plan_upscaler(run: RunFile, entry: UpscalerEntry, weights: WeightsFinder) -> PlannedUpscaler:
    plugin: Upscaler = build_plugin(run, "upscalers", entry)
    with plugin_errors("upscalers", entry.name):
        return PlannedUpscaler(entry.name, plugin, *_plugin_key(run, plugin, config_data(plugin), weights))


def _plugin_key(
    run: RunFile, plugin: Method | Upscaler, config: Mapping[str, Any], weights: WeightsFinder
) -> tuple[str, dict[str, str]]:
    """The key of a plug-in with a configuration, and the digests of its weights by location.

    Settings that say where weights lie are not in the key: what these are is. With `fresh: nightly`, what the
    plug-in runs on is in it, too: its code, built-in or not, and the libraries' versions.
    """
    refs = plugin.weights()
    by_location = {ref.location: weights.digest(ref) for ref in refs}
    by_role = {ref.name: by_location[ref.location] for ref in refs}
    kept = {k: v for k, v in config.items() if not isinstance(v, str) or v not in by_location}
    source = source_digest(type(plugin))
    key = keys.method_key(plugin.name, plugin.version, kept, by_role, source)
    if run.fresh is not None:
        key = keys.fresh_key(key, code_digest(type(plugin)), versions_for_methods())
    return key, by_location


def _namesakes(
    methods: Iterable[PlannedMethod], datasets: Iterable[PlannedDataset]
) -> Iterator[RunFileError]:
    """Different classes of one name: rows of a table would not tell them apart."""
    methods = list(methods)
    used: dict[Kind, list[tuple[str, type]]] = {
        "methods": [(method.name, type(method.plugin)) for method in methods],
        "upscalers": [(m.upscaler.name, type(m.upscaler.plugin)) for m in methods if m.upscaler is not None],
        "datasets": [(dataset.label, type(dataset.plugin)) for dataset in datasets],
    }
    for kind, classes in used.items():
        try:
            refuse_namesakes(kind, classes)
        except RunFileError as error:
            yield error


def _read_dataset(run: RunFile, entry: DatasetEntry) -> PlannedDataset:
    plugin: Dataset = build_plugin(run, "datasets", entry)
    try:
        samples = samples_of(plugin, entry.label, run.limit)
    except DatasetError as error:
        if entry.label == entry.name:
            raise
        raise DatasetError(f"data set {entry.label!r}: {error.message}", error.hint) from error
    if not samples:
        raise DatasetError(f"the data set {entry.label!r} (split {plugin.split!r}) has no samples")
    ids = [sample.id for sample in samples]
    if len(set(ids)) != len(ids):
        twice = next(name for name, count in Counter(ids).items() if count > 1)
        raise DatasetError(f"the data set {entry.label!r} has two samples of the id {twice!r}")
    return PlannedDataset(entry.label, plugin, samples)


@dataclass(frozen=True)
class _Keying:
    """Makes the tasks of samples: their keys follow from digests of methods and files."""

    store: Store
    files: FileDigests
    context_reading: ContextReading | None

    def clip(self, method: PlannedMethod, dataset: str, sample: Sample, seed: int) -> ClipTask:
        tune = None if method.tuning_key is None else self._tuning(method.tuning_key, sample, seed)
        context, context_digest = self._context(method, dataset, sample)
        sample_seed = derive_seed(seed, sample.id)
        tune_key = None if tune is None else tune.key
        key = keys.clip_key(method.key, tune_key, sample.prompt, context_digest, sample.id, sample_seed)
        own = ClipTask(key, sample, sample_seed, tune, context)
        if method.upscaler is None:
            return own
        large = keys.upscaled_key(method.upscaler.key, key, sample_seed)
        return replace(own, key=large, base=own)

    def _tuning(self, tuning_key: str, sample: Sample, seed: int) -> TuneTask:
        prompt = sample.prompt if sample.source_prompt is None else sample.source_prompt
        # Of the source and not of the sample: the edits of a clip share its tuning.
        tune_seed = derive_seed(seed, sample.source)
        key = keys.tune_key(tuning_key, self._reference(sample.reference), prompt, tune_seed)
        return TuneTask(key, sample.source, sample.reference, prompt, tune_seed)

    def _context(
        self, method: PlannedMethod, dataset: str, sample: Sample
    ) -> tuple[ContextTask | None, str | None]:
        """The frames that a method is given, and their digest."""
        is_given = method.plugin.conditioning is Conditioning.TEXT_AND_FRAMES
        if not is_given or sample.reference is None or not sample.num_context_frames:
            return None, None
        reading = {} if self.context_reading is None else dict(self.context_reading(dataset, sample))
        task = ContextTask(sample.reference, reading, sample.num_context_frames)
        content = self._reference(sample.reference)
        return task, digest({"reference": content, "reading": reading, "frames": task.num_frames})

    def _reference(self, ref: ClipRef | None) -> str | None:
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


def _look_up(
    method: PlannedMethod, dataset: PlannedDataset, seed: int, tasks: tuple[ClipTask, ...], store: Store
) -> Cell:
    """A cell with what the store has of it, and an estimate of the rest."""
    everything = [*tasks, *(task.base for task in tasks if task.base is not None)]
    records = {
        task.key: record for task in everything if (record := store.clips.record(task.key)) is not None
    }
    cell = Cell(method, dataset, seed, tasks, records, 0.0, 0)
    tunings = {base.tune.key: base.tune for base in cell.missing_bases if base.tune is not None}
    missing_tunings = tuple(task for key, task in tunings.items() if store.artifacts.done(key) is None)
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


def _estimate(store: Store, timing_key: str | None, num: int) -> tuple[float, int] | None:
    """Seconds and bytes of so much work of a kind, None where nothing of it has been timed."""
    if not num or timing_key is None:
        return 0.0, 0
    timing = store.timing(timing_key)
    if timing is None or not timing["count"]:
        return None
    return num * timing["seconds"] / timing["count"], int(num * timing["bytes"] / timing["count"])
