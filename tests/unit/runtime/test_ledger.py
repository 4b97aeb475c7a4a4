"""The whole runtime under random faults, audited: what was answered is in the log once, and the rows are its fold.

Every run is decided by its seed. The event log loses races, fails before and after it has written, and answers late;
the read store fails too; senders leave, and those who don't know the outcome of a command send it again.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from tests.unit.runtime.parts import (
    Bought,
    Buy,
    Buyers,
    Log,
    Product,
    Restock,
    Sales,
    Seen,
    Stocked,
    Store,
    app,
    filled,
    stream,
)
from twofold import Application, Command, Rejected, Settings, UnavailableError, UnknownOutcomeError
from twofold.errors import StoreUnavailableError
from twofold.messages import RawEvent
from twofold.ports import Appended, Commit, Find, Fold, Outcome
from twofold.runtime.lanes import Accepted
from twofold.runtime.lifecycle import System
from twofold.stores.memory.event_log import MemoryEventLog
from twofold.stores.memory.read_store import MemoryReadStore
from twofold.wiring import SystemClock

SKUS = ("mug", "bag", "cup")


class Kept(Product, key="sku", name="product", snapshot_every=3): ...


snapshotting = Application("shop", [Kept, Sales, Buyers])


class HostileLog(Log):
    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self.dice, self.hostile = dice, True

    async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        for _ in range(self.dice.randrange(4)):
            await asyncio.sleep(0)
        fate = self.dice.random() if self.hostile else 1.0
        if fate < 0.1:
            raise StoreUnavailableError("event log", "the disk is full")
        if fate < 0.3:  # another process comes first
            await self.other_writer(self.dice.choice(SKUS))
        outcomes = await super().append(await self.twisted(commits))
        for _ in range(self.dice.randrange(4)):
            await asyncio.sleep(0)
        if 0.3 <= fate < 0.4:
            raise UnknownOutcomeError("event log", "the connection was lost at COMMIT")
        return outcomes

    async def other_writer(self, sku: str) -> None:
        """Takes what there is, or delivers one."""
        (page,) = await MemoryEventLog.read_streams(self, [(stream(sku), 0)], 1_000_000)
        events = list(map(app.codec.decode, page))
        stock = sum(each.units if isinstance(each, Stocked) else -1 for each in events)
        taken = [Bought(sku=sku, buyer="another process") for _ in range(stock)]
        await filled(self, *(taken or [Stocked(sku=sku, units=1)]))

    async def twisted(self, commits: Sequence[Commit]) -> Sequence[Commit]:
        """As they are: this log does not lie."""
        return commits


class HostileStore(Store):
    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self.dice, self.hostile = dice, True

    async def save(self, fold: Fold) -> None:
        await asyncio.sleep(0)
        if self.hostile and self.dice.random() < 0.2:
            raise StoreUnavailableError("read store", "the disk is full")
        await super().save(fold)


class Impatient(SystemClock):
    """A clock that sleeps a hundredth of what is asked, so that a failed read model is tried again soon."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 100)


class Client:
    """Sends commands one after another, each until its outcome is known, and writes down what became of it."""

    def __init__(self, system: System, name: str, dice: random.Random) -> None:
        self.system, self.name, self.dice = system, name, dice
        self.done: dict[str, Accepted] = {}
        self.refused: set[str] = set()
        self.left: set[str] = set()

    async def run(self, commands: int) -> None:
        for number in range(commands):
            sku = self.dice.choice(SKUS)
            command_id = f"{self.name}-{number}"
            command = Restock(sku=sku) if self.dice.random() < 0.2 else Buy(sku=sku, buyer=command_id)
            if self.dice.random() < 0.1:
                await self.leave(command, command_id)
            else:
                await self.insist(command, command_id)

    async def insist(self, command: Command, command_id: str) -> None:
        try:
            self.done[command_id] = first = await self.answered(command, command_id)
        except Rejected:
            self.refused.add(command_id)
            return
        if self.dice.random() < 0.2:
            await self.repeat(command, command_id, first)

    async def repeat(self, command: Command, command_id: str, first: Accepted) -> None:
        try:
            again = await self.answered(command, command_id)
        except Rejected as refusal:
            raise AssertionError(f"{command_id} was done, and is refused when it comes again") from refusal
        assert again == first.as_replayed(), f"{command_id} gets its first answer again"

    async def answered(self, command: Command, command_id: str) -> Accepted:
        for _ in range(2_000):
            try:
                return await self.system.send(command, command_id=command_id)
            except UnavailableError:
                await asyncio.sleep(0)
        raise AssertionError(f"{command_id} was never answered")

    async def leave(self, command: Command, command_id: str) -> None:
        sending = asyncio.create_task(self.system.send(command, command_id=command_id))
        for _ in range(self.dice.randrange(6)):
            await asyncio.sleep(0)
        sending.cancel()
        await asyncio.wait([sending])
        self.left.add(command_id)


