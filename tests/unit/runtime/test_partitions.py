"""Several systems on one read store, as if each were a process of its own."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from tests.unit.runtime.parts import (
    Bought,
    Buy,
    Log,
    Product,
    ReadModels,
    Seen,
    Stock,
    Stocked,
    Store,
    eventually,
    filled,
    leased,
    running_on,
    until,
)
from twofold import Application, NotYetConsistentError, Query, ReadModel, Settings, View, answer, on
from twofold.errors import CheckpointAheadError, StoreUnavailableError
from twofold.messages import RawEvent
from twofold.ports import Checkpoint, Find, Fold, Leased, Share
from twofold.runtime.lifecycle import System
from twofold.runtime.progress import Progress
from twofold.runtime.projector import Projector
from twofold.settings import Role
from twofold.stores.memory.event_log import MemoryEventLog
from twofold.stores.memory.read_store import MemoryReadStore
from twofold.streams import Position
from twofold.tables import Key, Row, Table
from twofold.testing import TestClock

BUYERS = [f"buyer {number}" for number in range(40)]


class Spread(ReadModel, key="buyer", partitions=8):
    buyer: str
    units: int = 0

    @on(Bought)
    def bought(self, event: Bought) -> None:
        if event.buyer == "cursed":
            raise ZeroDivisionError("by zero")
        self.units += 1


class Bags(ReadModel, key="sku", partitions=2):
    sku: str
    units: int = 0

    @on(Bought)
    def bought(self, event: Bought) -> None:
        self.units += 1


class SpreadUnits(Query[dict[str, int]]): ...


@answer
async def spread_units(query: SpreadUnits, spread: View[Spread]) -> dict[str, int]:
    return {row.buyer: row.units for row in await spread.find()}


shop = Application("shop", [Product, Spread, Bags, spread_units])
SPREAD = shop.read_models["Spread"]


def shares_of(*systems: System, name: str = "Spread") -> list[int]:
    """How many partitions each of them folds."""
    return [len(system.projectors[name].shares) for system in systems]


async def bought(log: MemoryEventLog, *buyers: str) -> None:
    await filled(log, *(Bought(sku="mug", buyer=buyer) for buyer in buyers))


async def stands_at(store: MemoryReadStore, position: int) -> None:
    async def is_there() -> bool:
        found = (await store.checkpoints()).get("Spread")
        return found is not None and found.position >= position

    await eventually(is_there)


async def units(store: MemoryReadStore) -> Counter[str]:
    return Counter({row[0]: row[1] for row in await store.find(SPREAD.table, Find({}))})


async def test_projectors_share_what_there_is_and_a_query_service_reads_it_all() -> None:
    log, store = Log(), Store()
    async with AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(
                running_on(log, store, application=shop, role=Role.PROJECTOR, holder=f"p{number}")
            )
            for number in range(3)
        ]
        queries = await stack.enter_async_context(running_on(log, store, application=shop, role=Role.QUERY))
        await until(lambda: sum(shares_of(*workers)) == 8 and 0 not in shares_of(*workers))
        await bought(log, *BUYERS, *BUYERS)
        assert await queries.ask(SpreadUnits(), after=80) == dict.fromkeys(BUYERS, 2)
        assert {share.partition for worker in workers for share in worker.projectors["Spread"].shares} == set(range(8))
        loads = [sum(shares_of(worker, name=name)[0] for name in ("Spread", "Bags")) for worker in workers]
        assert max(loads) - min(loads) <= 1
        holders = (await store.checkpoints())["Spread"].holders
        assert set(holders) == {"p0", "p1", "p2"}


async def test_one_that_comes_gets_its_part_and_one_that_goes_leaves_it_at_once() -> None:
    log, store = Log(), Store()
    async with running_on(log, store, application=shop, holder="first") as first:
        assert sum(len(each.shares) for each in first.projectors.values()) == 0, "none before the first page"
        await until(lambda: shares_of(first) == [8])
        await bought(log, *BUYERS)
        async with running_on(log, store, application=shop, holder="second") as second:
            await until(lambda: shares_of(first)[0] < 8 and sum(shares_of(first, second)) == 8)
            await bought(log, *BUYERS)
            await first.settle()
            await second.settle()
        assert set((await store.checkpoints())["Spread"].holders) <= {"first", ""}
        await until(lambda: shares_of(first) == [8])
        await bought(log, *BUYERS)
        await first.settle()
    assert await units(store) == Counter(dict.fromkeys(BUYERS, 3))


# --- a worker that stands still --------------------------------------------------------------------------------------


class Seat:
    """What one process sees of a store that others work on too: while `frozen` its calls do not get through."""

    def __init__(self, store: MemoryReadStore) -> None:
        self.store = store
        self.held_up = 0
        self._going = asyncio.Event()
        self._going.set()

    def freeze(self) -> None:
        self._going.clear()

    def thaw(self) -> None:
        self._going.set()

    async def _through(self) -> None:
        self.held_up += 1
        await self._going.wait()
        self.held_up -= 1

    async def open(self, table: Table, *, restart: bool = False) -> Checkpoint:
        return await self.store.open(table, restart=restart)

    async def load(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Row]:
        return await self.store.load(table, keys)

    async def save(self, fold: Fold) -> Sequence[Share]:
        await self._through()
        return await self.store.save(fold)

    async def lease(self, holder: str, wanted: Mapping[str, str], lease_s: float) -> Mapping[str, Leased]:
        await self._through()
        return await self.store.lease(holder, wanted, lease_s)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


class Unfenced(Seat):
    """Writes whatever it is given, whoever has taken over."""

    async def save(self, fold: Fold) -> Sequence[Share]:
        await self._through()
        stored = (await self.store.checkpoints())[fold.table.read_model]
        seized: dict[int, Share] = {}
        for held in self.store._held[fold.table.read_model].shares:  # pyright: ignore[reportPrivateUsage]
            seized[held.partition] = held
        now = [seized[share.partition] for share in fold.shares]
        through = Position(max(fold.through, *stored.positions))
        await self.store.save(fold._replace(shares=now, through=through))
        return [share._replace(position=fold.through) for share in fold.shares]


async def frozen_again_and_again(seat: Seat, rounds: int) -> Counter[str]:
    log, store = Log(), seat.store
    async with (
        running_on(log, cast("ReadModels", seat), application=shop, role=Role.PROJECTOR, holder="frozen") as frozen,
        running_on(log, store, application=shop, role=Role.PROJECTOR, holder="other") as other,
    ):
        for number in range(rounds):
            await until(lambda: sum(shares_of(frozen, other)) == 8 and 0 not in shares_of(frozen, other))
            seat.freeze()
            await bought(log, *BUYERS)
            await until(lambda: seat.held_up)
            await store.release("frozen")  # its leases run out
            await until(lambda: shares_of(other) == [8])
            await bought(log, *BUYERS)
            await stands_at(store, len(BUYERS) * 2 * (number + 1))
            seat.thaw()
        await bought(log, *BUYERS)
        await stands_at(store, len(BUYERS) * (2 * rounds + 1))
    return await units(store)


async def test_a_worker_that_stood_still_for_longer_than_its_lease_applies_nothing_twice() -> None:
    assert await frozen_again_and_again(Seat(MemoryReadStore()), 20) == Counter(dict.fromkeys(BUYERS, 41))


async def test_without_the_fence_the_same_is_found_out() -> None:
    with capture_logs():
        try:
            found = await frozen_again_and_again(Unfenced(MemoryReadStore()), 20)
        except TimeoutError:
            return
    assert found != Counter(dict.fromkeys(BUYERS, 41))


# --- what operators do -----------------------------------------------------------------------------------------------


async def test_a_read_model_that_was_dropped_is_folded_again_from_the_start() -> None:
    log, store = Log(), Store()
    async with running_on(log, store, application=shop) as system:
        await bought(log, *BUYERS)
        await system.settle()
        await store.drop("Spread")
        await stands_at(store, 40)
        await bought(log, *BUYERS)
        await stands_at(store, 80)
        assert await system.ask(SpreadUnits(), after=80) == dict.fromkeys(BUYERS, 2)


async def test_a_pause_holds_in_every_process_until_it_is_resumed_in_any() -> None:
    log, store = Log(), Store()
    async with (
        running_on(log, store, application=shop, holder="one") as one,
        running_on(log, store, application=shop, holder="two") as two,
    ):
        await until(lambda: sum(shares_of(one, two)) == 8 and 0 not in shares_of(one, two))
        await one.pause("Spread")
        assert one.progress["Spread"].state == "paused"
        await until(lambda: two.progress["Spread"].state == "paused")
        await bought(log, *BUYERS)
        with pytest.raises(NotYetConsistentError):
            await two.ask(SpreadUnits(), after=1, wait_s=0.05)
        assert (await store.checkpoints())["Spread"].positions == (0,) * 8
        await two.resume("Spread")
        assert await one.ask(SpreadUnits(), after=40) == dict.fromkeys(BUYERS, 1)


# --- stores that fail ------------------------------------------------------------------------------------------------


class Offline(Store):
    """Can't be asked for leases while `offline`."""

    offline = False

    async def lease(self, holder: str, wanted: Mapping[str, str], lease_s: float) -> Mapping[str, Leased]:
        if self.offline:
            raise StoreUnavailableError("read store", "the server is down")
        return await super().lease(holder, wanted, lease_s)


