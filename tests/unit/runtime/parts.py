"""A small domain, and stores with one fault each, for the tests of the runtime.

The stores are the real ones in memory: they do what they always do, but later, or not at all, when a test says so.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Protocol

from twofold import (
    Aggregate,
    Application,
    Command,
    Context,
    Event,
    Query,
    ReadModel,
    Rejected,
    View,
    answer,
    apply,
    handle,
    on,
)
from twofold.errors import TwofoldError
from twofold.messages import RawEvent
from twofold.ports import (
    Clock,
    Commit,
    Duplicate,
    Fold,
    Leases,
    NewRecord,
    Outcome,
    ReadStore,
    RowReader,
    Share,
    Snapshot,
)
from twofold.runtime.aggregates import Aggregates
from twofold.runtime.command_bus import CommandBus
from twofold.runtime.lifecycle import Stores, System
from twofold.settings import Role, Settings
from twofold.stores.memory.event_log import MemoryEventLog
from twofold.stores.memory.read_store import MemoryReadStore
from twofold.streams import START, Position, StreamId
from twofold.tables import Key, Row, Table
from twofold.testing import TestClock


class ReadModels(ReadStore, Leases, RowReader, Protocol):
    """A store that does all that can be done with read models."""


# --- the domain ------------------------------------------------------------------------------------------------------


class Stock(Command):
    sku: str
    units: int = 1


class Restock(Command):
    sku: str
    units: int = 1


class Buy(Command):
    sku: str
    buyer: str = "ann"


class BuyTwo(Command):
    sku: str
    buyer: str = "ann"


class Look(Command):
    sku: str


class Break(Command):
    """`how` is what the handler does wrong."""

    sku: str
    how: str = "raise"


class Stocked(Event):
    sku: str
    units: int


class Bought(Event):
    sku: str
    buyer: str
    price: Decimal = Decimal(1)
    at: str = ""


class Broken(Event):
    sku: str
    how: str
    price: Decimal = Decimal(0)


class Product(Aggregate, key="sku"):
    stock: int = 0
    buyers: list[str] = []

    @handle(creates=True)
    def add(self, command: Stock) -> Stocked:
        return Stocked(sku=command.sku, units=command.units)

    @handle
    def restock(self, command: Restock) -> Stocked:
        return Stocked(sku=command.sku, units=command.units)

    @handle
    def buy(self, command: Buy, context: Context) -> Bought:
        if self.stock < 1:
            raise Rejected(f"{command.sku} is sold out", code="sold-out")
        return Bought(sku=command.sku, buyer=command.buyer, at=context.now.isoformat())

    @handle
    def buy_two(self, command: BuyTwo) -> list[Bought]:
        if self.stock < 2:
            raise Rejected(f"{command.sku} is sold out", code="sold-out")
        return [Bought(sku=command.sku, buyer=command.buyer), Bought(sku=command.sku, buyer=command.buyer)]

    @handle
    def look(self, command: Look) -> None: ...

    @handle
    def break_it(self, command: Break) -> list[Broken | Bought]:
        match command.how:
            case "raise":
                self.stock += 1_000
                raise ZeroDivisionError("a bug")
            case "unstorable":
                return [Broken(sku=command.sku, how="", price=Decimal("NaN"))]
            case _:
                return [Bought(sku=command.sku, buyer="bug"), Broken(sku=command.sku, how=command.how)]

    @apply
    def stocked(self, event: Stocked) -> None:
        self.stock += event.units

    @apply
    def bought(self, event: Bought) -> None:
        self.stock -= 1
        self.buyers.append(event.buyer)

    @apply
    def broken(self, event: Broken) -> None:
        if event.how == "apply refuses":
            raise Rejected("an applier never refuses", code="refused-in-apply")
        raise ZeroDivisionError("a bug in an applier")


class Sales(ReadModel, key="sku", index=["units"]):
    sku: str
    units: int = 0
    buyers: list[str] = []

    @on(Bought)
    def bought(self, event: Bought) -> None:
        self.units += 1
        self.buyers.append(event.buyer)

    @on(Broken)
    def broken(self, event: Broken) -> None:
        raise ZeroDivisionError(event.how)


class Buyers(ReadModel, key="buyer"):
    buyer: str
    units: int = 0

    @on(Bought)
    def bought(self, event: Bought) -> None:
        self.units += 1


class SalesOf(Query[Sales | None]):
    sku: str


@answer
async def sales_of(query: SalesOf, sales: View[Sales]) -> Sales | None:
    return await sales.get(query.sku)


app = Application("shop", [Product, Sales, Buyers, sales_of])
write_side = Application("shop", [Product])


def stream(sku: str) -> StreamId:
    return StreamId("product", sku)


def commit(*events: Event, sku: str = "mug", expected: int = 0) -> Commit:
    encoded = tuple(app.codec.encode(event)[0] for event in events)
    return Commit(stream(sku), expected, encoded, b"{}", 0)


async def filled(log: MemoryEventLog, *events: Event) -> None:
    """Append each event to the stream of its sku, as another writer would."""
    for event in events:
        sku: str = event.sku  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
        (page,) = await MemoryEventLog.read_streams(log, [(stream(sku), 0)], 1_000_000)
        await MemoryEventLog.append(log, [commit(event, sku=sku, expected=len(page))])


async def is_recorded(log: MemoryEventLog, command_id: str) -> bool:
    asked = Commit(StreamId("nobody", "1"), 0, (), b"{}", 0, NewRecord(command_id, b""), check_only=True)
    (outcome,) = await MemoryEventLog.append(log, [asked])
    return isinstance(outcome, Duplicate)


# --- stores with faults ----------------------------------------------------------------------------------------------


class Log(MemoryEventLog):
    """Remembers what it was asked; appends wait while `held` and fail with `faults`; `before_append` comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[Commit]] = []
        self.reads: list[tuple[Position, int]] = []
        self.stream_reads: list[list[tuple[StreamId, int]]] = []
        self.faults: deque[Exception] = deque()
        self.read_faults: deque[Exception] = deque()
        self.before_append: Callable[[], Awaitable[None]] | None = None
        self.most_at_once = 0
        self._at_once = 0
        self._open = asyncio.Event()
        self._open.set()

    def hold(self) -> None:
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        self.batches.append(list(commits))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await self._open.wait()
            if self.before_append is not None:
                await self.before_append()
            if self.faults:
                raise self.faults.popleft()
            return await super().append(commits)
        finally:
            self._at_once -= 1

    async def read(self, after: Position, limit: int) -> Sequence[RawEvent]:
        self.reads.append((after, limit))
        if self.read_faults:
            raise self.read_faults.popleft()
        return await super().read(after, limit)

    async def read_streams(self, wanted: Sequence[tuple[StreamId, int]], limit: int) -> Sequence[Sequence[RawEvent]]:
        self.stream_reads.append(list(wanted))
        if self.read_faults:
            raise self.read_faults.popleft()
        return await super().read_streams(wanted, limit)

    async def save_snapshots(self, snapshots: Mapping[StreamId, Snapshot]) -> None:
        if self.faults:
            raise self.faults.popleft()
        await super().save_snapshots(snapshots)

    async def events(self) -> list[RawEvent]:
        return list(await MemoryEventLog.read(self, START, 1_000_000))


