"""The event log on PostgreSQL under faults: what is acknowledged is there exactly once, and work goes on by itself."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from tests.integration.postgres_logs import A, B, deposit, everything, migrated, opened, sql
from tests.servers.postgres import PostgresServer, find_binaries, postgres_server
from tests.servers.proxy import Lost, Proxy, proxy_to
from twofold.errors import StoreUnavailableError, UnavailableError, UnknownOutcomeError
from twofold.messages import NewEvent
from twofold.ports import Appended, Commit, Conflict, Duplicate, EventLog, NewRecord
from twofold.settings import Settings
from twofold.stores.postgres.event_log import PostgresEventLog
from twofold.streams import Position, StreamId

APPEND = b"twofold_log.append"
QUICK = Settings(store_timeout_s=1.0, poll_s=0.05)
ROUNDS = 100


@asynccontextmanager
async def through_proxy(
    url: str, server: PostgresServer, settings: Settings
) -> AsyncGenerator[tuple[PostgresEventLog, Proxy]]:
    """A log whose connections pass a proxy that knows its appends."""
    with proxy_to(server.port) as proxy:
        proxy.cut(APPEND, 0, Lost.REPLY)
        async with opened(url.replace(str(server.port), str(proxy.port)), settings) as log:
            yield log, proxy


@pytest.fixture
async def url18(database18: str) -> str:
    return await migrated(database18)


def commits_of_round(number: int) -> tuple[Sequence[Commit], Sequence[Appended]]:
    """All that a batch may hold: events with a command id and without, and a command that made none."""
    at = number * 3
    commits = [
        deposit(A, number * 2, events=2, command_id=f"first-{number}"),
        deposit(B, number),
        deposit(B, number + 1, events=0, command_id=f"nothing-{number}"),
    ]
    return commits, [
        Appended(number * 2 + 2, Position(at + 2)),
        Appended(number + 1, Position(at + 3)),
        Appended(number + 1, Position(at + 3)),
    ]


async def assert_exactly_once(log: EventLog, rounds: int) -> None:
    events = await everything(log)
    assert [each.position for each in events] == list(range(1, rounds * 3 + 1))
    counts = Counter((each.stream, each.version) for each in events)
    assert counts == Counter(
        {**{(str(A), n + 1): 1 for n in range(rounds * 2)}, **{(str(B), n + 1): 1 for n in range(rounds)}}
    )
    again = await log.append(
        [deposit(A, 0, command_id=f"{name}-{number}") for number in range(rounds) for name in ("first", "nothing")]
    )
    assert [type(each) for each in again] == [Duplicate] * (rounds * 2)


@pytest.mark.parametrize("lost", [Lost.REPLY, Lost.REQUEST, Lost.LATE], ids=lambda lost: lost.value)
async def test_an_append_whose_connection_is_cut_at_the_commit_is_resolved(
    url18: str, postgres18: PostgresServer, lost: Lost
) -> None:
    """100 of 100: done once, and answered as if nothing had happened."""
    async with through_proxy(url18, postgres18, Settings()) as (log, proxy):
        for number in range(ROUNDS):
            proxy.cut(APPEND, 1, lost)
            commits, expected = commits_of_round(number)
            assert list(await log.append(commits)) == expected
        assert proxy.cuts == ROUNDS
        if lost is Lost.LATE:
            await asyncio.sleep(1.0)  # the last straggler arrives half a second after it was lost
        await assert_exactly_once(log, ROUNDS)


async def test_a_resolution_that_is_cut_too_is_resolved(url18: str, postgres18: PostgresServer) -> None:
    async with through_proxy(url18, postgres18, Settings()) as (log, proxy):
        for number in range(10):
            proxy.cut(APPEND, 3, Lost.REPLY)
            commits, expected = commits_of_round(number)
            assert list(await log.append(commits)) == expected
        assert proxy.cuts == 30
        await assert_exactly_once(log, 10)


async def test_what_was_refused_is_refused_again_when_the_answer_is_lost(
    url18: str, postgres18: PostgresServer
) -> None:
    async with through_proxy(url18, postgres18, Settings()) as (log, proxy):
        await log.append([deposit(A, 0, command_id="c")])
        commits = [
            deposit(A, 5),
            deposit(A, 1),
            deposit(B, 0, command_id="c"),
            deposit(B, 0),
            deposit(StreamId("x", "y"), 0),
        ]
        expected = ["Conflict", "Conflict", "Duplicate", "Conflict", "Appended"]
        proxy.cut(APPEND, 1, Lost.REPLY)
        assert [type(each).__name__ for each in await log.append(commits)] == expected
        assert await log.head() == 2


async def test_the_same_events_by_somebody_else_are_not_taken_for_ours(url18: str, postgres18: PostgresServer) -> None:
    """The metadata tell: they hold ids that are made for each command."""
    async with through_proxy(url18, postgres18, Settings()) as (log, proxy), opened(url18) as rival:
        proxy.cut(APPEND, 1, Lost.LATE)
        mine = asyncio.create_task(_append(log, [deposit(A, 0, command_id="mine")]))
        (theirs,) = await rival.append([deposit(A, 0, command_id="theirs")])
        (outcome,) = await mine
        assert sorted([type(theirs).__name__, type(outcome).__name__]) == ["Appended", "Conflict"]


async def _append(log: EventLog, commits: Sequence[Commit]) -> Sequence[object]:
    return await log.append(commits)


async def test_an_outcome_that_can_not_be_found_out_in_time_is_said_to_be_unknown(
    url18: str, postgres18: PostgresServer
) -> None:
    async with through_proxy(url18, postgres18, QUICK) as (log, proxy):
        await log.append([deposit(A, 0)])
        assert log._appends
        await log._appends._announcements.close()  # told: its connection is free again
        proxy.hold()
        started = time.monotonic()
        with pytest.raises(UnknownOutcomeError, match="send the same command with the same command id again"):
            await log.append([deposit(A, 1, command_id="c")])
        assert time.monotonic() - started < 1.5
        proxy.heal()
        (outcome,) = await log.append([deposit(A, 1, command_id="c")])
        assert isinstance(outcome, Appended | Duplicate)
        assert [each.version for each in await everything(log)] == [1, 2]


async def test_nothing_was_written_when_no_connection_could_be_made(url18: str, postgres18: PostgresServer) -> None:
    async with through_proxy(url18, postgres18, QUICK) as (log, proxy):
        proxy.refuse()
        with pytest.raises(StoreUnavailableError):
            await log.append([deposit(A, 0)])
        proxy.heal()
        assert await log.append([deposit(A, 0)]) == [Appended(1, Position(1))]


async def test_a_lock_that_somebody_holds_ends_the_append_and_nothing_is_written(url18: str) -> None:
    async with opened(url18, QUICK) as log:
        holder = asyncio.create_task(
            sql(url18, "SELECT pg_sleep(1.2) FROM (SELECT FROM twofold_log.head FOR UPDATE) AS held")
        )
        async with asyncio.timeout(5):
            while not await sql(url18, "SELECT 1 FROM pg_locks WHERE mode = 'RowShareLock' AND granted"):
                await asyncio.sleep(0.01)
        with pytest.raises(StoreUnavailableError, match="nothing was written"):
            await log.append([deposit(A, 0)])
        await holder
        assert await log.append([deposit(A, 0)]) == [Appended(1, Position(1))]


# --- under load ---


class Ledger:
    """Writers that append one event after another, each to a stream of its own, and note what they were told."""

    def __init__(self, logs: Sequence[PostgresEventLog]) -> None:
        self.logs = logs
        self.acknowledged: dict[str, Position] = {}
        self.failed: set[str] = set()
        self.unknown: set[str] = set()
        self.longest_s = 0.0
        self.ended = asyncio.Event()

    async def write(self, writer: int) -> None:
        log, stream, number = self.logs[writer % len(self.logs)], StreamId("writer", str(writer)), 0
        while not self.ended.is_set():
            number += 1
            command_id = f"{writer}-{number}"
            version = await self._version(log, stream)
            started = time.monotonic()
            try:
                (outcome,) = await log.append([_numbered(stream, version, command_id)])
                if isinstance(outcome, Appended):
                    self.acknowledged[command_id] = outcome.position
                else:  # what was unknown has arrived after all, and before this one
                    assert isinstance(outcome, Conflict)
                    self.failed.add(command_id)
            except UnknownOutcomeError:
                self.unknown.add(command_id)
            except StoreUnavailableError:
                self.failed.add(command_id)
            self.longest_s = max(self.longest_s, time.monotonic() - started)

    async def _version(self, log: PostgresEventLog, stream: StreamId) -> int:
        while True:
            try:
                (events,) = await log.read_streams([(stream, 0)], 1_000_000)
                return len(events)
            except UnavailableError:
                await asyncio.sleep(0.01)

    async def audit(self, log: PostgresEventLog) -> None:
        """Every acknowledged command is in the log exactly once, at its position; every failed one is not."""
        events = await everything(log)
        assert [each.position for each in events] == list(range(1, len(events) + 1))
        found = {each.data.decode().strip('"'): each.position for each in events}
        assert len(found) == len(events)
        assert {name: found.get(name) for name in self.acknowledged} == self.acknowledged
        assert not self.failed & found.keys()
        assert found.keys() <= self.acknowledged.keys() | self.unknown


def _numbered(stream: StreamId, version: int, command_id: str) -> Commit:
    data, metadata = f'"{command_id}"'.encode(), b'{"command_id":"%s"}' % command_id.encode()
    return Commit(stream, version, (NewEvent("Counted", 1, data),), metadata, 0, NewRecord(command_id, b""))


async def test_killed_backends_lose_nothing_and_need_no_restart(url18: str) -> None:
    async with opened(url18) as first, opened(url18) as second:
        ledger = Ledger([first, second])
        writers = [asyncio.create_task(ledger.write(number)) for number in range(8)]
        for _ in range(40):
            await asyncio.sleep(0.05)
            victim = "FROM pg_stat_activity WHERE application_name LIKE 'twofold test%' ORDER BY random() LIMIT 2"
            await sql(url18, f"SELECT pg_terminate_backend(pid) FROM (SELECT pid {victim}) AS victim")
        ledger.ended.set()
        await asyncio.gather(*writers)
        await ledger.audit(first)
        assert len(ledger.acknowledged) > 100
        assert not ledger.failed
        assert not ledger.unknown


async def test_reset_and_swallowed_connections_end_every_call_and_lose_nothing(
    url18: str, postgres18: PostgresServer
) -> None:
    async with through_proxy(url18, postgres18, QUICK) as (log, proxy), opened(url18) as straight:
        ledger = Ledger([log])
        writers = [asyncio.create_task(ledger.write(number)) for number in range(4)]
        for _ in range(3):
            await asyncio.sleep(0.3)
            proxy.reset()
            await asyncio.sleep(0.3)
            proxy.hold(to_client=False)
            await asyncio.sleep(1.5)
            proxy.heal()
            await asyncio.sleep(0.3)
            proxy.hold(to_server=False)
            await asyncio.sleep(1.5)
            proxy.heal()
        before = len(ledger.acknowledged)
        await asyncio.sleep(1.0)
        assert len(ledger.acknowledged) > before
        ledger.ended.set()
        await asyncio.gather(*writers)
        await ledger.audit(straight)
        assert ledger.longest_s < 2.0


@pytest.fixture
async def own_server() -> AsyncIterator[PostgresServer]:
    """A server that may be killed."""
    if find_binaries("18") is None:
        pytest.fail("PostgreSQL 18 is not installed (see .ci/run)")
    with postgres_server("18") as server:
        yield server


async def test_a_server_that_is_killed_and_started_again_is_found_again(own_server: PostgresServer) -> None:
    url = await migrated(own_server.url())
    async with opened(url) as log:
        ledger = Ledger([log])
        writers = [asyncio.create_task(ledger.write(number)) for number in range(4)]
        for _ in range(3):
            await asyncio.sleep(0.5)
            await asyncio.to_thread(own_server.kill)
            await asyncio.to_thread(own_server.start)
            before = len(ledger.acknowledged)
            async with asyncio.timeout(5):
                while len(ledger.acknowledged) == before:
                    await asyncio.sleep(0.01)
        ledger.ended.set()
        await asyncio.gather(*writers)
        await ledger.audit(log)
        assert len(ledger.acknowledged) > 50
        assert await log.wait(Position(0), 5)
