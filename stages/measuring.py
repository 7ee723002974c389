"""What a run measures: its protocol, the metrics, the extractors they need, and the features' keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

from ..core import keys
from ..core.contract_check import plugin_errors, refuse_namesakes
from ..core.contracts import ClipMetric, Extractor, Metric, SetMetric
from ..core.errors import Faults, ProtocolError, ReelbenchError
from ..core.hashing import digest
from ..core.records import ClipRecord
from ..core.sources import source_digest
from ..core.store import Store
from ..core.types import Features, Sample, saw_its_reference
from ..core.weights import WeightsFinder
from ..datasets.video import Reading
from ..metrics.build import (
    ExtractorNeeds,
    build_extractor,
    build_metric,
    extractors_needed,
    refuse_unavailable,
    why_unavailable,
)
from ..metrics.protocol import Protocol
from .extraction import ExtractorSpec
from .inputs import Cut
from .work import PluginSpec


@dataclass(frozen=True)
class PlannedExtractor:
    """A configured extractor with the content of its weights."""

    name: str
    plugin: Extractor
    weight_digests: Mapping[str, str]

    @cached_property
    def config(self) -> dict[str, Any]:
        """Its configuration as JSON, part of every key."""
        data: dict[str, Any] = self.plugin.config.model_dump(mode="json")
        return data

    @cached_property
    def source(self) -> str | None:
        """Digest of the code of a plug-in that is not Reelbench's own; None for our own."""
        return source_digest(type(self.plugin))

    @property
    def spec(self) -> ExtractorSpec:
        """What a worker builds it from."""
        return ExtractorSpec(PluginSpec.of("extractors", self.name, self.plugin), self.session_key)

    @property
    def session_key(self) -> str:
        """Identity of the loaded model, for the worker's cache."""
        return self.key("session")

    def key(self, content: str) -> str:
        """The key of the features of one input, by its content digest."""
        return keys.feature_key(
            self.name, self.plugin.version, self.config, self.weight_digests, content, self.source
        )