class Store(MemoryReadStore):
    """Remembers what it was asked; saves fail with `faults`, gets wait while `shut`."""

    def __init__(self) -> None:
        super().__init__()
        self.folds: list[Fold] = []
        self.gets: list[list[Key]] = []
        self.faults: deque[Exception] = deque()
        self._open = asyncio.Event()
        self._open.set()

    def shut(self) -> None:
        self._open.clear()

    def reopen(self) -> None:
        self._open.set()

    async def save(self, fold: Fold) -> Sequence[Share]:
        if self.faults:
            raise self.faults.popleft()
        saved = await super().save(fold)
        self.folds.append(fold)
        return saved

    async def get(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Row]:
        self.gets.append(list(keys))
        await self._open.wait()
        return await super().get(table, keys)


class Seen:
    """A probe that remembers."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, str]] = []
        self.appends: list[tuple[int, int]] = []
        self.queries: list[tuple[str, str]] = []
        self.folds: list[tuple[str, int]] = []

    def command_done(self, command: str, code: str, seconds: float) -> None:
        self.commands.append((command, code))

    def append_done(
        self, commits: Sequence[Commit], outcomes: Sequence[Outcome] | TwofoldError, seconds: float
    ) -> None:
        self.appends.append((len(commits), sum(len(each.events) for each in commits)))

    def query_done(self, query: str, code: str, seconds: float) -> None:
        self.queries.append((query, code))

    def fold_done(self, read_model: str, page: Sequence[RawEvent], shares: Sequence[Share], seconds: float) -> None:
        self.folds.append((read_model, len(page)))


def command_bus(
    log: MemoryEventLog,
    settings: Settings | None = None,
    *,
    application: Application = write_side,
    probe: Seen | None = None,
    clock: TestClock | None = None,
) -> CommandBus:
    settings = settings or Settings()
    aggregates = Aggregates(log, log, application.codec, cache_size=settings.aggregate_cache_size)
    return CommandBus(application, log, aggregates, clock or TestClock(), probe or Seen(), settings)


_workers = itertools.count(1)


async def leased(store: MemoryReadStore, table: Table) -> tuple[Share, ...]:
    """All shares of the read model, for a new worker, taken from whoever has them."""
    await store.open(table)
    return tuple(await store.seize(f"worker {next(_workers)}", table.read_model, 60, force=True))


def system_on(
    log: MemoryEventLog,
    store: ReadModels,
    settings: Settings | None = None,
    *,
    application: Application = app,
    role: Role = Role.ALL,
    holder: str = "this process",
    shared: bool = False,
    clock: Clock | None = None,
) -> System:
    """A system with what its role needs, not started."""
    folding, answering = role.folds or None, role.answers or None
    stores = Stores(
        log=log if role.decides or role.folds else None,
        snapshots=log if role.decides else None,
        store=folding and store,
        leases=folding and store,
        reader=answering and store,
        shared=shared,
    )
    return System(
        application, settings or Settings(), stores, role=role, clock=clock or TestClock(), probe=Seen(), holder=holder
    )


QUICK = Settings(lease_s=0.03, poll_s=0.5)
"""For systems that share stores with others in a test: a look at the leases every hundredth of a second."""


@asynccontextmanager
async def running_on(
    log: MemoryEventLog,
    store: ReadModels,
    settings: Settings = QUICK,
    *,
    application: Application = app,
    role: Role = Role.ALL,
    holder: str = "this process",
    clock: Clock | None = None,
) -> AsyncGenerator[System]:
    """A system on stores that it shares with others of the same test."""
    system = system_on(
        log, store, settings, application=application, role=role, holder=holder, shared=True, clock=clock
    )
    try:
        await system.start()
        yield system
    finally:
        await system.stop()


# --- waiting ---------------------------------------------------------------------------------------------------------


async def until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Let the other tasks run until the condition holds; TimeoutError when it does not come to that."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0)


async def eventually(condition: Callable[[], Awaitable[object]], timeout_s: float = 10.0) -> None:
    """The same for what must be asked, with time to pass between."""
    async with asyncio.timeout(timeout_s):
        while not await condition():
            await asyncio.sleep(0.001)


async def idle(turns: int = 50) -> None:
    """Let the other tasks run as far as they come without time passing."""
    for _ in range(turns):
        await asyncio.sleep(0)
