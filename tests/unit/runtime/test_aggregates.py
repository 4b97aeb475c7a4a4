import pytest
from structlog.testing import capture_logs

from tests.unit.runtime.parts import (
    Bought,
    Buy,
    Log,
    Look,
    Product,
    Stock,
    Stocked,
    command_bus,
    filled,
    stream,
)
from twofold import Aggregate, Application, Settings, apply
from twofold.aggregate import AggregateType
from twofold.errors import StoreUnavailableError
from twofold.ports import Snapshot
from twofold.runtime import aggregates
from twofold.runtime.aggregates import Aggregates


class Kept(Product, key="sku", name="product", snapshot_every=3): ...


kept = Application("kept", [Kept])
KIND = AggregateType.of(Kept)
MUG = stream("mug")


def cache(log: Log, size: int = 10, app: Application = kept) -> Aggregates:
    return Aggregates(log, log, app.codec, cache_size=size)


# --- the cache -------------------------------------------------------------------------------------------------------


async def test_a_live_aggregate_is_loaded_once() -> None:
    log = Log()
    bus = command_bus(log)
    await bus.send(Stock(sku="mug", units=10))
    for _ in range(5):
        await bus.send(Buy(sku="mug"))
    assert log.stream_reads == [[(MUG, 0)]]


async def test_the_least_recently_used_aggregates_are_forgotten() -> None:
    log = Log()
    bus = command_bus(log, Settings(aggregate_cache_size=3))
    for number in range(10):
        await bus.send(Stock(sku=str(number), units=1))
    log.stream_reads.clear()
    for number in (9, 8, 7):
        await bus.send(Look(sku=str(number)))
    assert not log.stream_reads, "the last three are alive"
    await bus.send(Look(sku="0"))
    await bus.send(Look(sku="8"))
    await bus.send(Look(sku="9"))
    assert log.stream_reads == [[(stream("0"), 0)], [(stream("9"), 0)]], "9 had to make room for 0"


async def test_an_aggregate_with_work_is_never_forgotten() -> None:
    log = Log()
    live = cache(log, size=1)
    busy = live.lane(KIND, stream("busy"))
    busy.busy = True
    waiting = live.lane(KIND, stream("waiting"))
    waiting.waiting.append(object())  # pyright: ignore[reportArgumentType] - only that something waits matters
    for number in range(20):
        live.lane(KIND, stream(str(number)))
    assert live.lane(KIND, stream("busy")) is busy
    assert live.lane(KIND, stream("waiting")) is waiting


async def test_a_cache_of_many_idle_aggregates_stays_at_its_size() -> None:
    live = cache(Log(), size=5)
    lanes = [live.lane(KIND, stream(str(number))) for number in range(100)]
    assert [live.lane(KIND, stream(str(number))) is lanes[number] for number in range(95, 100)] == [True] * 5
    assert live.lane(KIND, stream("0")) is not lanes[0]


# --- loading ---------------------------------------------------------------------------------------------------------


async def test_many_aggregates_are_loaded_in_one_read() -> None:
    log = Log()
    live = cache(log)
    await filled(log, *(Stocked(sku=str(number), units=number) for number in range(5)))
    lanes = [live.lane(KIND, stream(str(number))) for number in range(5)]
    await live.load(lanes)
    assert len(log.stream_reads) == 1
    assert [(lane.version, lane.state) for lane in lanes] == [(1, Kept(stock=number)) for number in range(5)]


async def test_a_long_stream_is_loaded_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregates, "_LOAD_PAGE", 3)
    log = Log()
    live = cache(log)
    await filled(log, Stocked(sku="mug", units=10), *(Bought(sku="mug", buyer=str(number)) for number in range(6)))
    await filled(log, Stocked(sku="bag", units=2))
    mug, bag = live.lane(KIND, MUG), live.lane(KIND, stream("bag"))
    await live.load([mug, bag])
    assert log.stream_reads == [[(MUG, 0), (stream("bag"), 0)], [(MUG, 3)], [(MUG, 6)]]
    assert mug.state == Kept(stock=4, buyers=[str(number) for number in range(6)])
    assert (mug.version, bag.version) == (7, 1)


