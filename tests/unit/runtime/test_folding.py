from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.runtime.parts import Store, leased
from twofold import Application, Event, Metadata, ReadModel, Recorded, on
from twofold.codec import encode_json
from twofold.errors import FencedError, UnfoldableEventError
from twofold.messages import RawEvent
from twofold.ports import Find, Share
from twofold.runtime.folding import Folder
from twofold.streams import START, Position


@dataclass(frozen=True)
class Line:
    sku: str
    amount: Decimal


class Ordered(Event):
    order_id: str
    country: str = ""
    month: int = 0
    lines: list[Line] = []


class Cancelled(Event):
    order_id: str


class Odd(Event):
    order_id: str
    how: str


class Status(Enum):
    OPEN = "open"
    PAID = "paid"


class Order(ReadModel, key="order_id"):
    order_id: str
    times: int = 0
    status: Status = Status.OPEN
    lines: list[Line] = []
    note: Any = None

    @on(Ordered)
    def ordered(self, event: Ordered) -> None:
        self.times += 1
        self.lines.extend(event.lines)

    @on(Cancelled)
    def cancelled(self, event: Cancelled) -> None:
        self.delete()

    @on(Odd)
    def odd(self, event: Odd) -> None:
        match event.how:
            case "raise":
                self.times += 1_000
                raise ZeroDivisionError("a bug")
            case "enum":
                self.status = "open"  # pyright: ignore[reportAttributeAccessIssue]
            case "json":
                self.note = object()
            case "range":
                self.times = 2**70
            case _:
                self.order_id = event.how


class Products(ReadModel, key="sku"):
    sku: str
    total: Decimal = Decimal(0)
    orders: int = 0

    @on(Ordered, key=lambda event: [line.sku for line in event.lines])
    def ordered(self, event: Ordered, sku: str) -> None:
        self.orders += 1
        self.total += sum((line.amount for line in event.lines if line.sku == sku), Decimal(0))


class Monthly(ReadModel, key=("country", "month")):
    country: str
    month: int
    seen: list[str] = []
    last: datetime | None = None

    @on(Ordered)
    def ordered(self, recorded: Recorded[Ordered], key: tuple[str, int]) -> None:
        self.seen.append(f"{key} {recorded.stream} v{recorded.version} #{recorded.position} {recorded.metadata.actor}")
        self.last = recorded.recorded_at


app = Application("orders", [Order, Products, Monthly])
MUG, BAG = Line("mug", Decimal("2.50")), Line("bag", Decimal("1.25"))


def page(*events: Event, after: int = 0) -> list[RawEvent]:
    stored: list[RawEvent] = []
    for position, event in enumerate(events, start=after + 1):
        new, _ = app.codec.encode(event)
        metadata = encode_json(Metadata(actor="ann"))
        stored.append(RawEvent(Position(position), "order-1", position, *new, metadata, position))
    return stored


class Worker:
    """Folds pages into some partitions of a read model: all of them, unless told which."""

    def __init__(self, folder: Folder, shares: Sequence[Share]) -> None:
        self.folder, self.shares = folder, shares
        self.position = self.stored_position

    @property
    def stored_position(self) -> Position:
        return min(share.position for share in self.shares)

    async def fold(self, page: Sequence[RawEvent], *, save_always: bool = False) -> None:
        self.shares = await self.folder.fold(page, self.shares, save_always=save_always)
        self.position = page[-1].position

    async def save_position(self) -> None:
        self.shares = await self.folder.save_position(self.shares, self.position)


async def worker(name: str, store: Store | None = None, partitions: Sequence[int] | None = None) -> Worker:
    model, store = app.read_models[name], store or Store()
    shares = await leased(store, model.table)
    mine = [share for share in shares if partitions is None or share.partition in partitions]
    return Worker(Folder(model, model.table, app.codec, store), mine)


async def rows(name: str, store: Store, *keys: Any) -> list[ReadModel | None]:
    model = app.read_models[name]
    found = await store.get(model.table, [model.as_key(key) for key in keys])
    return [model.from_row(found[model.as_key(key)]) if model.as_key(key) in found else None for key in keys]


async def test_a_page_becomes_one_save_of_rows_and_checkpoint() -> None:
    store = Store()
    order = await worker("Order", store)
    await order.fold(page(Ordered(order_id="1"), Ordered(order_id="2"), Ordered(order_id="1")))
    assert await rows("Order", store, "1", "2") == [Order(order_id="1", times=2), Order(order_id="2", times=1)]
    (saved,) = store.folds
    assert ([share.position for share in saved.shares], saved.through, len(saved.rows)) == ([0], 3, 2)
    assert (await store.checkpoints())["Order"].position == order.position == order.stored_position == 3


async def test_rows_go_on_from_what_is_stored() -> None:
    store = Store()
    for number in range(3):
        order = await worker("Order", store)
        assert order.position == number
        await order.fold(page(Ordered(order_id="1", lines=[MUG]), after=number))
    assert await rows("Order", store, "1") == [Order(order_id="1", times=3, lines=[MUG] * 3)]


