"""What there is to score: every clip of a run with its features, and the references beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..core.file_digests import FileDigests
from ..core.plan import Cell, ClipTask, Plan, PlannedDataset
from ..core.records import ClipRecord, FailureInfo
from ..core.store import Store
from ..core.types import Features, Sample
from .extract import pair_content, reference_content
from .measuring import Measuring


@dataclass(frozen=True)
class FeatureCell:
    """One feature: its key, and the values or why there are none."""

    extractor: str
    key: str
    content: str | None
    values: Features | None
    failure: FailureInfo | None


@dataclass(frozen=True)
class Observation:
    """A generated clip with the features of the clip and of its prompt, by extractor."""

    cell: Cell
    task: ClipTask
    record: ClipRecord | None
    features: Mapping[str, FeatureCell]

    def values(self, roles: tuple[str, ...]) -> dict[str, Features] | None:
        """The features of the roles, None when one of them is not there."""
        found = {role: self.features[role].values for role in roles if role in self.features}
        if len(found) < len(roles) or any(value is None for value in found.values()):
            return None
        return {role: value for role, value in found.items() if value is not None}


@dataclass(frozen=True)
class Reference:
    """A reference clip of a data set (one a source window) with its features, by extractor."""

    dataset: PlannedDataset
    sample: Sample
    content: str
    features: Mapping[str, FeatureCell]
    failure: FailureInfo | None = None
    """Why it cannot be read, as far as that is known without reading it."""


@dataclass(frozen=True)
class Observations:
    """Everything that a run has to score."""

    generated: tuple[Observation, ...]
    references: tuple[Reference, ...]

    def of(self, method: str, dataset: str, seed: int | None = None) -> list[Observation]:
        """The observations of a method and data set (labels), of one run seed or of all."""
        return [
            item
            for item in self.generated
            if item.cell.method_label == method
            and item.cell.dataset_label == dataset
            and (seed is None or item.cell.seed == seed)
        ]

    def references_of(self, dataset: str) -> list[Reference]:
        return [item for item in self.references if item.dataset.label == dataset]


def observe(plan: Plan, measuring: Measuring, store: Store, files: FileDigests) -> Observations:
    """Look every clip and feature of a run up in the store; each feature part is read once."""
    drafts: list[tuple[Cell, ClipTask, ClipRecord | None, dict[str, tuple[str, str | None]]]] = []
    for cell in plan.cells:
        for task in cell.tasks:
            record = store.clip_record(task.key)
            keys: dict[str, tuple[str, str | None]] = {}
            if record is not None and record.status == "done":
                for role in measuring.generated_roles():
                    keys[role] = (measuring.generated_key(role, record, task.sample), record.content_digest)
                if task.sample.reference is not None and measuring.pair_roles():
                    content, _ = pair_content(cell.method, task.sample, measuring, files)
                    for role in measuring.pair_roles():
                        key = measuring.pair_key(role, record, task.sample, content)
                        keys[role] = (key, record.content_digest)
            prompt = measuring.prompt_content(task.sample.prompt)
            for role in measuring.prompt_roles():
                keys[role] = (measuring.extractors[role].key(prompt), prompt)
            drafts.append((cell, task, record, keys))
    references = list(_references(plan, measuring, files))
    wanted: dict[str, set[str]] = {name: set() for name in measuring.extractors}
    for *_, keys in drafts:
        for role, (key, _) in keys.items():
            wanted[role].add(key)
    for _, _, content, _ in references:
        for role in measuring.reference_roles():
            wanted[role].add(measuring.extractors[role].key(content))
    values = {role: store.load_features(role, keys) for role, keys in wanted.items()}

    def feature(role: str, key: str, content: str | None) -> FeatureCell:
        array = values[role].get(key)
        return FeatureCell(role, key, content, array, None if array is not None else store.failure(key))

    return Observations(
        generated=tuple(
            Observation(cell, task, record, {role: feature(role, *pair) for role, pair in keys.items()})
            for cell, task, record, keys in drafts
        ),
        references=tuple(
            Reference(
                dataset,
                sample,
                content,
                {
                    role: feature(role, measuring.extractors[role].key(content), content)
                    for role in measuring.reference_roles()
                },
                failure,
            )
            for dataset, sample, content, failure in references
        ),
    )


def _references(
    plan: Plan, measuring: Measuring, files: FileDigests
) -> Iterator[tuple[PlannedDataset, Sample, str, FailureInfo | None]]:
    """The reference clips that some metric looks at, each source window once."""
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
                yield dataset, sample, content, failure
