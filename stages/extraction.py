"""The engine of the extract stage: each clip is read once, every backbone runs once on it.

On a CPU, threads take whole items: while one decodes, another is in a forward pass (both leave Python's
lock), so two cores give the larger of the two times, not their sum. Each forward pass runs on one thread
and sees one clip, so features are the same bits whatever the number of threads, the order and the
neighbours. On a GPU, threads read ahead and the passes run in batches from one thread.

Only the clips in progress are held in memory.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from ..core.errors import MetricError, TooShortError
from ..core.records import FailureInfo
from ..core.types import Features, Frames
from .inputs import PREDICTED_HINT, Content, Cut, Input, read_inputs
from .work import PluginSpec, WorkerContext

GPU_BATCH_ITEMS = 16
"""Items whose clips go through a GPU together."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class ExtractorSpec:
    """What a worker builds an extractor from."""

    plugin: PluginSpec
    session_key: str
    """Identity of the configured extractor with its weights."""

    @property
    def name(self) -> str:
        """As the metrics name it."""
        return self.plugin.name


@dataclass(frozen=True)
class Wanted:
    """A feature that is missing.

    Attributes:
        extractor: the name under which it is stored.
        session_key: of the `ExtractorSpec` that makes it.
        key: its feature key.
        inputs: which of the item's inputs it is made from: one, or two for a pair.
        cut: which frames of each.
    """

    extractor: str
    session_key: str
    key: str
    inputs: tuple[int, ...] = (0,)
    cut: Cut = field(default_factory=Cut)


@dataclass(frozen=True)
class ExtractItem:
    """Inputs that are read together, and the features that are missing of them."""

    name: str
    inputs: tuple[Input, ...]
    wanted: tuple[Wanted, ...]

    def without(self, held: Mapping[str, set[str]]) -> ExtractItem | None:
        """The item without the features that are there already (keys by extractor); None when nothing is
        left."""
        wanted = tuple(want for want in self.wanted if want.key not in held.get(want.extractor, ()))
        if not wanted:
            return None
        used = sorted({index for want in wanted for index in want.inputs})
        place = {index: position for position, index in enumerate(used)}
        return ExtractItem(
            self.name,
            tuple(self.inputs[index] for index in used),
            tuple(
                Wanted(
                    want.extractor,
                    want.session_key,
                    want.key,
                    tuple(place[i] for i in want.inputs),
                    want.cut,
                )
                for want in wanted
            ),
        )


@dataclass(frozen=True)
class Extracted:
    """The outcome of an item.

    Attributes:
        features: (extractor, feature key) -> values.
        failures: feature key -> why it could not be made.
    """

    item: ExtractItem
    features: Mapping[tuple[str, str], Features]
    failures: Mapping[str, FailureInfo]


def extract(
    items: Iterable[ExtractItem], specs: Sequence[ExtractorSpec], context: WorkerContext
) -> Iterator[Extracted]:
    """Read the items and make their features, in order.

    Failures (a file that cannot be read, weights that cannot be loaded, features that are not finite)
    concern their own features only and are returned, never raised.

    Args:
        specs: of all the extractors that the items want.
        context: store, device, number of threads, and the models that are loaded already.
    """
    sessions = {spec.session_key: _load(spec, context) for spec in specs}
    if context.device == "cpu":
        with _one_torch_thread():
            yield from _ahead(
                lambda item: _finish([(item, read_inputs(item.inputs, context.store))], sessions)[0],
                items,
                context.num_threads,
            )
        return
    reading = _ahead(
        lambda item: (item, read_inputs(item.inputs, context.store)), items, max(2, context.num_threads)
    )
    for group in _batched(reading, GPU_BATCH_ITEMS):
        yield from _finish(group, sessions)


def _load(spec: ExtractorSpec, context: WorkerContext) -> Any:
    """The session, or the error that kept it from loading: all its features then fail with it."""
    try:
        return context.extractor_session(spec.session_key, lambda: spec.plugin.load(context.device))
    except Exception as error:
        return error