async def test_while_leases_cannot_be_renewed_the_projectors_go_on_with_what_they_hold() -> None:
    log, store = Log(), Offline()
    with capture_logs() as logs:
        async with running_on(log, store, application=shop) as system:
            store.offline = True
            await until(lambda: logs)
            await bought(log, *BUYERS)
            await system.settle()
            store.offline = False
            await bought(log, *BUYERS)
            await system.settle()
    assert {each["event"] for each in logs} == {"leases-not-renewed"}


async def test_a_failure_is_told_to_all_and_so_is_its_end() -> None:
    log, store, clock = Log(), Store(), TestClock()
    cursed = [SPREAD.table.partition_of(("cursed",))]
    with capture_logs():
        async with (
            running_on(log, store, application=shop, role=Role.PROJECTOR, holder="one", clock=clock) as one,
            running_on(log, store, application=shop, role=Role.PROJECTOR, holder="two", clock=clock) as two,
            running_on(log, store, application=shop, role=Role.QUERY) as queries,
        ):
            await until(lambda: sum(shares_of(one, two)) == 8 and 0 not in shares_of(one, two))
            await bought(log, "ann", "cursed", "ann")
            await until(lambda: queries.progress["Spread"].state == "failed")
            assert (
                "Bought at position 2 can't be folded: ZeroDivisionError: by zero" in queries.progress["Spread"].error
            )
            await until(lambda: {one.progress["Spread"].state, two.progress["Spread"].state} == {"failed"})
            positions = (await store.checkpoints())["Spread"].positions
            assert positions[cursed[0]] == 1
            (holder,) = [each for each in (one, two) if each.projectors["Spread"].error]
            held = {share.partition for share in holder.projectors["Spread"].shares}
            others = {position for at, position in enumerate(positions) if at not in held}
            assert others <= {3}, "what other workers hold goes on"
            await mended(store, cursed[0])
            await until(lambda: clock.advance(1) or queries.progress["Spread"].state == "running")
            await until(
                lambda: clock.advance(1) or {one.progress["Spread"].state, two.progress["Spread"].state} == {"running"}
            )


