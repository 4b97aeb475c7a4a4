"""Event log on SQLite.

One thread owns the only writing connection, so one transaction at a time is the whole concurrency story of appending
(event_writer.py); a few more threads read, on connections of their own that see what is committed. Who reads near the
head, and who waits, is served from memory: what was appended is published there after its commit, on the event loop's
thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from twofold.errors import StoreNotWritableError, StoreUnavailableError
from twofold.messages import RawEvent
from twofold.ports import Commit, Outcome, Snapshot
from twofold.stores.arrivals import Arrivals
from twofold.stores.sqlite import event_reader as reader
from twofold.stores.sqlite.connections import SQL as CONNECTION_SQL
from twofold.stores.sqlite.connections import Schema, StoreLock, open_reader, open_writer, translated
from twofold.stores.sqlite.event_writer import Writer, Written
from twofold.stores.sqlite.tail import Tail
from twofold.stores.sqlite.threads import ConnectionThreads, quick_switches
from twofold.stores.sqlite.wal import WalWatch
from twofold.streams import Position, StreamId

__all__ = ["SCHEMA", "SqliteEventLog"]

SCHEMA = Schema.load("event log", application_id=0x32464C45, folder="event_log")  # "2FLE" in the file's header

READERS = 4
POLL_S = 0.02
ENOUGH_COMMITS = 16
"""Waiting calls go into one transaction until it has so many commits. More in one would let the caller prepare nothing
while it is written: two calls of 32 made 1.25 times the commands/s when they were not put together."""

MAX_STATEMENT_EVENTS = 1_000
"""Events per reading statement: for as many to become Python objects (0.5 ms) the event loop waits in one piece."""

ENOUGH_BYTES = 8_000_000
"""A page with so much data is not made longer."""


class SqliteEventLog:
    """Implements EventLog and Snapshots on one file: `async with SqliteEventLog.open(path) as log: ...`"""

    def __init__(self, path: Path, readers: ConnectionThreads, appends: _Appends | None) -> None:
        self._store = SCHEMA.store(path)
        self._readers, self._appends = readers, appends

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, *, writable: bool = True) -> AsyncGenerator[SqliteEventLog]:
        """Open the file; to write, make and migrate it as needed. Leaving waits for all appends.

        Only one process may have it open `writable`, the next gets StoreInUseError. Any number may have it open for
        reading, also beside the one that writes. A file that is foreign, corrupt or of a newer schema raises and stays
        as it is.
        """
        store = SCHEMA.store(path)
        async with AsyncExitStack() as stack:
            appends = None
            if writable:
                stack.enter_context(quick_switches())
                opened = await asyncio.to_thread(_open_to_write, path)
                appends = _Appends(store, opened)
                stack.push_async_callback(appends.close)
            readers = ConnectionThreads(store, await asyncio.to_thread(_open_to_read, path))
            stack.push_async_callback(readers.close)
            yield cls(path, readers, appends)

    # --- writing ---

    def publish(self, facts: Mapping[str, Any]) -> None:
        """Tell other processes of this user about this one: see `read_holder`."""
        self._writable().lock.publish(facts)

    async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        return await self._writable().append(commits)

    async def save_snapshots(self, snapshots: Mapping[StreamId, Snapshot]) -> None:
        rows = [
            (str(stream), each.version, each.fingerprint, each.state.decode()) for stream, each in snapshots.items()
        ]
        parameters = {"snapshots": msgspec.json.encode(rows).decode()}
        await self._writable().threads.run(lambda it: it.execute(reader.SQL["save_snapshots"], parameters).rowcount)

    def _writable(self) -> _Appends:
        if self._appends is None:
            raise StoreNotWritableError(self._store, "it is open for reading only", "open it writable")
        return self._appends

    # --- reading ---

    async def head(self) -> Position:
        if self._appends is not None:
            return self._appends.arrivals.head
        return await self._readers.run(reader.read_head)

    async def wait(self, after: Position, timeout_s: float) -> bool:
        if self._appends is not None:
            return await self._appends.arrivals.wait(after, timeout_s)
        return await self._poll(after, timeout_s)

    async def _poll(self, after: Position, timeout_s: float) -> bool:
        """Another process writes, and can't wake this one."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while await self.head() <= after:
            left_s = deadline - loop.time()
            if left_s <= 0:
                return False
            await asyncio.sleep(min(POLL_S, left_s))
        return True

    async def read(self, after: Position, limit: int) -> Sequence[RawEvent]:
        """As the port says. Large events come in shorter pages: fewer than `limit` does not mean the head."""
        if self._appends is None:
            return await self._read_file(after, limit)
        found = self._appends.tail.read(after, limit)
        if found is None:
            found = await self._read_file(after, limit)
            unpublished = after + len(found) - self._appends.arrivals.head
            found = found[: len(found) - unpublished] if unpublished > 0 else found
        return found

    async def _read_file(self, after: Position, limit: int) -> Sequence[RawEvent]:
        events: list[RawEvent] = []
        size = 0
        while len(events) < limit and size < ENOUGH_BYTES:
            start, wanted = after + len(events), min(limit - len(events), MAX_STATEMENT_EVENTS)
            page = await self._readers.run(lambda it, s=start, n=wanted: reader.read_after(it, s, n))
            events += page
            size += sum([len(event.data) for event in page])
            if len(page) < wanted:
                break
        return events

    async def read_streams(self, wanted: Sequence[tuple[StreamId, int]], limit: int) -> Sequence[Sequence[RawEvent]]:
        named = [(str(stream), after) for stream, after in wanted]
        return await self._readers.run(lambda it: reader.read_streams(it, named, limit))

    async def load_snapshots(self, streams: Sequence[StreamId]) -> Mapping[StreamId, Snapshot]:
        names = [str(stream) for stream in streams]
        return await self._readers.run(lambda it: reader.load_snapshots(it, names))