def _finish(
    group: Sequence[tuple[ExtractItem, Sequence[Content | Exception]]], sessions: Mapping[str, Any]
) -> list[Extracted]:
    """The features of items that have been read, each session called once."""
    features: list[dict[tuple[str, str], Features]] = [{} for _ in group]
    failures: list[dict[str, FailureInfo]] = [{} for _ in group]
    due: dict[str, list[tuple[int, Wanted, Any]]] = {}
    for index, (item, contents) in enumerate(group):
        for want in item.wanted:
            try:
                argument = _argument(want, contents)
            except Exception as error:
                failures[index][want.key] = FailureInfo.of(_with_least(error, want, sessions))
            else:
                due.setdefault(want.session_key, []).append((index, want, argument))
    for session_key, calls in due.items():
        results = _call(sessions[session_key], [argument for _, _, argument in calls])
        for (index, want, _), result in zip(calls, results, strict=True):
            if isinstance(result, Exception):
                failures[index][want.key] = FailureInfo.of(result)
            elif not np.isfinite(result).all():
                failures[index][want.key] = FailureInfo.of(
                    MetricError(
                        f"the {want.extractor} features hold NaN or infinite values",
                        "usually half precision or damaged weights",
                    )
                )
            else:
                features[index][want.extractor, want.key] = result
    return [Extracted(item, features[i], failures[i]) for i, (item, _) in enumerate(group)]


def _with_least(error: Exception, want: Wanted, sessions: Mapping[str, Any]) -> Exception:
    """Where a clip is too short, what else is to know: the protocol for predicted clips, and how many
    frames the extractor needs under any protocol."""
    if not isinstance(error, TooShortError | MetricError):
        return error
    hints = [error.hint]
    if want.cut.skip and isinstance(error, TooShortError):
        hints.append(PREDICTED_HINT)
    if (least := getattr(sessions[want.session_key], "min_frames", 1)) > 1:
        hints.append(f"{want.extractor} needs at least {least} frames under any protocol")
    return type(error)(error.message, "; ".join(filter(None, hints)))


def _argument(want: Wanted, contents: Sequence[Content | Exception]) -> Any:
    """What the extractor is called with."""
    chosen = [contents[index] for index in want.inputs]
    for content in chosen:
        if isinstance(content, Exception):
            raise content
    if isinstance(chosen[0], str):
        return chosen[0]
    frames: list[Frames] = [want.cut.of(content) for content in chosen if isinstance(content, np.ndarray)]
    if len(frames) == 1:
        return frames[0]
    # Clips of a pair that may be short are compared on the frames that both have.
    both = min(map(len, frames)) if want.cut.may_be_short else None
    return tuple(clip[:both] for clip in frames)


def _call(session: Any, arguments: list[Any]) -> list[Features | Exception]:
    """The features of each argument; where one fails, the others are made alone."""
    if isinstance(session, Exception):
        return [session] * len(arguments)
    try:
        found = list(session.extract(arguments))
        if len(found) != len(arguments):
            raise MetricError(f"the extractor gave {len(found)} features for {len(arguments)} inputs")
        for features in found:
            if np.asarray(features).dtype.kind not in "fiu":
                raise MetricError(f"the extractor gave {features!r:.80}, which are no numbers")
        return found
    except Exception as error:
        if len(arguments) == 1:
            return [error]
    return [result for argument in arguments for result in _call(session, [argument])]


def _ahead(function: Callable[[T], R], items: Iterable[T], num_threads: int) -> Iterator[R]:
    """`map` on threads, in order, with at most two items a thread under way."""
    if num_threads == 1:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="extract")
    under_way: deque[Future[R]] = deque()
    try:
        for item in items:
            under_way.append(pool.submit(function, item))
            if len(under_way) >= 2 * num_threads:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


@contextlib.contextmanager
def _one_torch_thread() -> Iterator[None]:
    """torch on one thread for the whole process. Sessions see to that for their own passes; among
    threads, one that puts the old number back would otherwise change its neighbour's pass."""
    if "torch" not in sys.modules:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