async def mended(store: MemoryReadStore, partition: int) -> None:
    """Step over the event by hand, as no worker ever would."""
    shares = [share for share in await leased(store, SPREAD.table) if share.partition == partition]
    await store.save(Fold(SPREAD.table, shares, Position(2), [], []))
    await store.release(next(iter(set((await store.checkpoints())["Spread"].holders))))


# --- what queries see ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 63, 64, 65, 128])
async def test_events_that_touch_no_row_are_seen_elsewhere_all_the_same(count: int) -> None:
    """Whatever the size of the last page is, the head is stored when it is reached."""
    log, store = Log(), Store()
    await filled(log, *[Stocked(sku="mug", units=1)] * count)
    async with (
        running_on(log, store, application=shop, role=Role.PROJECTOR, holder="one"),
        running_on(log, store, application=shop, role=Role.QUERY) as queries,
    ):
        assert await queries.ask(SpreadUnits(), after=count) == {}


async def test_partitions_that_come_to_the_head_by_joining_others_are_stored_there() -> None:
    log, store = Log(), Store()
    await filled(log, *[Stocked(sku="mug", units=1)] * 10)
    shares = await leased(store, SPREAD.table)
    await store.save(Fold(SPREAD.table, shares[:3], Position(10), [], []))
    await store.save(Fold(SPREAD.table, shares[3:6], Position(4), [], []))
    await store.release((await store.checkpoints())["Spread"].holders[0])
    async with running_on(log, store, application=shop, role=Role.PROJECTOR):
        await stands_at(store, 10)
    assert (await store.checkpoints())["Spread"].positions == (10,) * 8


