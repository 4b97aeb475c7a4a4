"""Event logs on PostgreSQL, as the tests of this adapter open and fill them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import psycopg

from twofold.messages import NewEvent, RawEvent
from twofold.ports import Commit, EventLog, NewRecord
from twofold.settings import Settings
from twofold.stores.postgres.event_log import SCHEMA, PostgresEventLog
from twofold.streams import Position, StreamId

__all__ = ["SETTINGS", "A", "B", "deposit", "everything", "migrated", "opened", "sql"]

SETTINGS = Settings()
A, B = StreamId("account", "a"), StreamId("account", "b")
_numbers = count()


def deposit(
    stream: StreamId, expected_version: int, *, events: int = 1, command_id: str | None = None, data: bytes = b"{}"
) -> Commit:
    """With metadata of its own, as those of every command are."""
    metadata = b'{"command_id":"%d"}' % next(_numbers)
    record = NewRecord(command_id, b"f") if command_id else None
    return Commit(stream, expected_version, (NewEvent("Deposited", 1, data),) * events, metadata, 0, record)


async def everything(log: EventLog, after: int = 0) -> Sequence[RawEvent]:
    events: list[RawEvent] = []
    while page := await log.read(Position(after + len(events)), 5_000):
        events += page
    return events


async def migrated(url: str) -> str:
    """The URL of a database that now has an empty event log."""
    await SCHEMA.migrate(url, SETTINGS)
    return url


@asynccontextmanager
async def opened(url: str, settings: Settings = SETTINGS, *, writable: bool = True) -> AsyncGenerator[PostgresEventLog]:
    async with PostgresEventLog.open(url, settings=settings, role="test", writable=writable) as log:
        yield log


async def sql(url: str, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """The rows of one statement, on a connection of its own."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(statement.encode(), parameters or None)
        return await cursor.fetchall() if cursor.description else []
