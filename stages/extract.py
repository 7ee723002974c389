"""The extract stage: one decode of each clip, every backbone once, features to the store."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core import registry
from ..core.errors import MetricError
from ..core.file_digests import FileDigests
from ..core.hashing import digest
from ..core.plan import Cell, PlannedDataset
from ..core.records import ClipRecord, FailureInfo
from ..core.store import Store, failure_info
from ..core.types import ClipRef, Features, Frames
from .measuring import Measuring, PlannedExtractor
from .work import ShardResult, WorkerContext


@dataclass(frozen=True)
class ReferenceInput:
    """A window of a reference video."""

    ref: ClipRef
    reading: dict[str, Any]
    """Arguments of `datasets.video.read_clip`, by the protocol."""


@dataclass(frozen=True)
class GeneratedInput:
    """A stored clip."""

    record: ClipRecord


Input = ReferenceInput | GeneratedInput | str


@dataclass(frozen=True)
class ExtractItem:
    """One input and the features that are missing of it: (extractor, feature key)."""

    name: str
    source: Input
    wanted: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ExtractorSpec:
    """What a worker builds an extractor from."""

    name: str
    config: dict[str, Any]
    session_key: str
    num_frames: int | None
    """How many first frames it reads; None for all."""


@dataclass(frozen=True)
class ExtractShard:
    """Some inputs with missing features; see `work.Shard`."""

    label: str
    items: tuple[ExtractItem, ...]
    extractors: tuple[ExtractorSpec, ...]

    @property
    def size(self) -> int:
        return len(self.items)

    def run(self, context: WorkerContext) -> ShardResult:
        started = time.perf_counter()
        held = {spec.name: context.store.feature_keys(spec.name) for spec in self.extractors}
        features: dict[str, dict[str, Features]] = {spec.name: {} for spec in self.extractors}
        failures: dict[str, FailureInfo] = {}
        for item in self.items:
            wanted = [(name, key) for name, key in item.wanted if key not in held[name]]
            if not wanted:
                continue  # a shard whose worker was killed comes again
            try:
                content = self._read(item.source, context.store)
            except Exception as error:
                for _, key in wanted:
                    context.store.put_failure(key, error)
                failures[item.name] = failure_info(error)
                continue
            for name, key in wanted:
                try:
                    features[name][key] = self._extract(name, content, context)
                except Exception as error:
                    context.store.put_failure(key, error)
                    failures[item.name] = failure_info(error)
        for name, rows in features.items():
            context.store.put_features(name, rows)
        return ShardResult(
            num_done=self.size - len(failures),
            num_failed=len(failures),
            seconds=time.perf_counter() - started,
            failures=tuple((f"{self.label} {name}", i.type, i.message) for name, i in failures.items()),
        )

    def failed(self, error: BaseException, store: Store) -> ShardResult:
        info = failure_info(error)
        for item in self.items:
            for _, key in item.wanted:
                store.put_failure(key, info)
        rows = tuple((f"{self.label} {item.name}", info.type, info.message) for item in self.items)
        return ShardResult(0, self.size, 0.0, rows)

    @staticmethod
    def _read(source: Input, store: Store) -> Frames | str:
        if isinstance(source, str):
            return source
        if isinstance(source, GeneratedInput):
            return store.load_clip(source.record)
        from ..datasets.video import read_clip

        return read_clip(source.ref, **source.reading)

    def _extract(self, name: str, content: Frames | str, context: WorkerContext) -> Features:
        spec = next(spec for spec in self.extractors if spec.name == name)

        def load() -> Any:
            cls = registry.get("extractors", spec.name)
            return cls(cls.Config.model_validate(spec.config)).load(context.device)

        if spec.num_frames is not None:
            if len(content) < spec.num_frames:
                raise MetricError(
                    f"the clip has {len(content)} frames, the protocol measures {spec.num_frames}",
                    "generate longer clips, or measure under a protocol of fewer frames",
                )
            content = content[: spec.num_frames]
        # One input a call: a clip's features must not depend on its neighbours, bit for bit.
        (array,) = context.session(spec.session_key, load).extract([content])
        if not np.isfinite(array).all():
            raise MetricError(f"the {name} features hold NaN or infinite values")
        return array


def generated_items(
    cells: Iterable[Cell], records: dict[str, ClipRecord], measuring: Measuring
) -> Iterator[ExtractItem]:
    """The finished clips of cells with all the features that the metrics need of them."""
    roles = measuring.generated_roles()
    for cell in cells:
        for task in cell.tasks:
            record = records.get(task.key)
            if record is None or record.status != "done":
                continue
            wanted = tuple((role, measuring.generated_key(role, record)) for role in roles)
            yield ExtractItem(task.sample.id, GeneratedInput(record), wanted)


def reference_items(
    dataset: PlannedDataset, measuring: Measuring, files: FileDigests, store: Store
) -> Iterator[ExtractItem]:
    """The reference clips of a data set, each source window once.

    A file that is not there is recorded as a failure under the keys that it would have had; see
    `missing_reference_content`.
    """
    roles = measuring.reference_roles()
    seen: set[str] = set()
    for sample in dataset.samples:
        if sample.reference is None or not roles:
            continue
        content, error = reference_content(sample, measuring, files)
        if content in seen:
            continue
        seen.add(content)
        wanted = tuple((role, measuring.extractors[role].key(content)) for role in roles)
        if error is not None:
            for _, key in wanted:
                store.put_failure(key, error)
            continue
        source = ReferenceInput(sample.reference, measuring.protocol.sampling.reading(sample.id))
        yield ExtractItem(sample.source, source, wanted)


def reference_content(
    sample: Any, measuring: Measuring, files: FileDigests
) -> tuple[str, FailureInfo | None]:
    """The content digest of a reference clip; of a file that cannot be read, a stand-in and the reason."""
    try:
        return measuring.reference_content(sample, files), None
    except OSError as error:
        reason = FailureInfo(
            type="VideoError", message=f"no reference video {sample.reference.path.name}: {error.strerror}"
        )
        return digest({"missing reference": str(sample.reference.path)}), reason


def prompt_items(datasets: Sequence[PlannedDataset], measuring: Measuring) -> Iterator[ExtractItem]:
    """The distinct prompts of data sets."""
    roles = measuring.prompt_roles()
    prompts = sorted({sample.prompt for dataset in datasets for sample in dataset.samples})
    for prompt in prompts if roles else ():
        content = measuring.prompt_content(prompt)
        wanted = tuple((role, measuring.extractors[role].key(content)) for role in roles)
        yield ExtractItem(prompt[:60], prompt, wanted)


def extract_shards(
    label: str, items: Iterable[ExtractItem], measuring: Measuring, store: Store, shard_size: int
) -> list[ExtractShard]:
    """Shards of the items that lack features in the store."""
    held = {name: store.feature_keys(name) for name in measuring.extractors}
    missing: list[ExtractItem] = []
    for item in items:
        wanted = tuple((name, key) for name, key in item.wanted if key not in held[name])
        if wanted:
            missing.append(ExtractItem(item.name, item.source, wanted))
    shards = []
    for start in range(0, len(missing), shard_size):
        chunk = tuple(missing[start : start + shard_size])
        names = sorted({name for item in chunk for name, _ in item.wanted})
        specs = tuple(_spec(measuring.extractors[name], measuring.num_frames(name)) for name in names)
        shards.append(ExtractShard(label, chunk, specs))
    return shards


def _spec(extractor: PlannedExtractor, num_frames: int | None) -> ExtractorSpec:
    return ExtractorSpec(extractor.name, extractor.config, extractor.session_key, num_frames)
