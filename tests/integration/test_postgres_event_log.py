"""The event log on PostgreSQL beyond the contract: several openings, wake-ups, and what the database keeps."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import psycopg
import pytest

from tests.integration.postgres_logs import A, B, deposit, everything, migrated, opened, sql
from twofold.errors import CorruptStoreError, StoreNotWritableError, StoreUnavailableError
from twofold.messages import RawEvent
from twofold.ports import Appended, CommandRecord, Conflict, Duplicate, Snapshot
from twofold.settings import Settings
from twofold.stores.postgres import event_appends, event_log
from twofold.stores.postgres.event_batch import Batch
from twofold.stores.postgres.event_log import PostgresEventLog
from twofold.streams import Position, StreamId
from twofold.testing.event_log_contract import EventLogContract

NEVER_POLLS = Settings(poll_s=60.0)
POLLS = Settings(poll_s=0.05)


class TestPostgresEventLogThatDoesLittleAtOnce(EventLogContract):
    """Whatever is done in pages and groups is done in very small ones: the answers must be the same."""

    @pytest.fixture
    async def log(self, database18: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PostgresEventLog]:
        monkeypatch.setattr(event_log, "MAX_STATEMENT_EVENTS", 5)
        monkeypatch.setattr(event_log, "ENOUGH_BYTES", 1_000)
        monkeypatch.setattr(event_appends, "ENOUGH_COMMITS", 2)
        async with opened(await migrated(database18), POLLS) as log:
            yield log


@pytest.fixture
async def url(database: str) -> str:
    return await migrated(database)


@pytest.fixture
async def url18(database18: str) -> str:
    return await migrated(database18)


async def append_silently(url: str, *commits: object) -> None:
    """As a process that is killed between its commit and its notification."""
    batch = Batch.of([commits])  # type: ignore[list-item]
    statement = "SELECT twofold_log.append(%s::jsonb, %s, %s, false)"
    await sql(url, statement, *batch)


# --- several openings ---


async def test_a_log_that_is_opened_again_goes_on_where_it_was(url: str) -> None:
    async with opened(url) as log:
        await log.append([deposit(A, 0, events=3, command_id="first")])
    async with opened(url) as log:
        assert await log.head() == 3
        outcomes = await log.append([deposit(B, 0, command_id="first"), deposit(A, 2), deposit(StreamId("a", "c"), 0)])
        record = CommandRecord("first", b"f", A, 3, Position(3), 3)
        assert outcomes == [Duplicate(record), Conflict(3), Appended(1, Position(4))]


async def test_a_reader_can_not_write(url18: str) -> None:
    async with opened(url18, writable=False) as reader:
        with pytest.raises(StoreNotWritableError, match="open for reading only"):
            await reader.append([deposit(A, 0)])
        with pytest.raises(StoreNotWritableError):
            await reader.save_snapshots({A: Snapshot(1, "", b"{}")})


async def test_calls_that_wait_together_are_refused_each_for_itself(url18: str) -> None:
    """One call's refusal must not refuse the commits of another that goes into the same statement."""
    async with opened(url18) as log:
        await log.append([deposit(A, 0)])
        busy = [asyncio.create_task(_appended(log, StreamId("busy", str(n)))) for n in range(2)]
        await asyncio.sleep(0)
        wrong = asyncio.create_task(_outcomes(log, [deposit(A, 7), deposit(A, 1)]))
        right = asyncio.create_task(_outcomes(log, [deposit(A, 1)]))
        assert await wrong == [Conflict(1), Conflict(1)]
        assert isinstance((await right)[0], Appended)
        await asyncio.gather(*busy)


async def _outcomes(log: PostgresEventLog, commits: Sequence[object]) -> Sequence[object]:
    return await log.append(commits)  # type: ignore[arg-type]


async def _appended(log: PostgresEventLog, stream: StreamId) -> None:
    await log.append([deposit(stream, 0)])