async def test_an_event_touches_each_of_its_keys_once() -> None:
    store = Store()
    products = await worker("Products", store)
    await products.fold(page(Ordered(order_id="1", lines=[MUG, BAG, MUG])))
    assert await rows("Products", store, "mug", "bag") == [
        Products(sku="mug", total=Decimal("5.00"), orders=1),
        Products(sku="bag", total=Decimal("1.25"), orders=1),
    ]


async def test_a_handler_is_given_the_recorded_event_and_the_key() -> None:
    store = Store()
    monthly = await worker("Monthly", store)
    await monthly.fold(page(Ordered(order_id="1", country="EIRE", month=5)))
    (row,) = await rows("Monthly", store, ("EIRE", 5))
    assert isinstance(row, Monthly)
    assert row.seen == ["('EIRE', 5) order-1 v1 #1 ann"]
    assert str(row.last) == "1970-01-01 00:00:00.000001+00:00"


async def test_a_row_may_be_deleted_and_come_again_in_one_page() -> None:
    store = Store()
    order = await worker("Order", store)
    one, gone = Ordered(order_id="1"), Cancelled(order_id="1")
    await order.fold(page(one, one, gone, one))
    assert await rows("Order", store, "1") == [Order(order_id="1", times=1)]
    await order.fold(page(one, gone, after=4))
    assert await rows("Order", store, "1") == [None]
    await order.fold(page(gone, one, after=6))
    assert await rows("Order", store, "1") == [Order(order_id="1", times=1)]


async def test_a_page_that_touches_nothing_is_not_saved_until_it_is_wanted() -> None:
    store = Store()
    products = await worker("Products", store)
    await products.fold(page(Ordered(order_id="1"), Cancelled(order_id="1")))
    assert (products.position, products.stored_position, store.folds) == (2, 0, [])
    await products.save_position()
    assert (await store.checkpoints())["Products"].position == 2
    await products.fold(page(Ordered(order_id="2"), after=2), save_always=True)
    assert products.stored_position == 3


async def test_rows_after_pages_without_rows_are_saved_from_the_stored_position_on() -> None:
    store = Store()
    products = await worker("Products", store)
    await products.fold(page(Ordered(order_id="1")))
    await products.fold(page(Ordered(order_id="2", lines=[MUG]), after=1))
    assert [(fold.shares[0].position, fold.through) for fold in store.folds] == [(0, 2)]


@pytest.mark.parametrize("how", ["raise", "enum", "json", "range"])
async def test_an_event_that_cannot_be_folded_saves_nothing_of_its_page(how: str) -> None:
    """It raises, or it makes a value that no store can keep: the page is all or none, and the event is named."""
    store = Store()
    order = await worker("Order", store)
    await order.fold(page(Ordered(order_id="1")))
    wrong = page(Ordered(order_id="1"), Odd(order_id="1", how=how), Ordered(order_id="1"), after=1)
    with pytest.raises(UnfoldableEventError) as failure:
        await order.fold(wrong)
    assert (failure.value.read_model, failure.value.position, failure.value.event) == ("Order", 3, "Odd")
    assert await rows("Order", store, "1") == [Order(order_id="1", times=1)]
    assert (order.position, order.stored_position) == (1, 1)
    assert (await store.checkpoints())["Order"].position == 1


async def test_a_handler_that_gives_its_row_another_key_is_stopped() -> None:
    """Saved as it is, it would overwrite the row of the other key."""
    store = Store()
    order = await worker("Order", store)
    await order.fold(page(Ordered(order_id="2")))
    with pytest.raises(UnfoldableEventError, match="order_id"):
        await order.fold(page(Odd(order_id="1", how="2"), after=1))
    assert await rows("Order", store, "2") == [Order(order_id="2", times=1)]


@pytest.mark.parametrize(
    "wrong",
    [
        RawEvent(Position(2), "order-1", 2, "Ordered", 1, b"{", b"{}", 0),
        RawEvent(Position(2), "order-1", 2, "Ordered", 1, b'{"order_id": 3}', b"{}", 0),
        RawEvent(Position(2), "order-1", 2, "Ordered", 2, b'{"order_id": "1"}', b"{}", 0),
        RawEvent(Position(2), "order-1", 2, "Ordered", 1, b'{"order_id": "\xff"}', b"{}", 0),
    ],
    ids=["no JSON", "other type", "newer version", "no text"],
)
async def test_an_event_that_cannot_be_read_is_named(wrong: RawEvent) -> None:
    order = await worker("Order")
    with pytest.raises(UnfoldableEventError) as failure:
        await order.fold([*page(Ordered(order_id="1")), wrong])
    assert failure.value.position == 2
    assert order.position == 0


async def test_an_event_that_the_read_model_does_not_take_need_not_be_known() -> None:
    order = await worker("Order")
    foreign = RawEvent(Position(1), "other-1", 1, "Unheard", 9, b"not even JSON", b"{}", 0)
    await order.fold([foreign])
    assert order.position == 1


