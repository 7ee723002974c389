"""Prefect's order of events, with a short wait for events that were lost with a server.

An event that follows another one (a run's *Failed* its *Running*) is held back from the automations until
that one has been seen. What a server has seen dies with it, so after a restart in the middle of a run the
alert on its end came 15 minutes late. Here it comes after half a minute.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from prefect.server.events.ordering import memory
from prefect.server.events.schemas.events import ReceivedEvent

LOOKBACK = timedelta(seconds=30)
"""How long an event waits for the one that it follows. Of one server they are seconds apart at most."""


class CausalOrdering(memory.CausalOrdering):
    """What `PREFECT_SERVER_EVENTS_CAUSAL_ORDERING` asks a module for."""

    async def wait_for_leader(self, event: ReceivedEvent) -> None:
        """Let an event pass once it has waited long enough."""
        if datetime.now(UTC) - event.received < LOOKBACK:
            await super().wait_for_leader(event)

    async def get_lost_followers(self) -> list[ReceivedEvent]:
        """Events that have waited long enough, in order; they wait no more."""
        async with self._lock:
            ids = [id for id, since in self._waitlist.items() if datetime.now(UTC) - since >= LOOKBACK]
        lost = await self.followers_by_id(ids)
        for event in lost:
            await self.forget_follower(event)
        return lost
