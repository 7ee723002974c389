"""The samples of an evaluation: every system's clips beside the same references and captions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..core.types import ClipRef, Sample
from ..stages.measuring import Measuring
from .clip_list import StoredClip
from .clip_measuring import FeatureRef, WorkList
from .matching import EvaluationSample, match


@dataclass(frozen=True)
class MatchedSample:
    """One sample and what each system has of it.

    Attributes:
        sample: its reference is the file's or folder's path.
        caption: None where there is none (the sample's prompt is then empty).
        reference: the real clip of the same name.
        generated: the clip of each system that has one.
    """

    sample: Sample
    caption: str | None
    reference: StoredClip | None
    generated: Mapping[str, StoredClip]


@dataclass(frozen=True)
class Draft:
    """All features that one protocol needs, by extractor.

    Attributes:
        generated: of each system and sample (by id), also where the system has no clip of it.
        references: of each real clip.
    """

    generated: Mapping[tuple[str, str], Mapping[str, FeatureRef]]
    references: Mapping[StoredClip, Mapping[str, FeatureRef]]


@dataclass(frozen=True)
class Matching:
    """What an evaluation measures.

    Attributes:
        systems: labels in the order given.
        samples: those that are asked for, in the order of their ids.
        references: all real clips (paired or not) as samples, by clip.
        problems: what did not fit together, one line each.
    """

    systems: tuple[str, ...]
    samples: tuple[MatchedSample, ...]
    references: Mapping[StoredClip, Sample]
    problems: tuple[str, ...]

    @property
    def has_captions(self) -> bool:
        """Whether any generated clip has a caption, which text metrics need."""
        return any(item.caption is not None and item.generated for item in self.samples)

    @property
    def has_pairs(self) -> bool:
        """Whether any generated clip has a reference of its own, which pair metrics need."""
        return any(item.reference is not None and item.generated for item in self.samples)

    def clips(self) -> list[StoredClip]:
        """Every clip on both sides, once."""
        generated = [clip for item in self.samples for clip in item.generated.values()]
        return list(dict.fromkeys([*generated, *self.references]))

    def draft(self, measuring: Measuring, work: WorkList) -> Draft:
        """The features that a protocol's metrics need; what is to be done for them goes to `work`."""
        generated = {
            (system, item.sample.id): self._features(measuring, work, item, item.generated.get(system))
            for system in self.systems
            for item in self.samples
        }
        references = {
            clip: {
                role: work.reference(measuring, role, clip, sample) for role in measuring.reference_roles()
            }
            for clip, sample in self.references.items()
        }
        return Draft(generated, references)

    def _features(
        self, measuring: Measuring, work: WorkList, item: MatchedSample, clip: StoredClip | None
    ) -> dict[str, FeatureRef]:
        features: dict[str, FeatureRef] = {}
        if item.caption is not None and clip is not None:
            for role in measuring.prompt_roles():
                features[role] = work.text(measuring, role, item.caption)
        if clip is None:
            return features
        for role in measuring.generated_roles():
            features[role] = work.generated(measuring, role, clip, item.sample, item.reference)
        if item.reference is not None:
            for role in measuring.pair_roles():
                partner = self.references[item.reference]
                features[role] = work.pair(measuring, role, clip, item.sample, item.reference, partner)
        return features


def match_systems(
    systems: Mapping[str, Mapping[str, StoredClip]],
    references: Mapping[str, StoredClip] | None,
    captions: Path | None,
    pairs: Path | None,
    *,
    limit: int | None = None,
    num_context_frames: int = 0,
) -> Matching:
    """Match each system's clips with the references and captions, and gather them by sample.

    A sample is asked for when a system has a clip of it, or when the captions (or the pairs) name it: a
    clip that is named and not there lowers the coverage.

    Args:
        systems: label -> clips by name.
        limit: the first so many samples by id, and their references (where they have none: as many others).
    """
    by_id: dict[str, dict[str, EvaluationSample]] = {}
    problems: list[str] = []
    for label, clips in systems.items():
        matched = match(clips, references, captions, pairs)
        prefix = f"{label}: " if len(systems) > 1 else ""
        problems += [prefix + problem for problem in matched.problems]
        for item in matched.samples:
            by_id.setdefault(item.id, {})[label] = item
    asked = {
        name: items
        for name, items in sorted(by_id.items())
        if any(item.generated is not None or item.is_listed for item in items.values())
    }
    kept = dict(list(asked.items())[:limit])
    samples = tuple(_matched(items, num_context_frames) for items in kept.values())
    return Matching(
        systems=tuple(systems),
        samples=samples,
        references=_references(references or {}, samples, limit, num_context_frames),
        problems=tuple(dict.fromkeys(problems)),
    )


def _matched(items: Mapping[str, EvaluationSample], num_context_frames: int) -> MatchedSample:
    first = next(iter(items.values()))
    caption = next((item.caption for item in items.values() if item.caption is not None), None)
    reference = next((item.reference for item in items.values() if item.reference is not None), None)
    sample = Sample(
        id=first.id,
        prompt=caption or "",
        source=first.source,
        reference=ClipRef(reference.path) if reference is not None else None,
        num_context_frames=num_context_frames,
    )
    generated = {label: item.generated for label, item in items.items() if item.generated is not None}
    return MatchedSample(sample, caption, reference, generated)


def _references(
    references: Mapping[str, StoredClip],
    samples: Iterable[MatchedSample],
    limit: int | None,
    num_context_frames: int,
) -> dict[StoredClip, Sample]:
    """The real clips as samples of their own; one that belongs to a sample has its source, so that the
    jackknife leaves both out together."""
    source_of: dict[StoredClip, str] = {}
    for item in samples:
        if item.reference is not None:
            source_of.setdefault(item.reference, item.sample.source)
    chosen = sorted(references.values(), key=lambda clip: clip.name)
    if limit is not None:
        paired = [clip for clip in chosen if clip in source_of]
        others = [clip for clip in chosen if clip not in source_of]
        chosen = paired + others[: max(0, limit - len(paired))]
    return {
        clip: Sample(
            id=clip.name,
            prompt="",
            source=source_of.get(clip, clip.name),
            reference=ClipRef(clip.path),
            num_context_frames=num_context_frames,
        )
        for clip in chosen
    }
