"""Two systems by a set metric: on the samples that both have, from the features in the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...core.contracts import SetMetric
from ...core.errors import MetricError
from ...core.paired import PairedComparison
from ...core.types import Features
from ..scoring.metric_calls import set_comparison
from ..scoring.set_scores import stack
from .measured import FeatureKeys

Load = Callable[[str, Iterable[str]], Mapping[str, Features]]
"""The features of keys that are there, by the role of their extractor."""


@dataclass(frozen=True)
class SharedSets:
    """The features of two systems on the same samples.

    Attributes:
        samples: [N] ids, sorted: the order of a sum moves its last digits.
        sources: [N] their source videos.
        seeds: those of which both systems have every sample.
        a, b: for each seed, [N, D].
        reference: [M, D].
        reference_sources: [M].
    """

    samples: tuple[str, ...]
    sources: tuple[str, ...]
    seeds: tuple[int | None, ...]
    a: Sequence[np.ndarray]
    b: Sequence[np.ndarray]
    reference: np.ndarray
    reference_sources: tuple[str, ...]

    def compare(self, metric: SetMetric) -> PairedComparison | None:
        """By the metric's own paired test; None where it has none.

        Raises:
            MetricError: by the metric.
        """
        return set_comparison(metric, self.a, self.b, self.reference, self.sources, self.reference_sources)


def shared_sets(
    metric: SetMetric,
    ours: FeatureKeys,
    theirs: FeatureKeys,
    references: FeatureKeys,
    source_of: Mapping[str, str],
    load: Load,
) -> SharedSets:
    """The samples that two systems share under every seed that both have.

    Args:
        ours, theirs, references: keys of the features that the metric reads.
        source_of: the source video of each sample.

    Raises:
        MetricError: they share too few for the metric.
    """
    (role,) = metric.needs
    seeds = sorted({seed for _, seed in ours} & {seed for _, seed in theirs}, key=str)
    found = load(role, {*references.values(), *ours.values(), *theirs.values()})
    shared = sorted(
        name
        for name in {sample for sample, _ in ours}
        if seeds and all(keys.get((name, seed)) in found for keys in (ours, theirs) for seed in seeds)
    )
    held = sorted((name for (name, _), key in references.items() if key in found))
    if len(shared) < metric.min_n or len(held) < metric.min_n:
        raise MetricError(
            f"{len(shared)} clips have features on both sides, and {len(held)} references: "
            f"{metric.label} needs {metric.min_n}"
        )

    def side(keys: FeatureKeys) -> list[np.ndarray]:
        return [stack([found[keys[name, seed]] for name in shared]) for seed in seeds]

    return SharedSets(
        samples=tuple(shared),
        sources=tuple(source_of[name] for name in shared),
        seeds=tuple(seeds),
        a=side(ours),
        b=side(theirs),
        reference=stack([found[references[name, None]] for name in held]),
        reference_sources=tuple(source_of[name] for name in held),
    )
