"""After a restart of Prefect's server its automations still hear how a run ended, and soon."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from prefect.server.events.ordering import EventArrivedEarly
from prefect.server.events.schemas.events import ReceivedEvent, Resource

from reelbench.flows.servers.event_order import LOOKBACK, CausalOrdering


async def handle(ordering: CausalOrdering, event: ReceivedEvent) -> bool:
    """Whether the automations get the event now."""

    async def handler(event: ReceivedEvent, depth: int = 0) -> None:
        pass

    try:
        async with ordering.preceding_event_confirmed(handler, event):
            return True
    except EventArrivedEarly:
        return False


def failed(received: datetime, follows: uuid.UUID) -> ReceivedEvent:
    resource = Resource({"prefect.resource.id": "prefect.flow-run.x"})
    return ReceivedEvent(
        id=uuid.uuid4(),
        occurred=received,
        event="prefect.flow-run.Failed",
        resource=resource,
        follows=follows,
        received=received,
    )


@pytest.mark.parametrize("waited", [timedelta(0), LOOKBACK])
def test_an_event_waits_for_what_it_follows_half_a_minute_at_most(waited: timedelta) -> None:
    ordering = CausalOrdering(scope=f"waited {waited}")
    event = failed(datetime.now(UTC) - waited, follows=uuid.uuid4())
    assert asyncio.run(handle(ordering, event)) is (waited == LOOKBACK)


def test_those_that_have_waited_are_given_back_once() -> None:
    ordering = CausalOrdering(scope="given back")
    now = datetime.now(UTC)
    late, early = failed(now - LOOKBACK, uuid.uuid4()), failed(now, uuid.uuid4())

    async def lost() -> list[list[ReceivedEvent]]:
        for event in (early, late):
            await ordering.record_follower(event)
        return [await ordering.get_lost_followers() for _ in range(2)]

    assert asyncio.run(lost()) == [[late], []]
