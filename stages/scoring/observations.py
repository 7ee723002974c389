"""What there is to score: every clip with its features, on both sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ...core.records import FailureInfo
from ...core.tables import ClipRow, FeatureRow
from ...core.types import Features
from ..measuring import Measuring


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
    """A clip with its features by extractor; those of a generated clip's prompt are among them."""

    clip: ClipRow
    features: Mapping[str, FeatureCell]
    tuning: str | None = None
    """Key of the tuning that a generated clip asks for, whether or not it was made."""

    def values(self, roles: tuple[str, ...]) -> dict[str, Features] | None:
        """The features of the roles, None when one of them is not there."""
        found = {role: self.features[role].values for role in roles if role in self.features}
        there = {role: value for role, value in found.items() if value is not None}
        return there if len(there) == len(roles) else None


@dataclass(frozen=True)
class System:
    """What made the clips: a method of a run, or a folder of clips that were there before."""

    label: str
    name: str
    version: str
    config: str
    """Canonical JSON."""
    conditioning: str


@dataclass(frozen=True)
class Observations:
    """Everything that is scored together, under one protocol."""

    run: str
    systems: tuple[System, ...]
    splits: Mapping[str, str]
    """The split of each data set, by label, in the order of the run file."""
    seeds: tuple[int, ...]
    generated: tuple[Observation, ...] = ()
    references: tuple[Observation, ...] = ()
    """One for each window of a source video."""
    data_notes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What a reader should know of how the lists of data sets were read, by label."""

    def of(self, system: str, dataset: str, seed: int | None = None) -> list[Observation]:
        """The generated clips of a system and data set (labels), of one run seed or of all."""
        return self._of.get((system, dataset, seed), [])

    @cached_property
    def _of(self) -> dict[tuple[str | None, str, int | None], list[Observation]]:
        found: dict[tuple[str | None, str, int | None], list[Observation]] = {}
        for item in self.generated:
            for seed in (item.clip.seed, None):
                found.setdefault((item.clip.method, item.clip.dataset, seed), []).append(item)
        return found

    def conditionings(self, dataset: str) -> set[str]:
        """What the systems saw that have clips of a data set."""
        return {system.conditioning for system in self.systems if self.of(system.label, dataset)}

    def references_of(self, dataset: str) -> list[Observation]:
        """The reference clips of a data set."""
        return [item for item in self.references if item.clip.dataset == dataset]


FeatureRows = dict[tuple[str | int | None, ...], FeatureRow]


def feature_rows(measuring: Measuring, observations: Observations) -> FeatureRows:
    """The rows of the `features` table, by identity: a sample's prompt is one row, whoever was given it."""
    rows: FeatureRows = {}
    for item in (*observations.generated, *observations.references):
        for role, cell in item.features.items():
            is_prompt = role in measuring.prompt_roles()
            there = cell.values is not None
            failure = None if there else cell.failure
            row = FeatureRow(
                run=observations.run,
                side="prompt" if is_prompt else item.clip.side,
                method=None if is_prompt else item.clip.method,
                dataset=item.clip.dataset,
                sample_id=item.clip.sample_id,
                seed=None if is_prompt else item.clip.seed,
                extractor=cell.extractor,
                extractor_version=measuring.extractors[cell.extractor].plugin.version,
                protocol=measuring.protocol.name,
                feature_key=cell.key,
                content_digest=cell.content,
                status="done" if there else "failed" if failure else "missing",
                error_type=failure.type if failure else None,
                error_message=failure.message if failure else None,
            )
            rows[row.side, row.dataset, row.sample_id, row.extractor, row.method, row.seed] = row
    return rows
