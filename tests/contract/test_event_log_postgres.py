"""The event log on PostgreSQL keeps the contract, on the newest and the oldest server, and across processes."""

from collections.abc import AsyncIterator, Sequence

import pytest

from twofold.messages import RawEvent
from twofold.ports import Commit, Outcome
from twofold.settings import Settings
from twofold.stores.postgres.event_log import SCHEMA, PostgresEventLog
from twofold.streams import Position, StreamId
from twofold.testing.event_log_contract import EventLogContract, SnapshotsContract

SETTINGS = Settings()


@pytest.fixture
async def url(database: str) -> str:
    """A database with an empty event log."""
    await SCHEMA.migrate(database, SETTINGS)
    return database


class TestPostgresEventLog(EventLogContract):
    @pytest.fixture
    async def log(self, url: str) -> AsyncIterator[PostgresEventLog]:
        async with PostgresEventLog.open(url, settings=SETTINGS, role="test") as log:
            yield log


class TestPostgresSnapshots(SnapshotsContract):
    @pytest.fixture
    async def snapshots(self, url: str) -> AsyncIterator[PostgresEventLog]:
        async with PostgresEventLog.open(url, settings=SETTINGS, role="test") as log:
            yield log


class WrittenHereReadThere:
    """Appends through two openings in turn and reads through a third, as processes do."""

    def __init__(self, writers: Sequence[PostgresEventLog], reader: PostgresEventLog) -> None:
        self._writers, self._reader = list(writers), reader

    async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        self._writers.append(self._writers.pop(0))
        return await self._writers[0].append(commits)

    async def read_streams(self, wanted: Sequence[tuple[StreamId, int]], limit: int) -> Sequence[Sequence[RawEvent]]:
        return await self._reader.read_streams(wanted, limit)

    async def read(self, after: Position, limit: int) -> Sequence[RawEvent]:
        return await self._reader.read(after, limit)

    async def head(self) -> Position:
        return await self._reader.head()

    async def wait(self, after: Position, timeout_s: float) -> bool:
        return await self._reader.wait(after, timeout_s)


class TestPostgresEventLogOfSeveral(EventLogContract):
    @pytest.fixture
    async def log(self, url: str) -> AsyncIterator[WrittenHereReadThere]:
        one = PostgresEventLog.open(url, settings=SETTINGS, role="test")
        other = PostgresEventLog.open(url, settings=SETTINGS, role="test")
        reading = PostgresEventLog.open(url, settings=SETTINGS, role="test", writable=False)
        async with one as first, other as second, reading as reader:
            yield WrittenHereReadThere([first, second], reader)
