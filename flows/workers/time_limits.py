"""How long a shard may take, by what was measured of its kind; a longer one hangs, most likely.

A limit only has to tell a hang from work, so it is generous. What counts as measured are shards of the same
kind and model in this run, and until there is one, the mean of earlier runs that the store remembers.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...core.run_file import LimitsEntry
from ...core.store import Store
from ...core.waiting import seconds_text
from ...stages.work import Shard

FACTOR = 10.0
"""So many times the slowest item seen, for each item of a shard."""

LEAST_S = 300.0
"""No shard has less, however fast others were: disks of a network stall for minutes."""

UNKNOWN_ITEM_S = 3600.0
"""For each item, before anything was measured."""


@dataclass(frozen=True)
class TimeLimit:
    """The seconds that a shard has, and where they come from, for a message."""

    seconds: float
    reason: str


class TimeLimits:
    """The limits of a run's shards.

    Args:
        settings: the run file's: `shard` in place of what is measured, `load` besides.
        store: remembers the timings of earlier runs.
    """

    def __init__(self, settings: LimitsEntry, store: Store) -> None:
        self._settings, self._store = settings, store
        self._slowest: dict[tuple[str, str], float] = {}

    def of(self, shard: Shard, loads: bool) -> TimeLimit:
        """The limit of a shard.

        Args:
            loads: its worker has to load the model first.
        """
        load_s = self._settings.load if loads else 0.0
        loading = f", {seconds_text(load_s)} of it to load the model" if loads else ""
        if self._settings.shard is not None:
            return TimeLimit(self._settings.shard + load_s, f"by `limits: shard` in the run file{loading}")
        item_s, reason = self._item(shard)
        seconds = max(LEAST_S, item_s * shard.size) + load_s
        return TimeLimit(seconds, f"{reason}{loading}; `limits: shard` in the run file sets another limit")

    def _item(self, shard: Shard) -> tuple[float, str]:
        slowest = self._slowest.get(_kind(shard))
        if slowest is not None:
            return FACTOR * slowest, f"others of its kind took at most {seconds_text(slowest)} for each item"
        timing = None if shard.timing_key is None else self._store.timing(shard.timing_key)
        if timing is not None and timing["count"]:
            mean = timing["seconds"] / timing["count"]
            return FACTOR * mean, f"earlier runs took {seconds_text(mean)} for each item"
        return UNKNOWN_ITEM_S, "nothing of its kind was measured before"

    def measured(self, shard: Shard, seconds: float) -> None:
        """Take note of a shard that has ended by itself."""
        kind = _kind(shard)
        self._slowest[kind] = max(self._slowest.get(kind, 0.0), seconds / max(1, shard.size))


def _kind(shard: Shard) -> tuple[str, str]:
    return type(shard).__name__, shard.model