async def test_leaving_waits_for_the_appends_that_nobody_waits_for(url18: str) -> None:
    async with opened(url18) as log:
        tasks = [asyncio.create_task(_appended(log, StreamId("account", str(number)))) for number in range(50)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
    async with opened(url18) as log:
        assert await log.head() == 50


async def test_a_closed_log_says_so(url18: str) -> None:
    async with opened(url18) as log:
        pass
    with pytest.raises(StoreUnavailableError, match="it is closed"):
        await log.append([deposit(A, 0)])
    with pytest.raises(StoreUnavailableError, match="it is closed"):
        await log.read_streams([(A, 0)], 1)


# --- waking ---


async def test_another_process_is_woken_by_the_append_and_not_by_its_poll(url: str) -> None:
    async with opened(url) as writer, opened(url, NEVER_POLLS, writable=False) as reader:
        assert not await reader.wait(Position(0), 0.3)  # now it listens
        for version in range(5):
            waiting = asyncio.create_task(reader.wait(Position(version), 20))
            await asyncio.sleep(0)
            await writer.append([deposit(A, version)])
            assert await waiting
            assert [each.version for each in await reader.read(Position(version), 10)] == [version + 1]


async def test_an_append_whose_notification_was_lost_is_found_by_the_poll(url18: str) -> None:
    async with opened(url18, POLLS, writable=False) as reader:
        assert not await reader.wait(Position(0), 0.1)
        await append_silently(url18, deposit(A, 0))
        assert await reader.wait(Position(0), 10)


async def test_a_listener_whose_connection_is_killed_listens_again(url18: str) -> None:
    async with opened(url18) as writer, opened(url18, NEVER_POLLS, writable=False) as reader:
        for version in range(3):
            waiting = asyncio.create_task(reader.wait(Position(version), 20))
            await asyncio.sleep(0.1)
            listeners = "FROM pg_stat_activity WHERE application_name = 'twofold test listen'"
            assert await sql(url18, f"SELECT pg_terminate_backend(pid) {listeners}") == [(True,)]
            await writer.append([deposit(A, version)])
            assert await waiting


async def test_a_false_notification_is_forgotten_at_the_next_poll(url18: str) -> None:
    async with opened(url18, POLLS) as log:
        await log.append([deposit(A, 0)])
        assert not await log.wait(Position(1), 0.2)
        await sql(url18, "SELECT pg_notify('twofold_log', '999'), pg_notify('twofold_log', 'nonsense')")
        async with asyncio.timeout(5):
            while await log.wait(Position(1), 0.05):
                await asyncio.sleep(0.01)


# --- what the database keeps ---


async def test_pages_of_large_events_are_short_and_none_is_left_out(url18: str) -> None:
    data = b'"%s"' % (b"x" * 1_000_000)
    async with opened(url18) as log:
        for number in range(10):
            await log.append([deposit(A, number * 10, events=10, data=data)])
        first = await log.read(Position(0), 100)
        assert 0 < len(first) < 20
        assert [each.position for each in await everything(log)] == list(range(1, 101))


async def test_a_batch_larger_than_a_json_text_may_be_is_appended(url18: str) -> None:
    data = b'"%s"' % (b"x" * 30_000_000)
    async with opened(url18, Settings(store_timeout_s=60)) as log:
        outcomes = await log.append([deposit(A, number, data=data) for number in range(10)])
        assert outcomes[-1] == Appended(10, Position(10))
        assert [len(each.data) for each in await log.read(Position(8), 2)] == [len(data)]


async def test_a_gap_in_the_log_is_damage_and_said_so(url18: str) -> None:
    async with opened(url18) as log:
        await log.append([deposit(A, 0, events=5)])
        async with await psycopg.AsyncConnection.connect(url18, autocommit=True) as connection:
            await connection.execute("SET session_replication_role = replica")
            await connection.execute("DELETE FROM twofold_log.event WHERE position = 3")
        with pytest.raises(CorruptStoreError, match="positions are not dense after 0: found 4"):
            await log.read(Position(0), 10)
        with pytest.raises(CorruptStoreError, match="versions of account-a are not dense after 1: found 4"):
            await log.read_streams([(A, 1)], 10)


async def test_an_append_is_synced_also_where_the_database_says_that_it_needs_not(url: str) -> None:
    name = url.rpartition("/")[2]
    await sql(url, f"ALTER DATABASE {name} SET synchronous_commit = off")
    async with await psycopg.AsyncConnection.connect(url) as connection:
        assert await (await connection.execute("SHOW synchronous_commit")).fetchone() == ("off",)
        await connection.execute(
            "SELECT twofold_log.append(%s::jsonb, %s, %s, false)", tuple(Batch.of([[deposit(A, 0)]]))
        )
        assert await (await connection.execute("SHOW synchronous_commit")).fetchone() == ("on",)


async def test_appends_are_in_order_whatever_isolation_the_database_is_used_to(url: str) -> None:
    """Under repeatable read the function would look at the log as it was before it had the lock."""
    await sql(url, f"ALTER DATABASE {url.rpartition('/')[2]} SET default_transaction_isolation = serializable")
    async with opened(url) as one, opened(url) as other:
        for version in range(10):
            streams = [StreamId("account", str(number)) for number in range(10)]
            outcomes = await asyncio.gather(
                *((one, other)[number % 2].append([deposit(stream, version)]) for number, stream in enumerate(streams))
            )
            assert all(isinstance(outcome, Appended) for (outcome,) in outcomes)
        assert [each.position for each in await everything(one)] == list(range(1, 101))
    with pytest.raises(psycopg.errors.InvalidTransactionState, match="needs the isolation level read committed"):
        await append_silently(url, deposit(A, 0))


async def test_only_the_plans_that_go_through_indexes_are_used(url18: str) -> None:
    """Plans are kept: one that was made while the log was empty must not read a table whole when it is large."""
    async with opened(url18) as log:
        for number in range(30):
            streams = [StreamId("account", f"{number}-{each}") for each in range(50)]
            await log.append([deposit(stream, 0, command_id=str(stream)) for stream in streams])
            await log.read_streams([(stream, 0) for stream in streams], 10)
            await log.read(Position(number), 50)
        await log.append([deposit(A, 3), deposit(A, 0, command_id="account-1-1")])
    scans = await sql(
        url18,
        "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname IN ('event', 'command') AND seq_tup_read > 0",
    )
    assert scans == []


# --- transactions that others leave open ---


async def _latency_s(log: PostgresEventLog, other: PostgresEventLog, stream: StreamId, appends: int) -> Sequence[float]:
    """Of each append of 20 events: until another opening has been woken and has read it."""
    found: list[float] = []
    position = await other.head()
    for number in range(appends):
        started = time.perf_counter()
        await log.append([deposit(stream, number * 20, events=20)])
        assert await other.wait(position, 10)
        events: Sequence[RawEvent] = await other.read(position, 100)
        found.append(time.perf_counter() - started)
        position = Position(position + len(events))
        assert len(events) == 20
    return found


async def test_a_transaction_left_open_anywhere_on_the_server_slows_nothing(url: str) -> None:
    """A row that every append updated would grow slow behind it; a commit that had to be waited for would hang."""
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(opened(url, POLLS))
        other = await stack.enter_async_context(opened(url, POLLS, writable=False))
        alone = statistics.median(await _latency_s(log, other, A, 100))
        for place in (url, f"{url.rpartition('/')[0]}/postgres"):
            idle = await stack.enter_async_context(await psycopg.AsyncConnection.connect(place))
            await idle.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            await idle.execute("SELECT pg_current_xact_id(), count(*) FROM pg_class")
        behind = await _latency_s(log, other, B, 1_000)
        assert statistics.median(behind[-100:]) - alone <= 0.1
        assert statistics.median(behind) - alone <= 0.1
        statistics_of_head = "SELECT n_tup_upd, n_dead_tup FROM pg_stat_user_tables WHERE relname = 'head'"
        assert await sql(url, statistics_of_head) == [(0, 0)]


async def test_a_call_that_comes_just_as_the_last_writer_ends_is_written(
    url18: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is answered runs before the end of the writer's task is known."""
    monkeypatch.setattr(event_appends, "CONCURRENT_APPENDS", 1)
    async with opened(url18) as log, asyncio.timeout(10):
        for version in range(20):
            assert await log.append([deposit(A, version)]) == [Appended(version + 1, Position(version + 1))]
