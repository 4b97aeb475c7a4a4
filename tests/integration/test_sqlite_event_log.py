"""The event log on SQLite beyond the contract: what its file keeps, whoever opens it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.integration.events import A, deposit, everything, make_log
from twofold.errors import StoreNotWritableError, StoreUnavailableError
from twofold.ports import Appended, CommandRecord, Conflict, Duplicate, Snapshot
from twofold.stores.sqlite import event_log, event_reader, event_writer
from twofold.stores.sqlite.event_log import SCHEMA, SqliteEventLog
from twofold.stores.sqlite.wal import WalWatch
from twofold.streams import Position, StreamId
from twofold.testing.event_log_contract import EventLogContract

B = StreamId("account", "b")


class TestSqliteEventLogThatRemembersNextToNothing(EventLogContract):
    """All that is kept in memory for speed is a few items short: the file alone must give the same answers."""

    @pytest.fixture
    async def log(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqliteEventLog]:
        monkeypatch.setattr(event_writer, "REMEMBERED_STREAMS", 2)
        monkeypatch.setattr(event_log, "Tail", partial(event_log.Tail, max_events=3))
        monkeypatch.setattr(event_log, "MAX_STATEMENT_EVENTS", 5)
        monkeypatch.setattr(event_log, "ENOUGH_COMMITS", 2)
        monkeypatch.setattr(event_reader, "MAX_VALUE_BYTES", 1_000)
        async with SqliteEventLog.open(tmp_path / "log.db") as log:
            yield log


async def test_a_log_that_is_opened_again_goes_on_where_it_was(tmp_path: Path) -> None:
    await make_log(tmp_path / "log.db")
    async with SqliteEventLog.open(tmp_path / "log.db") as log:
        assert await log.head() == 3
        outcomes = await log.append(
            [deposit(B, 0, command_id="first"), deposit(A, 2), deposit(StreamId("account", "c"), 0)]
        )
        assert outcomes == [
            Duplicate(CommandRecord("first", b"f", A, 3, Position(3), 3)),
            Conflict(3),
            Appended(1, Position(4)),
        ]
        assert await log.append([deposit(A, 3)]) == [Appended(4, Position(5))]
        assert [each.position for each in await everything(log)] == [1, 2, 3, 4, 5]


async def test_a_reader_sees_what_another_opening_appends_and_can_not_write(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with SqliteEventLog.open(path) as writer, SqliteEventLog.open(path, writable=False) as reader:
        waiting = asyncio.create_task(reader.wait(Position(0), 10))
        await writer.append([deposit(A, 0)])
        assert await waiting
        assert [each.version for each in await reader.read(Position(0), 10)] == [1]
        with pytest.raises(StoreNotWritableError, match="open for reading only"):
            await reader.append([deposit(A, 1)])
        with pytest.raises(StoreNotWritableError):
            await reader.save_snapshots({A: Snapshot(1, "", b"{}")})


async def test_leaving_waits_for_the_appends_that_nobody_waits_for(tmp_path: Path) -> None:
    async with SqliteEventLog.open(tmp_path / "log.db") as log:
        tasks = [asyncio.create_task(_append(log, StreamId("account", str(number)))) for number in range(50)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
    async with SqliteEventLog.open(tmp_path / "log.db") as log:
        assert await log.head() == 50


async def _append(log: SqliteEventLog, stream: StreamId) -> None:
    await log.append([deposit(stream, 0)])


async def test_a_closed_log_says_so(tmp_path: Path) -> None:
    async with SqliteEventLog.open(tmp_path / "log.db") as log:
        pass
    with pytest.raises(StoreUnavailableError, match="it is closed; nothing was written"):
        await log.append([deposit(A, 0)])
    with pytest.raises(StoreUnavailableError, match="it is closed"):
        await log.read_streams([(A, 0)], 1)


@pytest.mark.parametrize("statement", ["UPDATE event SET data = '{}'", "DELETE FROM event WHERE position = 2"])
async def test_events_can_not_be_changed_or_deleted_even_by_hand(tmp_path: Path, statement: str) -> None:
    await make_log(tmp_path / "log.db")
    connecting = closing(sqlite3.connect(tmp_path / "log.db"))
    with connecting as connection, pytest.raises(sqlite3.IntegrityError, match="events are never"):
        connection.execute(statement)


async def test_an_acknowledged_append_has_been_synced(tmp_path: Path) -> None:
    async with SqliteEventLog.open(tmp_path / "log.db") as log:
        assert log._appends
        settings = await log._appends.threads.run(
            lambda it: [it.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
        )
    assert settings == ["wal", 2]


async def test_pages_of_large_events_are_short_and_none_is_left_out(tmp_path: Path) -> None:
    data = b'"%s"' % (b"x" * 1_000_000)
    async with SqliteEventLog.open(tmp_path / "log.db") as log:
        for number in range(10):
            await log.append([deposit(A, number * 10, events=10, data=data)])
    async with SqliteEventLog.open(tmp_path / "log.db", writable=False) as log:
        first = await log.read(Position(0), 100)
        assert 0 < len(first) < 100
        assert [each.position for each in await everything(log)] == list(range(1, 101))


async def test_a_transaction_left_open_by_a_reader_is_reported_when_the_wal_grows(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await make_log(path)
    watch = WalWatch(path, first_warning_bytes=200_000)
    async with SqliteEventLog.open(path) as log:
        with closing(sqlite3.connect(path, isolation_level=None)) as reader, capture_logs() as logs:
            reader.execute("BEGIN").execute("SELECT count(*) FROM event").fetchone()
            for number in range(300):
                await log.append([deposit(A, 3 + number, data=b'"%s"' % (b"x" * 1_000))])
                watch.after_transaction()
    assert [entry["event"] for entry in logs] == ["wal-grows"] * len(logs)
    assert 1 <= len(logs) <= 3
    assert logs[0]["size_bytes"] >= 200_000


async def test_the_file_says_whose_it_is(tmp_path: Path) -> None:
    await make_log(tmp_path / "log.db")
    with closing(sqlite3.connect(tmp_path / "log.db")) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (SCHEMA.application_id,)
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA.number,)
