"""The extract stage of a run: which features its clips, references and prompts lack, in shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import VideoError
from ..core.file_digests import FileDigests
from ..core.hashing import digest
from ..core.plan import Cell, PlannedDataset, PlannedMethod
from ..core.records import FailureInfo
from ..core.store import Store
from ..core.types import Features, Sample
from ..datasets.video import clip_digest, is_folder
from .extraction import ExtractItem, ExtractorSpec, Wanted, extract
from .inputs import Input, SourceInput, StoredInput, VideoInput
from .measuring import Measuring
from .work import TaskShard, WorkerContext

EXTRACTORS = "extractors"
"""Stands for all extractors: a worker that has measured clips has most of them loaded."""


@dataclass(frozen=True)
class ExtractShard(TaskShard[ExtractItem]):
    """Some inputs with missing features."""

    extractors: tuple[ExtractorSpec, ...]

    @property
    def model(self) -> str:
        """See `work.Shard`."""
        return EXTRACTORS

    def _make_all(self, context: WorkerContext) -> tuple[tuple[str, str, str], ...]:
        """Features are written together, one part file for each extractor."""
        features: dict[str, dict[str, Features]] = {}
        failures: dict[str, FailureInfo] = {}
        for extracted in extract(self._pending(context.store), self.extractors, context):
            for (name, key), values in extracted.features.items():
                features.setdefault(name, {})[key] = values
            for key, failure in extracted.failures.items():
                context.store.put_failure(key, failure)
                failures[self._name(extracted.item)] = failure
        for name, rows in features.items():
            context.store.features.put(name, rows)
        return tuple((f"{self.label} {name}", i.type, i.message) for name, i in failures.items())

    def _pending(self, store: Store) -> Iterator[ExtractItem]:
        held = {spec.name: store.features.keys(spec.name) for spec in self.extractors}
        return (rest for item in self.tasks if (rest := item.without(held)) is not None)

    def _keys(self, task: ExtractItem) -> tuple[str, ...]:
        return tuple(want.key for want in task.wanted)

    def _name(self, task: ExtractItem) -> str:
        return task.name

    def _record_failure(self, task: ExtractItem, error: BaseException, store: Store) -> None:
        for want in task.wanted:
            store.put_failure(want.key, error)


def generated_items(
    cell: Cell, measuring: Measuring, files: FileDigests, store: Store
) -> Iterator[ExtractItem]:
    """The finished clips of a cell with all the features that the metrics need of them, and of the pairs that
    they make with their references."""
    pair_roles = measuring.pair_roles()
    for task in cell.tasks:
        record, sample = store.clips.done(task.key), task.sample
        if record is None:
            continue
        inputs: list[Input] = [StoredInput(record)]
        wanted = [
            _wanted(measuring, role, measuring.generated_key(role, record, sample), (0,), sample, record.fps)
            for role in measuring.generated_roles()
        ]
        if pair_roles and sample.reference is not None:
            content, error = pair_content(cell.method, sample, measuring, files)
            keys = {role: measuring.pair_key(role, record, sample, content) for role in pair_roles}
            if error is None:
                inputs.append(_pair_input(cell.method, sample, measuring))
                wanted += [_wanted(measuring, role, key, (0, 1), sample) for role, key in keys.items()]
            else:
                for key in keys.values():
                    store.put_failure(key, error)
        yield ExtractItem(sample.id, tuple(inputs), tuple(wanted))


def reference_items(
    dataset: PlannedDataset, measuring: Measuring, files: FileDigests, store: Store
) -> Iterator[ExtractItem]:
    """The reference clips of a data set, each source window once.

    A file that is not there is recorded as a failure under the keys that it would have had; see
    `reference_content`.
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
        extractors = {role: measuring.of_references(role) for role in roles}
        keys = {role: extractor.key(content) for role, extractor in extractors.items()}
        if error is not None:
            for key in keys.values():
                store.put_failure(key, error)
            continue
        given = sample.num_context_frames
        # Short clips are only for extractors that take the frames that there are, as generated ones are.
        reading = measuring.set_reading(sample)
        sources = {
            role: VideoInput(sample.reference, reading, measuring.reads_short(given, [role]))
            for role in roles
        }
        inputs = tuple(dict.fromkeys(sources.values()))
        wanted = tuple(
            Wanted(
                role,
                extractors[role].session_key,
                key,
                (inputs.index(sources[role]),),
                measuring.cut(role, given),
            )
            for role, key in keys.items()
        )
        yield ExtractItem(sample.source, inputs, wanted)


