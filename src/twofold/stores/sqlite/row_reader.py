"""What queries read of a SQLite read store: connections that can't write, on a few threads of their own.

Each statement sees one state of the file, of before or after a save and never of its middle
(https://www.sqlite.org/isolation.html). A statement that takes too long, or that nobody waits for any more, is
interrupted.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Protocol, TypeVar

from twofold.errors import StoreError, StoreUnavailableError
from twofold.ports import Checkpoint, Find
from twofold.stores.sqlite.columns import DECIMAL_COLLATION, compare_decimals, parameter
from twofold.stores.sqlite.connections import open_reader, translated
from twofold.stores.sqlite.read_store import SCHEMA, SQL, SqliteReadStore
from twofold.stores.sqlite.standings import checkpoints
from twofold.stores.sqlite.table_reader import TableReader
from twofold.stores.sqlite.threads import ConnectionThreads
from twofold.tables import Key, Row, Table

__all__ = ["SqliteRowReader"]

T = TypeVar("T")

READING_THREADS = 2
SQL_THREADS = 2
STATEMENT_TIMEOUT_S = 30.0
POLL_S = 0.02
_OPERATIONS_BETWEEN_LOOKS = 200_000  # some milliseconds: short statements never look


class SqliteRowReader:
    """Made by `open`. Statements of `sql` have threads of their own, so that long ones don't hold up the others."""

    def __init__(
        self, path: Path, rows: ConnectionThreads, sql: ConnectionThreads, writer: _Writer, statement_timeout_s: float
    ) -> None:
        self._store = SCHEMA.store(path)
        self._rows, self._sql, self._writer = rows, sql, writer
        self._timeout_s = statement_timeout_s
        self._tables: dict[str, TableReader] = {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls, path: Path, *, statement_timeout_s: float = STATEMENT_TIMEOUT_S, beside: SqliteReadStore | None = None
    ) -> AsyncGenerator[SqliteRowReader]:
        """A reader of the file, which must exist.

        `beside` is the store that writes the file, if that is in this process: then waiting ends as soon as a
        checkpoint moves, and checkpoints tell holders and errors. From another process the file is looked at every
        20 ms, and checkpoints tell neither.
        """
        store = SCHEMA.store(path)
        async with AsyncExitStack() as stack:

            def threads(connections: Iterable[sqlite3.Connection]) -> ConnectionThreads:
                started = ConnectionThreads(store, list(connections))
                stack.push_async_callback(started.close)
                return started

            rows = threads(_rows_connection(path) for _ in range(READING_THREADS))
            sql = threads(_sql_connection(path) for _ in range(SQL_THREADS))
            writer = beside or _WriterElsewhere(threads([open_reader(path, SCHEMA)]))
            yield cls(path, rows, sql, writer, statement_timeout_s)

    async def get(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Row]:
        return await self._run(self._rows, lambda connection: self._table(table).load(connection, keys))

    async def find(self, table: Table, find: Find) -> Sequence[Row]:
        return await self._run(self._rows, lambda connection: self._table(table).find(connection, find))

    async def count(self, table: Table, equals: Mapping[str, Any]) -> int:
        return await self._run(self._rows, lambda connection: self._table(table).count(connection, equals))

    async def search(self, table: Table, text: str, limit: int) -> Sequence[Row]:
        return await self._run(self._rows, lambda connection: self._table(table).search(connection, text, limit))

    async def sql(self, text: str, params: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        return await self._run(self._sql, lambda connection: self._select(connection, text, params))

    async def checkpoints(self) -> Mapping[str, Checkpoint]:
        return self._writer.told(await self._run(self._rows, checkpoints))

    async def wait(self, timeout_s: float) -> None:
        await self._writer.wait(timeout_s)

    async def _run(self, threads: ConnectionThreads, work: Callable[[sqlite3.Connection], T]) -> T:
        patience = _Patience(self._store, self._timeout_s)

        def limited(connection: sqlite3.Connection) -> T:
            with translated(self._store):
                return patience.spend(connection, work)

        try:
            return await threads.run(limited)
        except asyncio.CancelledError:
            patience.end()
            raise

    def _table(self, table: Table) -> TableReader:
        """The statements of a table, made once. (Two threads may both make them; either's will do.)"""
        found = self._tables.get(table.name)
        if found is None or (found.table is not table and found.table != table):
            found = self._tables[table.name] = TableReader(self._store, table)
        return found

    def _select(self, connection: sqlite3.Connection, text: str, params: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        bound = {name: parameter(value) for name, value in params.items()}
        try:
            cursor = connection.execute(text, bound)
            if cursor.description is None:
                raise StoreError(self._store, "the SQL holds no statement", _SQL_REMEDY)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        except (sqlite3.ProgrammingError, sqlite3.Warning, OverflowError, UnicodeError) as error:
            raise StoreError(self._store, f"the SQL is refused: {error}", _SQL_REMEDY) from error
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_AUTH, sqlite3.SQLITE_ERROR):
                raise StoreError(self._store, f"the SQL is refused: {error}", _SQL_REMEDY) from error
            raise


_SQL_REMEDY = "give one statement that reads, SELECT or WITH, and a value for each of its :names"


class _Writer(Protocol):
    """What is known of the store that writes the file."""

    def told(self, found: Mapping[str, Checkpoint]) -> Mapping[str, Checkpoint]: ...

    async def wait(self, timeout_s: float) -> None: ...


class _WriterElsewhere:
    """In another process: there is nothing but the file."""

    def __init__(self, watch: ConnectionThreads) -> None:
        self._watch = watch
        self._version = 0

    def told(self, found: Mapping[str, Checkpoint]) -> Mapping[str, Checkpoint]:
        return found

    async def wait(self, timeout_s: float) -> None:
        until = monotonic() + timeout_s
        while True:
            before, self._version = self._version, await self._watch.run(_data_version)
            left_s = until - monotonic()
            if self._version != before or left_s <= 0:
                return
            await asyncio.sleep(min(POLL_S, left_s))


class _Patience:
    """How long a statement may run. Looked at by SQLite itself, in the statement's thread."""

    def __init__(self, store: str, timeout_s: float) -> None:
        self._store, self._timeout_s = store, timeout_s
        self._until = monotonic() + timeout_s

    def end(self) -> None:
        self._until = 0.0

    def spend(self, connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
        connection.set_progress_handler(self._is_over, _OPERATIONS_BETWEEN_LOOKS)
        try:
            return work(connection)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            reason = f"the statement took longer than {self._timeout_s:g} s and was interrupted"
            raise StoreUnavailableError(self._store, reason) from error
        finally:
            connection.set_progress_handler(None, 0)

    def _is_over(self) -> bool:
        return monotonic() > self._until


# --- connections -----------------------------------------------------------------------------------------------------


def _data_version(connection: sqlite3.Connection) -> int:
    return connection.execute(SQL["data_version"]).fetchone()[0]


def _rows_connection(path: Path) -> sqlite3.Connection:
    connection = open_reader(path, SCHEMA)
    connection.create_collation(DECIMAL_COLLATION, compare_decimals)
    return connection


def _sql_connection(path: Path) -> sqlite3.Connection:
    """For somebody else's SQL: refuses, before it runs, every statement that does anything but read."""
    connection = _rows_connection(path)
    connection.set_authorizer(_authorize)
    return connection


_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}


def _authorize(action: int, *_: str | None) -> int:
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY
