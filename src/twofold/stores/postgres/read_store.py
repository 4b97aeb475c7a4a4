"""Read store on PostgreSQL: what projectors write, from any number of processes.

A save is one statement: its fence (which locks the leases of its shares and moves their checkpoints), deletions and
rows. So are the calls of leases: a process that is stopped, at whatever moment, never leaves a lock that others need.
Whatever makes, renames or drops a table takes one lock before all others, waits for the table itself only for moments
(everyone who comes later waits behind it), and tries again.

Saves commit without waiting for the disk (`synchronous_commit = off`): after a crash of PostgreSQL the latest may be
gone, rows and checkpoints together, and are folded again from the log. Whoever gets new epochs waits for the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeVar

import psycopg
import structlog

from twofold.errors import StoreError, TwofoldError, UnknownReadModelError
from twofold.ports import NOTHING_HELD, Checkpoint, Fold, Held, Leased, Share
from twofold.settings import Settings
from twofold.stores.postgres import leases
from twofold.stores.postgres.columns import quoted
from twofold.stores.postgres.connections import Connection, Connections
from twofold.stores.postgres.leases import checkpoints_of, read_shares
from twofold.stores.postgres.running import run
from twofold.stores.postgres.schema import Schema, act_as_owner
from twofold.stores.postgres.statements import load_sql
from twofold.stores.postgres.table_reader import TableReader, is_about_shape
from twofold.stores.postgres.table_writer import TableWriter, check_names, in_schema
from twofold.stores.rows import Unstorable
from twofold.stores.sharing import check_held, fenced, other_columns
from twofold.tables import Key, Row, Table

__all__ = ["BY_KEY", "SCHEMA", "PostgresReadStore", "check_encoding"]

SQL = load_sql("read_store.sql")
SCHEMA = Schema.load("read store", name="twofold_read", folder="read_store")

T = TypeVar("T")

CONNECTIONS = 4
BY_KEY = dict.fromkeys(["enable_seqscan", "enable_hashjoin", "enable_mergejoin"], "off")
"""Settings of connections that find rows by keys and in no other way: a plan that was made while a table was small, and
read it whole, must not be used when it has grown."""
_TABLE_PATIENCE_MS = 100
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 0.5
_FENCED = "TWF01"
_TOO_LARGE_FOR_INDEX = "54000"
_PASSING = Table("~promoted", "twofold_promoted", (), ())
"""What a table is called between its two names."""

logger = structlog.get_logger("twofold.postgres")


class PostgresReadStore:
    """Made by `at`; both ReadStore and Leases."""

    def __init__(self, connections: Connections) -> None:
        self._store, self._timeout_s = connections.store, connections.timeout_s
        self._connections = connections
        self._tables: dict[str, _Access] = {}
        self._moves = _Moves(self._connections)

    @classmethod
    @asynccontextmanager
    async def at(cls, url: str, *, settings: Settings, role: str) -> AsyncGenerator[PostgresReadStore]:
        """The read store in a database; UnknownSchemaError when its schema is missing or not this release's."""
        opening = Connections.open(
            url,
            label=SCHEMA.label,
            settings=settings,
            role=role,
            component="read-store",
            size=CONNECTIONS,
            session={**BY_KEY, "synchronous_commit": "off"},
        )
        async with opening as connections:
            await SCHEMA.check(connections, tell=settings.event_log_at != settings.read_store_at)
            await check_encoding(connections)
            store = cls(connections)
            try:
                yield store
            finally:
                await store._moves.told()

    # --- ReadStore ---

    async def open(self, table: Table, *, restart: bool = False) -> Checkpoint:
        check_names(self._store, table)
        if not restart:
            found = await self._connections.read(lambda connection: read_shares(connection, table.read_model))
            if found:
                return checkpoints_of(found)[table.read_model]
        return await self._change([table.read_model], lambda connection: self._open(connection, table, restart))

    async def load(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Row]:
        reader = self._table(table).reader
        return await self._connections.read(lambda connection: reader.load(connection, keys))

    async def save(self, fold: Fold) -> Sequence[Share]:
        try:
            statement = self._table(fold.table).writer.save(fold)
        except Unstorable as error:
            raise error.in_fold(self._store, fold.table) from None
        async with self._connections.lend() as connection:
            try:
                await run(connection, *statement)
            except psycopg.Error as error:
                raise await self._meaning(connection, fold, error) from error
        self._moves.tell()
        return [share._replace(position=fold.through) for share in fold.shares]

    async def promote(self, rebuilt: Table, live: Table, held: Held = NOTHING_HELD) -> Checkpoint:
        former = live.aside("former")
        check_names(self._store, live)
        names = [rebuilt.read_model, live.read_model, former.read_model]
        return await self._change(names, lambda connection: self._promote(connection, rebuilt, live, held))

    async def drop(self, read_model: str) -> None:
        await self._change([read_model], lambda connection: _drop(connection, read_model))

    async def checkpoints(self) -> Mapping[str, Checkpoint]:
        return checkpoints_of(await self._connections.read(read_shares))

    async def set_paused(self, read_model: str, paused: bool) -> None:
        async with self._connections.lend() as connection:
            done = await run(connection, SQL["set_paused"], [read_model, paused])
        if not done.rowcount:
            raise self._unknown(read_model)
        self._moves.tell()

    # --- Leases ---

    async def lease(self, holder: str, wanted: Mapping[str, str], lease_s: float) -> Mapping[str, Leased]:
        async with self._connections.lend() as connection:
            return await leases.take_turn(connection, holder, wanted, lease_s)

    async def seize(self, holder: str, read_model: str, lease_s: float, *, force: bool = False) -> Sequence[Share]:
        async with self._connections.lend() as connection:
            shares = await leases.seize(connection, holder, read_model, lease_s, force=force)
        if shares is None:
            raise self._unknown(read_model)
        return shares

    async def release(self, holder: str) -> None:
        async with self._connections.lend() as connection:
            await leases.release(connection, holder)

    # --- saving ---

    async def _meaning(self, connection: Connection, fold: Fold, error: psycopg.Error) -> Exception:
        """What it says about the fold, if it says anything about it."""
        name = fold.table.read_model
        if error.sqlstate == _TOO_LARGE_FOR_INDEX:
            reason = f"{name}: a row is too large ({error.diag.message_primary})"
            return StoreError(self._store, reason, "keep long texts out of key, index and search of the read model")
        if error.sqlstate != _FENCED and not is_about_shape(error):
            return error
        # A table that is gone or was replaced is noticed before the fence
        stored = [each.share for each in await read_shares(connection, name)]
        if error.sqlstate == _FENCED or not set(fold.shares) <= set(stored):
            return fenced(self._store, fold, stored)
        holder = await (await run(connection, SQL["holder"], [fold.table.name])).fetchone()
        if holder is None or holder[1] != fold.table.fingerprint:
            return other_columns(self._store, fold.table)
        return error

    # --- tables ---

    async def _change(self, read_models: Sequence[str], work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do work on tables in a transaction, as their owner, again and again while others use the tables."""
        deadline = asyncio.get_running_loop().time() + self._timeout_s / 2
        pause_s = _FIRST_PAUSE_S
        while True:
            async with self._connections.lend() as connection:
                try:
                    done = await _in_transaction(connection, read_models, work)
                    break
                except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                    if asyncio.get_running_loop().time() + pause_s > deadline:
                        raise
            await asyncio.sleep(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)
        self._moves.tell()
        return done

    async def _open(self, connection: Connection, table: Table, restart: bool) -> Checkpoint:
        await self._check_free(connection, table)
        found = await read_shares(connection, table.read_model)
        if found and not restart:
            return checkpoints_of(found)[table.read_model]
        await _drop(connection, table.read_model)
        writer = self._table(table).writer
        try:
            for statement in writer.create():
                await run(connection, statement)
        except (psycopg.errors.DuplicateColumn, psycopg.errors.InvalidTableDefinition) as error:
            reason = f"{table.read_model}: {error.diag.message_primary}"
            raise StoreError(self._store, reason, "give the field another name") from error
        paused = bool(found) and found[0].paused
        model = [table.read_model, table.name, table.fingerprint, table.fold_fingerprint, table.partitions, paused]
        await run(connection, SQL["put_read_model"], model)
        return checkpoints_of(await read_shares(connection, table.read_model))[table.read_model]

    async def _promote(self, connection: Connection, rebuilt: Table, live: Table, held: Held) -> Checkpoint:
        if not await read_shares(connection, rebuilt.read_model):
            raise self._unknown(rebuilt.read_model)
        stored = {name: [each.share for each in await read_shares(connection, name)] for name in held}
        check_held(self._store, held, stored.__getitem__)
        former = live.aside("former")
        target = await read_shares(connection, live.read_model)
        await _rename(connection, rebuilt.read_model, _PASSING, paused=False)
        await self._check_free(connection, live)
        if target:
            await _drop(connection, former.read_model)
            await self._check_free(connection, former)
            await _rename(connection, live.read_model, former, paused=False)
        await _rename(connection, _PASSING.read_model, live, paused=bool(target) and target[0].paused)
        return checkpoints_of(await read_shares(connection, live.read_model))[live.read_model]

    async def _check_free(self, connection: Connection, table: Table) -> None:
        """A read model's table must not be another read model's."""
        holder = await (await run(connection, SQL["holder"], [table.name])).fetchone()
        if holder is not None and holder[0] != table.read_model:
            reason = f"the table name {table.name} of {table.read_model} belongs to {holder[0]}"
            raise StoreError(self._store, reason, "give the read model another name")

    def _table(self, table: Table) -> _Access:
        """The statements of a table, made once."""
        found = self._tables.get(table.name)
        if found is None or (found.table is not table and found.table != table):
            found = self._tables[table.name] = _Access(table, TableReader(self._store, table), TableWriter(table))
        return found

    def _unknown(self, read_model: str) -> UnknownReadModelError:
        reason = f"it holds no read model {read_model}"
        return UnknownReadModelError(self._store, reason, "open it first, or correct the name")


class _Access(NamedTuple):
    table: Table
    reader: TableReader
    writer: TableWriter


class _Moves:
    """Tells readers in other processes that something moved: after it did, and never inside its transaction, where
    sending would let all commits of the database wait for each other."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._untold = False
        self._teller: asyncio.Task[None] | None = None

    def tell(self) -> None:
        """Returns at once. What moves while readers are being told is told in one."""
        self._untold = True
        if self._teller is None:
            self._teller = asyncio.create_task(self._tell())

    async def told(self) -> None:
        """Readers know of everything that moved (or will find out by themselves)."""
        while self._teller is not None:
            await asyncio.wait([self._teller])

    async def _tell(self) -> None:
        try:
            while self._untold:
                self._untold = False
                async with self._connections.lend() as connection:
                    await run(connection, SQL["notify"])
        except TwofoldError as error:
            logger.warning("readers-not-told", error=str(error))
        finally:
            self._teller = None


# --- statements ------------------------------------------------------------------------------------------------------


async def check_encoding(connections: Connections) -> None:
    """StoreError for a database that can't hold every text."""
    (encoding,) = await connections.read(_encoding)
    if encoding != "UTF8":
        raise StoreError(connections.store, f"its encoding is {encoding}", "make it anew with the encoding UTF8")


async def _encoding(connection: Connection) -> tuple[str]:
    return await (await run(connection, SQL["encoding"])).fetchone() or ("",)


async def _in_transaction(
    connection: Connection, read_models: Sequence[str], work: Callable[[Connection], Awaitable[T]]
) -> T:
    async with connection.transaction():
        await run(connection, SQL["considerate"])
        await run(connection, SQL["lock"])
        await act_as_owner(connection, SCHEMA.name)
        await run(connection, SQL["patience"], [f"{_TABLE_PATIENCE_MS}ms"])
        for (name,) in await (await run(connection, SQL["tables"], [list(read_models)])).fetchall():
            await run(connection, SQL["lock_table"].format(table=in_schema(name)))
        await run(connection, SQL["lock_shares"], [list(read_models)])
        return await work(connection)


async def _drop(connection: Connection, read_model: str) -> None:
    place = await (await run(connection, SQL["place"], [read_model])).fetchone()
    if place is not None:
        await run(connection, SQL["drop_table"].format(table=in_schema(place[0])))
        await run(connection, SQL["remove_read_model"], [read_model])


async def _rename(connection: Connection, read_model: str, to: Table, *, paused: bool) -> None:
    place = await (await run(connection, SQL["place"], [read_model])).fetchone()
    assert place is not None
    await run(connection, SQL["rename_table"].format(table=in_schema(place[0]), name=quoted(to.name)))
    await run(connection, SQL["rename_read_model"], [read_model, to.read_model, to.name, paused])
