import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from time import perf_counter

import pytest
from structlog.testing import capture_logs

from tests.unit.runtime.parts import (
    Bought,
    Buy,
    Log,
    Product,
    Restock,
    Stock,
    Stocked,
    command_bus,
    filled,
    stream,
    write_side,
)
from twofold import Rejected, Settings
from twofold.aggregate import AggregateType
from twofold.errors import CommandTimeoutError
from twofold.messages import Metadata, RawEvent
from twofold.ports import Commit, Outcome
from twofold.runtime.command_bus import CommandBus
from twofold.runtime.lanes import Accepted, Lane, Wish
from twofold.streams import StreamId

MUG = stream("mug")
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def lane_with(commands: int) -> Lane:
    kind = AggregateType.of(Product)
    lane = Lane(kind, MUG)
    lane.state, lane.version = Product(stock=1_000, buyers=[]), 1
    handler = write_side.command_type(Buy).handler
    for number in range(commands):
        command, until = Buy(sku="mug", buyer=str(number)), perf_counter() + 30.0
        wish = Wish(command, handler, Metadata(), b"{}", None, None, asyncio.Future(), until, 30.0)
        lane.waiting.append(wish)
    return lane


def decided(lane: Lane, limit: int = 256) -> int:
    return len(lane.decide(write_side.codec, NOON, 0, lambda: "id", limit))


async def test_each_race_lost_in_a_row_halves_the_next_run_and_a_race_won_frees_it() -> None:
    lane = lane_with(1_000)
    sizes: list[int] = []
    for _ in range(10):
        lane.state, lane.version = Product(stock=1_000, buyers=[]), 1
        sizes.append(decided(lane))
        lane.lost()
    assert sizes == [256, 128, 64, 32, 16, 8, 4, 2, 1, 1]
    lane.state = Product(stock=1_000, buyers=[])
    assert decided(lane) == 1
    lane.won()
    assert decided(lane) == 256


async def test_where_nobody_else_writes_no_state_is_copied() -> None:
    lane = lane_with(10)
    decided(lane, 1)
    assert lane.base is None


async def test_after_a_lost_race_the_last_durable_state_is_kept_beside_for_a_long_while() -> None:
    lane = lane_with(1_000)
    lane.lost()
    for _ in range(100):
        lane.state, lane.version = Product(stock=1_000, buyers=["ann"]), 7
        decided(lane, 4)
        assert lane.base == (Product(stock=1_000, buyers=["ann"]), 7), "what the run has decided is not in it"
        lane.won()
    decided(lane, 4)
    assert lane.base is None


class Contested(Log):
    """Another process takes a unit before every append, for a while."""

    races = 0

    async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        if self.races:
            self.races -= 1
            await filled(self, Bought(sku="mug", buyer="another process"))
        return await super().append(commits)


async def test_after_lost_races_only_new_events_are_read() -> None:
    log = Contested()
    await filled(log, Stocked(sku="mug", units=1_000), *[Bought(sku="mug", buyer="ann")] * 50)
    bus = command_bus(log)
    await bus.send(Buy(sku="mug"))
    log.stream_reads.clear()
    log.races = 5
    done = await bus.send(Buy(sku="mug"))
    assert done.version == 58
    assert log.stream_reads == [[(MUG, 0)], [(MUG, 53)], [(MUG, 54)], [(MUG, 55)], [(MUG, 56)]]
    log.stream_reads.clear()
    log.races = 1
    await bus.send(Buy(sku="mug"))
    assert log.stream_reads == [[(MUG, 58)]], "also the first race that is lost after others were won"


async def test_a_state_kept_beside_is_right_whatever_was_refused_on_top_of_it() -> None:
    log = Contested()
    await filled(log, Stocked(sku="mug", units=10))
    bus = command_bus(log)
    log.races = 2
    await bus.send(Buy(sku="mug"), command_id="one")
    log.races = 3
    outcomes = await asyncio.gather(
        *(bus.send(Buy(sku="mug", buyer=str(number))) for number in range(9)), return_exceptions=True
    )
    assert sum(isinstance(each, Accepted) for each in outcomes) == 4
    assert sum(isinstance(each, Rejected) for each in outcomes) == 5
    assert (await bus.send(Buy(sku="mug"), command_id="one")).replayed
    with pytest.raises(Rejected):
        await bus.send(Buy(sku="mug"))
    await bus.send(Restock(sku="mug"))
    await bus.send(Buy(sku="mug"))
    fresh = command_bus(log)
    with pytest.raises(Rejected):
        await fresh.send(Buy(sku="mug"))


class Distant(Log):
    """An append takes its time, as on a network, so that races are real."""

    async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        await asyncio.sleep(0.0005)
        return await super().append(commits)

    async def read_streams(self, wanted: Sequence[tuple[StreamId, int]], limit: int) -> Sequence[Sequence[RawEvent]]:
        await asyncio.sleep(0.0005)
        return await super().read_streams(wanted, limit)


@pytest.mark.parametrize("services", [2, 3])
async def test_command_services_that_fight_for_one_stream_sell_what_there_is_and_show_no_conflict(
    services: int,
) -> None:
    log, stock, buyers = Distant(), 1_500, 1_000
    buses = [command_bus(log) for _ in range(services)]
    await buses[0].send(Stock(sku="mug", units=stock))

    async def buy(bus: CommandBus, number: int) -> bool:
        try:
            await bus.send(Buy(sku="mug", buyer=str(number)), command_id=f"{id(bus)} {number}")
        except Rejected:
            return False
        return True

    with capture_logs() as logs:
        sold = await asyncio.gather(*(buy(bus, number) for number in range(buyers) for bus in buses))
    assert sum(sold) == min(stock, services * buyers)
    assert len(await log.events()) == 1 + sum(sold)
    assert logs == []


async def test_a_steady_fight_for_one_stream_is_fair_enough_for_every_command() -> None:
    """Commands that come one after another at both services: none is starved by the other service's."""
    log = Distant()
    buses = [command_bus(log, Settings(command_attempts=50)) for _ in range(2)]
    await buses[0].send(Stock(sku="mug", units=100_000))

    async def client(bus: CommandBus) -> None:
        for _ in range(20):
            await bus.send(Buy(sku="mug"))

    await asyncio.wait_for(asyncio.gather(*(client(bus) for bus in buses for _ in range(16))), 60)
    assert len(await log.events()) == 1 + 2 * 16 * 20


async def test_a_command_that_has_waited_too_long_is_given_up_and_the_others_are_decided() -> None:
    lane = lane_with(2)
    late, other = lane.waiting
    late.until -= 60.0
    assert len(lane.decide(write_side.codec, NOON, 0, lambda: "id", 10)) == 1
    with pytest.raises(CommandTimeoutError, match=r"not decided within 30\.0 seconds; nothing was done"):
        late.future.result()
    assert not other.future.done()
