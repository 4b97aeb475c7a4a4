import asyncio
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal

import msgspec
import pytest

from examples.bank import Deposit
from tests.unit.operations.conftest import open_accounts
from twofold.errors import UnknownStreamError
from twofold.messages import RawEvent
from twofold.operations.events import count_by_type, event_line, events_after, events_of
from twofold.streams import Position, StreamId
from twofold.testing import RunningSystem

A_FEW_SECONDS = 5.0


async def positions(pages: AsyncIterator[Sequence[RawEvent]]) -> list[int]:
    return [stored.position async for page in pages for stored in page]


async def test_events_come_in_order_from_behind_a_position_to_the_head(system: RunningSystem) -> None:
    await open_accounts(system, 5)
    assert await positions(events_after(system.log)) == [1, 2, 3, 4, 5]
    assert await positions(events_after(system.log, 3)) == [4, 5]
    assert await positions(events_after(system.log, 5)) == []


@pytest.mark.parametrize("limit", [0, 1, 3, 9])
async def test_a_limit_bounds_the_events(system: RunningSystem, limit: int) -> None:
    await open_accounts(system, 5)
    assert await positions(events_after(system.log, limit=limit)) == [1, 2, 3, 4, 5][:limit]


async def test_following_waits_at_the_head_for_more(system: RunningSystem) -> None:
    await open_accounts(system, 1)
    pages = events_after(system.log, follow=True)
    assert (await anext(pages))[0].position == 1
    waiting = asyncio.ensure_future(anext(pages))
    await system.send(Deposit(account_id="a1", amount=Decimal(1)))
    assert [stored.position for stored in await asyncio.wait_for(waiting, A_FEW_SECONDS)] == [2]


async def test_a_stream_shows_its_own_events_alone(system: RunningSystem) -> None:
    await open_accounts(system, 2)
    await system.send(Deposit(account_id="a1", amount=Decimal(1)))
    pages = [page async for page in events_of(system.log, StreamId("account", "a1"))]
    assert [(stored.version, stored.type) for page in pages for stored in page] == [
        (1, "AccountOpened"),
        (2, "Deposited"),
    ]


async def test_a_stream_without_events_is_unknown(system: RunningSystem) -> None:
    with pytest.raises(UnknownStreamError, match="account-nobody"):
        await anext(events_of(system.log, StreamId("account", "nobody")))


async def test_events_are_counted_by_type_the_most_frequent_first(system: RunningSystem) -> None:
    await open_accounts(system, 1)
    for _ in range(2):
        await system.send(Deposit(account_id="a1", amount=Decimal(1)))
    seen: list[int] = []
    assert list((await count_by_type(system.log, seen.append)).items()) == [("Deposited", 2), ("AccountOpened", 1)]
    assert seen == [3]


def test_an_event_line_has_the_stored_json_untouched_and_microseconds_always() -> None:
    stored = RawEvent(Position(7), "account-a1", 2, "Deposited", 1, b'{"amount":1.50}', b'{"actor":"ann"}', 0)
    assert msgspec.json.encode(event_line(stored)) == (
        b'{"position":7,"stream":"account-a1","version":2,"type":"Deposited",'
        b'"recorded_at":"1970-01-01T00:00:00.000000+00:00","data":{"amount":1.50},"metadata":{"actor":"ann"}}'
    )