async def test_a_command_in_one_process_is_read_in_another() -> None:
    log, store = Log(), Store()
    async with (
        running_on(log, store, application=shop, role=Role.COMMAND, holder="commands") as commands,
        running_on(log, store, application=shop, role=Role.PROJECTOR, holder="one"),
        running_on(log, store, application=shop, role=Role.PROJECTOR, holder="two"),
        running_on(log, store, application=shop, role=Role.QUERY, holder="queries") as queries,
    ):
        await commands.send(Stock(sku="mug", units=1_000))
        for number in range(50):
            done = await commands.send(Buy(sku="mug", buyer=BUYERS[number % 7]))
            answered = await queries.answer(SpreadUnits(), after=done.position)
            assert sum(answered.value.values()) == number + 1
            assert answered.position >= done.position


# --- taking up -------------------------------------------------------------------------------------------------------


class SlowToRead(Log):
    """Reads wait while `shut`."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.reading = 0

    async def read(self, after: Position, limit: int) -> Sequence[RawEvent]:
        self.reading += 1
        await self.open.wait()
        return await super().read(after, limit)


async def test_shares_granted_while_a_page_is_read_are_taken_up_without_resting() -> None:
    """Else a dead worker's share would wait for the next event or the next poll."""
    log, store = SlowToRead(), MemoryReadStore()
    progress = Progress(SPREAD.table)
    projector = Projector(
        shop,
        SPREAD,
        log,
        store,
        TestClock(),
        Seen(),
        Settings(poll_s=60),
        progress=progress,
        eager=True,
        on_news=lambda: None,
    )
    shares = await leased(store, SPREAD.table)
    checkpoint = (await store.checkpoints())["Spread"]
    projector.hold(Leased(checkpoint, shares[:4]))
    running = asyncio.create_task(projector.run())
    await until(lambda: log.reading)
    projector.hold(Leased(checkpoint, shares))
    log.open.set()
    await until(lambda: len(projector.shares) == 8, 1)
    projector.finish()
    await asyncio.wait_for(running, 1)


async def test_a_worker_that_is_told_to_finish_while_it_reads_does_not_rest_first() -> None:
    log, store = SlowToRead(), Store()
    projector = Projector(
        shop,
        SPREAD,
        log,
        store,
        TestClock(),
        Seen(),
        Settings(poll_s=60),
        progress=Progress(SPREAD.table),
        eager=True,
        on_news=lambda: None,
    )
    projector.hold(Leased(await store.open(SPREAD.table), await leased(store, SPREAD.table)))
    running = asyncio.create_task(projector.run())
    await until(lambda: log.reading)
    projector.finish()
    log.open.set()
    await asyncio.wait_for(running, 1)


class Busy(Store):
    """Another process appends and folds while this one looks."""

    def __init__(self, log: MemoryEventLog) -> None:
        super().__init__()
        self.log = log

    async def open(self, table: Table, *, restart: bool = False) -> Checkpoint:
        await MemoryReadStore.open(self, table)
        await filled(self.log, Stocked(sku="mug", units=1))
        shares = await self.seize("another process", table.read_model, 60, force=True)
        await MemoryReadStore.save(self, Fold(table, shares, await self.log.head(), [], []))
        return await MemoryReadStore.open(self, table)


async def test_a_read_store_that_moves_on_during_the_start_is_not_taken_for_another_history() -> None:
    log = Log()
    async with running_on(log, Busy(log), application=shop, role=Role.PROJECTOR):
        pass


async def test_a_partition_beyond_the_log_is_another_history() -> None:
    log, store = Log(), Store()
    shares = await leased(store, SPREAD.table)
    await store.save(Fold(SPREAD.table, shares[5:6], Position(9), [], []))
    with pytest.raises(CheckpointAheadError, match="Spread has folded up to position 9, the event log ends at 0"):
        async with running_on(log, store, application=shop, role=Role.PROJECTOR):
            pass
