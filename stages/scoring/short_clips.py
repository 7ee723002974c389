"""Which values were made on clips of fewer frames than the protocol measures."""

from __future__ import annotations

from collections import Counter

from ..measuring import Measuring
from .observations import Observation


class ShortClips:
    """Counts clips by metric, system, data set and seed: all that were measured, and the short ones of
    them."""

    def __init__(self, measuring: Measuring) -> None:
        self._measuring = measuring
        self._all: Counter[tuple[str, str | None, str, int | None]] = Counter()
        self._short: Counter[tuple[str, str | None, str, int | None]] = Counter()

    def count(self, item: Observation) -> None:
        """Count a generated clip, whose features are there."""
        for metric in self._measuring.metrics:
            values = item.values(metric.needs)
            if values is None:
                continue
            short = any(self._measuring.is_short(role, features) for role, features in values.items())
            for seed in (item.clip.seed, None):
                place = (metric.name, item.clip.method, item.clip.dataset, seed)
                self._all[place] += 1
                self._short[place] += short

    def note(self, metric: str, system: str, dataset: str, seed: int | None) -> str:
        """What to say beside a value, of all seeds where `seed` is None; empty where no clip was short."""
        place = (metric, system, dataset, seed)
        if not self._short[place]:
            return ""
        wanted = self._measuring.protocol.sampling.num_frames
        return (
            f"{self._short[place]} of {self._all[place]} clips have fewer than {wanted} frames beside their "
            "reference: measured on those there are"
        )