@dataclass(frozen=True)
class Measuring:
    """Protocol, metrics and extractors of a run."""

    protocol: Protocol
    metrics: tuple[Metric, ...]
    extractors: Mapping[str, PlannedExtractor]
    reference_extractors: Mapping[str, PlannedExtractor] = field(default_factory=dict)
    """Those that reference clips go through in another way than generated ones."""

    def of_references(self, role: str) -> PlannedExtractor:
        """The extractor that reference clips go through."""
        return self.reference_extractors.get(role, self.extractors[role])

    @property
    def specs(self) -> dict[str, ExtractorSpec]:
        """What workers build the extractors from, by session key."""
        planned = [*self.extractors.values(), *self.reference_extractors.values()]
        return {extractor.session_key: extractor.spec for extractor in planned}

    @property
    def clip_metrics(self) -> list[ClipMetric]:
        """The metrics that have a value for each clip."""
        return [cast("ClipMetric", metric) for metric in self.metrics if metric.level == "clip"]

    @property
    def set_metrics(self) -> list[SetMetric]:
        """The metrics of a set of clips against another one."""
        return [cast("SetMetric", metric) for metric in self.metrics if metric.level == "set"]

    @cached_property
    def _others(self) -> dict[str, SetMetric]:
        found = {}
        for metric in self.set_metrics:
            name = counterpart(metric)
            if name is not None and name not in {metric.name for metric in self.metrics}:
                found[metric.name] = cast("SetMetric", build_metric(name, self.protocol))
        return found

    def set_metrics_of(self, conditionings: Iterable[str]) -> list[SetMetric]:
        """The set metrics of clips whose methods saw so much: where one saw a part of its reference, each
        metric beside the one of its kind that holds no clip against its own reference."""
        if not any(map(saw_its_reference, conditionings)):
            return self.set_metrics
        pairs = [(metric, self._others.get(metric.name)) for metric in self.set_metrics]
        return [metric for pair in pairs for metric in pair if metric is not None]

    def generated_roles(self) -> tuple[str, ...]:
        """Extractors that generated clips go through."""
        return self._needs.generated

    def reference_roles(self) -> tuple[str, ...]:
        """Extractors that reference clips go through: those of the set metrics."""
        return self._needs.reference

    def prompt_roles(self) -> tuple[str, ...]:
        """Extractors that prompts go through."""
        return self._needs.prompt

    def pair_roles(self) -> tuple[str, ...]:
        """Extractors that a generated clip and its reference go through together."""
        return self._needs.pair

    def compared_roles(self) -> tuple[str, ...]:
        """Extractors of generated clips whose features are compared with a reference: those of set and pair
        metrics."""
        return (*self.reference_roles(), *self.pair_roles())

    @cached_property
    def _needs(self) -> ExtractorNeeds:
        return extractors_needed(self.metrics)

    @property
    def weights(self) -> dict[str, str]:
        """Digests of the extractors' weights by role and name, for tables."""
        return {
            f"{role}:{name}": value
            for role, extractor in self.extractors.items()
            for name, value in extractor.weight_digests.items()
        }

    def reads_short(self, num_context_frames: int, roles: Sequence[str]) -> bool:
        """Whether a reference of fewer frames than the protocol measures is read all the same: short clips
        are filled up, or some of the extractors takes the frames that there are."""
        return self.fills or any(self.cut(role, num_context_frames).may_be_short for role in roles)

    @property
    def fills(self) -> bool:
        """Whether short clips are filled up."""
        return self.protocol.sampling.short_clips == "repeat-last"

    def is_short(self, role: str, features: Features) -> bool:
        """Whether a set or pair metric's features by frame are of fewer frames than the protocol measures."""
        rows = type(self.extractors[role].plugin).rows
        if rows == "clip" or role not in (*self.reference_roles(), *self.pair_roles()):
            return False
        return len(features) + (rows == "transitions") < self.protocol.sampling.num_frames

    def num_skipped(self, num_context_frames: int) -> int:
        """How many first frames are left out on both sides: those that the method was given, unless the
        protocol measures them too."""
        return num_context_frames if self.protocol.sampling.context_frames == "drop" else 0

    def cut(self, role: str, num_context_frames: int, fps: float | None = None) -> Cut:
        """Which frames an extractor reads. The two sides of set and pair metrics must be alike: as many as
        the protocol says, or those there are where features are by frame; all of them where only clip metrics
        ask for the features. Predicted frames get harder one by one, so of these there must be enough.

        Args:
            fps: at which the frames follow each other; None where it is not known.
        """
        skip, extractor = self.num_skipped(num_context_frames), type(self.extractors[role].plugin)
        if role in self.compared_roles():
            may_be_short = not num_context_frames and extractor.rows != "clip"
            return Cut(skip, self.protocol.sampling.num_frames, self.fills, may_be_short)
        wanted = extractor.reads_at_fps
        return Cut(skip, every=1 if wanted is None or fps is None else max(1, round(fps / wanted)))

    def reading(self, sample: Sample) -> dict[str, Any]:
        """How the reference clip of a sample is read: arguments of `datasets.video.Reading`. With context
        frames that are not measured, the clip is longer by them.

        Keys are made of this, so it leaves out what has no effect: `num_given` is there only where a clip of
        nothing but given frames would otherwise be filled up and measured.

        Raises:
            ProtocolError: all the frames that are measured are given to the method.
        """
        sampling, given = self.protocol.sampling, sample.num_context_frames
        arguments = sampling.reading(sample.id)
        arguments["num_frames"] += self.num_skipped(given)
        if given and given >= arguments["num_frames"]:
            raise ProtocolError(
                f"protocol {self.protocol.name!r} measures the first {arguments['num_frames']} frames, and "
                f"the sample {sample.id!r} gives {given} to the method: no predicted one is measured",
                "lower num_context_frames of the data set, or take a protocol with `context_frames: drop`",
            )
        if sampling.frames == "seer" and sample.reference is not None:
            arguments["stride"] = sample.reference.blend_stride
        is_filled_up = sampling.frames == "seer" or (self.fills and sampling.context_frames == "keep")
        if given and is_filled_up:
            arguments["num_given"] = given
        return arguments

    def reference_reading(self, sample: Sample) -> Reading:
        """As `reading`, for reading itself: a clip that leaves nothing to predict is always reported as
        such."""
        return Reading(**{**self.reading(sample), "num_given": sample.num_context_frames})

    def set_reading(self, sample: Sample) -> Reading:
        """As `reference_reading`, for set metrics."""
        return replace(self.reference_reading(sample), blend_side=self.protocol.sampling.blend_side)

    def generated_content(
        self, role: str, frames: str, num_context_frames: int, fps: float | None = None
    ) -> str:
        """Digest of what an extractor reads of a generated clip.

        Args:
            frames: digest that identifies all the clip's frames.
            fps: at which they follow each other.
        """
        return digest({"frames": frames, **_cut_data(self.cut(role, num_context_frames, fps))})

    def generated_key(self, role: str, record: ClipRecord, sample: Sample) -> str:
        """Key of the features of a stored clip."""
        assert record.content_digest is not None
        content = self.generated_content(role, record.content_digest, sample.num_context_frames, record.fps)
        return self.extractors[role].key(content)

    def pair_key(self, role: str, record: ClipRecord, sample: Sample, reference: str) -> str:
        """Key of the features of a stored clip beside its reference, whose content is given."""
        assert record.content_digest is not None
        generated = self.generated_content(role, record.content_digest, sample.num_context_frames)
        return self.extractors[role].key(self.pair_content(generated, reference))

    @staticmethod
    def pair_content(generated: str, reference: str) -> str:
        """Digest of two clips beside each other."""
        return digest({"generated": generated, "reference": reference})

    def reference_content(self, sample: Sample, file_digest: str) -> str:
        """Digest of what is measured of a reference clip: its file, the window, and the choice of frames."""
        assert sample.reference is not None
        skip, side = self.num_skipped(sample.num_context_frames), self.protocol.sampling.blend_side
        return digest(
            {
                "file": file_digest,
                "window": [sample.reference.start_s, sample.reference.end_s],
                "reading": self.reading(sample),
                **({"skip": skip} if skip else {}),
                **({"fill": True} if self.fills else {}),
                **({} if side is None else {"blend_side": side}),
            }
        )

    @staticmethod
    def prompt_content(prompt: str) -> str:
        """Digest of a prompt, which is the content of a text input."""
        return digest({"text": prompt})