def audit(events: Sequence[RawEvent], clients: Sequence[Client]) -> None:
    recorded = [app.codec.recorded(stored) for stored in events]
    assert [each.position for each in recorded] == list(range(1, len(recorded) + 1))
    versions: Counter[str] = Counter()
    stock: Counter[str] = Counter()
    by_id: dict[str, list[int]] = {}
    for each in recorded:
        versions[str(each.stream)] += 1
        assert each.version == versions[str(each.stream)]
        by_id.setdefault(each.metadata.command_id, []).append(each.position)
        sku = each.stream.key
        stock[sku] += each.event.units if isinstance(each.event, Stocked) else -1
        assert stock[sku] >= 0, f"{sku} is oversold at position {each.position}"
    for client in clients:
        for command_id, accepted in client.done.items():
            assert by_id.get(command_id) == [accepted.position], f"{command_id} is answered, and in the log once"
        for command_id in client.refused - client.done.keys():
            assert command_id not in by_id, f"{command_id} is refused"
        for command_id in client.left:
            assert len(by_id.get(command_id, [])) <= 1, f"{command_id} took effect at most once"


async def audit_rows(events: Sequence[RawEvent], store: Store) -> None:
    sold, bought = Counter[str](), Counter[str]()
    for event in map(app.codec.decode, events):
        if isinstance(event, Bought):
            sold[event.sku] += 1
            bought[event.buyer] += 1
    sales, buyers = (app.read_models[name] for name in ("Sales", "Buyers"))
    rows = [sales.from_row(row) for row in await store.find(sales.table, Find({}))]
    assert {row.sku: row.units for row in rows if isinstance(row, Sales)} == sold
    rows = [buyers.from_row(row) for row in await store.find(buyers.table, Find({}))]
    assert {row.buyer: row.units for row in rows if isinstance(row, Buyers)} == bought


async def run(seed: int, a_log: type[HostileLog] = HostileLog, a_store: type[HostileStore] = HostileStore) -> None:
    dice = random.Random(seed)
    log, store = a_log(dice), a_store(dice)
    settings = Settings(
        append_batch_size=dice.choice([1, 7, 256]),
        aggregate_cache_size=dice.choice([1, 10]),
        command_attempts=dice.choice([3, 100]),
        max_waiting_commands=dice.choice([5, 1_000]),
        page_size=dice.choice([1, 5, 100]),
    )
    chosen = dice.choice([app, snapshotting])
    system = System(
        chosen, settings, log=log, snapshots=log, store=store, reader=store, clock=Impatient(), probe=Seen()
    )
    await filled(log, *(Stocked(sku=sku, units=dice.randrange(30)) for sku in SKUS))
    clients = [Client(system, f"c{number}", dice) for number in range(10)]
    await system.start()
    try:
        rebuilding = asyncio.create_task(rebuilt(system))
        await asyncio.wait_for(asyncio.gather(*(client.run(20) for client in clients)), 60)
        log.hostile = store.hostile = False
        await rebuilding
        await system.settle()
    finally:
        await system.stop()
    audit(await log.events(), clients)
    await audit_rows(await log.events(), store)
    assert sum(len(client.done) for client in clients) > 20, "a run in which nothing is done proves nothing"


async def rebuilt(system: System) -> None:
    for _ in range(20):
        try:
            await system.rebuild("Sales")
        except StoreUnavailableError:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_fails_every_answer_is_true_and_every_row_is_the_fold_of_the_log(seed: int) -> None:
    with capture_logs():
        await run(seed)


# --- the audit, proved by stores that lie ----------------------------------------------------------------------------


class ForgetsIds(HostileLog):
    async def twisted(self, commits: Sequence[Commit]) -> Sequence[Commit]:
        return [commit._replace(record=None) for commit in commits]


class TakesStaleDecisions(HostileLog):
    async def twisted(self, commits: Sequence[Commit]) -> Sequence[Commit]:
        pages = await MemoryEventLog.read_streams(self, [(commit.stream, 0) for commit in commits], 1_000_000)
        versions = {commit.stream: len(page) for commit, page in zip(commits, pages, strict=True)}
        fresh: list[Commit] = []
        for commit in commits:
            fresh.append(commit._replace(expected_version=versions[commit.stream]))
            versions[commit.stream] += len(commit.events)
        return fresh


class LosesAppends(HostileLog):
    async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        if self.hostile and len(self.batches) % 10 == 9:
            self.batches.append(list(commits))
            return [Appended(each.expected_version + len(each.events), await self.head()) for each in commits]
        return await super().append(commits)


class LosesRows(HostileStore):
    async def save(self, fold: Fold) -> None:
        lost = 1 if self.dice.random() < 0.05 else 0
        await super().save(fold._replace(rows=fold.rows[lost:]))


class FoldsTwice(HostileStore):
    """Writes the rows before the transaction that writes them with the checkpoint, which may fail."""

    async def save(self, fold: Fold) -> None:
        ahead = (await self.checkpoints())[fold.table.read_model].position
        await MemoryReadStore.save(self, fold._replace(after=ahead, through=ahead))
        await super().save(fold)


@pytest.mark.parametrize("lie", [ForgetsIds, TakesStaleDecisions, LosesAppends, LosesRows, FoldsTwice])
async def test_a_store_that_lies_is_found_out(lie: type) -> None:
    log, store = (lie, HostileStore) if issubclass(lie, HostileLog) else (HostileLog, lie)
    found: list[str] = []
    with capture_logs():
        for seed in range(10):
            try:
                await run(seed, log, store)
            except AssertionError as error:
                found.append(str(error))
    assert found