# --- snapshots -------------------------------------------------------------------------------------------------------


async def test_a_snapshot_is_stored_every_so_many_events_and_shortens_the_next_load() -> None:
    log = Log()
    bus = command_bus(log, application=kept)
    await bus.send(Stock(sku="mug", units=10))
    for _ in range(4):
        await bus.send(Buy(sku="mug"))
    await bus.drain()
    snapshot = (await log.load_snapshots([MUG]))[MUG]
    assert (snapshot.version, snapshot.fingerprint) == (3, KIND.fingerprint)

    log.stream_reads.clear()
    assert (await command_bus(log, application=kept).send(Buy(sku="mug"))).version == 6
    assert log.stream_reads == [[(MUG, 3)]]


async def test_a_state_from_a_snapshot_is_the_state_from_all_events() -> None:
    log = Log()
    await filled(log, Stocked(sku="mug", units=10), *(Bought(sku="mug", buyer=str(number)) for number in range(6)))
    live = cache(log)
    lane = live.lane(KIND, MUG)
    await live.load([lane])
    await live.save_snapshots(live.snapshots_of([lane]))
    await filled(log, Bought(sku="mug", buyer="late"))
    again = cache(log).lane(KIND, MUG)
    await cache(log).load([again])
    assert again.state == Kept(stock=3, buyers=["0", "1", "2", "3", "4", "5", "late"])
    assert (again.version, again.snapshot_version) == (8, 7)


@pytest.mark.parametrize(
    "snapshot",
    [
        Snapshot(1, "of other code", b'{"stock": 1000}'),
        Snapshot(1, KIND.fingerprint, b'{"stock": "many"}'),
        Snapshot(1, KIND.fingerprint, b"{"),
        Snapshot(1, KIND.fingerprint, b"\xff"),
    ],
    ids=["other code", "other types", "no JSON", "no text"],
)
async def test_a_snapshot_that_is_not_of_this_code_or_damaged_is_not_trusted(snapshot: Snapshot) -> None:
    log = Log()
    await filled(log, Stocked(sku="mug", units=2))
    await log.save_snapshots({MUG: snapshot})
    live = cache(log)
    lane = live.lane(KIND, MUG)
    with capture_logs():
        await live.load([lane])
    assert (lane.state, lane.version) == (Kept(stock=2), 1)


async def test_other_appliers_make_other_snapshots() -> None:
    class Doubling(Aggregate, key="sku", name="product", snapshot_every=1):
        stock: int = 0
        buyers: list[str] = []

        @apply
        def stocked(self, event: Stocked) -> None:
            self.stock += 2 * event.units

    log = Log()
    await filled(log, Stocked(sku="mug", units=2))
    live = cache(log)
    lane = live.lane(KIND, MUG)
    await live.load([lane])
    await live.save_snapshots(live.snapshots_of([lane]))
    doubling = AggregateType.of(Doubling)
    fresh = cache(log, app=Application("doubling", [Doubling]))
    changed = fresh.lane(doubling, MUG)
    await fresh.load([changed])
    assert changed.state == Doubling(stock=4)


async def test_a_snapshot_that_cannot_be_saved_is_logged_and_costs_nothing_else() -> None:
    log = Log()
    live = cache(log)
    await filled(log, Stocked(sku="mug", units=2))
    lane = live.lane(KIND, MUG)
    await live.load([lane])
    log.faults.append(StoreUnavailableError("event log", "the disk is full"))
    with capture_logs() as logs:
        await live.save_snapshots(live.snapshots_of([lane]))
    assert [(each["event"], each["streams"]) for each in logs] == [("snapshot-failed", ["product-mug"])]


async def test_an_aggregate_without_a_policy_has_no_snapshots() -> None:
    log = Log()
    bus = command_bus(log)
    await bus.send(Stock(sku="mug", units=100))
    for _ in range(20):
        await bus.send(Buy(sku="mug"))
    await bus.drain()
    assert not await log.load_snapshots([MUG])