def reference_content(
    sample: Sample, measuring: Measuring, files: FileDigests
) -> tuple[str, FailureInfo | None]:
    """The content digest of a reference clip; of one that cannot be read, a stand-in and the reason."""
    ref = sample.reference
    assert ref is not None
    try:
        content = clip_digest(ref, files)
    except OSError as error:
        message = (
            f"no reference video {ref.path.name}: {error.strerror}\n"
            "  -> copy it again, or correct the annotation that names it"
        )
    except VideoError as error:
        message = str(error)
    else:
        if ref.fps is not None and is_folder(ref):  # the choice of frames depends on it
            content = digest({"frames": content, "fps": ref.fps})
        return measuring.reference_content(sample, content), None
    missing: dict[str, Any] = {"missing reference": str(ref.path)}
    if ref.first_frame is not None or ref.last_frame is not None:
        missing["frames"] = [ref.first_frame, ref.last_frame]
    return digest(missing), FailureInfo(type="VideoError", message=message)


def pair_content(
    method: PlannedMethod, sample: Sample, measuring: Measuring, files: FileDigests
) -> tuple[str, FailureInfo | None]:
    """As `reference_content`, of the frames that a method's clips are compared with one by one."""
    content, error = reference_content(sample, measuring, files)
    choice = _source_frames(method)
    if choice is not None and error is None:
        content = digest({"reference": content, "source frames": dict(choice)})
    return content, error


def _pair_input(method: PlannedMethod, sample: Sample, measuring: Measuring) -> Input:
    choice = _source_frames(method)
    if choice is None:
        return _reference_input(sample, measuring)
    assert sample.reference is not None
    return SourceInput(sample.reference, choice)


def _source_frames(method: PlannedMethod) -> tuple[tuple[str, Any], ...] | None:
    """Which frames of the reference a method's clips stand beside; None where the protocol says it."""
    choice = method.plugin.source_frames()
    return None if choice is None else tuple(sorted(choice.items()))


def prompt_items(datasets: Sequence[PlannedDataset], measuring: Measuring) -> Iterator[ExtractItem]:
    """The distinct prompts of data sets."""
    roles = measuring.prompt_roles()
    prompts = sorted({sample.prompt for dataset in datasets for sample in dataset.samples})
    for prompt in prompts if roles else ():
        content = measuring.prompt_content(prompt)
        wanted = tuple(
            Wanted(role, measuring.extractors[role].session_key, measuring.extractors[role].key(content))
            for role in roles
        )
        yield ExtractItem(prompt[:60], (prompt,), wanted)


def extract_shards(
    label: str, items: Iterable[ExtractItem], measuring: Measuring, store: Store, shard_size: int
) -> list[ExtractShard]:
    """Shards of the items that lack features in the store."""
    held, specs = {name: store.features.keys(name) for name in measuring.extractors}, measuring.specs
    missing = [rest for item in items if (rest := item.without(held)) is not None]
    shards = []
    for start in range(0, len(missing), shard_size):
        chunk = tuple(missing[start : start + shard_size])
        used = sorted({(want.extractor, want.session_key) for item in chunk for want in item.wanted})
        shards.append(ExtractShard(label, chunk, tuple(specs[session_key] for _, session_key in used)))
    return shards


def _wanted(
    measuring: Measuring,
    role: str,
    key: str,
    inputs: tuple[int, ...],
    sample: Sample,
    fps: float | None = None,
) -> Wanted:
    cut = measuring.cut(role, sample.num_context_frames, fps)
    return Wanted(role, measuring.extractors[role].session_key, key, inputs, cut)


def _reference_input(sample: Sample, measuring: Measuring) -> VideoInput:
    assert sample.reference is not None
    return VideoInput(
        sample.reference,
        measuring.reference_reading(sample),
        may_be_short=measuring.reads_short(sample.num_context_frames, measuring.pair_roles()),
    )
