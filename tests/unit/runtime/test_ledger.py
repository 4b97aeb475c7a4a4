"""The whole runtime under random faults, audited: what was answered is in the log once, and the rows are its fold.

Two command services and three workers share one log and one read store. The event log loses races, fails before and
after it has written, and answers late; the read store fails too, and lets leases run out under their holders' hands;
workers are killed and started again, read models are rebuilt and rolled back; senders leave, and those who don't know
the outcome of a command send it again. What goes wrong is decided by the seed of the run.
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
    Stocked,
    Store,
    app,
    filled,
    stream,
    system_on,
)
from twofold import Application, Command, ReadModel, Rejected, Settings, UnavailableError, UnknownOutcomeError, on
from twofold.errors import FencedError, StoreUnavailableError, TwofoldError
from twofold.messages import RawEvent
from twofold.ports import Appended, Commit, Find, Fold, Outcome, Share
from twofold.runtime.lanes import Accepted
from twofold.runtime.lifecycle import System
from twofold.settings import Role
from twofold.stores.memory.event_log import MemoryEventLog
from twofold.stores.memory.read_store import MemoryReadStore
from twofold.wiring import SystemClock

SKUS = ("mug", "bag", "cup")
WORKERS = ("a", "b", "c")


class Kept(Product, key="sku", name="product", snapshot_every=3): ...


class Spread(ReadModel, key="buyer", partitions=5):
    buyer: str
    units: int = 0

    @on(Bought)
    def bought(self, event: Bought) -> None:
        self.units += 1


plain = Application("shop", [Product, Sales, Buyers, Spread])
snapshotting = Application("shop", [Kept, Sales, Buyers, Spread])


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

    async def save(self, fold: Fold) -> Sequence[Share]:
        for _ in range(self.dice.randrange(10)):
            await asyncio.sleep(0)
        fate = self.dice.random() if self.hostile else 1.0
        if fate < 0.1:
            raise StoreUnavailableError("read store", "the disk is full")
        if fate < 0.3:
            await self.run_out()
        if fate < 0.4:
            await asyncio.sleep(0.02)  # long enough for another to take over
        return await super().save(fold)

    async def run_out(self) -> None:
        """The lease of a worker, or of a rebuild, runs out."""
        await self.release(self.dice.choice([*WORKERS, "a/rebuild"]))


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
    for name, expected in (("Sales", sold), ("Buyers", bought), ("Spread", bought)):
        rows = await store.find(plain.read_models[name].table, Find({}))
        assert {row[0]: row[1] for row in rows} == expected, f"the rows of {name} are the fold of the log"


class Shop:
    """The processes of one run: "a" does everything, "commands" only decides, "b" and "c" only fold."""

    def __init__(self, dice: random.Random, log: HostileLog, store: HostileStore) -> None:
        self.dice, self.log, self.store = dice, log, store
        self.settings = Settings(
            append_batch_size=dice.choice([1, 7, 256]),
            aggregate_cache_size=dice.choice([1, 10]),
            command_attempts=dice.choice([3, 100]),
            max_waiting_commands=dice.choice([5, 1_000]),
            page_size=dice.choice([1, 5, 100]),
            lease_s=0.03,
            poll_s=0.05,
        )
        self.app = dice.choice([plain, snapshotting])
        self.everything = self.made(Role.ALL, "a")
        self.commands = self.made(Role.COMMAND, "commands")
        self.workers = [self.made(Role.PROJECTOR, name) for name in WORKERS[1:]]

    def made(self, role: Role, holder: str) -> System:
        return system_on(
            self.log,
            self.store,
            self.settings,
            application=self.app,
            role=role,
            holder=holder,
            shared=True,
            clock=Impatient(),
        )

    @property
    def systems(self) -> list[System]:
        return [self.everything, self.commands, *self.workers]

    async def kill_workers(self) -> None:
        """One after another dies in the middle of something, and comes again as another process of the same name."""
        while True:
            at = self.dice.randrange(len(self.workers))
            victim = self.workers[at]
            await asyncio.sleep(self.dice.random() * 0.03)
            for task in victim._tasks:  # pyright: ignore[reportPrivateUsage] - no process dies in an orderly way
                task.cancel()
            await self.store.release(victim.holder)
            self.workers[at] = self.made(Role.PROJECTOR, victim.holder)
            await self.workers[at].start()

    async def make_anew(self) -> None:
        for _ in range(15):
            name = self.dice.choice(["Sales", "Spread"])
            try:
                if self.dice.random() < 0.2:
                    await self.everything.roll_back(name)
                else:
                    await self.everything.rebuild(name)
            except TwofoldError:
                await asyncio.sleep(0.001)


async def run(seed: int, a_log: type[HostileLog] = HostileLog, a_store: type[HostileStore] = HostileStore) -> None:
    dice = random.Random(seed)
    log, store = a_log(dice), a_store(dice)
    shop = Shop(dice, log, store)
    await filled(log, *(Stocked(sku=sku, units=dice.randrange(30)) for sku in SKUS))
    clients = [Client(system, f"{system.role}-{n}", dice) for n in range(5) for system in shop.systems[:2]]
    for system in shop.systems:
        await system.start()
    killing, rebuilding = asyncio.create_task(shop.kill_workers()), asyncio.create_task(shop.make_anew())
    try:
        await asyncio.wait_for(asyncio.gather(*(client.run(20) for client in clients)), 60)
        log.hostile = store.hostile = False
        await rebuilding
        await ended(killing)
        await settled(shop.everything)
    finally:
        await ended(killing)
        await ended(rebuilding)
        await asyncio.gather(*(system.stop() for system in shop.systems))
    audit(await log.events(), clients)
    await audit_rows(await log.events(), store)
    assert sum(len(client.done) for client in clients) > 20, "a run in which nothing is done proves nothing"


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


async def settled(system: System) -> None:
    """Everything is folded: a read model that stands still for ever is as wrong as one with wrong rows."""
    try:
        await system.settle(timeout_s=5)
    except TimeoutError as error:
        raise AssertionError(str(error)) from error


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
    async def save(self, fold: Fold) -> Sequence[Share]:
        lost = 1 if self.dice.random() < 0.1 else 0
        return await super().save(fold._replace(rows=fold.rows[lost:]))


class FoldsTwice(HostileStore):
    """Writes the rows before the transaction that writes them with the checkpoint, which may fail."""

    async def save(self, fold: Fold) -> Sequence[Share]:
        for share in fold.shares:
            rows = [row for row in fold.rows if fold.table.partition_of(row[:1]) == share.partition]
            early = Fold(fold.table, [share], share.position, rows, [])
            await MemoryReadStore.save(self, early)
        return await super().save(fold)


class HasNoFence(HostileStore):
    """Writes whatever a worker brings, also after another has taken over."""

    async def save(self, fold: Fold) -> Sequence[Share]:
        if not self.hostile:
            return await super().save(fold)
        for _ in range(self.dice.randrange(20)):
            await asyncio.sleep(0)
        await self.run_out()
        held = self._held[fold.table.read_model]  # pyright: ignore[reportPrivateUsage] - a store lies about itself
        through = max(fold.through, *(held.shares[share.partition].position for share in fold.shares))
        shares = [held.shares[share.partition] for share in fold.shares]
        await MemoryReadStore.save(self, fold._replace(shares=shares, through=through))
        return [share._replace(position=fold.through) for share in fold.shares]


LIES = [
    ForgetsIds,
    TakesStaleDecisions,
    LosesAppends,
    LosesRows,
    FoldsTwice,
    HasNoFence,
]


@pytest.mark.parametrize("lie", LIES)
async def test_a_store_that_lies_is_found_out(lie: type) -> None:
    log, store = (lie, HostileStore) if issubclass(lie, HostileLog) else (HostileLog, lie)
    found: list[str] = []
    with capture_logs():
        for seed in range(10):
            try:
                await run(seed, log, store)
            except (AssertionError, FencedError) as error:
                found.append(str(error))
                break
    assert found
