import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from tests.unit.runtime.parts import Bought, Log, Stocked, app, filled, stream
from twofold.errors import CorruptStoreError
from twofold.messages import RawEvent
from twofold.ports import Commit
from twofold.runtime.subscription import Subscription
from twofold.streams import START, Position


async def log_of(count: int, buyer: str = "ann") -> Log:
    log = Log()
    events = tuple(app.codec.encode(Bought(sku="mug", buyer=buyer))[0] for _ in range(count))
    await log.append([Commit(stream("mug"), 0, events, b"{}", 0)])
    return log


def subscribed(log: Log, after: int = 0, page_size: int = 1_000) -> Subscription:
    return Subscription(log, Position(after), page_size=page_size, poll_s=10)


async def read_all(subscription: Subscription) -> list[Sequence[RawEvent]]:
    pages: list[Sequence[RawEvent]] = []
    while page := await subscription.next_page():
        pages.append(page)
        subscription.moved_to(page[-1].position)
    return pages


async def test_each_event_comes_once_and_in_order() -> None:
    pages = await read_all(subscribed(await log_of(3_000)))
    assert [each.position for page in pages for each in page] == list(range(1, 3_001))


async def test_it_reads_on_from_where_it_stands() -> None:
    log = await log_of(100)
    assert [each.position for each in await subscribed(log, after=90).next_page()] == list(range(91, 101))
    assert not await subscribed(log, after=100).next_page()


async def test_a_page_that_is_not_done_with_comes_again() -> None:
    subscription = subscribed(await log_of(10))
    first = await subscription.next_page()
    assert await subscription.next_page() == first


async def test_pages_grow_while_there_is_much_to_read_up_to_the_setting() -> None:
    pages = await read_all(subscribed(await log_of(3_000), page_size=500))
    assert [len(page) for page in pages][:5] == [64, 128, 256, 500, 500]


async def test_pages_of_large_events_stay_small() -> None:
    log = await log_of(300, buyer="x" * 100_000)
    pages = await read_all(subscribed(log))
    sizes = [sum(len(each.data) for each in page) for page in pages]
    assert sum(len(page) for page in pages) == 300
    assert max(sizes) < 10_000_000
    assert len(pages[1]) == 32


async def test_a_page_never_falls_below_one_event() -> None:
    pages = await read_all(subscribed(await log_of(5, buyer="x" * 5_000_000), page_size=2))
    assert [len(page) for page in pages] == [2, 1, 1, 1]


@pytest.mark.parametrize("lost", [0, 4, 9])
async def test_a_gap_in_the_log_is_an_error_and_never_skipped(lost: int) -> None:
    class Gap(Log):
        async def read(self, after: Position, limit: int) -> Sequence[RawEvent]:
            page = list(await super().read(after, limit))
            return [
                *page[:lost],
                *(msgspec.structs.replace(each, position=Position(each.position + 1)) for each in page[lost:]),
            ]

    log = Gap()
    await filled(log, Stocked(sku="mug", units=1), *(Bought(sku="mug", buyer="ann") for _ in range(9)))
    with pytest.raises(CorruptStoreError, match=r"after position 0 came 10 events from . to 11; .*twofold doctor"):
        await subscribed(log).next_page()


async def test_it_sleeps_until_there_is_something_new() -> None:
    log = Log()
    subscription = subscribed(log)
    sleeping = asyncio.create_task(subscription.wait())
    await asyncio.sleep(0)
    assert not sleeping.done()
    await filled(log, Stocked(sku="mug", units=1))
    await asyncio.wait_for(sleeping, 5)
    assert len(await subscription.next_page()) == 1
    await asyncio.wait_for(subscription.wait(), 5)


async def test_it_looks_again_after_a_while_without_being_woken() -> None:
    subscription = Subscription(Log(), START, page_size=10, poll_s=0.01)
    await asyncio.wait_for(subscription.wait(), 5)