def counterpart(metric: SetMetric) -> str | None:
    """The name of the metric that a set metric's own class gives as `others`: what it inherits belongs to its
    parent, and it may compute something else."""
    own = next(cls for cls in type(metric).__mro__ if "name" in vars(cls))
    name: str | None = vars(own).get("others")
    return name


def _cut_data(cut: Cut) -> dict[str, Any]:
    # What is not used is left out, so that keys do not change for those who do not use it.
    data: dict[str, Any] = {"num_frames": cut.num_frames}
    if cut.skip:
        data["skip"] = cut.skip
    if cut.fill and cut.num_frames is not None:
        data["fill"] = True
    if cut.every > 1:
        data["every"] = cut.every
    return data


def measuring_under(
    protocol: Protocol,
    metric_names: Sequence[str],
    weights: Mapping[str, str],
    store: Store,
    finder: WeightsFinder | None = None,
) -> Measuring:
    """The measuring of some metrics under a protocol.

    Args:
        finder: finds weights; without it they are fetched where they are missing.

    Raises:
        UnknownNameError: a metric or extractor of that name does not exist.
        WeightsError: weights are missing.
        FaultsError: several of these.
    """
    finder = finder or WeightsFinder(store.digests("weights"))
    faults = Faults()
    metrics = tuple(faults.each(metric_names, lambda name: build_metric(name, protocol)))
    try:
        refuse_namesakes(
            "metrics", [(m, type(metric)) for m, metric in zip(metric_names, metrics, strict=False)]
        )
        refuse_unavailable(metrics, weights, ("pipeline", "upscaler"))
    except ReelbenchError as error:
        faults.add(error)

    def plan(role: str, protocol: Protocol = protocol) -> PlannedExtractor | None:
        if why_unavailable(role, weights) is not None:
            return None  # it was said for all of its metrics together
        with plugin_errors("extractors", role):
            plugin = build_extractor(role, protocol, weights)
            return PlannedExtractor(role, plugin, {ref.name: finder.digest(ref) for ref in plugin.weights()})

    roles = sorted({role for metric in metrics for role in metric.needs})
    extractors = {planned.name: planned for planned in faults.each(roles, plan) if planned is not None}
    used = [(role, type(extractor.plugin)) for role, extractor in extractors.items()]
    next(faults.each([used], lambda used: refuse_namesakes("extractors", used)), None)
    faults.refuse()
    of_references = [plan(role, protocol.of_references()) for role in extractors_needed(metrics).reference]
    other_ways = {e.name: e for e in of_references if e and e.config != extractors[e.name].config}
    return Measuring(protocol, metrics, extractors, other_ways)
