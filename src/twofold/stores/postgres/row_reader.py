"""What queries read of a read store on PostgreSQL: rows, checkpoints, and somebody's own SQL. Never writes.

Each kind of work has its connections, so that long statements don't hold up short ones. A statement that takes too
long, or that nobody waits for any more, is given up by the server.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import psycopg
import structlog
from psycopg import AsyncRawCursor
from psycopg.rows import dict_row

from twofold.errors import StoreError, StoreUnavailableError, TwofoldError
from twofold.ports import Checkpoint, Find
from twofold.settings import Role, Settings
from twofold.stores.moves import Moves
from twofold.stores.postgres.columns import parameter
from twofold.stores.postgres.connections import Connection, Connections, is_lost, translated
from twofold.stores.postgres.grants import guard
from twofold.stores.postgres.leases import checkpoints_of, read_shares
from twofold.stores.postgres.named_parameters import numbered
from twofold.stores.postgres.read_store import BY_KEY, SCHEMA, check_encoding
from twofold.stores.postgres.running import run
from twofold.stores.postgres.statements import load_sql, trusted
from twofold.stores.postgres.table_reader import TableReader
from twofold.tables import Key, Row, Table

__all__ = ["PostgresRowReader"]

SQL = load_sql("read_store.sql")

KEYED_CONNECTIONS = 2
FINDING_CONNECTIONS = 4
SQL_CONNECTIONS = 2
_RECONNECT_S = 0.5
_DEAF_POLL_S = 0.1
"""Between looks at the checkpoints while nobody tells of them, as behind a pooler."""
_READING = re.compile(r"(?:\s|--[^\n]*\n?|/\*.*?\*/|\()*(select|with|values|table)\b", re.IGNORECASE | re.DOTALL)
_SQL_REMEDY = "give one statement that reads, SELECT or WITH, and a value for each of its :names"

logger = structlog.get_logger("twofold.postgres")


class PostgresRowReader:
    """Made by `open`."""

    def __init__(self, keyed: Connections, finding: Connections, foreign: Connections, settings: Settings) -> None:
        self._store = keyed.store
        self._keyed, self._finding, self._foreign = keyed, finding, foreign
        self._listener = _Listener(keyed)
        self._poll_s = settings.poll_s
        self._tables: dict[str, TableReader] = {}

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, settings: Settings, role: str) -> AsyncGenerator[PostgresRowReader]:
        """A reader of the database; UnknownSchemaError when its schema is missing or not this release's."""
        connecting = partial(Connections.open, url, label=SCHEMA.label, settings=settings, role=role)
        async with (
            connecting(component="rows", size=KEYED_CONNECTIONS, session=BY_KEY) as keyed,
            connecting(component="finds", size=FINDING_CONNECTIONS) as finding,
            connecting(component="sql", size=SQL_CONNECTIONS) as foreign,
        ):
            await SCHEMA.check(keyed, tell=role.endswith(Role.QUERY))
            await check_encoding(keyed)
            await guard(keyed, role)
            reader = cls(keyed, finding, foreign, settings)
            listening = asyncio.create_task(reader._listener.run())
            try:
                yield reader
            finally:
                listening.cancel()
                await asyncio.wait([listening])

    async def get(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Row]:
        return await self._keyed.read(lambda connection: self._table(table).load(connection, keys))

    async def find(self, table: Table, find: Find) -> Sequence[Row]:
        return await self._finding.read(lambda connection: self._table(table).find(connection, find))

    async def count(self, table: Table, equals: Mapping[str, Any]) -> int:
        return await self._finding.read(lambda connection: self._table(table).count(connection, equals))

    async def search(self, table: Table, text: str, limit: int) -> Sequence[Row]:
        return await self._finding.read(lambda connection: self._table(table).search(connection, text, limit))

    async def sql(self, text: str, params: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Tables have their bare names. A text with U+0000 or U+0001 in it comes as PostgreSQL holds it."""
        if not _READING.match(text):
            raise self._refused("it is no statement that reads")
        try:
            statement, values = numbered(text, params)
        except ValueError as error:
            raise self._refused(str(error)) from None
        bound = [parameter(value) for value in values]
        async with self._foreign.lend() as connection:
            return await self._select(connection, statement, bound)

    async def checkpoints(self) -> Mapping[str, Checkpoint]:
        return checkpoints_of(await self._keyed.read(read_shares))

    async def wait(self, timeout_s: float) -> None:
        longest_s = self._poll_s if self._listener.hears else min(self._poll_s, _DEAF_POLL_S)
        await self._listener.moves.wait(min(timeout_s, longest_s))
        if self._listener.lost:
            self._listener.lost = False
            raise StoreUnavailableError(self._store, "the connection that tells of moves was lost")

    def _table(self, table: Table) -> TableReader:
        """The statements of a table, made once."""
        found = self._tables.get(table.name)
        if found is None or (found.table is not table and found.table != table):
            found = self._tables[table.name] = TableReader(self._store, table)
        return found

    async def _select(self, connection: Connection, statement: str, bound: Sequence[Any]) -> list[dict[str, Any]]:
        cursor = AsyncRawCursor(connection, row_factory=dict_row)
        try:
            async with connection.pipeline():
                await run(connection, SQL["begin_foreign"])
                await run(connection, SQL["reading_path"])
                await cursor.execute(trusted(statement), bound)
            return await cursor.fetchall()
        except psycopg.Error as error:
            about_the_sql = (error.sqlstate or "")[:2] in _ABOUT_THE_SQL or isinstance(error, psycopg.ProgrammingError)
            if not about_the_sql:
                raise
            raise self._refused(error.diag.message_primary or str(error)) from error
        except (UnicodeError, OverflowError) as error:
            raise self._refused(str(error)) from error
        finally:
            if not is_lost(connection):
                await connection.rollback()

    def _refused(self, reason: str) -> StoreError:
        return StoreError(self._store, f"the SQL is refused: {reason}", _SQL_REMEDY)


_ABOUT_THE_SQL = {"0A", "21", "22", "25", "34", "42", "54", "P0"}
"""Classes of PostgreSQL's errors that somebody's statement gets for what it says."""


class _Listener:
    """Hears when a checkpoint has moved. While it is deaf, those who wait look at their own pace. `lost` says that it
    has gone deaf: the server may have crashed, and come back with rows that are older."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self.moves = Moves()
        self.hears = self.lost = False

    async def run(self) -> None:
        while True:
            try:
                with translated(self._connections.store):
                    await self._listen()
                if self._connections.pooled:
                    return
            except (TwofoldError, psycopg.Error, OSError) as error:
                logger.warning("not-listening", store=self._connections.store, error=str(error))
            await asyncio.sleep(_RECONNECT_S)

    async def _listen(self) -> None:
        connection = await self._connections.connect()
        try:
            if self._connections.pooled:
                return
            await run(connection, SQL["listen"])
            self.hears = True
            self.moves.moved()
            async for _ in connection.notifies():
                self.moves.moved()
        finally:
            self.lost, self.hears = self.hears, False
            self.moves.moved()
            await connection.close()
