"""Which values were made on clips of fewer frames than the protocol measures."""

from __future__ import annotations

from collections import Counter

from ...core.contracts import Metric
from ..measuring import Measuring
from .observations import Observation


class ShortClips:
    """Counts clips by metric, system, data set and seed: all that were measured, and the short ones of
    them."""

    def __init__(self, measuring: Measuring) -> None:
        self._measuring = measuring
        self._all: Counter[tuple[str, str | None, str, int | None]] = Counter()
        self._short: Counter[tuple[str, str | None, str, int | None]] = Counter()
        self._all_references: Counter[tuple[str, str]] = Counter()
        self._short_references: Counter[tuple[str, str]] = Counter()

    def count(self, item: Observation) -> None:
        """Count a generated clip, whose features are there."""
        for metric in self._measuring.metrics:
            short = self._is_short(metric, item)
            if short is None:
                continue
            for seed in (item.clip.seed, None):
                place = (metric.name, item.clip.method, item.clip.dataset, seed)
                self._all[place] += 1
                self._short[place] += short

    def count_reference(self, item: Observation) -> None:
        """Count a reference clip, as set metrics read it."""
        for metric in self._measuring.set_metrics:
            short = self._is_short(metric, item)
            if short is not None:
                self._all_references[metric.name, item.clip.dataset] += 1
                self._short_references[metric.name, item.clip.dataset] += short

    def _is_short(self, metric: Metric, item: Observation) -> bool | None:
        """None where the metric's features are not there."""
        values = item.values(metric.needs)
        if values is None:
            return None
        return any(self._measuring.is_short(role, features) for role, features in values.items())

    def note(self, metric: str, system: str, dataset: str, seed: int | None) -> str:
        """What to say beside a value, of all seeds where `seed` is None; empty where no clip was short."""
        wanted = self._measuring.protocol.sampling.num_frames
        place, real = (metric, system, dataset, seed), (metric, dataset)
        parts = []
        if self._short[place]:
            clips = f"{self._short[place]} of {self._all[place]} clips"
            parts.append(f"{clips} have fewer than {wanted} frames beside their reference")
        if self._short_references[real]:
            clips = f"{self._short_references[real]} of {self._all_references[real]} reference clips"
            parts.append(f"{clips} have fewer than {wanted} frames")
        return f"{', '.join(parts)}: measured on those there are" if parts else ""
