"""Event log on PostgreSQL.

Appends of all processes go one after another: a function on the server holds the lock of one row from before it looks
until its transaction is durable (event_appends.py). So positions are dense in the order of commits, whoever reads may
read whatever is committed, and nothing appears behind it. Other processes are woken by notifications (listening.py).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from twofold.errors import CorruptStoreError, StoreNotWritableError
from twofold.messages import RawEvent
from twofold.ports import Commit, Outcome, Snapshot
from twofold.settings import Settings
from twofold.stores.arrivals import Arrivals
from twofold.stores.postgres.connections import Connection, Connections
from twofold.stores.postgres.event_appends import CONCURRENT_APPENDS, SERVER_SHARE, SESSION, Appends
from twofold.stores.postgres.event_batch import array_of, joined
from twofold.stores.postgres.grants import guard
from twofold.stores.postgres.listening import Announcements, Listening
from twofold.stores.postgres.schema import Schema
from twofold.stores.postgres.statements import load_sql
from twofold.streams import START, Position, StreamId

__all__ = ["SCHEMA", "PostgresEventLog"]

SCHEMA = Schema.load("event log", name="twofold_log", folder="event_log")
SQL = load_sql("event_log.sql")

READERS = 4
MAX_STATEMENT_EVENTS = 1_000
"""Events per reading statement: for as many to become Python objects (1 ms) the event loop waits in one piece."""

ENOUGH_BYTES = 8_000_000
"""A page with so much data is not made longer."""

_INDEXES_ONLY = {"enable_seqscan": "off", "enable_bitmapscan": "off", "max_parallel_workers_per_gather": "0"}
"""Prepared plans are kept, also those made while the log was empty."""

_Rows = Sequence[tuple[Any, ...]]


class PostgresEventLog:
    """Implements EventLog and Snapshots: `async with PostgresEventLog.open(url, settings=…, role=…) as log: ...`"""

    def __init__(self, readers: Connections, listening: Listening, arrivals: Arrivals, appends: Appends | None) -> None:
        self._readers, self._listening, self._arrivals = readers, listening, arrivals
        self._appends = appends

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, *, settings: Settings, role: str, writable: bool = True
    ) -> AsyncGenerator[PostgresEventLog]:
        """Any number of processes may have it open, for writing too. Leaving waits for all appends.

        UnknownSchemaError unless `twofold schema migrate` has made exactly this release's schema. A service ("command",
        "query", "projector") whose user could change events is refused with a StoreError.
        """
        async with AsyncExitStack() as stack:
            enter = stack.enter_async_context
            connections = partial(Connections.open, url, label=SCHEMA.label, settings=settings, role=role)
            readers = await enter(connections(component="read", size=READERS, session=_INDEXES_ONLY))
            await SCHEMA.check(readers)
            await guard(readers, role)
            arrivals = Arrivals(START)
            listening = Listening(await enter(connections(component="listen", size=1)), arrivals, settings.poll_s)
            stack.push_async_callback(listening.close)
            appends = None
            if writable:
                limit_s = settings.store_timeout_s * SERVER_SHARE
                size = CONCURRENT_APPENDS + 1  # for the notifications
                opening = connections(component="append", size=size, session=SESSION, statement_timeout_s=limit_s)
                writers = await enter(opening)
                appends = Appends(writers, arrivals, Announcements(writers))
                stack.push_async_callback(appends.close)
            yield cls(readers, listening, arrivals, appends)

    # --- writing ---

    async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        return await self._writable().append(commits)

    async def save_snapshots(self, snapshots: Mapping[StreamId, Snapshot]) -> None:
        parameters = {
            "streams": joined(map(str, snapshots)),
            "versions": array_of(each.version for each in snapshots.values()),
            "fingerprints": joined(each.fingerprint for each in snapshots.values()),
            "states": joined(each.state.decode() for each in snapshots.values()),
        }
        if snapshots:
            await self._writable().save_snapshots(parameters)

    def _writable(self) -> Appends:
        if self._appends is None:
            raise StoreNotWritableError(self._readers.store, "it is open for reading only", "open it writable")
        return self._appends

    # --- reading ---

    async def head(self) -> Position:
        (row,) = await self._rows("head", {})
        return Position(row[0])

    async def wait(self, after: Position, timeout_s: float) -> bool:
        self._listening.start()
        return await self._arrivals.wait(after, timeout_s)

    async def read(self, after: Position, limit: int) -> Sequence[RawEvent]:
        """As the port says. Large events come in shorter pages: fewer than `limit` does not mean the head."""
        events: list[RawEvent] = []
        size = 0
        while len(events) < limit and size < ENOUGH_BYTES:
            wanted = min(limit - len(events), MAX_STATEMENT_EVENTS)
            parameters = {"after": after + len(events), "limit": wanted, "enough": ENOUGH_BYTES - size}
            page = [RawEvent(*row) for row in await self._rows("read", parameters)]
            _check(self._readers.store, after + len(events), [event.position for event in page], "positions")
            events += page
            size += sum([len(event.data) + len(event.metadata) for event in page])
            if len(page) < wanted:
                break
        return events

    async def read_streams(self, wanted: Sequence[tuple[StreamId, int]], limit: int) -> Sequence[Sequence[RawEvent]]:
        streams, after = joined(str(stream) for stream, _ in wanted), array_of(after for _, after in wanted)
        rows: _Rows = (
            await self._rows("read_streams", {"streams": streams, "after": after, "limit": limit}) if wanted else ()
        )
        found: list[list[RawEvent]] = [[] for _ in wanted]
        number: int
        for number, *event in rows:
            found[number - 1].append(RawEvent(*event))
        for (stream, start), events in zip(wanted, found, strict=True):
            _check(self._readers.store, start, [event.version for event in events], f"versions of {stream}")
        return found

    async def load_snapshots(self, streams: Sequence[StreamId]) -> Mapping[StreamId, Snapshot]:
        rows = await self._rows("load_snapshots", {"streams": joined(map(str, streams))})
        return {StreamId.parse(stream): Snapshot(*snapshot) for stream, *snapshot in rows}

    async def _rows(self, statement: str, parameters: Mapping[str, Any]) -> _Rows:
        async def fetch(connection: Connection) -> _Rows:
            cursor = connection.cursor(binary=True)
            await cursor.execute(SQL[statement], parameters)
            return await cursor.fetchall()

        return await self._readers.read(fetch)


def _check(store: str, after: int, numbers: list[int], what: str) -> None:
    if numbers != list(range(after + 1, after + 1 + len(numbers))):
        found = next(number for expected, number in enumerate(numbers, start=after + 1) if number != expected)
        raise CorruptStoreError(store, f"{what} are not dense after {after}: found {found}", "restore it from a backup")
