"""Read store on SQLite: rows and checkpoints in a file of their own, apart from the event log.

Who holds which partition is kept in memory, since one process has the file for itself: leases run for ever, and only
their epochs are written down. Leasing writes only when a partition changes hands.

One thread owns the only writing connection; loads for folding run on it too, where the pages of the last save are still
in its cache. Rows, checkpoint and fence of a fold are one transaction, under `synchronous = NORMAL`
(https://www.sqlite.org/pragma.html#pragma_synchronous): a crash of the process loses nothing, and after a power cut the
latest folds may be gone, rows and checkpoint together, so that they are folded again from the log.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from twofold.errors import FencedError, StoreError, UnknownReadModelError
from twofold.ports import NOTHING_HELD, Checkpoint, Fold, Held, Leased, Share
from twofold.stores.moves import Moves
from twofold.stores.rows import Unstorable
from twofold.stores.sharing import Sharing, check_held, fenced, other_columns
from twofold.stores.sqlite.columns import quoted
from twofold.stores.sqlite.connections import Schema, StoreLock, open_writer, roll_back, transaction, translated
from twofold.stores.sqlite.standings import (
    Standing,
    advance,
    checkpoints,
    next_epoch,
    put_standing,
    remove_standing,
    standing_of,
    standings,
    take,
)
from twofold.stores.sqlite.table_reader import TableReader
from twofold.stores.sqlite.table_writer import TableWriter, drop_table
from twofold.stores.sqlite.threads import ConnectionThreads
from twofold.stores.statements import load_statements
from twofold.tables import Key, Row, Table

__all__ = ["SCHEMA", "SqliteReadStore"]

SQL = load_statements(Path(__file__).with_name("read_store.sql"))
SCHEMA = Schema.load("read store", application_id=0x54_46_52_53, folder="read_store")  # "TFRS"

T = TypeVar("T")

_RESERVED = ("sqlite_", "twofold_")
_UNDER_WAY = Table(read_model="~", name="twofold_promoted", columns=(), key=())
"""Where a table is while it is promoted, in the midst of a transaction."""


class SqliteReadStore:
    """Made by `at`. Cancelling a caller does not interrupt what the writing thread does for it."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._store = SCHEMA.store(path)
        self._loop = asyncio.get_running_loop()
        self._writer = ConnectionThreads(self._store, [connection])
        self._tables: dict[str, _Access] = {}
        self._sharing = Sharing()  # a new value per change, set by the writing thread alone
        self._moves = Moves()

    @classmethod
    @asynccontextmanager
    async def at(cls, path: Path) -> AsyncGenerator[SqliteReadStore]:
        """The read store in a file, which is made if it is missing; at most one process at a time has it open so.

        StoreInUseError, StoreNotWritableError, ForeignStoreError, CorruptStoreError and UnknownSchemaError leave the
        file as it is.
        """
        lock = StoreLock.acquire(path, SCHEMA.store(path))
        try:
            connection = open_writer(path, SCHEMA)
            connection.executescript(SQL["configure_writer"])
            store = cls(path, connection)
            try:
                yield store
            finally:
                await store._writer.close()
        finally:
            lock.release()

    async def open(self, table: Table, *, restart: bool = False) -> Checkpoint:
        return await self._move(lambda connection: self._open(connection, table, restart))

    async def load(self, table: Table, keys: Sequence[Key]) -> Mapping[Key, Row]:
        return await self._run(lambda connection: self._table(table).reader.load(connection, keys))

    async def save(self, fold: Fold) -> Sequence[Share]:
        return await self._move(lambda connection: self._save(connection, fold))

    async def promote(self, rebuilt: Table, live: Table, held: Held = NOTHING_HELD) -> Checkpoint:
        return await self._move(lambda connection: self._promote(connection, rebuilt, live, held))

    async def drop(self, read_model: str) -> None:
        await self._move(lambda connection: self._drop(connection, read_model))

    async def checkpoints(self) -> Mapping[str, Checkpoint]:
        return self.told(await self._run(checkpoints))

    async def set_paused(self, read_model: str, paused: bool) -> None:
        await self._move(lambda connection: self._set_paused(connection, read_model, paused))

    async def lease(self, holder: str, wanted: Mapping[str, str], lease_s: float) -> Mapping[str, Leased]:
        return await self._run(lambda connection: self._lease(connection, holder, wanted))

    async def seize(self, holder: str, read_model: str, lease_s: float, *, force: bool = False) -> Sequence[Share]:
        return await self._run(lambda connection: self._seize(connection, holder, read_model, force))

    async def release(self, holder: str) -> None:
        await self._run(lambda _: self._release(holder))

    def told(self, found: Mapping[str, Checkpoint]) -> Mapping[str, Checkpoint]:
        """Checkpoints out of the file, with the holders and errors that only this process knows."""
        return {read_model: self._sharing.told(checkpoint) for read_model, checkpoint in found.items()}

    async def wait(self, timeout_s: float) -> None:
        """For readers in this process: `RowReader.wait`."""
        await self._moves.wait(timeout_s)

    async def _move(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run what may move a checkpoint, and wake who waits for that, also when the caller no longer does."""

        def moving(connection: sqlite3.Connection) -> T:
            done = work(connection)
            with suppress(RuntimeError):  # the event loop is closed: nobody waits
                self._loop.call_soon_threadsafe(self._moves.moved)
            return done

        return await self._run(moving)

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def explained(connection: sqlite3.Connection) -> T:
            with translated(self._store):
                return work(connection)

        return await self._writer.run(explained)

    def _table(self, table: Table) -> _Access:
        """The statements of a table, made once."""
        found = self._tables.get(table.name)
        if found is None or (found.table is not table and found.table != table):
            found = self._tables[table.name] = _Access(table, TableReader(self._store, table), TableWriter(table))
        return found

    # What follows runs in the writing thread.

    def _open(self, connection: sqlite3.Connection, table: Table, restart: bool) -> Checkpoint:
        with transaction(connection):
            self._check_name(connection, table)
            found = standing_of(connection, table.read_model)
            if found is not None and not restart:
                return self._sharing.told(found.checkpoint)
            if found is not None:
                _drop(connection, found)
            made = Standing.new(table, next_epoch(connection), paused=found is not None and found.paused)
            self._table(table).writer.create(connection, made.generation)
            put_standing(connection, made)
        return self._void(table.read_model).told(made.checkpoint)

    def _save(self, connection: sqlite3.Connection, fold: Fold) -> Sequence[Share]:
        writer = self._table(fold.table).writer
        try:
            with transaction(connection):
                moved = advance(connection, fold)
                if not moved or len(moved) < len(fold.shares):
                    roll_back(connection)  # those that moved, so that the error tells what is stored
                    raise self._fenced(connection, fold)
                generation = self._generation(connection, fold.table)
                if fold.deleted:
                    writer.delete(connection, generation, fold.deleted)
                if fold.rows:
                    writer.save(connection, generation, fold.rows)
        except Unstorable as error:
            raise error.in_fold(self._store, fold.table) from None
        return moved

    def _promote(self, connection: sqlite3.Connection, rebuilt: Table, live: Table, held: Held) -> Checkpoint:
        former = live.aside("former")
        with transaction(connection):
            check_held(self._store, held, lambda read_model: self._required(connection, read_model).shares)
            source = self._required(connection, rebuilt.read_model)
            for table in (live, former):
                self._check_name(connection, table)
            epoch = next_epoch(connection)
            source = _moved(connection, source, _UNDER_WAY, epoch)  # it may be the former one
            target = standing_of(connection, live.read_model)
            if target is not None:
                if (earlier := standing_of(connection, former.read_model)) is not None:
                    _drop(connection, earlier)
                _moved(connection, target, former, epoch)
            promoted = _moved(connection, source, live, epoch, paused=target is not None and target.paused)
        return self._void(rebuilt.read_model, live.read_model, former.read_model).told(promoted.checkpoint)

    def _drop(self, connection: sqlite3.Connection, read_model: str) -> None:
        with transaction(connection):
            if (found := standing_of(connection, read_model)) is not None:
                _drop(connection, found)
        self._void(read_model)

    def _set_paused(self, connection: sqlite3.Connection, read_model: str, paused: bool) -> None:
        with transaction(connection):
            self._required(connection, read_model)
            connection.execute(SQL["set_paused"], {"read_model": read_model, "paused": paused})

    def _lease(self, connection: sqlite3.Connection, holder: str, wanted: Mapping[str, str]) -> Mapping[str, Leased]:
        partitions = {name: len(each.shares) for name, each in standings(connection).items() if name in wanted}
        self._go_over_to(connection, self._sharing.lease(holder, wanted, partitions), holder)
        found = standings(connection)
        return {
            name: Leased(self._sharing.told(found[name].checkpoint), self._shares(holder, found[name]))
            for name in partitions
        }

    def _seize(self, connection: sqlite3.Connection, holder: str, read_model: str, force: bool) -> Sequence[Share]:
        partitions = len(self._required(connection, read_model).shares)
        seized = self._sharing.seize(holder, read_model, partitions, force=force)
        if seized is None:
            return ()
        self._go_over_to(connection, seized, holder)
        return self._required(connection, read_model).shares

    def _release(self, holder: str) -> None:
        self._sharing = self._sharing.release(holder)

    def _go_over_to(self, connection: sqlite3.Connection, sharing: Sharing, holder: str) -> None:
        """Give the holder's new shares new epochs, which fence off whoever had them."""
        if gained := sharing.gained(holder, self._sharing):
            with transaction(connection):
                take(connection, gained)
        self._sharing = sharing

    def _shares(self, holder: str, standing: Standing) -> tuple[Share, ...]:
        mine = self._sharing.of(holder, standing.read_model)
        return tuple(share for share in standing.shares if share.partition in mine)

    def _void(self, *read_models: str) -> Sharing:
        self._sharing = self._sharing.void(*read_models)
        return self._sharing

    def _generation(self, connection: sqlite3.Connection, table: Table) -> int:
        ((generation, fingerprint),) = connection.execute(SQL["table_of"], {"read_model": table.read_model}).fetchall()
        if fingerprint != table.fingerprint:
            raise other_columns(self._store, table)
        return generation

    def _required(self, connection: sqlite3.Connection, read_model: str) -> Standing:
        found = standing_of(connection, read_model)
        if found is None:
            reason = f"it holds no read model {read_model}"
            raise UnknownReadModelError(self._store, reason, "open it first, or correct the name")
        return found

    def _check_name(self, connection: sqlite3.Connection, table: Table) -> None:
        """A read model's table must not be SQLite's, the store's own or another read model's."""
        holder = connection.execute(SQL["holder"], {"table_name": table.name}).fetchone()
        owner = table.read_model if holder is None else holder[0]
        if owner != table.read_model or table.name.lower().startswith(_RESERVED):
            whose = "the database" if owner == table.read_model else f"the read model {owner}"
            reason = f"the table name {table.name} of {table.read_model} belongs to {whose}"
            raise StoreError(self._store, reason, "give the read model another name")

    def _fenced(self, connection: sqlite3.Connection, fold: Fold) -> FencedError:
        found = standing_of(connection, fold.table.read_model)
        return fenced(self._store, fold, () if found is None else found.shares)


class _Access(NamedTuple):
    table: Table
    reader: TableReader
    writer: TableWriter


def _drop(connection: sqlite3.Connection, standing: Standing) -> None:
    drop_table(connection, standing.table_name, standing.generation)
    remove_standing(connection, standing.read_model)


def _moved(
    connection: sqlite3.Connection, standing: Standing, place: Table, epoch: int, *, paused: bool = False
) -> Standing:
    """The table under another read model's name, which must be free; every share of it is void."""
    connection.execute(SQL["rename_table"].format(table=quoted(standing.table_name), name=quoted(place.name)))
    remove_standing(connection, standing.read_model)
    return put_standing(connection, standing.renewed(place, epoch, paused=paused))
