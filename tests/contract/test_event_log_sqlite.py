"""The event log on SQLite keeps the contract, also read through a second opening of the file."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from twofold.messages import RawEvent
from twofold.ports import Commit, Outcome
from twofold.stores.sqlite.event_log import SqliteEventLog
from twofold.streams import Position, StreamId
from twofold.testing.event_log_contract import EventLogContract, SnapshotsContract


class TestSqliteEventLog(EventLogContract):
    @pytest.fixture
    async def log(self, tmp_path: Path) -> AsyncIterator[SqliteEventLog]:
        async with SqliteEventLog.open(tmp_path / "log.db") as log:
            yield log


class TestSqliteSnapshots(SnapshotsContract):
    @pytest.fixture
    async def snapshots(self, tmp_path: Path) -> AsyncIterator[SqliteEventLog]:
        async with SqliteEventLog.open(tmp_path / "log.db") as log:
            yield log


class WrittenHereReadThere:
    """Appends through one opening of the file and reads through another, as two processes do."""

    def __init__(self, writer: SqliteEventLog, reader: SqliteEventLog) -> None:
        self._writer, self._reader = writer, reader

    async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        return await self._writer.append(commits)

    async def read_streams(self, wanted: Sequence[tuple[StreamId, int]], limit: int) -> Sequence[Sequence[RawEvent]]:
        return await self._reader.read_streams(wanted, limit)

    async def read(self, after: Position, limit: int) -> Sequence[RawEvent]:
        return await self._reader.read(after, limit)

    async def head(self) -> Position:
        return await self._reader.head()

    async def wait(self, after: Position, timeout_s: float) -> bool:
        return await self._reader.wait(after, timeout_s)


class TestSqliteEventLogReadByAnother(EventLogContract):
    @pytest.fixture
    async def log(self, tmp_path: Path) -> AsyncIterator[WrittenHereReadThere]:
        path = tmp_path / "log.db"
        async with SqliteEventLog.open(path) as writer, SqliteEventLog.open(path, writable=False) as reader:
            yield WrittenHereReadThere(writer, reader)