async def test_keys_that_cannot_be_found_name_the_event() -> None:
    class Wrong(ReadModel, key=("a", "b")):
        a: str
        b: str

        @on(Ordered, key=lambda event: ["only one"])
        def ordered(self, event: Ordered) -> None: ...

    model = Application("wrong", [Wrong]).read_models["Wrong"]
    store = Store()
    wrong = Folder(model, model.table, app.codec, store)
    shares = await leased(store, model.table)
    with pytest.raises(UnfoldableEventError) as failure:
        await wrong.fold(page(Ordered(order_id="1")), shares, save_always=False)
    assert failure.value.position == 1


async def test_the_worker_of_an_earlier_epoch_is_fenced_off() -> None:
    store = Store()
    first = await worker("Order", store)
    await first.fold(page(Ordered(order_id="1")))
    second = await worker("Order", store)
    with pytest.raises(FencedError):
        await first.fold(page(Ordered(order_id="1"), after=1))
    await second.fold(page(Ordered(order_id="1"), after=1))
    assert await rows("Order", store, "1") == [Order(order_id="1", times=2)]


async def test_a_save_that_fails_can_be_folded_again() -> None:
    store = Store()
    order = await worker("Order", store)
    store.faults.append(OSError(28, "No space left on device"))
    events = page(Ordered(order_id="1"))
    with pytest.raises(OSError, match="No space left"):
        await order.fold(events)
    await order.fold(events)
    assert await rows("Order", store, "1") == [Order(order_id="1", times=1)]


class Spread(ReadModel, key="sku", partitions=8):
    sku: str
    orders: int = 0

    @on(Ordered, key=lambda event: {line.sku for line in event.lines})
    def ordered(self, event: Ordered, sku: str) -> None:
        if sku == "cursed":
            raise ZeroDivisionError("a bug")
        self.orders += 1


spread = Application("spread", [Spread])
TABLE = spread.read_models["Spread"].table


async def spread_worker(store: Store, partitions: Sequence[int]) -> Worker:
    shares = [share for share in await leased(store, TABLE) if share.partition in partitions]
    return Worker(Folder(spread.read_models["Spread"], TABLE, app.codec, store), shares)


def an_order_of(*skus: str) -> Ordered:
    return Ordered(order_id="1", lines=[Line(sku, Decimal(1)) for sku in skus])


async def test_only_rows_of_the_held_partitions_are_folded_and_only_their_checkpoints_move() -> None:
    store, skus = Store(), [str(number) for number in range(40)]
    mine = {sku for sku in skus if TABLE.partition_of((sku,)) in (2, 5)}
    some = await spread_worker(store, (2, 5))
    await some.fold(page(an_order_of(*skus), an_order_of(*skus)))
    found = {row[0]: row[1] for row in await store.find(TABLE, Find({}))}
    assert found == dict.fromkeys(mine, 2)
    assert (await store.checkpoints())["Spread"].positions == (0, 0, 2, 0, 0, 2, 0, 0)


async def test_an_event_that_a_handler_cannot_take_is_none_of_the_business_of_who_folds_other_partitions() -> None:
    store, cursed = Store(), TABLE.partition_of(("cursed",))
    others = await spread_worker(store, [each for each in range(8) if each != cursed])
    await others.fold(page(an_order_of("mug", "bag", "cursed")), save_always=True)
    with pytest.raises(UnfoldableEventError):
        await (await spread_worker(store, [cursed])).fold(page(an_order_of("mug", "bag", "cursed")))


EVENTS = st.lists(
    st.builds(
        Ordered,
        order_id=st.sampled_from("123"),
        country=st.sampled_from(["EIRE", "France"]),
        month=st.integers(1, 2),
        lines=st.lists(st.sampled_from([MUG, BAG]), max_size=3),
    )
    | st.builds(Cancelled, order_id=st.sampled_from("123")),
    max_size=30,
)


def cut(events: Sequence[RawEvent], cuts: Sequence[int]) -> Iterator[Sequence[RawEvent]]:
    start = 0
    for size in cuts:
        if start < len(events):
            yield events[start : start + size]
            start += size
    if start < len(events):
        yield events[start:]


@pytest.mark.parametrize("name", ["Order", "Products", "Monthly"])
@given(events=EVENTS, cuts=st.lists(st.integers(1, 7), max_size=10))
async def test_however_the_log_is_cut_into_pages_the_rows_are_the_same(
    name: str, events: list[Event], cuts: list[int]
) -> None:
    whole, pages = Store(), Store()
    log = page(*events)
    one, other = await worker(name, whole), await worker(name, pages)
    if log:
        await one.fold(log)
    for each in cut(log, cuts):
        await other.fold(each)
    assert await all_rows(name, whole) == await all_rows(name, pages)
    assert one.position == other.position == (Position(len(log)) if log else START)


async def all_rows(name: str, store: Store) -> Any:
    return await store.find(app.read_models[name].table, Find({}))
