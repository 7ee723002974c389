"""What a run has to score: every clip and feature of its plan, looked up in the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ..core.errors import ReelbenchError
from ..core.file_digests import FileDigests
from ..core.hashing import canonical_json
from ..core.plan import Cell, ClipTask, Plan, PlannedDataset
from ..core.records import ClipRecord, FailureInfo
from ..core.store import Store
from ..core.tables import ClipRow
from ..core.types import Features, Sample
from .extract import pair_content, reference_content
from .measuring import Measuring
from .scoring.observations import FeatureCell, Observation, Observations, System


@dataclass(frozen=True)
class _Wanted:
    """A feature to look up."""

    role: str
    key: str
    content: str | None


def observe(plan: Plan, measuring: Measuring, store: Store, files: FileDigests) -> Observations:
    """Look every clip and feature up; each feature part is read once."""
    generated = [
        (cell, task, record := store.clips.record(task.key), _of_clip(cell, task, record, measuring, files))
        for cell in plan.cells
        for task in cell.tasks
    ]
    references = list(_references(plan, measuring, files))
    keys: dict[str, set[str]] = {name: set() for name in measuring.extractors}
    for wanted in [item[-1] for item in generated] + [item[-1] for item in references]:
        for want in wanted:
            keys[want.role].add(want.key)
    values = {role: store.features.load(role, of_role) for role, of_role in keys.items()}

    def features(wanted: list[_Wanted]) -> dict[str, FeatureCell]:
        return {want.role: _cell(want, values, store) for want in wanted}

    return Observations(
        run=plan.run.name,
        systems=tuple(
            System(
                label=method.label,
                name=method.plugin.name,
                version=method.plugin.version,
                config=canonical_json(method.recorded_config),
                conditioning=str(method.plugin.conditioning),
            )
            for method in plan.methods
        ),
        splits={dataset.label: dataset.split for dataset in plan.datasets},
        seeds=tuple(plan.run.seeds),
        generated=tuple(
            Observation(
                _generated_row(plan.run.name, cell, task, record, store),
                features(wanted),
                None if task.tune is None else task.tune.key,
            )
            for cell, task, record, wanted in generated
        ),
        references=tuple(
            Observation(
                _reference_row(plan.run.name, dataset, sample, content, failure, found := features(wanted)),
                found,
            )
            for dataset, sample, content, failure, wanted in references
        ),
        data_notes={dataset.label: _notes(dataset) for dataset in plan.datasets},
    )


def _notes(dataset: PlannedDataset) -> tuple[str, ...]:
    try:
        return dataset.notes
    except ReelbenchError as error:  # a plug-in's own code; its clips are made, and are scored
        return (f"what to know of the list cannot be said: {error.message}",)


def _of_clip(
    cell: Cell, task: ClipTask, record: ClipRecord | None, measuring: Measuring, files: FileDigests
) -> list[_Wanted]:
    """The features of a clip, of the pair with its reference, and of its prompt."""
    sample = task.sample
    prompt = measuring.prompt_content(sample.prompt)
    wanted = [
        _Wanted(role, measuring.extractors[role].key(prompt), prompt) for role in measuring.prompt_roles()
    ]
    if record is None or record.status != "done":
        return wanted
    wanted += [
        _Wanted(role, measuring.generated_key(role, record, sample), record.content_digest)
        for role in measuring.generated_roles()
    ]
    if sample.reference is not None and measuring.pair_roles():
        content, _ = pair_content(cell.method, sample, measuring, files)
        wanted += [
            _Wanted(role, measuring.pair_key(role, record, sample, content), record.content_digest)
            for role in measuring.pair_roles()
        ]
    return wanted


def _references(
    plan: Plan, measuring: Measuring, files: FileDigests
) -> Iterator[tuple[PlannedDataset, Sample, str, FailureInfo | None, list[_Wanted]]]:
    """The reference clips that some metric looks at, each source window once, with why one cannot be read as
    far as that is known without reading it."""
    if not measuring.reference_roles() and not measuring.pair_roles():
        return
    for dataset in plan.datasets:
        seen: set[str] = set()
        for sample in dataset.samples:
            if sample.reference is None:
                continue
            content, failure = reference_content(sample, measuring, files)
            if content not in seen:
                seen.add(content)
                wanted = [
                    _Wanted(role, measuring.of_references(role).key(content), content)
                    for role in measuring.reference_roles()
                ]
                yield dataset, sample, content, failure, wanted


def _cell(want: _Wanted, values: Mapping[str, Mapping[str, Features]], store: Store) -> FeatureCell:
    array = values[want.role].get(want.key)
    failure = None if array is not None else store.failure(want.key)
    return FeatureCell(want.role, want.key, want.content, array, failure)


def _generated_row(run: str, cell: Cell, task: ClipTask, record: ClipRecord | None, store: Store) -> ClipRow:
    row = ClipRow(
        run=run,
        side="generated",
        method=cell.method_label,
        dataset=cell.dataset_label,
        split=cell.dataset.split,
        sample_id=task.sample.id,
        source=task.sample.source,
        prompt=task.sample.prompt,
        source_prompt=task.sample.source_prompt,
        edit=task.sample.edit,
        seed=cell.seed,
        clip_key=task.key,
        status=record.status if record else "missing",
    )
    if record is None:
        return row
    if record.error is not None:
        return replace(row, error_type=record.error.type, error_message=record.error.message)
    return replace(
        row,
        hardware=record.provenance.get("hardware"),
        path=str(store.clips.path(record.key)),
        preview=str(store.clips.preview_path(record.key)),
        **{name: getattr(record, name) for name in _RECORDED},
    )


_RECORDED = (
    *("prompt_truncated", "content_digest", "num_frames", "height", "width", "fps"),
    *("sampling_s", "upscaling_s", "peak_memory_gib"),
    *("tune_key", "tuning_s", "tuning_memory_gib", "trainable_parameters"),
)
"""Columns that a clip's record has under the same name."""


def _reference_row(
    run: str,
    dataset: PlannedDataset,
    sample: Sample,
    content: str,
    failure: FailureInfo | None,
    features: Mapping[str, FeatureCell],
) -> ClipRow:
    """A reference is there if all of its features are."""
    assert sample.reference is not None
    there = failure is None and all(cell.values is not None for cell in features.values())
    failure = failure or next((cell.failure for cell in features.values() if cell.failure is not None), None)
    return ClipRow(
        run=run,
        side="reference",
        dataset=dataset.label,
        split=dataset.split,
        sample_id=sample.id,
        source=sample.source,
        prompt=sample.prompt if sample.source_prompt is None else sample.source_prompt,
        clip_key=content,
        status="done" if there else "failed" if failure else "missing",
        error_type=failure.type if failure and not there else None,
        error_message=failure.message if failure and not there else None,
        content_digest=content,
        fps=sample.reference.fps,
        start_s=sample.reference.start_s,
        end_s=sample.reference.end_s,
        first_frame=sample.reference.first_frame,
        last_frame=sample.reference.last_frame,
        path=str(sample.reference.path.absolute()),
    )