# --- appending -------------------------------------------------------------------------------------------------------


class _OpenedToWrite(NamedTuple):
    lock: StoreLock
    connection: sqlite3.Connection
    writer: Writer
    wal: WalWatch
    head: Position


class _Call(NamedTuple):
    """One call of append, and who waits for it."""

    commits: Sequence[Commit]
    outcomes: asyncio.Future[Sequence[Outcome]]


_Answered = tuple[Sequence[_Call], Written | Exception]


class _Appends:
    """The event loop's side of appending: calls go into a queue, and the writer thread takes all that wait at once."""

    def __init__(self, store: str, opened: _OpenedToWrite) -> None:
        self.lock, self._writer, self._wal = opened.lock, opened.writer, opened.wal
        self.threads = ConnectionThreads(store, [opened.connection])
        self.arrivals = Arrivals(opened.head)
        self.tail = Tail(opened.head)
        self._calls: deque[_Call] = deque()

    async def append(self, commits: Sequence[Commit]) -> Sequence[Outcome]:
        """Cancelling this gives up the answer, not the write."""
        call = _Call(commits, asyncio.get_running_loop().create_future())
        if not self.threads.closed:  # else submit says so
            self._calls.append(call)
        self.threads.submit(self._write_waiting, self._answer)
        return await call.outcomes

    async def close(self) -> None:
        try:
            with suppress(StoreUnavailableError):  # a full disk must not keep anyone from closing
                await self.threads.run(lambda it: it.execute(CONNECTION_SQL["tidy"]).fetchall())
        finally:
            await self.threads.close()
            self.lock.release()

    def _write_waiting(self, _: sqlite3.Connection) -> _Answered:
        """On the writer thread. Each call brings one run of this; one that finds its call done already is a no-op."""
        calls: list[_Call] = []
        commits = 0
        while self._calls and commits < ENOUGH_COMMITS:
            calls.append(self._calls.popleft())
            commits += len(calls[-1].commits)
        try:
            written = self._writer.write([call.commits for call in calls])
            self._wal.after_transaction()
            return calls, written
        except Exception as error:
            return calls, error

    def _answer(self, answered: _Answered, _: Exception | None) -> None:
        """On the event loop's thread, in the order of the transactions: first publish, then tell who waits."""
        calls, result = answered
        if isinstance(result, Written) and result.events:
            self.tail.add(result.events)
            self.arrivals.reach(result.head)
        for index, call in enumerate(calls):
            if call.outcomes.done():
                continue
            if isinstance(result, Written):
                call.outcomes.set_result(result.outcomes[index])
            else:
                call.outcomes.set_exception(result)


# --- opening ---------------------------------------------------------------------------------------------------------


def _open_to_write(path: Path) -> _OpenedToWrite:
    store = SCHEMA.store(path)
    with ExitStack() as undo, translated(store, opening=True):
        lock = StoreLock.acquire(path, store)
        undo.callback(lock.release)
        connection = open_writer(path, SCHEMA)
        undo.callback(connection.close)
        writer, head = Writer(connection, store), reader.read_head(connection)
        undo.pop_all()
        return _OpenedToWrite(lock, connection, writer, WalWatch(path), head)


def _open_to_read(path: Path) -> list[sqlite3.Connection]:
    with ExitStack() as undo:
        connections: list[sqlite3.Connection] = []
        for _ in range(READERS):
            connections.append(open_reader(path, SCHEMA))
            undo.callback(connections[-1].close)
            reader.prepare_reader(connections[-1])
        undo.pop_all()
        return connections
